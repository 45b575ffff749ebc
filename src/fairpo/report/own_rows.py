"""The picture of why a preference needs scores that were left out."""

from __future__ import annotations

from typing import Any

import altair as alt

from fairpo.report.charts import styled

_NETWORK, _SOLVED, _PRIVILEGED = "bce, as it comes", "kernel-ridge", "map/privileged"
_GREY = "#808080"
_WIDTH, _ROW = 300, 30
_COLOURS = [_GREY, "#009E73", "#0072B2", "#D55E00"]
_SHAPES = ["square", "triangle-up", "circle", "diamond"]


def own_rows(figures: dict[str, Any]) -> alt.HConcatChart:
    """Draw what references say of rows they have seen and not, and what preferences gain, by set.

    Parameters
    ----------
    figures : dict
        ``rare-labels.json``, as ``fairpo reproduce rare-labels`` writes it.
    """
    sets = [*figures["sets"]]
    precision = [row for name in sets for row in _precision(name, figures["sets"][name])]
    changes = [row for name in sets for row in _changes(name, figures["sets"][name])]
    left = _panel(precision, sets, "privileged mAP, points", alt.Scale(domain=[0, 100]))
    around = alt.Scale(zero=True, padding=10)
    right = _panel(changes, sets, "change of privileged mAP, points", around)
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color=_GREY, strokeDash=[4, 3])
    whole = alt.hconcat(left, alt.layer(zero.encode(x="zero:Q"), right), spacing=30)
    return styled(
        whole.resolve_scale(color="independent", shape="independent"),
        "Privileged mAP of references in sample, left out and on test rows; and its change",
    )


def _precision(name: str, figures: dict[str, Any]) -> list[dict[str, Any]]:
    told = figures["own_rows"]
    values = {
        "cross-entropy, in sample": 100 * told[_NETWORK]["in_sample"]["map"],
        "kernel ridge, in sample": 100 * told[_SOLVED]["in_sample"]["map"],
        "kernel ridge, left out": 100 * told[_SOLVED]["left_out"]["map"],
        "kernel ridge, test rows": figures["means"][_SOLVED][_PRIVILEGED],
    }
    return [{"set": name, "kind": kind, "value": value} for kind, value in values.items()]


def _changes(name: str, figures: dict[str, Any]) -> list[dict[str, Any]]:
    means = figures["means"]
    start = means[_NETWORK][_PRIVILEGED]
    return [
        {"set": name, "kind": method, "value": means[method][_PRIVILEGED] - start}
        for method in ("fairpo-dpo, last epoch", "fairpo-crossfit")
    ]


def _panel(rows: list[dict[str, Any]], sets: list[str], title: str, scale: alt.Scale) -> alt.Chart:
    kinds = [*dict.fromkeys(row["kind"] for row in rows)]
    legend = alt.Legend(orient="top", columns=2, labelLimit=_WIDTH)
    colour = alt.Scale(domain=kinds, range=_COLOURS[-len(kinds) :])
    shape = alt.Scale(domain=kinds, range=_SHAPES[-len(kinds) :])
    axis = alt.Axis(ticks=False, domain=False, grid=True)
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_point(size=75, filled=True, opacity=0.9)
        .encode(
            alt.X("value:Q", title=title, scale=scale, axis=alt.Axis(tickCount=6)),
            alt.Y("set:N", title=None, scale=alt.Scale(domain=sets), axis=axis),
            color=alt.Color("kind:N", title=None, scale=colour, legend=legend),
            shape=alt.Shape("kind:N", title=None, scale=shape, legend=legend),
            tooltip=["set:N", "kind:N", alt.Tooltip("value:Q", format=".3~f")],
        )
        .properties(width=_WIDTH, height=_ROW * len(sets))
    )
