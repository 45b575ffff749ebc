"""LabelFrame: the table, what is derived from it, and what is undefined."""

import json

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    precision_recall_fscore_support,
)

from fairpo._checks import FairPOValueError
from fairpo.metrics import LabelFrame, map_batch_mean

NAMES = ("cat", "dog", "bus", "car", "cup")
GROUPS = {"privileged": np.array([0, 2]), "non_privileged": np.array([1, 3, 4])}
METRICS = ("map", "sample_f1", "sample_f1_paper", "label_accuracy", "exact_match")


def random_case(seed=0, n=300, missing=0.0):
    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal((n, 5)) - 0.5).astype(np.float32)
    targets = (rng.random((n, 5)) < 0.25).astype(np.int8)
    targets[rng.random((n, 5)) < missing] = -1
    return logits, targets


@pytest.fixture
def frame():
    return LabelFrame.from_scores(*random_case(), GROUPS, NAMES)


@pytest.mark.parametrize("group", [None, "privileged", "non_privileged"])
def test_every_metric_equals_scikit_learn(frame, group):
    logits, targets = random_case()
    labels = np.arange(5) if group is None else GROUPS[group]
    scores, true = logits[:, labels], targets[:, labels]
    predicted = (scores > 0).astype(np.int8)
    defined = predicted.any(axis=1) | true.any(axis=1)

    def samples(rows):
        return f1_score(true[rows], predicted[rows], average="samples", zero_division=0)

    expected = {
        "map": average_precision_score(true, scores, average="macro"),
        "sample_f1": samples(defined),
        "sample_f1_paper": samples(slice(None)),
        "label_accuracy": accuracy_score(true.ravel(), predicted.ravel()),
        "exact_match": accuracy_score(true, predicted),
    }
    for metric in METRICS:
        value = frame.overall[metric] if group is None else frame.by_group[metric][group]
        assert value == pytest.approx(expected[metric], abs=1e-9), metric


def test_group_min_and_difference_are_derived(frame):
    for metric in frame.metrics:
        values = frame.by_group[metric]
        low, high = sorted(values.values())
        assert frame.group_min(metric) == low
        assert frame.difference(metric) == high - low


def test_worst_label(frame):
    logits, targets = random_case()
    precision = [average_precision_score(targets[:, i], logits[:, i]) for i in range(5)]
    name, value = frame.worst_label
    assert name == NAMES[int(np.argmin(precision))]
    assert value == pytest.approx(min(precision))
    assert frame.overall["worst_label_ap"] == value
    worst = frame.by_group["worst_label_ap"]["privileged"]
    assert worst == pytest.approx(min(precision[0], precision[2]))


def test_per_label_table_equals_scikit_learn(frame):
    logits, targets = random_case()
    expected = precision_recall_fscore_support(targets, logits > 0, zero_division=0)
    rows = frame.per_label
    assert [row["label"] for row in rows] == list(NAMES)
    assert [row["groups"] for row in rows][:2] == [("privileged",), ("non_privileged",)]
    for name, values in zip(("precision", "recall", "f1", "positives"), expected, strict=True):
        np.testing.assert_allclose([row[name] for row in rows], values, err_msg=name)
    assert all(row["observed"] == 300 for row in rows)
    assert np.mean([row["ap"] for row in rows]) == pytest.approx(frame.overall["map"])


def test_overlapping_groups_and_labels_in_none():
    groups = {"a": np.array([0, 1]), "b": np.array([1, 2])}
    frame = LabelFrame.from_scores(*random_case(), groups, NAMES)
    of_label = [row["groups"] for row in frame.per_label]
    assert of_label == [("a",), ("a", "b"), ("b",), (), ()]
    alone = LabelFrame.from_scores(*(part[:, 1:3] for part in random_case()), {})
    for metric in frame.metrics:
        assert frame.by_group[metric]["b"] == pytest.approx(alone.overall[metric])


def test_labels_without_positives_are_named_and_left_out():
    logits, targets = random_case()
    targets[:, 2] = 0
    frame = LabelFrame.from_scores(logits, targets, GROUPS, NAMES)
    assert frame.undefined.labels_without_positives == {
        "all": ("bus",),
        "privileged": ("bus",),
        "non_privileged": (),
    }
    cat = average_precision_score(targets[:, 0], logits[:, 0])
    assert frame.by_group["map"]["privileged"] == pytest.approx(cat)
    assert frame.by_group["worst_label_ap"]["privileged"] == pytest.approx(cat)
    assert np.isnan(frame.per_label[2]["ap"])
    assert np.isnan(frame.per_label[2]["recall"])


def test_undefined_rows_are_counted_per_group():
    logits = np.array([[1.0, -1.0], [-1.0, -1.0], [-1.0, 1.0]])
    targets = np.array([[1, 0], [0, 0], [-1, 1]], dtype=np.int8)
    frame = LabelFrame.from_scores(logits, targets, {"a": np.array([0]), "b": np.array([1])})
    assert frame.undefined.rows_without_f1 == {"all": 1, "a": 2, "b": 2}
    assert frame.undefined.rows_without_observed == {"all": 0, "a": 1, "b": 0}
    assert frame.by_group["exact_match"] == {"a": 1.0, "b": 1.0}


def test_missing_entries_equal_scikit_learn_without_them():
    logits, targets = random_case(1, missing=0.3)
    frame = LabelFrame.from_scores(logits, targets, GROUPS, NAMES)
    seen = targets >= 0
    precision = [
        average_precision_score(targets[seen[:, i], i], logits[seen[:, i], i]) for i in range(5)
    ]
    assert frame.overall["map"] == pytest.approx(np.mean(precision))
    expected = accuracy_score(targets[seen], (logits > 0)[seen])
    assert frame.overall["label_accuracy"] == pytest.approx(expected)
    assert [row["observed"] for row in frame.per_label] == seen.sum(axis=0).tolist()


def test_what_is_predicted_at_missing_entries_does_not_matter():
    logits, targets = random_case(1, missing=0.3)
    moved = np.where(targets < 0, -7.0 * logits, logits).astype(np.float32)
    before, after = (
        LabelFrame.from_scores(scores, targets, GROUPS, batch_mean=True).to_dict()
        for scores in (logits, moved)
    )
    assert before == after


def test_an_empty_group_is_nan_and_takes_no_part():
    groups = {**GROUPS, "nobody": np.array([], dtype=int)}
    frame = LabelFrame.from_scores(*random_case(), groups, NAMES, batch_mean=True)
    without = LabelFrame.from_scores(*random_case(), GROUPS, NAMES, batch_mean=True)
    for metric in frame.metrics:
        assert np.isnan(frame.by_group[metric]["nobody"])
        assert frame.group_min(metric) == without.group_min(metric)
        assert frame.difference(metric) == without.difference(metric)


@pytest.mark.parametrize("groups", [{}, {"only": np.array([1])}, {"none": np.array([], int)}])
def test_a_difference_needs_two_groups(groups):
    frame = LabelFrame.from_scores(*random_case(), groups)
    assert np.isnan(frame.difference("map"))
    assert np.isnan(frame.group_min("map")) == ("only" not in groups)


def test_nothing_defined_at_all():
    logits = np.full((3, 2), -1.0)
    frame = LabelFrame.from_scores(logits, np.full((3, 2), -1, dtype=np.int8), {"a": [0]})
    assert frame.worst_label == (None, pytest.approx(np.nan, nan_ok=True))
    assert np.isnan(list(frame.overall.values())).all()
    flat = frame.to_dict()
    assert flat["map"] is None
    assert flat["worst_label"] is None
    assert flat["n_labels_without_positives/a"] == 1
    assert flat["n_rows_without_observed"] == 3


def test_batch_mean_only_on_request(frame):
    assert "map_batch_mean" not in frame.metrics
    logits, targets = random_case()
    asked = LabelFrame.from_scores(logits, targets, GROUPS, NAMES, batch_mean=True)
    assert asked.overall["map_batch_mean"] == pytest.approx(map_batch_mean(logits, targets))
    inside = GROUPS["privileged"]
    expected = map_batch_mean(logits[:, inside], targets[:, inside])
    assert asked.by_group["map_batch_mean"]["privileged"] == pytest.approx(expected)
    assert asked.overall["map_batch_mean"] > asked.overall["map"]


def test_to_dict_is_flat_json_without_nan(frame):
    flat = frame.to_dict()
    assert json.loads(json.dumps(flat, allow_nan=False)) == flat
    for metric in METRICS:
        assert flat[metric] == frame.overall[metric]
        assert flat[f"{metric}/privileged"] == frame.by_group[metric]["privileged"]
        assert flat[f"{metric}/group_min"] == frame.group_min(metric)
        assert flat[f"{metric}/difference"] == frame.difference(metric)
    assert (flat["worst_label"], flat["worst_label_ap"]) == frame.worst_label
    assert flat["labels_without_positives"] == []
    assert flat["n_rows_without_f1/privileged"] > 0


def test_order_of_rows_and_labels_does_not_matter(frame):
    logits, targets = random_case()
    order = [4, 2, 0, 3, 1]
    groups = {name: [order.index(i) for i in indices] for name, indices in GROUPS.items()}
    moved = LabelFrame.from_scores(
        logits[::-1][:, order], targets[::-1][:, order], groups, [NAMES[i] for i in order]
    )
    expected = frame.to_dict()
    for key, value in moved.to_dict().items():
        same = pytest.approx(expected[key]) if isinstance(value, float) else expected[key]
        assert value == same, key


def test_the_frame_does_not_follow_the_callers_arrays():
    logits, targets = random_case()
    groups = {"a": np.array([0])}
    frame = LabelFrame.from_scores(logits, targets, groups)
    groups["a"][0] = 1
    assert frame.per_label[0]["groups"] == ("a",)
    assert frame.label_names[0] == "label_0"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a", "b"), "label_names must name every column of logits, got 2 names for 5 columns"),
        (("a", "a", "b", "c", "d"), "'a' more than once"),
    ],
)
def test_faulty_label_names(names, message):
    with pytest.raises(FairPOValueError, match=message):
        LabelFrame.from_scores(*random_case(), GROUPS, names)


def test_unknown_metric_is_answered_with_the_nearest(frame):
    with pytest.raises(FairPOValueError, match="Did you mean 'sample_f1'"):
        frame.group_min("sampel_f1")
