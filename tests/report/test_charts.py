import copy
import json

import pytest
import vl_convert

from fairpo.report.charts import (
    DASHES,
    HEADING,
    MANY_LABELS,
    PRIVILEGED_COLOUR,
    group_colours,
    per_label,
    trace,
    trade_off,
)

GROUPS = ["privileged", "non-privileged"]


def point(method, x, y, epoch="selected", half=0.3):
    low_high = {
        f"{a}_{e}": v + d
        for a, v in (("x", x), ("y", y))
        for e, d in (("low", -half), ("high", half))
    }
    return {"method": method, "epoch": epoch, "x": x, "y": y, **low_high}


POINTS = [
    point("bce-continued", 1.4, 0.5),
    point("bce-reweighted", 2.7, 0.3),
    point("group-dro", 2.6, 0.33),
    point("group-dro-excess", 2.5, 0.34),
    point("group-dro-excess", 2.52, 0.34, "last"),
    point("fairpo-dpo", 0.2, -1.0, "last"),
]


def label_rows(count):
    return [
        {
            "label": f"label {k}",
            "group": GROUPS[k >= count // 5],
            "train_positives": 3 * k,
            "test_positives": k,
            "before": 50.0 + k % 40,
            "after": [52.0 + k % 40, None if k == 2 else 48.0 + k % 40],
        }
        for k in range(count)
    ]


def trace_rows():
    return [
        {"seed": seed, "group": group, "epoch": step / 4, "value": 0.5}
        for seed in (0, 1)
        for group in GROUPS
        for step in range(8)
    ]


def compiled(chart):
    """The chart as Vega: whatever Vega-Lite does not understand fails here."""
    return vl_convert.vegalite_to_vega(chart.to_dict())


def svg(chart):
    return vl_convert.vegalite_to_svg(chart.properties(width=640).to_dict())


def boxes(chart, size):
    """Rows of the names with their offsets for a plot size."""
    layers = [layer for layer in chart.to_dict()["layer"] if layer["mark"]["type"] == "text"]
    rows = [row for layer in layers for row in layer["data"]["values"]]
    return [
        (row["name"], row[f"{size}_dx"], row[f"{size}_dy"], row[f"{size}_align"]) for row in rows
    ]


CHARTS = {
    "trade-off": lambda: trade_off(POINTS),
    "few labels": lambda: per_label(label_rows(30), ["a", "b"], GROUPS),
    "many labels": lambda: per_label(label_rows(MANY_LABELS + 1), ["a", "b"], GROUPS),
    "weights": lambda: trace(trace_rows(), GROUPS, "weight"),
}


@pytest.mark.parametrize("name", CHARTS)
def test_charts_compile_and_are_described(name):
    chart = CHARTS[name]()
    assert compiled(chart)["marks"]
    spec = chart.to_dict()
    assert spec["background"] == "transparent"
    assert spec["width"] == "container"
    assert len(spec["description"]) > 20


def test_rows_stand_in_a_chart_once():
    rows = label_rows(30)
    for chart, word in (
        (trade_off(POINTS), '"y_low"'),
        (per_label(rows, ["a", "b"], GROUPS), '"train_positives":'),
    ):
        values = chart.to_dict()["data"]["values"]
        assert json.dumps(chart.to_dict()).count(word + " ") <= len(values)


@pytest.mark.parametrize(
    "make",
    [
        lambda rows: per_label(rows, ["a", "b"], GROUPS),
        lambda rows: trade_off(rows),
    ],
)
def test_data_is_not_changed(make):
    rows = label_rows(MANY_LABELS + 9) if "per_label" in make.__code__.co_names else POINTS
    before = copy.deepcopy(rows)
    make(rows)
    assert rows == before


def test_each_method_is_named_once_unless_its_last_epoch_lies_elsewhere():
    names = [name for name, *_ in boxes(trade_off(POINTS), "wide")]
    assert sorted(names) == sorted(
        [
            "reference",
            "bce-continued",
            "bce-reweighted",
            "group-dro",
            "group-dro-excess",
            "fairpo-dpo (last)",
        ]
    )
    away = [*POINTS, point("bce-continued", -2.0, -0.5, "last")]
    assert "bce-continued (last)" in [name for name, *_ in boxes(trade_off(away), "wide")]


@pytest.mark.parametrize("size", ["wide", "narrow"])
def test_names_of_neighbours_do_not_share_a_place(size):
    crowd = [point(f"method-{k}", 2 + 0.01 * k, 0.01 * k) for k in range(6)] + [
        point("far", -3, -3)
    ]
    places = [place for name, *place in boxes(trade_off(crowd), size) if name.startswith("method")]
    assert len({tuple(place) for place in places}) == len(places)


def test_selected_is_filled_and_last_is_hollow():
    marks = [
        layer["mark"]
        for layer in trade_off(POINTS).to_dict()["layer"]
        if layer["mark"]["type"] == "point"
    ]
    assert [(mark["shape"], mark["filled"]) for mark in marks] == [
        ("square", True),
        ("diamond", False),
        ("circle", True),
    ]


def test_points_without_interval_are_drawn_without_whiskers():
    bare = {**point("a", 1.0, 1.0), **dict.fromkeys(("x_low", "x_high", "y_low", "y_high"))}
    assert "method: a" in svg(trade_off([bare]))


def test_a_single_point_on_the_origin_has_room():
    spec = trade_off([point("a", 0.0, 0.0, half=0.0)]).to_dict()
    low, high = spec["layer"][0]["encoding"]["x"]["scale"]["domain"]
    assert low < 0 < high


def test_axis_titles_can_be_given():
    assert "change of rare mAP" in svg(trade_off(POINTS, "change of rare mAP", "other"))


def test_labels_keep_their_order_under_a_heading_for_each_group():
    rows = label_rows(10)
    spec = per_label(rows, ["a", "b"], GROUPS).to_dict()
    domain = spec["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert domain[:2] == [f"{HEADING}privileged", "label 0 \u00b7 0"]
    assert domain[3:5] == [f"{HEADING}non-privileged", "label 2 \u00b7 6"]
    assert len(domain) == 10 + 2


def test_a_label_named_like_its_group_is_no_heading():
    rows = label_rows(10)
    rows[4]["label"] = "privileged"
    domain = per_label(rows, ["a", "b"], GROUPS).to_dict()["layer"][0]["encoding"]["y"]["scale"][
        "domain"
    ]
    assert len(set(domain)) == 12


def test_a_group_keeps_its_colour_when_another_is_not_drawn():
    rows = [row for row in label_rows(10) if row["group"] == "non-privileged"]
    text = json.dumps(per_label(rows, ["a", "b"], GROUPS).to_dict())
    assert json.dumps(group_colours(GROUPS)) in text
    assert (
        f"{HEADING}privileged"
        not in json.loads(text)["layer"][0]["encoding"]["y"]["scale"]["domain"]
    )


def test_the_view_says_what_is_drawn():
    rows = label_rows(10)
    first, second = (svg(per_label(rows, ["a", "b"], GROUPS, start=n)) for n in (0, 1))
    assert "label: label 2;" in first
    assert "label: label 2;" not in second  # undefined in the second view
    assert "label: label 3;" in second


def test_many_labels_are_drawn_by_frequency_with_the_small_group_on_top():
    spec = per_label(label_rows(MANY_LABELS + 40), ["a", "b"], GROUPS).to_dict()
    assert spec["layer"][1]["encoding"]["x"]["scale"]["type"] == "symlog"
    groups = [row["group"] for row in spec["data"]["values"]]
    assert groups[0] == "non-privileged"
    assert groups[-1] == "privileged"


def test_weights_are_drawn_from_0_to_1_and_losses_are_not():
    weights, losses = (
        trace(trace_rows(), GROUPS, title).to_dict()["encoding"]["y"]["scale"]
        for title in ("weight", "loss")
    )
    assert weights["domain"] == [0, 1]
    assert "domain" not in losses


def test_groups_differ_in_dash_and_colour():
    encoding = trace(trace_rows(), GROUPS, "weight").to_dict()["encoding"]
    assert encoding["strokeDash"]["scale"]["range"] == DASHES[:2]
    assert encoding["color"]["scale"]["range"][0] == PRIVILEGED_COLOUR


def test_there_are_colours_for_any_number_of_groups():
    assert len(group_colours([str(k) for k in range(9)])) == 9
    assert compiled(trace(trace_rows(), [*GROUPS, *"abcdefg"], "weight"))


def test_names_are_values_and_never_expressions():
    evil = "datum['x'] + alert(1); ${x} </script>"
    rows = label_rows(10)
    rows[4]["label"] = evil
    points = [{**POINTS[0], "method": evil}]
    for chart in (per_label(rows, ["a", evil], GROUPS), trade_off(points)):
        spec = chart.to_dict()
        assert compiled(chart)
        expressions = [json.dumps(layer.get("transform", [])) for layer in spec["layer"]]
        assert all("alert" not in expression for expression in expressions)
