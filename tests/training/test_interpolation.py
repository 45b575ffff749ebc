import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from fairpo.training.interpolation import interpolate


def scene(seed=0, n_rows=400, n_labels=3):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n_rows, n_labels))
    targets = (rng.random((n_rows, n_labels)) < expit(truth - 1)).astype(np.int8)
    first = (truth + 0.5 * rng.normal(size=truth.shape)).astype(np.float32)
    second = (truth + rng.normal(size=truth.shape)).astype(np.float32)
    return first, second, targets


def test_it_is_the_optimum_that_scipy_finds():
    first, second, targets = scene()
    targets[::7, 1] = -1

    def cost(at):
        weights, shift = np.exp(at[:2]), at[2:]
        logits = weights[0] * first + weights[1] * second + shift
        signs = np.where(targets == 1, 1, -1)
        value = np.logaddexp(0, -signs * logits)[targets >= 0].sum()
        return value + 3 * ((at[:2] - np.log(0.5)) ** 2).sum() + 0.5 * (shift**2).sum()

    best = minimize(cost, np.zeros(5), method="BFGS").x
    found = interpolate([first, second], targets)
    assert found.weights == pytest.approx(tuple(np.exp(best[:2])), rel=1e-4)
    np.testing.assert_allclose(found.shift, best[2:], atol=1e-4)


def test_the_better_model_has_the_larger_weight():
    first, second, targets = scene(seed=1)
    found = interpolate([first, second], targets)
    assert found.weights[0] > 2 * found.weights[1]
    noise = np.random.default_rng(2).normal(size=first.shape).astype(np.float32)
    without = interpolate([first, noise], targets)
    assert without.weights[1] < without.weights[0] / 3


def test_without_known_targets_it_is_even():
    first, second, targets = scene()
    found = interpolate([first, second], np.full_like(targets, -1))
    assert found.weights == pytest.approx((0.5, 0.5))
    assert not found.shift.any()


def test_more_models_share_alike_where_rows_tell_nothing():
    first, second, targets = scene()
    found = interpolate([first, second, first], np.full_like(targets, -1))
    assert found.weights == pytest.approx((1 / 3, 1 / 3, 1 / 3))


def test_labels_are_taken_in_blocks(monkeypatch):
    from fairpo.training import interpolation

    first, second, targets = scene()
    whole = interpolate([first, second], targets)
    monkeypatch.setattr(interpolation, "_ENTRIES", len(targets))
    parts = interpolate([first, second], targets)
    assert parts.weights == pytest.approx(whole.weights, rel=1e-6)
    np.testing.assert_allclose(parts.shift, whole.shift, atol=1e-6)
