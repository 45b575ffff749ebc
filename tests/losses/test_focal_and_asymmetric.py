"""The losses made of cross-entropy: the papers' formulas, at any logit and for any power."""

import itertools

import pytest
import torch

from fairpo.losses import asymmetric, bce, focal, negative_tolerant
from fairpo.losses.pointwise import observed_mask
from tests import reference as slow
from tests.losses.numbers import random_batch

POWERS = [0.0, 0.3, 1.0, 2.0, 4.0]
SHARES = [None, 0.25, 0.9]
CLIPS = [0.0, 1e-30, 0.05, 0.6]
POINTS = torch.cat([torch.linspace(-110, 110, 89), torch.tensor([-700.0, 700.0])]).double()


def loops(loss, targets, z):
    return torch.stack([loss(each, target) for each, target in zip(z, targets, strict=True)])


def same_over_the_range(ours, theirs, target):
    """Value and gradient at logits from -700 to 700, against the loops; all finite."""
    targets = torch.full((1, len(POINTS)), target)
    first, second = (POINTS.clone().requires_grad_() for _ in range(2))
    values = ours(first.unsqueeze(0), targets)[0]
    values.sum().backward()
    expected = loops(theirs, targets[0], second)
    expected.sum().backward()
    torch.testing.assert_close(values, expected, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(first.grad, second.grad, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize(("focusing", "share"), list(itertools.product(POWERS, SHARES)))
def test_focal_is_the_formula(focusing, share, target):
    same_over_the_range(
        lambda z, y: focal(z, y, focusing=focusing, positive_share=share),
        lambda z, y: slow.focal(z, y, focusing, share),
        target,
    )


@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize(("power", "clip"), list(itertools.product(POWERS, CLIPS)))
def test_asymmetric_is_the_formula(power, clip, target):
    same_over_the_range(
        lambda z, y: asymmetric(z, y, gamma_negative=power, gamma_positive=power / 2, clip=clip),
        lambda z, y: slow.asymmetric(z, y, power, power / 2, clip),
        target,
    )


def test_a_batch_with_missing_targets():
    logits, _, targets = random_batch(0, 6, 7, missing=0.3)
    known = observed_mask(targets)
    for ours, theirs in (
        (focal(logits, targets), lambda z, y: slow.focal(z, y, 2.0, 0.25)),
        (asymmetric(logits, targets), lambda z, y: slow.asymmetric(z, y, 4.0, 0.0, 0.05)),
    ):
        assert ours.isfinite().all()
        torch.testing.assert_close(ours[known], loops(theirs, targets[known], logits[known]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_powers_and_clip_they_are_cross_entropy(dtype):
    logits, _, targets = random_batch(1, 9, 8)
    logits, expected = 20 * logits.to(dtype), bce(20 * logits.to(dtype), targets)
    without = {"gamma_negative": 0, "gamma_positive": 0, "clip": 0}
    for values in (
        focal(logits, targets, focusing=0, positive_share=None),
        2 * focal(logits, targets, focusing=0, positive_share=0.5),
        asymmetric(logits, targets, **without),
        negative_tolerant(logits, targets, torch.zeros(8, dtype=dtype), scale=1.0),
    ):
        torch.testing.assert_close(values, expected)


def test_asymmetric_without_clip_is_focal_of_each_sign():
    logits, _, targets = random_batch(2, 5, 6)
    values = asymmetric(logits, targets, gamma_negative=3, gamma_positive=1, clip=0)
    for target, power in ((0, 3), (1, 1)):
        expected = focal(logits, targets, focusing=power, positive_share=None)
        at = targets == target
        torch.testing.assert_close(values[at], expected[at])


def test_a_negative_below_the_clip_costs_nothing():
    logits = torch.tensor([[0.04, 0.05, 0.0501, 0.9]]).double().logit().requires_grad_()
    values = asymmetric(logits, torch.zeros(1, 4))
    values.sum().backward()
    assert values[0, 0] == 0
    assert logits.grad[0, 0] == 0
    assert 0 < values[0, 2] < values[0, 3]
    assert 0 < logits.grad[0, 2] < logits.grad[0, 3]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("target", [0.0, 1.0, -1.0, torch.nan])
def test_gradients_are_finite_everywhere(dtype, power, target):
    points = torch.linspace(-2000, 2000, 801, dtype=dtype)
    points = torch.cat([points, torch.tensor([-1e30, 1e30], dtype=dtype)]).unsqueeze(0)
    for clip in (0.0, 1e-30, 0.05):
        for loss in (
            lambda z, y: focal(z, y, focusing=power),
            lambda z, y, m=clip: asymmetric(
                z, y, gamma_negative=power, gamma_positive=power, clip=m
            ),
        ):
            logits = points.clone().requires_grad_()
            values = loss(logits, torch.full_like(logits, target))
            values.sum().backward()
            assert values.isfinite().all()
            assert (values >= 0).all()
            assert logits.grad.isfinite().all()


def test_gradcheck():
    logits, _, targets = random_batch(3, 4, 5, missing=0.2)
    logits = (logits + 0.1).requires_grad_()  # no probability at the clip
    bias = torch.linspace(-1, 1, 5).double()
    for loss in (
        lambda z: focal(z, targets, focusing=1.7),
        lambda z: asymmetric(z, targets, gamma_negative=2.5, gamma_positive=0.5),
        lambda z: negative_tolerant(z, targets, bias, scale=3.0),
    ):
        assert torch.autograd.gradcheck(loss, (logits,))
