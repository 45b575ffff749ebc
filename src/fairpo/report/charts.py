"""The pictures of a report: plain rows in, Altair charts out.

Colours are from the Okabe-Ito palette, which stays apart under colour blindness; groups also
differ in shape or dash. Text and grid are mid-grey on a clear ground, readable on light and dark.
"""

from __future__ import annotations

from typing import Any

import altair as alt

PRIVILEGED_COLOUR = "#D55E00"
OTHER_COLOURS = ["#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
_GREY = "#888888"

MANY_LABELS = 60
"""Above this a line a label cannot be read: the change is drawn against frequency instead."""


def trade_off(points: list[dict[str, Any]]) -> alt.LayerChart:
    """Draw the change of privileged against non-privileged mAP, a point a method and epoch.

    Parameters
    ----------
    points : list of dict
        ``method``, ``epoch`` ("selected" or "last"), ``x``, ``x_low``, ``x_high``, ``y``,
        ``y_low``, ``y_high`` in points.
    """
    base = alt.Chart(alt.Data(values=points))
    x = alt.X("x:Q", title="change of privileged mAP, points")
    y = alt.Y("y:Q", title="change of non-privileged mAP, points")
    colour = alt.Color("method:N", title=None, scale=alt.Scale(scheme="tableau10"), legend=None)
    marks = base.mark_point(size=90, strokeWidth=2, opacity=1).encode(
        x,
        y,
        colour,
        fill=alt.condition(
            "datum.epoch == 'selected'", "method:N", alt.value("transparent"), legend=None
        ),
        shape=alt.Shape(
            "epoch:N",
            scale=alt.Scale(domain=["selected", "last"], range=["circle", "diamond"]),
            title="epoch",
        ),
        tooltip=["method:N", "epoch:N", *_numbers("x", "x_low", "x_high", "y", "y_low", "y_high")],
    )
    whiskers = [
        base.mark_rule(opacity=0.45).encode(alt.X("x_low:Q"), y, x2="x_high:Q", color=colour),
        base.mark_rule(opacity=0.45).encode(x, alt.Y("y_low:Q"), y2="y_high:Q", color=colour),
    ]
    names = (
        base.transform_filter("datum.named")
        .mark_text(align="left", dx=8, dy=-8, fontSize=12)
        .encode(x, y, text="method:N", color=colour)
    )
    zero = alt.Chart(alt.Data(values=[{"zero": 0}]))
    lines = [
        zero.mark_rule(color=_GREY, strokeDash=[4, 3]).encode(x="zero:Q"),
        zero.mark_rule(color=_GREY, strokeDash=[4, 3]).encode(y="zero:Q"),
    ]
    chart = alt.layer(*lines, *whiskers, marks, names)
    return _styled(chart.properties(width="container", height=380), "Trade-off between the groups")


def per_label(rows: list[dict[str, Any]], method: str) -> alt.LayerChart:
    """Draw each label's AP before and after, or its change against frequency for many labels.

    Parameters
    ----------
    rows : list of dict
        ``label``, ``group``, ``train_positives``, ``before``, ``after`` in points, ``change``.
    method : str
        Whose AP "after" is.
    """
    chart = _changes(rows) if len(rows) > MANY_LABELS else _dumbbells(rows)
    return _styled(chart, f"AP of each label: reference and {method}")


def _dumbbells(rows: list[dict[str, Any]]) -> alt.LayerChart:
    base = alt.Chart(alt.Data(values=rows))
    y = alt.Y("label:N", title=None, sort=[row["label"] for row in rows])
    axis = alt.Scale(zero=False)
    tooltip = ["label:N", "group:N", "train_positives:Q", *_numbers("before", "after", "change")]
    line = base.mark_rule(strokeWidth=3, opacity=0.6).encode(
        alt.X("before:Q", title="average precision, points", scale=axis),
        y,
        x2="after:Q",
        color=_group_colour(),
        tooltip=tooltip,
    )
    before = base.mark_point(size=45, filled=False, strokeWidth=1.5).encode(
        alt.X("before:Q", scale=axis), y, color=_group_colour(), tooltip=tooltip
    )
    after = base.mark_point(size=60, filled=True, opacity=1).encode(
        alt.X("after:Q", scale=axis),
        y,
        color=_group_colour(),
        shape=_group_shape(),
        tooltip=tooltip,
    )
    height = max(120, 17 * len(rows))
    return alt.layer(line, before, after).properties(width="container", height=height)


def _changes(rows: list[dict[str, Any]]) -> alt.LayerChart:
    base = alt.Chart(alt.Data(values=rows))
    points = base.mark_point(size=30, filled=True, opacity=0.6).encode(
        alt.X("train_positives:Q", title="training positives", scale=alt.Scale(type="symlog")),
        alt.Y("change:Q", title="change of AP, points"),
        color=_group_colour(),
        shape=_group_shape(),
        tooltip=["label:N", "group:N", "train_positives:Q", *_numbers("before", "after", "change")],
    )
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color=_GREY, strokeDash=[4, 3])
    return alt.layer(zero.encode(y="zero:Q"), points).properties(width="container", height=380)


def trace(
    rows: list[dict[str, Any]], methods: list[str], quantity: str, title: str
) -> alt.FacetChart:
    """Draw a quantity of each group over the training, a panel a method, a thin line a seed.

    Parameters
    ----------
    rows : list of dict
        ``method``, ``seed``, ``group``, ``epoch`` and the quantity.
    methods : list of str
        Order of the panels.
    quantity : str
        ``weight`` or ``loss``.
    title : str
        Of the axis.
    """
    lines = (
        alt.Chart()
        .mark_line(strokeWidth=1.6, opacity=0.85)
        .encode(
            alt.X("epoch:Q", title="epoch"),
            alt.Y(f"{quantity}:Q", title=title),
            color=_group_colour(),
            strokeDash=alt.StrokeDash("group:N", legend=None),
            detail="seed:N",
            tooltip=["method:N", "seed:N", "group:N", *_numbers("epoch", quantity)],
        )
        .properties(width=225, height=120)
    )
    panels = lines.facet(
        facet=alt.Facet("method:N", title=None, sort=methods), columns=4, data=alt.Data(values=rows)
    )
    return _styled(
        panels.resolve_scale(y="shared" if quantity == "weight" else "independent"), title
    )


def _group_colour() -> alt.Color:
    return alt.Color(
        "group:N",
        title=None,
        sort=["privileged", "non_privileged"],
        scale=alt.Scale(range=[PRIVILEGED_COLOUR, *OTHER_COLOURS]),
        legend=alt.Legend(orient="top"),
    )


def _group_shape() -> alt.Shape:
    return alt.Shape("group:N", sort=["privileged", "non_privileged"], legend=None)


def _numbers(*names: str) -> list[alt.Tooltip]:
    return [alt.Tooltip(f"{name}:Q", format=".3~f") for name in names]


def _styled(chart: Any, description: str) -> Any:
    return (
        chart.properties(background="transparent", description=description)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=_GREY,
            titleColor=_GREY,
            gridColor=_GREY,
            gridOpacity=0.2,
            domainColor=_GREY,
            tickColor=_GREY,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
        )
        .configure_legend(labelColor=_GREY, titleColor=_GREY, labelFontSize=12)
        .configure_header(labelColor=_GREY, labelFontSize=12)
    )
