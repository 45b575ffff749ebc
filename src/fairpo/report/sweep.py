"""The section of a sweep: every trial, as a picture and as a table."""

from __future__ import annotations

from typing import Any

import altair as alt

from fairpo.report.charts import front_line, styled

_GREY = "#808080"


def sweep_content(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """What the template reads of "sweep", or None where there was none.

    Trials that came to an end come first, by the value that was sought; the others follow.
    """
    sweep = metrics.get("sweep")
    if not sweep:
        return None
    complete = [row for row in sweep["trials"] if row["state"] == "complete"]
    rest = [row for row in sweep["trials"] if row["state"] != "complete"]
    complete.sort(key=lambda row: -row["values"][0])
    return {
        **sweep,
        "names": list(sweep["search"]),
        "rows": [
            {
                **row,
                "chosen": row["number"] in sweep["chosen"],
                "on_front": row["number"] in sweep["front"],
                "change": _change(row, sweep),
            }
            for row in (*complete, *rest)
        ],
    }


def sweep_charts(metrics: dict[str, Any]) -> dict[str, alt.LayerChart]:
    """The picture of the trials, by the name of its place."""
    content = sweep_content(metrics)
    if content is None:
        return {}
    points = [
        {
            "trial": row["number"],
            "kind": "chosen" if row["chosen"] else "other",
            "x": round(100 * row["change"], 3),
            "y": round(100 * row["non_privileged_change"], 3),
            "on_front": row["on_front"],
        }
        for row in content["rows"]
        if row["change"] is not None and row["non_privileged_change"] is not None
    ]
    return {"trials": _trials(points)} if points else {}


def _change(row: dict[str, Any], sweep: dict[str, Any]) -> float | None:
    """Of privileged mAP against the reference, on validation rows."""
    before = sweep["reference"]["privileged"]
    after = row.get("privileged")
    return None if before is None or after is None else float(after - before)


def _trials(points: list[dict[str, Any]]) -> alt.LayerChart:
    ticks = alt.Axis(format="+~g", tickCount=7)
    x = alt.X("x:Q", title="change of privileged mAP, points, validation", axis=ticks)
    y = alt.Y("y:Q", title="change of non-privileged mAP, points, validation", axis=ticks)
    kinds = ["chosen", "other"]
    colour = alt.Color(
        "kind:N", scale=alt.Scale(domain=kinds, range=["#D55E00", "#0072B2"]), legend=None
    )
    shape = alt.Shape(
        "kind:N", scale=alt.Scale(domain=kinds, range=["diamond", "circle"]), legend=None
    )
    size = alt.condition("datum.kind === 'chosen'", alt.value(110), alt.value(40))
    tooltip = ["trial:Q", *(alt.Tooltip(f"{axis}:Q", format="+.3~f") for axis in "xy")]
    base = alt.Chart(alt.Data(values=points))
    front = alt.Chart(alt.Data(values=front_line([point for point in points if point["on_front"]])))
    zero = alt.Chart(alt.Data(values=[{"x": 0, "y": 0}]))
    rule = zero.mark_rule(color=_GREY, strokeDash=[4, 3])
    square = zero.mark_point(shape="square", filled=True, size=80, color=_GREY, opacity=1)
    step = front.mark_line(interpolate="step-before", color=_GREY, strokeWidth=1.5, opacity=0.8)
    chart = alt.layer(
        rule.encode(x=x),
        rule.encode(y=y),
        step.encode(x, y),
        square.encode(x, y),
        base.mark_point(filled=True, opacity=0.85).encode(
            x, y, color=colour, shape=shape, size=size, tooltip=tooltip
        ),
    ).properties(width="container", height=340)
    return styled(chart, "Trials of the sweep, on validation rows")
