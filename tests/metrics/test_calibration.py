"""Brier score, calibration error and reliability curves, against loops and scikit-learn."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from fairpo._checks import FairPOTypeError, FairPOValueError
from fairpo.metrics import (
    LabelFrame,
    brier,
    label_brier,
    membership_matrix,
    reliability_bins,
    reliability_curve,
    row_blocks,
)

GROUPS = {"a": np.array([0, 1]), "b": np.array([1, 2, 3]), "empty": np.array([], dtype=int)}


def random_case(seed=0, n=500, missing=0.15):
    rng = np.random.default_rng(seed)
    logits = (2 * rng.standard_normal((n, 4)) - 1).astype(np.float32)
    targets = (rng.random((n, 4)) < 0.3).astype(np.int8)
    targets[rng.random((n, 4)) < missing] = -1
    return logits, targets


def pooled(logits, targets, labels):
    scores, true = logits[:, labels].ravel(), targets[:, labels].ravel()
    return expit(scores[true >= 0].astype(np.float64)), true[true >= 0]


def slow_calibration_error(probability, true, n_bins):
    error = 0.0
    for place in range(n_bins):
        low, high = place / n_bins, (place + 1) / n_bins
        inside = [k for k, p in enumerate(probability) if low < p <= high or p == low == 0]
        if inside:
            mean = sum(probability[k] for k in inside) / len(inside)
            rate = sum(true[k] for k in inside) / len(inside)
            error += len(inside) / len(true) * abs(mean - rate)
    return error


def test_values_equal_scikit_learn_and_the_loop_per_group():
    logits, targets = random_case()
    frame = LabelFrame.from_scores(logits, targets, GROUPS)
    bins = reliability_bins(logits, targets).of_groups(membership_matrix(GROUPS, 4))
    for place, (name, labels) in enumerate({"all": np.arange(4), **GROUPS}.items()):
        values = frame.overall if name == "all" else {m: v[name] for m, v in frame.by_group.items()}
        if name == "empty":
            assert np.isnan(values["brier"]) and np.isnan(values["calibration_error"])
            continue
        probability, true = pooled(logits, targets, labels)
        assert values["brier"] == pytest.approx(brier_score_loss(true, probability), abs=1e-12)
        expected = slow_calibration_error(probability, true, 15)
        assert values["calibration_error"] == pytest.approx(expected, abs=1e-12)
        assert bins.calibration_error()[place] == pytest.approx(expected, abs=1e-12)


def test_values_equal_scikit_learn_and_the_loop_per_label():
    logits, targets = random_case(1)
    rows = LabelFrame.from_scores(logits, targets, {}).per_label
    for label, row in enumerate(rows):
        probability, true = pooled(logits, targets, [label])
        assert row["brier"] == pytest.approx(brier_score_loss(true, probability), abs=1e-12)
        expected = slow_calibration_error(probability, true, 15)
        assert row["calibration_error"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n_bins", [1, 5, 15])
def test_the_curve_is_scikit_learn_s(n_bins):
    logits, targets = random_case(2)
    curves = reliability_curve(logits, targets, GROUPS, n_bins)
    assert list(curves) == ["all", "a", "b", "empty"]
    for name, labels in {"all": np.arange(4), **GROUPS}.items():
        curve = curves[name]
        assert curve.entries.sum() == (targets[:, labels] >= 0).sum()
        if name == "empty":
            assert np.isnan(curve.positive_rate).all()
            continue
        probability, true = pooled(logits, targets, labels)
        rate, mean = calibration_curve(true, probability, n_bins=n_bins)
        there = curve.entries > 0
        np.testing.assert_allclose(curve.positive_rate[there], rate, atol=1e-12)
        np.testing.assert_allclose(curve.mean_probability[there], mean, atol=1e-12)


def test_edges_of_bins_belong_to_the_lower_one():
    logits = logit(np.array([[0.5], [0.25], [0.75]]))
    logits = np.concatenate([logits, [[-800.0], [800.0]]])  # probabilities 0 and 1
    bins = reliability_bins(logits, np.ones((5, 1), dtype=np.int8), n_bins=4)
    np.testing.assert_array_equal(bins.entries, [[2, 1, 1, 1]])


def test_a_model_that_is_right_is_calibrated_and_one_that_shouts_is_not():
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(20_000, 2))
    targets = (rng.random(logits.shape) < expit(logits)).astype(np.int8)
    right = LabelFrame.from_scores(logits, targets, {}).overall
    loud = LabelFrame.from_scores(4 * logits, targets, {}).overall
    assert right["calibration_error"] < 0.015 < 0.15 < loud["calibration_error"]
    assert right["brier"] < loud["brier"]
    assert right["map"] == loud["map"]


def test_a_missing_entry_counts_nowhere():
    logits, targets = random_case(4)
    other = np.where(targets < 0, np.float32(9), logits)
    np.testing.assert_array_equal(label_brier(logits, targets), label_brier(other, targets))
    for one, two in zip(
        reliability_bins(logits, targets), reliability_bins(other, targets), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    targets[:, 2] = -1
    assert np.isnan(label_brier(logits, targets)).tolist() == [False, False, True, False]
    assert np.isnan(reliability_bins(logits, targets).calibration_error()[2])
    assert brier(logits, targets).denominator.sum() == (targets >= 0).sum()


def test_blocks_of_rows_change_nothing(monkeypatch):
    logits, targets = random_case(5)
    before = brier(logits, targets), label_brier(logits, targets), reliability_bins(logits, targets)
    monkeypatch.setattr(row_blocks, "BLOCK_ENTRIES", 4 * 7)
    after = brier(logits, targets), label_brier(logits, targets), reliability_bins(logits, targets)
    for one, two in zip(before, after, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-10)


def test_labels_in_another_order_have_the_same_values():
    logits, targets = random_case(6)
    order = np.array([2, 0, 3, 1])
    one = reliability_bins(logits, targets).calibration_error()[order]
    np.testing.assert_array_equal(
        one, reliability_bins(logits[:, order], targets[:, order]).calibration_error()
    )


def test_faults_are_named():
    logits, targets = random_case()
    with pytest.raises(FairPOValueError, match="n_bins must be at least 1, got 0"):
        reliability_bins(logits, targets, 0)
    with pytest.raises(FairPOTypeError, match="logits must be floating point"):
        brier(targets, targets)
    with pytest.raises(FairPOValueError, match="threshold_logits must hold finite"):
        LabelFrame.from_scores(logits, targets, {}, threshold_logits=np.full(4, np.inf))
