"""The pictures of a report: plain rows in, Altair charts out.

Colours are from the Okabe-Ito palette, which stays apart under colour blindness; what they tell
apart also differs in shape, dash or place. Text and grid are mid-grey on a clear ground, readable
on light and dark (the page sets its own ink over them). Text from data is only ever a value: no
name of a label or method becomes a field, an expression or markup.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import altair as alt

from fairpo.pareto import pareto_front

PRIVILEGED_COLOUR = "#D55E00"
OTHER_COLOURS = ["#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
METHOD_COLOURS = ["#0072B2", "#D55E00", "#00936B", "#B8629A", "#9E7700", "#3A8FB7", "#8C6BB1"]
"""Okabe-Ito, its light colours darkened: names are written in them, on white and on near-black."""

DASHES = [[1, 0], [5, 2], [1, 2], [7, 2, 1, 2]]
_GREY = "#808080"

MANY_LABELS = 60
"""Above this a line a label cannot be read: the change is drawn against frequency instead."""

HEADING = "\u2060"
"""Starts a line of the per-label picture that is a heading, not a label."""

_HEIGHT = 400
_PLOTS = {"wide": (620, 340), "narrow": (290, 340)}
"""Plot sizes for which names are placed: those of a larger plot only move further apart."""


def trade_off(
    points: list[dict[str, Any]],
    x_title: str = "change of privileged mAP, points",
    y_title: str = "change of non-privileged mAP, points",
) -> alt.LayerChart:
    """Draw the change of one group's mAP against the other's, a point a method and epoch.

    Parameters
    ----------
    points : list of dict
        ``method``, ``epoch`` ("selected" or "last"), ``x``, ``x_low``, ``x_high``, ``y``,
        ``y_low``, ``y_high`` in points; a bound may be None, then no whisker is drawn.
    x_title, y_title : str
        Of the axes.

    Returns
    -------
    LayerChart
        The reference is the origin, a square. Each method is named once, at its selected epoch,
        and its last epoch too where that lies elsewhere. A stepped line joins the points, the
        reference among them, that no other beats in both.
    """
    base = alt.Chart()
    span = {axis: _span(points, axis) for axis in "xy"}
    ticks = alt.Axis(tickCount=7, format="+~g")
    x = alt.X("x:Q", title=x_title, scale=alt.Scale(domain=span["x"], nice=False), axis=ticks)
    y = alt.Y("y:Q", title=y_title, scale=alt.Scale(domain=span["y"], nice=False), axis=ticks)
    methods = list(dict.fromkeys(point["method"] for point in points))
    colours = [METHOD_COLOURS[k % len(METHOD_COLOURS)] for k in range(len(methods))]
    scale = alt.Scale(domain=methods, range=colours)
    colour = alt.Color("method:N", scale=scale, legend=None)
    whisker = base.mark_rule(opacity=0.5, strokeWidth=1.2)
    whiskers = [
        whisker.transform_filter(_known("x_low")).encode(
            alt.X("x_low:Q"), y, x2="x_high:Q", color=colour
        ),
        whisker.transform_filter(_known("y_low")).encode(
            x, alt.Y("y_low:Q"), y2="y_high:Q", color=colour
        ),
    ]
    tooltip = ["method:N", "epoch:N", *_numbers("x", "x_low", "x_high", "y", "y_low", "y_high")]
    marks = [
        base.transform_filter(f"datum.epoch === '{epoch}'")
        .mark_point(size=95, shape=shape, filled=filled, opacity=1, strokeWidth=1.8)
        .encode(x, y, color=colour, tooltip=tooltip)
        for epoch, shape, filled in (("last", "diamond", False), ("selected", "circle", True))
    ]
    zero = alt.Chart(alt.Data(values=[{"x": 0, "y": 0}]))
    rule = zero.mark_rule(color=_GREY, strokeDash=[4, 3])
    reference = zero.mark_point(shape="square", filled=True, size=80, color=_GREY, opacity=1)
    front = alt.Chart(alt.Data(values=front_line(points)))
    step = front.mark_line(interpolate="step-before", color=_GREY, strokeWidth=1.5, opacity=0.8)
    chart = alt.layer(
        rule.encode(x=x),
        rule.encode(y=y),
        step.encode(x, y),
        *whiskers,
        reference.encode(x, y),
        *marks,
        *_names(points, span, (x, y, colour)),
        data=alt.Data(values=points),
    )
    return styled(chart.properties(width="container", height=_HEIGHT), f"{y_title} by {x_title}")


def front_line(points: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Return the ``x`` and ``y`` on the Pareto front of points and the reference, the origin.

    Examples
    --------
    >>> front_line([{"x": 2.0, "y": -1.0}, {"x": 1.0, "y": -2.0}, {"x": -1.0, "y": 1.0}])
    [{'x': -1.0, 'y': 1.0}, {'x': 0.0, 'y': 0.0}, {'x': 2.0, 'y': -1.0}]
    """
    places = [(0.0, 0.0), *((float(point["x"]), float(point["y"])) for point in points)]
    return [{"x": places[at][0], "y": places[at][1]} for at in pareto_front(places)]


def per_label(
    rows: list[dict[str, Any]], views: list[str], groups: list[str], *, start: int = 0
) -> alt.LayerChart:
    """Draw each label's AP before and after, or its change against frequency for many labels.

    Parameters
    ----------
    rows : list of dict
        ``label``, ``group``, ``train_positives``, ``test_positives``, ``before`` and ``after`` (a
        list, one entry a view, None where undefined) in points; in the order in which they are to
        be drawn.
    views : list of str
        What "after" can be. The parameter ``view`` of the chart, a position in this list, says
        which one is drawn.
    groups : list of str
        All groups, in their order: it fixes their colours and shapes.
    start : int
        The view drawn first.
    """
    many = len(rows) > MANY_LABELS
    groups = [*dict.fromkeys([*groups, *(row["group"] for row in rows)])]
    chart = _changes(rows, groups) if many else _dumbbells(rows, groups)
    view = alt.param(name="view", value=start)
    text = "Average precision of each label under the reference and under a method"
    return styled(chart.add_params(view), f"{text}: {', '.join(views)}")


def trace(
    rows: list[dict[str, Any]], groups: list[str], title: str, colours: list[str] | None = None
) -> alt.Chart:
    """Draw a quantity of each group over the training of one method, a thin line a seed.

    Parameters
    ----------
    rows : list of dict
        ``seed``, ``group``, ``epoch`` and ``value``.
    groups : list of str
        All groups, in their order: it fixes their colours and dashes.
    title : str
        Of the quantity. A "weight" is drawn from 0 to 1.
    colours : list of str, optional
        Of each group, where it is not one of labels or attributes.
    """
    scale = alt.Scale(domain=[0, 1]) if title == "weight" else alt.Scale(zero=True, nice=True)
    dashes = alt.Scale(domain=groups, range=group_dashes(groups))
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=1.5, opacity=0.8)
        .encode(
            alt.X("epoch:Q", title=None, axis=alt.Axis(tickCount=4, grid=False)),
            alt.Y("value:Q", title=None, scale=scale, axis=alt.Axis(tickCount=3, minExtent=30)),
            color=_group_colour(groups, colours=colours),
            strokeDash=alt.StrokeDash("group:N", scale=dashes, legend=None),
            detail="seed:N",
            tooltip=["group:N", "seed:N", *_numbers("epoch", "value")],
        )
        .properties(
            width="container",
            height=150,
            autosize=alt.AutoSizeParams(type="fit", contains="padding"),
        )
    )
    return styled(chart, f"{title} of each group by epoch")


def group_dashes(groups: list[str]) -> list[list[int]]:
    """Return the dash of each group's lines."""
    return [DASHES[k % len(DASHES)] for k in range(len(groups))]


def group_colours(groups: list[str]) -> list[str]:
    """Return the colour of each group: the first is the privileged one."""
    others = (OTHER_COLOURS[k % len(OTHER_COLOURS)] for k in range(len(groups)))
    return [PRIVILEGED_COLOUR, *others][: len(groups)]


def _viewed() -> alt.Chart:
    """The layer's rows with ``now`` and ``change`` of the chosen view, where it is defined."""
    return (
        alt.Chart()
        .transform_calculate(now="datum.after[view]")
        .transform_filter(_known("now"))
        .transform_calculate(change="datum.now - datum.before")
    )


def _dumbbells(rows: list[dict[str, Any]], groups: list[str]) -> alt.LayerChart:
    lines: list[str] = []
    for group in groups:
        if members := [_line(row) for row in rows if row["group"] == group]:
            lines += [f"{HEADING}{group}", *members]
    base = _viewed()
    heading = {"test": f"slice(datum.value, 0, 1) === '{HEADING}'", "value": "bold"}
    y = alt.Y(
        "line:N",
        title=None,
        scale=alt.Scale(domain=lines),
        axis=alt.Axis(
            labelFontWeight={"condition": heading, "value": "normal"},
            labelLimit=220,
            ticks=False,
            domain=False,
            grid=True,
        ),
    )
    known = [value for row in rows for value in (row["before"], *row["after"]) if value is not None]
    scale = alt.Scale(domain=[max(0.0, min(known) - 3), min(100.0, max(known) + 3)])
    before = alt.X("before:Q", title="average precision, points", scale=scale)
    colour = _group_colour(groups)
    tooltip = _label_tooltip()
    bar = base.mark_rule(strokeWidth=2.5, opacity=0.55)
    start = base.mark_point(size=42, filled=False, strokeWidth=1.5, opacity=1)
    end = base.mark_point(size=62, filled=True, opacity=1)
    return alt.layer(
        bar.encode(before, y, x2="now:Q", color=colour, tooltip=tooltip),
        start.encode(before, y, color=colour, tooltip=tooltip),
        end.encode(alt.X("now:Q"), y, color=colour, shape=_group_shape(groups), tooltip=tooltip),
        data=alt.Data(values=[{**row, "line": _line(row)} for row in rows]),
    ).properties(width="container", height=18 * len(lines))


def _changes(rows: list[dict[str, Any]], groups: list[str]) -> alt.LayerChart:
    most = max(row["train_positives"] for row in rows)
    ticks = [0, *(10**k for k in range(8) if 10**k <= max(10, most))]
    frequency = alt.X(
        "train_positives:Q",
        title="training positives",
        scale=alt.Scale(type="symlog", nice=False, padding=8),
        axis=alt.Axis(values=ticks, format=",d"),
    )
    # The largest group is drawn first, so that a small one lies on top.
    sizes = {group: sum(row["group"] == group for row in rows) for group in groups}
    ordered = sorted(rows, key=lambda row: -sizes[row["group"]])
    colour, shape = group_scales(groups)
    points = _viewed().mark_point(size=34, filled=True, opacity=0.6)
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color=_GREY, strokeDash=[4, 3])
    return alt.layer(
        zero.encode(y="zero:Q"),
        points.encode(
            frequency,
            alt.Y("change:Q", title="change of average precision, points"),
            color=colour,
            shape=shape,
            tooltip=_label_tooltip(),
        ),
        data=alt.Data(values=ordered),
    ).properties(width="container", height=_HEIGHT)


def _line(row: dict[str, Any]) -> str:
    return f"{row['label']} \u00b7 {row['train_positives']:,}"


def _label_tooltip() -> list[Any]:
    counts = [alt.Tooltip(f"{part}_positives:Q", format=",") for part in ("train", "test")]
    return ["label:N", "group:N", *counts, *_numbers("before", "now", "change")]


def group_scales(groups: list[str]) -> tuple[alt.Color, alt.Shape]:
    """Colour and shape of each group, with a legend above the picture."""
    legend = alt.Legend(orient="top")
    return _group_colour(groups, legend), _group_shape(groups, legend)


def _group_colour(
    groups: list[str], legend: alt.Legend | None = None, colours: list[str] | None = None
) -> alt.Color:
    scale = alt.Scale(domain=groups, range=colours or group_colours(groups))
    return alt.Color("group:N", title=None, scale=scale, legend=legend)


def _group_shape(groups: list[str], legend: alt.Legend | None = None) -> alt.Shape:
    shapes = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
    scale = alt.Scale(domain=groups, range=shapes)
    return alt.Shape("group:N", title=None, scale=scale, legend=legend)


def _numbers(*names: str) -> list[alt.Tooltip]:
    return [alt.Tooltip(f"{name}:Q", format=",.3~f") for name in names]


def _known(field: str) -> str:
    return f"isValid(datum.{field})"


def _span(points: list[dict[str, Any]], axis: str) -> list[float]:
    """Everything on an axis, 0 included, with room around it."""
    ends = [0.0]
    for point in points:
        ends += [point[key] for key in (axis, f"{axis}_low", f"{axis}_high")]
    known = [end for end in ends if end is not None]
    room = 0.07 * (max(known) - min(known)) or 1.0
    return [min(known) - room, max(known) + room]


class _Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: _Box) -> float:
        """Shared area in square pixels."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)


def _names(
    points: list[dict[str, Any]],
    span: dict[str, list[float]],
    channels: tuple[alt.X, alt.Y, alt.Color],
) -> list[alt.Chart]:
    """Names beside their points, each with a thin leader where it had to move away."""
    named = _to_name(points, span)
    for size, plot in _PLOTS.items():
        for row, (dx, dy, align) in zip(named, _places(points, named, span, plot), strict=True):
            row |= {f"{size}_dx": dx, f"{size}_dy": dy, f"{size}_align": align}
    x, y, colour = channels
    dx, dy, align = (alt.expr(_fitting(part)) for part in ("dx", "dy", "align"))
    moved = alt.expr(f"abs({_fitting('dy')}) > 14 ? 0.9 : 0")
    text = {"fontSize": 12, "baseline": "middle", "dx": dx, "dy": dy, "align": align}
    methods = alt.Chart(alt.Data(values=named[1:]))
    return [
        methods.mark_rule(opacity=moved, x2Offset=dx, y2Offset=dy).encode(
            x, y, x2="x", y2="y", color=colour
        ),
        methods.mark_text(fontWeight=600, **text).encode(x, y, text="name:N", color=colour),
        alt.Chart(alt.Data(values=named[:1]))
        .mark_text(color=_GREY, **text)
        .encode(x, y, text="name:N"),
    ]


def _fitting(part: str) -> str:
    return f"(width < 480 ? datum.narrow_{part} : datum.wide_{part})"


def _to_name(points: list[dict[str, Any]], span: dict[str, list[float]]) -> list[dict[str, Any]]:
    scale = [(span[axis][1] - span[axis][0]) for axis in "xy"]
    selected = {point["method"]: point for point in points if point["epoch"] == "selected"}
    rows: list[dict[str, Any]] = [{"name": "reference", "x": 0.0, "y": 0.0}]
    for point in points:
        twin = selected.get(point["method"], point)
        far = max(abs(point[a] - twin[a]) / size for a, size in zip("xy", scale, strict=True))
        if point["epoch"] == "selected" or point is twin or far > 0.08:
            name = point["method"] + ("" if point["epoch"] == "selected" else " (last)")
            rows.append({"name": name} | {key: point[key] for key in ("method", "x", "y")})
    return rows


def _places(
    points: list[dict[str, Any]],
    named: list[dict[str, Any]],
    span: dict[str, list[float]],
    plot: tuple[int, int],
) -> list[tuple[float, float, str]]:
    """Choose for each name the nearest free place around its point, one after the other."""
    width, height = plot

    def pixel(row: dict[str, Any]) -> tuple[float, float]:
        (x0, x1), (y0, y1) = span["x"], span["y"]
        return width * (row["x"] - x0) / (x1 - x0), height * (y1 - row["y"]) / (y1 - y0)

    marks = [pixel(point) for point in (*points, {"x": 0.0, "y": 0.0})]
    taken = [_Box(x - 7, y - 7, x + 7, y + 7) for x, y in marks]
    places = []
    for row in named:
        x, y = pixel(row)
        options = []
        for cost, dx, dy, align in _candidates():
            length = 7.0 * len(row["name"])
            left = x + dx - {"left": 0.0, "right": length, "center": length / 2}[align]
            box = _Box(left, y + dy - 8, left + length, y + dy + 8)
            outside = max(0.0, -box.left) + max(0.0, box.right - width)
            outside += max(0.0, -box.top) + max(0.0, box.bottom - height)
            crowd = sum(box.overlap(other) for other in taken)
            options.append((cost + crowd + 30 * outside, (dx, dy, align), box))
        _, place, box = min(options, key=lambda option: option[0])
        taken.append(box)
        places.append(place)
    return places


def _candidates() -> Iterator[tuple[float, float, float, str]]:
    """Cost, offset and alignment of the places around a point, near ones first."""
    for ring, distance in enumerate((0, 18, 34, 50, 66, 82, 98)):
        for sign in (-1, 1):
            if ring == 0:
                yield 3, 10, 9 * sign, "left"
                yield 4, -10, 9 * sign, "right"
            else:
                yield 8.0 * ring, 12, (9 + distance) * sign, "left"
                yield 8.0 * ring + 1, -12, (9 + distance) * sign, "right"
                yield 8.0 * ring - 2, 0, (2 + distance) * sign, "center"


def styled(chart: Any, description: str) -> Any:
    """Give a chart the look of all others, and its words for who cannot see it."""
    axis = alt.AxisConfig(
        labelColor=_GREY,
        titleColor=_GREY,
        gridColor=_GREY,
        gridOpacity=0.18,
        domainColor=_GREY,
        domainOpacity=0.5,
        tickColor=_GREY,
        tickOpacity=0.5,
        labelFontSize=12,
        titleFontSize=12,
        titleFontWeight="normal",
        titlePadding=8,
    )
    legend = alt.LegendConfig(labelColor=_GREY, labelFontSize=12, labelOpacity=1, symbolOpacity=1)
    # In one call: each copies the data.
    return chart.properties(background="transparent", description=description).configure(
        font="system-ui, -apple-system, Segoe UI, Roboto, sans-serif",
        padding=4,
        view=alt.ViewConfig(stroke=None),
        axis=axis,
        legend=legend,
    )
