"""Pictures of what variants of a study change: by variant, by the value of a setting, by label."""

from __future__ import annotations

from typing import Any, NamedTuple

import altair as alt

from fairpo.report.charts import METHOD_COLOURS, group_scales, styled
from fairpo.report.wording import words

_GREY = "#808080"
_SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "wedge"]
_LINE = 13
"""Pixels of a method in the row of a variant."""

_WIDE = 20
"""Values of a setting that span more than this factor lie on a logarithmic axis."""


def by_variant(
    points: list[dict[str, Any]], variants: list[str], methods: list[str], title: str
) -> alt.LayerChart:
    """Draw a change for each variant and method, with its interval.

    Parameters
    ----------
    points : list of dict
        ``variant``, ``method``, ``epoch``, ``returned`` (whether the reference was, in every seed),
        and ``difference``, ``low`` and ``high`` in points; a bound may be None.
    variants, methods : list of str
        In their order.
    title : str
        Of the change.
    """
    base = alt.Chart(alt.Data(values=points))
    y = alt.Y(
        "variant:N",
        title=None,
        scale=alt.Scale(domain=variants, paddingInner=0.25),
        axis=alt.Axis(labelLimit=200, grid=True, ticks=False, domain=False),
    )
    offset = alt.YOffset("method:N", scale=alt.Scale(domain=methods))
    look = OfMethod.of(methods)
    scale = alt.Scale(padding=10)  # a point at an end stays clear of the names
    x = alt.X("difference:Q", title=title, scale=scale, axis=alt.Axis(format="+~g", tickCount=6))
    tooltip = ["variant:N", "method:N", "epoch:N", *_numbers("difference", "low", "high")]
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color=_GREY, strokeDash=[4, 3])
    chart = alt.layer(
        zero.encode(x="zero:Q"),
        whiskers(points).encode(alt.X("low:Q"), y, x2="high:Q", yOffset=offset, color=look.colour),
        _points(base, look, x=x, y=y, yOffset=offset, tooltip=tooltip),
    )
    height = len(variants) * max(24, _LINE * len(methods) + 8)
    return styled(chart.properties(width="container", height=height), f"{title}, by variant")


def by_value(
    points: list[dict[str, Any]], setting: str, methods: list[str], title: str
) -> alt.LayerChart:
    """Draw a change along the values of one setting, a line a method.

    Parameters
    ----------
    points : list of dict
        As of :func:`by_variant`, with ``value``.
    setting : str
        Its name.
    methods : list of str
    title : str
    """
    values = list(dict.fromkeys(str(point["value"]) for point in points))
    numbers = [p["value"] for p in points if _is_number(p["value"])]
    if points and len(numbers) == len(points):
        spread = min(numbers) > 0 and max(numbers) > _WIDE * min(numbers)
        scale = alt.Scale(type="log" if spread else "linear", zero=False, nice=False, padding=12)
        axis = alt.Axis(values=sorted(set(numbers)), format="~g", grid=False)
        x: alt.X = alt.X("value:Q", title=words(setting), scale=scale, axis=axis)
    else:
        points = [{**point, "value": str(point["value"])} for point in points]
        x = alt.X("value:N", title=words(setting), sort=values, axis=alt.Axis(labelAngle=0))
    base = alt.Chart(alt.Data(values=points))
    look = OfMethod.of(methods)
    y = alt.Y("difference:Q", title=None, axis=alt.Axis(format="+~g", minExtent=34))
    tooltip = ["method:N", "epoch:N", "value:N", *_numbers("difference", "low", "high")]
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color=_GREY, strokeDash=[4, 3])
    chart = alt.layer(
        zero.encode(y="zero:Q"),
        whiskers(points).encode(x, alt.Y("low:Q"), y2="high:Q", color=look.colour),
        base.mark_line(strokeWidth=1.5, opacity=0.8).encode(x, y, color=look.colour),
        _points(base, look, x=x, y=y, tooltip=tooltip),
    ).properties(width="container", height=190)
    return styled(chart, f"{title}, by {setting}")


def label_changes(rows: list[dict[str, Any]], groups: list[str]) -> alt.LayerChart:
    """Draw the change of each label's AP against its frequency.

    Parameters
    ----------
    rows : list of dict
        ``label``, ``group``, ``train_positives``, ``test_positives``, ``before``, ``now`` and
        ``change``. They are the data set ``labels`` of the picture, which a page may replace.
    groups : list of str
    """
    colour, shape = group_scales(groups)
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color=_GREY, strokeDash=[4, 3])
    counts = [alt.Tooltip(f"{part}_positives:Q", format=",") for part in ("train", "test")]
    points = alt.Chart(alt.Data(values=rows, name="labels")).mark_point(
        size=34, filled=True, opacity=0.6
    )
    chart = alt.layer(
        zero.encode(y="zero:Q"),
        points.encode(
            alt.X(
                "train_positives:Q",
                title="training positives",
                scale=alt.Scale(type="symlog", nice=False, padding=8),
                axis=alt.Axis(values=[0, *(10**k for k in range(8))], format=",d"),
            ),
            alt.Y("change:Q", title="change of average precision, points"),
            color=colour,
            shape=shape,
            tooltip=["label:N", "group:N", *counts, *_numbers("before", "now", "change")],
        ),
    ).properties(width="container", height=320)
    return styled(chart, "Change of average precision of each label by its training positives")


class OfMethod(NamedTuple):
    """What tells methods apart."""

    colour: alt.Color
    fill: alt.Fill
    shape: alt.Shape

    @classmethod
    def of(cls, methods: list[str], drawn: list[str] | None = None) -> OfMethod:
        """Colours and shapes in the order of the methods, with a legend of those drawn."""
        colours = [METHOD_COLOURS[k % len(METHOD_COLOURS)] for k in range(len(methods))]
        shapes = [_SHAPES[k % len(_SHAPES)] for k in range(len(methods))]
        names = methods if drawn is None else drawn
        look = {"orient": "top", "title": None, "columns": 4, "symbolStrokeWidth": 1.6}
        legend = alt.Legend(values=names, **look)
        scale = alt.Scale(domain=methods, range=colours)
        return cls(
            alt.Color("method:N", legend=legend, scale=scale),
            alt.Fill("method:N", legend=legend, scale=scale),
            alt.Shape("method:N", legend=legend, scale=alt.Scale(domain=methods, range=shapes)),
        )


def _points(base: alt.Chart, look: OfMethod, **channels: Any) -> alt.Chart:
    """Points, open where the reference was returned."""
    opacity = alt.condition("datum.returned", alt.value(0), alt.value(1))
    marks = base.mark_point(size=48, opacity=1, strokeWidth=1.6)
    return marks.encode(
        color=look.colour, fill=look.fill, shape=look.shape, fillOpacity=opacity, **channels
    )


def whiskers(points: list[dict[str, Any]]) -> alt.Chart:
    """The points that have an interval."""
    known = [point for point in points if point["low"] is not None]
    return alt.Chart(alt.Data(values=known)).mark_rule(opacity=0.6, strokeWidth=1.4)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(*names: str) -> list[alt.Tooltip]:
    return [alt.Tooltip(f"{name}:Q", format=",.3~f") for name in names]
