"""Decision metrics against scikit-learn and plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, f1_score

from fairpo._checks import FairPOTypeError, FairPOValueError
from fairpo.metrics import (
    DECISION_METRICS,
    exact_match,
    label_accuracy,
    label_counts,
    membership_matrix,
    metric_key,
    row_blocks,
    row_counts,
    sample_f1,
    sample_f1_paper,
)

GROUPS = {"first": np.array([0, 1]), "overlap": np.array([1, 2, 4]), "empty": np.array([], int)}


def random_case(seed=0, n=150, n_labels=6, missing=0.0):
    rng = np.random.default_rng(seed)
    predictions = rng.random((n, n_labels)) < 0.3
    targets = (rng.random((n, n_labels)) < 0.3).astype(np.int8)
    targets[rng.random((n, n_labels)) < missing] = -1
    return predictions, targets


def slow(predictions, targets):
    """Row values of every metric for all labels, by loops over entries."""
    values = {name: [] for name in DECISION_METRICS}
    for predicted, true in zip(predictions, targets, strict=True):
        seen = [(p, t == 1) for p, t in zip(predicted, true, strict=True) if t >= 0]
        both = sum(p and t for p, t in seen)
        either = sum(int(p) + int(t) for p, t in seen)
        right = [p == t for p, t in seen]
        values["sample_f1"].append(2 * both / either if either else np.nan)
        paper = (2 * both / either if either else 0.0) if seen else np.nan
        values["sample_f1_paper"].append(paper)
        values["label_accuracy"].append(np.mean(right) if seen else np.nan)
        values["exact_match"].append(float(all(right)) if seen else np.nan)
    return values


@pytest.fixture(params=["all", *GROUPS])
def column(request):
    return ["all", *GROUPS].index(request.param)


def labels_of(column):
    return [np.arange(6), *GROUPS.values()][column]


def test_sample_f1_equals_scikit_learn_on_the_defined_rows(column):
    predictions, targets = random_case()
    value = sample_f1(row_counts(predictions, targets, membership_matrix(GROUPS, 6))).mean()[column]
    predictions, targets = predictions[:, labels_of(column)], targets[:, labels_of(column)]
    defined = predictions.any(axis=1) | targets.any(axis=1)
    if not defined.any():
        assert np.isnan(value)
        return
    expected = f1_score(targets[defined], predictions[defined], average="samples", zero_division=0)
    assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("column", [0, 1, 2])
def test_sample_f1_paper_equals_scikit_learn_with_zero_division_0(column):
    predictions, targets = random_case()
    terms = sample_f1_paper(row_counts(predictions, targets, membership_matrix(GROUPS, 6)))
    labels = labels_of(column)
    expected = f1_score(
        targets[:, labels], predictions[:, labels], average="samples", zero_division=0
    )
    assert terms.mean()[column] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("column", [0, 1, 2])
def test_accuracy_and_exact_match_equal_scikit_learn(column):
    predictions, targets = random_case()
    counts = row_counts(predictions, targets, membership_matrix(GROUPS, 6))
    predictions, targets = predictions[:, labels_of(column)], targets[:, labels_of(column)]
    entries = accuracy_score(targets.ravel(), predictions.ravel())
    assert label_accuracy(counts).mean()[column] == pytest.approx(entries, abs=1e-12)
    rows = accuracy_score(targets, predictions)
    assert exact_match(counts).mean()[column] == pytest.approx(rows, abs=1e-12)


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.9])
def test_row_values_equal_a_slow_loop(column, missing):
    predictions, targets = random_case(1, missing=missing)
    counts = row_counts(predictions, targets, membership_matrix(GROUPS, 6))
    labels = labels_of(column)
    expected = slow(predictions[:, labels], targets[:, labels])
    for name, metric in DECISION_METRICS.items():
        terms = metric(counts)
        np.testing.assert_allclose(terms.rows()[:, column], expected[name], err_msg=name)
        assert terms.undefined()[column] == np.isnan(expected[name]).sum()


def test_the_mean_is_over_rows_but_label_accuracy_is_over_entries():
    predictions, targets = random_case(2, missing=0.5)
    counts = row_counts(predictions, targets)
    for metric in (sample_f1, sample_f1_paper, exact_match):
        rows = metric(counts).rows()
        assert metric(counts).mean()[0] == pytest.approx(np.nanmean(rows), abs=1e-12)
    seen = targets >= 0
    expected = (predictions[seen] == targets[seen]).mean()
    assert label_accuracy(counts).mean()[0] == pytest.approx(expected, abs=1e-12)


def test_label_accuracy_equals_scikit_learn_over_observed_entries():
    predictions, targets = random_case(3, missing=0.4)
    seen = targets >= 0
    value = label_accuracy(row_counts(predictions, targets)).mean()[0]
    assert value == pytest.approx(accuracy_score(targets[seen], predictions[seen]), abs=1e-12)


def test_rows_without_true_or_predicted_label_split_the_two_f1():
    predictions = np.array([[True, False], [False, False]])
    targets = np.array([[1, 0], [0, 0]], dtype=np.int8)
    counts = row_counts(predictions, targets)
    assert sample_f1(counts).mean()[0] == 1.0
    assert sample_f1(counts).undefined()[0] == 1
    assert sample_f1_paper(counts).mean()[0] == 0.5
    assert sample_f1_paper(counts).undefined()[0] == 0


def test_missing_entries_count_nowhere_whatever_was_predicted():
    predictions, targets = random_case(4, missing=0.4)
    flipped = np.where(targets < 0, ~predictions, predictions)
    for before, after in zip(
        row_counts(predictions, targets), row_counts(flipped, targets), strict=True
    ):
        np.testing.assert_array_equal(before, after)


def test_nothing_observed_and_no_rows_are_nan_without_a_warning():
    predictions = np.ones((3, 2), dtype=bool)
    nothing = row_counts(predictions, np.full((3, 2), -1, dtype=np.int8))
    no_rows = row_counts(predictions[:0], np.empty((0, 2), dtype=np.int8))
    for metric in DECISION_METRICS.values():
        assert np.isnan(metric(nothing).mean()).all()
        assert np.isnan(metric(no_rows).mean()).all()
        assert metric(nothing).undefined()[0] == 3


def test_blocks_of_rows_change_nothing(monkeypatch):
    predictions, targets = random_case(5, missing=0.1)
    whole = [*row_counts(predictions, targets), *label_counts(predictions, targets)]
    monkeypatch.setattr(row_blocks, "BLOCK_ENTRIES", 50)
    blocks = [*row_counts(predictions, targets), *label_counts(predictions, targets)]
    for before, after in zip(whole, blocks, strict=True):
        np.testing.assert_array_equal(before, after)


def test_label_counts_are_the_sums_over_rows():
    predictions, targets = random_case(6, missing=0.2)
    each_label = row_counts(predictions, targets, np.eye(6, dtype=np.float32))
    for per_label, per_row in zip(label_counts(predictions, targets), each_label, strict=True):
        np.testing.assert_array_equal(per_label, per_row.sum(axis=0))


@given(
    st.integers(1, 8).flatmap(
        lambda n: st.tuples(
            arrays(np.bool_, (n, 4)), arrays(np.int8, (n, 4), elements=st.integers(-1, 1))
        )
    ),
    st.permutations(range(4)),
)
def test_property_order_of_rows_and_labels_does_not_matter(case, order):
    predictions, targets = case
    counts = row_counts(predictions, targets)
    moved = row_counts(predictions[::-1][:, order], targets[::-1][:, order])
    expected = slow(predictions, targets)
    for name, metric in DECISION_METRICS.items():
        np.testing.assert_allclose(metric(counts).rows()[:, 0], expected[name], err_msg=name)
        np.testing.assert_allclose(metric(moved).rows()[::-1], metric(counts).rows())
        value = metric(counts).mean()[0]
        assert np.isnan(value) or 0.0 <= value <= 1.0


def test_membership_matrix_has_all_labels_first():
    matrix = membership_matrix({"a": (2,), "b": ()}, 3)
    np.testing.assert_array_equal(matrix, [[1, 0, 0], [1, 0, 0], [1, 1, 0]])


def test_metric_key():
    assert metric_key("map") == "map"
    assert metric_key("map", "privileged") == "map/privileged"


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        (
            {"a": np.array([0, 3])},
            FairPOValueError,
            "group 'a' must hold label indices from 0 to 2",
        ),
        ({"a": np.array([-1])}, FairPOValueError, "from -1 to -1"),
        ({"a": np.array([1, 1])}, FairPOValueError, "each once"),
        ({"a": np.array([True, False, True])}, FairPOTypeError, "label indices, got dtype bool"),
        ({"all": np.array([0])}, FairPOValueError, "Rename the group"),
        ({"a/b": np.array([0])}, FairPOValueError, "no '/'"),
    ],
)
def test_faulty_groups_are_named(groups, error, message):
    with pytest.raises(error, match=message):
        membership_matrix(groups, 3)


def test_scores_in_place_of_decisions_are_refused():
    _, targets = random_case()
    with pytest.raises(FairPOTypeError, match="Pass decide"):
        row_counts(np.zeros(targets.shape), targets)
    with pytest.raises(FairPOValueError, match="share one shape"):
        label_counts(np.zeros((2, 2), dtype=bool), targets)
