"""Pictures of scores: how they are spread before and after a method, and what they are worth."""

from __future__ import annotations

from typing import Any

import altair as alt

from fairpo.report.charts import styled

METHOD_COLOUR = "#0072B2"
_GREY = "#808080"
_TICKS = [0, 0.2, 0.4, 0.6, 0.8, 1]
_TRUTH = {"1": "rows where the label is true", "0": "rows where it is not"}


def distribution(rows: list[dict[str, Any]], truth: str) -> alt.LayerChart:
    """Draw how the probabilities of one label are spread: an area the reference, a line the method.

    Parameters
    ----------
    rows : list of dict
        Bins, see :func:`fairpo.report.evidence.score_rows`. They are the data set ``scores`` of
        the picture, which a page may replace.
    truth : "1" or "0"
        Which rows: those where the label is true, or those where it is not.
    """
    base = alt.Chart(alt.Data(values=rows, name="scores"))
    x = alt.X(
        "from:Q",
        title="recalibrated probability",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(values=_TICKS, grid=False),
    )
    # The square root shows the few rows of a rare label beside the many in the first bin.
    share = alt.Scale(type="sqrt", domainMin=0)
    axis = alt.Axis(format="%", tickCount=4, minExtent=34)

    def y(when: str) -> alt.Y:
        return alt.Y(f"{when}_{truth}:Q", title=None, scale=share, axis=axis)

    tooltip = [
        alt.Tooltip("from:Q", title="from"),
        alt.Tooltip("to:Q", title="to"),
        alt.Tooltip(f"n_before_{truth}:Q", title="rows, reference"),
        alt.Tooltip(f"n_after_{truth}:Q", title="rows, method"),
    ]
    bar = base.mark_rect(color=_GREY, opacity=0.35)
    top = base.mark_rule(color=METHOD_COLOUR, strokeWidth=2.5)
    hover = base.mark_rect(opacity=0)
    chart = alt.layer(
        bar.encode(x, y("before"), x2="to:Q", y2=alt.datum(0)),
        top.encode(x, y("after"), x2="to:Q"),
        hover.encode(x, x2="to:Q", tooltip=tooltip),
    ).properties(width="container", height=170)
    return styled(chart, f"Share of {_TRUTH[truth]} by recalibrated probability")


def reliability(rows: list[dict[str, Any]], group: str, model: int) -> alt.LayerChart:
    """Draw how often what is given a probability happens, by that probability.

    Parameters
    ----------
    rows : list of dict
        ``model`` (its position), ``kind`` ("raw" or "recalibrated"), ``x`` (mean probability of a
        bin), ``y`` (its positive rate) and ``entries``.
    group : str
        Of labels, for the description.
    model : int
        The one drawn first; the parameter ``model`` of the chart says which is drawn.
    """
    scale = alt.Scale(domain=[0, 1], nice=False)
    axis = alt.Axis(values=_TICKS)
    x = alt.X("x:Q", title="mean probability", scale=scale, axis=axis)
    y = alt.Y("y:Q", title="share that is true", scale=scale, axis=axis)
    diagonal = alt.Chart(alt.Data(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
    base = alt.Chart(alt.Data(values=rows, name="curves")).transform_filter("datum.model === model")
    kinds = ["raw", "recalibrated"]
    colour = alt.Color(
        "kind:N", legend=None, scale=alt.Scale(domain=kinds, range=[_GREY, METHOD_COLOUR])
    )
    dash = alt.StrokeDash(
        "kind:N", legend=None, scale=alt.Scale(domain=kinds, range=[[4, 3], [1, 0]])
    )
    shape = alt.Shape(
        "kind:N", legend=None, scale=alt.Scale(domain=kinds, range=["square", "circle"])
    )
    tooltip = ["kind:N", *(alt.Tooltip(f"{name}:Q", format=",.3~f") for name in ("x", "y"))]
    tooltip.append(alt.Tooltip("entries:Q", format=","))
    chart = alt.layer(
        diagonal.mark_line(color=_GREY, strokeWidth=1, opacity=0.6).encode(x, y),
        base.mark_line(strokeWidth=1.5).encode(x, y, color=colour, strokeDash=dash),
        base.mark_point(size=36, filled=True, opacity=1).encode(
            x, y, color=colour, shape=shape, tooltip=tooltip
        ),
    ).properties(width="container", height=260)
    chosen = alt.param(name="model", value=model)
    return styled(chart.add_params(chosen), f"Reliability of the {group} labels' probabilities")
