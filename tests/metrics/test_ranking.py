"""Average precision against scikit-learn, and what it must not depend on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score

from fairpo._checks import FairPOTypeError, FairPOValueError
from fairpo.metrics import average_precision, batch_average_precision, map_batch_mean, ranking


def reference(logits, targets):
    """scikit-learn, label by label, on the observed rows."""
    values = np.full(logits.shape[1], np.nan)
    for label in range(logits.shape[1]):
        seen = targets[:, label] >= 0
        if (targets[:, label] == 1).any():
            values[label] = average_precision_score(targets[seen, label], logits[seen, label])
    return values


def random_case(seed, n=200, n_labels=7, levels=None, missing=0.0, prevalence=0.2):
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((n, n_labels)).astype(np.float32)
    if levels:
        logits = np.round(logits * levels / 4).astype(np.float32)
    targets = (rng.random((n, n_labels)) < prevalence).astype(np.int8)
    targets[rng.random((n, n_labels)) < missing] = -1
    return logits, targets


@st.composite
def cases(draw, max_rows=30, max_labels=4):
    """Scores on a coarse grid (many ties) and targets with missing entries."""
    shape = (draw(st.integers(1, max_rows)), draw(st.integers(1, max_labels)))
    logits = draw(arrays(np.int8, shape, elements=st.integers(-4, 4))).astype(np.float32)
    targets = draw(arrays(np.int8, shape, elements=st.integers(-1, 1)))
    return logits, targets


@pytest.mark.parametrize("levels", [None, 40, 4, 1], ids=["no ties", "few", "many", "heavy"])
@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("prevalence", [0.02, 0.5, 0.95])
def test_equals_scikit_learn(levels, missing, prevalence):
    logits, targets = random_case(0, levels=levels, missing=missing, prevalence=prevalence)
    np.testing.assert_allclose(
        average_precision(logits, targets), reference(logits, targets), atol=1e-12
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_equals_scikit_learn_in_every_precision(dtype):
    logits, targets = random_case(1)
    logits = logits.astype(dtype)
    np.testing.assert_allclose(
        average_precision(logits, targets), reference(logits, targets), atol=1e-12
    )


def test_scores_that_differ_only_in_float64_are_no_ties():
    logits = np.array([[1.0], [1.0 + 1e-12]])
    targets = np.array([[0], [1]], dtype=np.int8)
    assert average_precision(logits, targets)[0] == 1.0
    assert average_precision(logits.astype(np.float32), targets)[0] == 0.5


def test_all_scores_equal_gives_the_prevalence():
    _, targets = random_case(2)
    values = average_precision(np.zeros(targets.shape, dtype=np.float32), targets)
    np.testing.assert_allclose(values, targets.mean(axis=0))


def test_all_positives_give_one():
    logits, targets = random_case(3)
    assert (average_precision(logits, np.ones_like(targets)) == 1.0).all()


@pytest.mark.parametrize(("target", "expected"), [(1, 1.0), (0, np.nan), (-1, np.nan)])
def test_one_row(target, expected):
    value = average_precision(np.array([[-3.0]]), np.array([[target]], dtype=np.int8))
    np.testing.assert_equal(value, [expected])


def test_label_without_positives_is_nan_not_zero():
    logits, targets = random_case(4)
    targets[:, 2] = 0
    targets[:, 3] = -1
    assert np.flatnonzero(np.isnan(average_precision(logits, targets))).tolist() == [2, 3]


def test_no_rows_and_no_labels():
    empty = average_precision(np.empty((0, 3)), np.empty((0, 3), dtype=np.int8))
    np.testing.assert_equal(empty, [np.nan] * 3)
    assert average_precision(np.empty((5, 0)), np.empty((5, 0), dtype=np.int8)).shape == (0,)


def test_missing_equals_dropping_the_entries():
    logits, targets = random_case(5, missing=0.4, levels=4)
    for label in range(targets.shape[1]):
        seen = targets[:, label] >= 0
        alone = average_precision(logits[seen, label, None], targets[seen, label, None])
        np.testing.assert_allclose(average_precision(logits, targets)[label], alone[0])


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_input_is_not_changed(order):
    logits, targets = (np.array(part, order=order) for part in random_case(6, n_labels=1))
    before = logits.copy(), targets.copy()
    average_precision(logits, targets)
    map_batch_mean(logits, targets)
    np.testing.assert_array_equal(logits, before[0])
    np.testing.assert_array_equal(targets, before[1])


def test_blocks_of_labels_change_nothing(monkeypatch):
    logits, targets = random_case(7, missing=0.1)
    whole, batches = average_precision(logits, targets), batch_average_precision(logits, targets)
    monkeypatch.setattr(ranking, "BLOCK_BYTES", 2 * 4 * len(logits))
    np.testing.assert_array_equal(average_precision(logits, targets), whole)
    np.testing.assert_array_equal(batch_average_precision(logits, targets), batches)


@given(cases())
def test_property_equals_scikit_learn(case):
    logits, targets = case
    np.testing.assert_allclose(
        average_precision(logits, targets), reference(logits, targets), atol=1e-12
    )


@given(cases(), st.randoms(use_true_random=False))
def test_property_order_of_rows_and_labels_does_not_matter(case, random):
    logits, targets = case
    rows = random.sample(range(len(logits)), len(logits))
    labels = random.sample(range(logits.shape[1]), logits.shape[1])
    np.testing.assert_allclose(
        average_precision(logits[rows][:, labels], targets[rows][:, labels]),
        average_precision(logits, targets)[labels],
        atol=1e-12,
    )


@given(cases())
def test_property_monotone_transforms_change_nothing(case):
    logits, targets = case
    expected = average_precision(logits, targets)
    for transform in (np.exp, np.tanh, lambda x: 5.0 * x - 3.0):
        moved = transform(logits.astype(np.float64))
        np.testing.assert_array_equal(average_precision(moved, targets), expected)


def slow_batch_mean(logits, targets, batch_size):
    of_batches = []
    for start in range(0, len(logits), batch_size):
        part = slice(start, start + batch_size)
        values = [value for value in reference(logits[part], targets[part]) if not np.isnan(value)]
        if values:
            of_batches.append(np.mean(values))
    return np.mean(of_batches) if of_batches else np.nan


@pytest.mark.parametrize("batch_size", [1, 7, 32, 500])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_batch_mean_equals_a_slow_loop(batch_size, missing):
    logits, targets = random_case(8, levels=8, missing=missing, prevalence=0.05)
    np.testing.assert_allclose(
        map_batch_mean(logits, targets, batch_size), slow_batch_mean(logits, targets, batch_size)
    )


@settings(max_examples=30)
@given(cases(), st.integers(1, 9))
def test_property_batch_mean_equals_a_slow_loop(case, batch_size):
    np.testing.assert_allclose(
        map_batch_mean(*case, batch_size), slow_batch_mean(*case, batch_size), atol=1e-12
    )


def test_batch_mean_is_far_above_the_map_of_the_whole_set():
    logits, targets = random_case(9, n=3200, prevalence=0.03)
    whole = np.mean(average_precision(logits, targets))
    assert map_batch_mean(logits, targets) > 3 * whole


def test_batch_mean_of_one_whole_batch_is_the_map():
    logits, targets = random_case(10)
    whole = np.mean(average_precision(logits, targets))
    assert map_batch_mean(logits, targets, len(logits)) == pytest.approx(whole)


def test_batch_mean_without_positives_is_nan():
    logits, targets = random_case(11)
    assert np.isnan(map_batch_mean(logits, np.zeros_like(targets)))


@pytest.mark.parametrize(
    ("logits", "targets", "error", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 2), np.int8), FairPOValueError, "share one shape"),
        (np.zeros(3), np.zeros(3, np.int8), FairPOValueError, "share one shape"),
        (np.zeros((2, 3), int), np.zeros((2, 3), np.int8), FairPOTypeError, "floating point"),
        (np.zeros((2, 3)), np.zeros((2, 3)), FairPOTypeError, "as_targets"),
        (np.zeros((2, 3)), np.full((2, 3), 2, np.int8), FairPOValueError, "from 2 to 2"),
        (np.full((2, 3), np.nan), np.zeros((2, 3), np.int8), FairPOValueError, "finite"),
    ],
)
def test_faults_are_named(logits, targets, error, message):
    with pytest.raises(error, match=message):
        average_precision(logits, targets)
    with pytest.raises(error, match=message):
        map_batch_mean(logits, targets)


def test_batch_size_must_be_positive():
    with pytest.raises(FairPOValueError, match="batch_size must be at least 1, got 0"):
        map_batch_mean(*random_case(12), batch_size=0)
