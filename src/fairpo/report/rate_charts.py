"""Pictures of language models: rates by attribute, and how far completions drifted."""

from __future__ import annotations

from typing import Any

import altair as alt

from fairpo.report.charts import HEADING, styled
from fairpo.report.variant_charts import OfMethod, whiskers

_GREY = "#808080"
_LINE = 11
"""Pixels of a method in the row of an attribute."""


def by_attribute(points: list[dict[str, Any]], methods: list[str], title: str) -> alt.LayerChart:
    """Draw a rate for each attribute and method, with its interval.

    Parameters
    ----------
    points : list of dict
        ``line`` (a group, which starts with ``HEADING``, or an attribute of it), ``method``,
        ``value``, ``low`` and ``high`` in percent, a bound may be None, and ``wins``, ``ties``,
        ``losses`` and ``skipped``; in the order in which the lines are to be drawn.
    methods : list of str
        All methods, in their order: it fixes their colours and shapes.
    title : str
        Of the rate.
    """
    lines = list(dict.fromkeys(point["line"] for point in points))
    heading = {"test": f"slice(datum.value, 0, 1) === '{HEADING}'", "value": "bold"}
    y = alt.Y(
        "line:N",
        title=None,
        scale=alt.Scale(domain=lines, paddingInner=0.25),
        axis=alt.Axis(
            labelFontWeight={"condition": heading, "value": "normal"},
            labelLimit=200,
            grid=True,
            ticks=False,
            domain=False,
        ),
    )
    drawn = [method for method in methods if any(point["method"] == method for point in points)]
    look = OfMethod.of(methods, drawn)
    offset = alt.YOffset("method:N", scale=alt.Scale(domain=drawn))
    scale = alt.Scale(zero=False, padding=10)
    x = alt.X("value:Q", title=title, scale=scale, axis=alt.Axis(format=".0f", tickCount=6))
    counts = [f"{name}:Q" for name in ("wins", "ties", "losses", "skipped")]
    numbers = [alt.Tooltip(f"{name}:Q", format=".1f") for name in ("value", "low", "high")]
    half = alt.Chart(alt.Data(values=[{"half": 50}])).mark_rule(color=_GREY, strokeDash=[4, 3])
    marks = alt.Chart(alt.Data(values=points)).mark_point(size=48, opacity=1, strokeWidth=1.6)
    chart = alt.layer(
        half.encode(x="half:Q"),
        whiskers(points).encode(alt.X("low:Q"), y, x2="high:Q", yOffset=offset, color=look.colour),
        marks.encode(
            x,
            y,
            yOffset=offset,
            color=look.colour,
            fill=look.fill,
            shape=look.shape,
            tooltip=["line:N", "method:N", *numbers, *counts],
        ),
    )
    height = len(lines) * max(24, _LINE * len(drawn) + 8)
    return styled(chart.properties(width="container", height=height), f"{title}, by attribute")


def drift(points: list[dict[str, Any]], sides: list[str], colours: list[str]) -> alt.LayerChart:
    """Draw by how much the log-probability of completions changed under each method.

    Parameters
    ----------
    points : list of dict
        ``method``, ``side`` (one of ``sides``), and ``value`` in nats a completion.
    sides, colours : list of str
    """
    methods = list(dict.fromkeys(point["method"] for point in points))
    shapes = ["circle", "diamond"]
    legend = alt.Legend(orient="top", title=None)
    y = alt.Y(
        "method:N",
        title=None,
        scale=alt.Scale(domain=methods),
        axis=alt.Axis(labelLimit=200, grid=True, ticks=False, domain=False),
    )
    base = alt.Chart(alt.Data(values=points))
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color=_GREY, strokeDash=[4, 3])
    title = "change of log-probability, nats"
    axis = alt.Axis(format="+~g", tickCount=6)
    x = alt.X("value:Q", title=title, scale=alt.Scale(padding=10), axis=axis)
    chart = alt.layer(
        zero.encode(x="zero:Q"),
        base.mark_point(size=70, filled=True, opacity=1).encode(
            x,
            y,
            color=alt.Color("side:N", legend=legend, scale=alt.Scale(domain=sides, range=colours)),
            shape=alt.Shape("side:N", legend=legend, scale=alt.Scale(domain=sides, range=shapes)),
            tooltip=["method:N", "side:N", alt.Tooltip("value:Q", format="+.3f")],
        ),
    ).properties(width="container", height=30 * len(methods))
    return styled(chart, title)
