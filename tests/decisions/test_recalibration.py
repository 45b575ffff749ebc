"""Maps of logits: against scikit-learn, strictly increasing, and better out of sample."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from fairpo._checks import FairPOValueError
from fairpo.decisions import Recalibration, fit_isotonic, fit_platt
from fairpo.decisions.guard import guarded_targets
from fairpo.decisions.recalibration import LEAST_SLOPE, LINEAR_SHARE
from fairpo.metrics import average_precision, label_brier
from tests.decisions.scenes import drifted_scores

FITS = pytest.mark.parametrize("fit", [fit_platt, fit_isotonic])


def small_case(seed=0, n=400, missing=0.1):
    rng = np.random.default_rng(seed)
    logits = (2 * rng.standard_normal((n, 5)) - [0, 1, 2, 3, 4]).astype(np.float32)
    targets = (rng.random((n, 5)) < expit(0.5 * logits - 1)).astype(np.int8)
    targets[rng.random((n, 5)) < missing] = -1
    return logits, targets


def log_loss(logits, targets):
    loss = np.logaddexp(0, logits) - targets * logits
    return np.where(targets >= 0, loss, 0).sum(0) / (targets >= 0).sum(0)


def sklearn_fit(scores, mixed, weights):
    """LogisticRegression without penalty on soft targets: each entry once as 1, once as 0."""
    x = np.concatenate([scores, scores])[:, None]
    y = np.repeat([1, 0], len(scores))
    weight = np.concatenate([mixed * weights, (1 - mixed) * weights])
    model = LogisticRegression(C=1e12, tol=1e-10, max_iter=10_000).fit(x, y, weight)
    return model.coef_[0, 0], model.intercept_[0]


@pytest.mark.parametrize("guard", [0.5, 20.0])
def test_platt_is_scikit_learn_s_logistic_regression_on_guarded_targets(guard):
    logits, targets = small_case()
    seen = targets >= 0
    scores, true = logits[seen].astype(np.float64), targets[seen]
    mixed, weights = guarded_targets(true[:, None], expit(scores)[:, None], 1.0)
    pooled = sklearn_fit(scores, mixed[:, 0], weights[:, 0])
    fitted = fit_platt(logits, targets, guard)
    for label in range(5):
        own = seen[:, label]
        scores, true = logits[own, label].astype(np.float64), targets[own, label, None]
        prior = expit(pooled[0] * scores + pooled[1])
        mixed, weights = guarded_targets(true, prior[:, None], guard)
        slope, intercept = sklearn_fit(scores, mixed[:, 0], weights[:, 0])
        assert fitted.slope[label] == pytest.approx(slope, abs=1e-4)
        assert fitted.intercept[label] == pytest.approx(intercept, abs=1e-4)


def test_guarded_targets_are_their_definition():
    logits, targets = small_case(1)
    prior = expit(logits.astype(np.float64))
    mixed, weights = guarded_targets(targets, prior, 3.0)
    for label in range(5):
        share = 3.0 / sum(
            p for p, t in zip(prior[:, label], targets[:, label], strict=True) if t >= 0
        )
        for row, target in enumerate(targets[:, label]):
            if target < 0:
                assert weights[row, label] == 0
                continue
            expected = (target + share * prior[row, label]) / (1 + share)
            assert mixed[row, label] == pytest.approx(expected, abs=1e-12)
            assert weights[row, label] == pytest.approx(1 + share)
    added = (mixed * weights).sum(0) - (targets == 1).sum(0)
    np.testing.assert_allclose(added, 3.0)


def test_isotonic_is_scikit_learn_s_around_the_platt_map():
    logits, targets = small_case(2)
    platt, fitted = fit_platt(logits, targets, 20.0), fit_isotonic(logits, targets, 20.0)
    straight = platt.apply(logits)
    mixed, weights = guarded_targets(targets, expit(straight), 20.0)
    for label in range(5):
        own = targets[:, label] >= 0
        curve = IsotonicRegression().fit(
            logits[own, label].astype(np.float64), mixed[own, label], weights[own, label]
        )
        at = curve.X_thresholds_
        expected = (1 - LINEAR_SHARE) * logit(curve.predict(at))
        expected += LINEAR_SHARE * (platt.slope[label] * at + platt.intercept[label])
        points = np.zeros((len(at), 5))
        points[:, label] = at
        np.testing.assert_allclose(fitted.apply(points)[:, label], expected, atol=1e-9)


@FITS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_average_precision_stays_to_the_last_bit(fit, dtype):
    for seed in range(5):
        logits, targets = small_case(seed)
        logits = logits.astype(dtype)
        logits[:50] = np.round(logits[:50])  # ties stay ties
        logits[50:60] *= 30
        recalibrated = fit(logits, targets, 20.0).apply(logits)
        np.testing.assert_array_equal(
            average_precision(logits, targets), average_precision(recalibrated, targets)
        )


@FITS
def test_maps_are_strictly_increasing_everywhere(fit):
    logits, targets = small_case(3, n=40)
    fitted = fit(logits, targets, 1e-3)
    grid = np.repeat(np.linspace(-60, 60, 20_001)[:, None], 5, axis=1).astype(np.float32)
    assert (np.diff(fitted.apply(grid), axis=0) > 0).all()


@FITS
def test_a_label_that_ranks_backwards_keeps_a_positive_slope(fit):
    logits, targets = small_case(4, missing=0)
    targets[:, 1] = logits[:, 1] < np.quantile(logits[:, 1], 0.3)
    fitted = fit(logits, targets, 5.0)
    unknown = np.full((len(targets), 1), -1, dtype=np.int8)
    pooled = fit_platt(
        np.hstack([logits, logits[:, :1]]), np.hstack([targets, unknown]), 5.0
    ).slope[5]
    assert fitted.slope[1] == pytest.approx(LEAST_SLOPE * pooled, rel=0.5)
    assert expit(fitted.apply(logits)[:, 1]).mean() == pytest.approx(0.3, abs=0.02)


@FITS
def test_a_label_of_which_nothing_is_known_has_the_pooled_map(fit):
    logits, targets = small_case(5)
    targets[:, 0] = targets[:, 4] = -1
    fitted = fit(logits, targets, 20.0)
    for pair in (fitted.slope, fitted.intercept):
        assert pair[0] == pair[4] != pair[1]
    assert (np.diff(fitted.knots_start)[[0, 4]] == 0).all()


@FITS
def test_the_fewer_positives_were_seen_the_fewer_are_expected(fit):
    """None of a label too: seeing none must not make it likelier than seeing one."""
    logits, targets = small_case(5, n=2000, missing=0)
    rows = np.flatnonzero(targets[:, 2] == 1)
    expected = []
    for seen in (0, 1, 2, 5, 20, len(rows)):
        targets[rows, 2] = 0
        targets[rows[:seen], 2] = 1
        expected.append(expit(fit(logits, targets, 20.0).apply(logits)[:, 2]).sum())
    assert (np.diff(expected) > 0).all()
    assert expected[0] < 21


@FITS
@pytest.mark.parametrize("target", [0, 1, -1])
def test_with_nothing_to_learn_from_the_map_is_the_identity(fit, target):
    logits = small_case()[0]
    fitted = fit(logits, np.full(logits.shape, target, dtype=np.int8), 20.0)
    np.testing.assert_array_equal(fitted.apply(logits), logits.astype(np.float64))


@FITS
def test_a_missing_entry_counts_nowhere(fit):
    logits, targets = small_case(6)
    other = np.where(targets < 0, np.float32(50), logits)
    np.testing.assert_allclose(
        fit(logits, targets, 20.0).apply(logits), fit(other, targets, 20.0).apply(logits)
    )


@FITS
def test_labels_in_another_order_have_the_same_maps(fit):
    logits, targets = small_case(7)
    order = np.array([3, 0, 4, 2, 1])
    there = fit(logits[:, order], targets[:, order], 20.0).apply(logits[:, order])
    np.testing.assert_allclose(there, fit(logits, targets, 20.0).apply(logits)[:, order], atol=1e-6)


@FITS
def test_separable_and_constant_scores_are_finite(fit):
    logits = np.stack([np.linspace(-5, 5, 50), np.full(50, 0.3)], axis=1)
    targets = np.stack([np.arange(50) >= 40, np.arange(50) % 5 == 0], axis=1).astype(np.int8)
    for guard in (1e-4, 20.0):
        recalibrated = fit(logits, targets, guard).apply(logits)
        assert np.isfinite(recalibrated).all()
    assert expit(fit(logits, targets, 0.1).apply(logits)[:, 1]).mean() == pytest.approx(
        0.2, abs=0.01
    )


def test_the_guard_goes_from_each_label_s_own_map_to_the_pooled_one():
    logits, targets = small_case(8)
    own, between, pooled = (fit_platt(logits, targets, guard) for guard in (1e-3, 20.0, 1e6))
    assert np.ptp(pooled.slope) < 1e-2 and np.ptp(pooled.intercept) < 1e-2
    assert (
        np.abs(between.intercept - pooled.intercept) < np.abs(own.intercept - pooled.intercept)
    ).all()


def test_the_guard_beats_fitting_rare_labels_alone_out_of_sample():
    """Twenty draws of drifted scores, 2 to 8 validation positives a label."""
    gains = {}
    for fit in (fit_platt, fit_isotonic):
        naive, guarded, raw = [], [], []
        for seed in range(20):
            (logits, targets), (test_logits, test_targets) = drifted_scores(seed)
            for guard, losses in ((1e-3, naive), (20.0, guarded)):
                there = fit(logits, targets, guard).apply(test_logits)
                losses.append(log_loss(there, test_targets).mean())
            raw.append(log_loss(test_logits, test_targets).mean())
        assert np.mean(guarded) < np.mean(raw)
        assert np.mean(guarded) < np.mean(naive)
        assert (np.array(guarded) < naive).mean() >= 0.7
        gains[fit] = np.mean(guarded)
    assert gains[fit_platt] < gains[fit_isotonic], "platt is the default for few positives"


def test_probabilities_of_a_drifted_model_become_true():
    (logits, targets), (test_logits, test_targets) = drifted_scores(0, n=20_000)
    there = fit_platt(logits, targets, 20.0).apply(test_logits)
    assert label_brier(there, test_targets).mean() < label_brier(test_logits, test_targets).mean()
    np.testing.assert_allclose(expit(there).mean(0), test_targets.mean(0), rtol=0.25)


def test_another_number_of_labels_is_refused():
    with pytest.raises(FairPOValueError, match=r"logits must have shape \(rows, 3\), got \(2, 4\)"):
        Recalibration.identity(3).apply(np.zeros((2, 4)))


@pytest.mark.parametrize("limit", ["ENTRIES", "_CACHED"])
def test_labels_are_fitted_in_blocks_and_rows_summed_in_parts(monkeypatch, limit):
    from fairpo.decisions import recalibration

    rng = np.random.default_rng(0)
    logits = rng.normal(size=(50, 7)).astype(np.float32)
    targets = (logits + rng.normal(size=logits.shape) > 1).astype(np.int8)
    whole = fit_platt(logits, targets, 2.0)
    monkeypatch.setattr(recalibration, limit, 100)
    parts = fit_platt(logits, targets, 2.0)
    np.testing.assert_allclose(parts.slope, whole.slope, rtol=1e-9)
    np.testing.assert_allclose(parts.intercept, whole.intercept, rtol=1e-9)
