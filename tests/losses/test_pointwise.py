import pytest
import torch
import torch.nn.functional as F

from fairpo.losses.pointwise import bce, observed_mask
from tests import reference as ref
from tests.losses.numbers import random_batch


def test_bce_is_equation_11():
    logits, _, targets = random_batch(0, 6, 7, missing=0.2)
    values = bce(logits, targets)
    assert values.shape == logits.shape
    for i, label in observed_mask(targets).nonzero().tolist():
        expected = ref.bce(logits[i, label], targets[i, label])
        torch.testing.assert_close(values[i, label], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.int64, torch.float32])
def test_targets_of_every_dtype(dtype):
    logits, targets = torch.randn(3, 4), torch.eye(3, 4)
    expected = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    torch.testing.assert_close(bce(logits, targets.to(dtype)), expected)
    assert observed_mask(targets.to(dtype)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [1, 8, 33])
def test_missing_targets_are_finite_and_marked(dtype, n):
    targets = torch.tensor([[-1.0], [torch.nan], [0.0], [1.0]], dtype=dtype).repeat(1, n)
    assert observed_mask(targets)[:, 0].tolist() == [False, False, True, True]
    assert bce(torch.linspace(-100, 100, n, dtype=dtype).repeat(4, 1), targets).isfinite().all()
    assert observed_mask(torch.tensor([[-1, 0, 1]], dtype=torch.int8)).tolist() == [
        [False, True, True]
    ]


@pytest.mark.parametrize(("z", "target"), [(-100, 1), (100, 0), (-1000, 1), (1000, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_wrong_confident_entry_costs_its_logit_and_keeps_a_full_gradient(z, target, dtype):
    logits = torch.tensor([[float(z)]], dtype=dtype, requires_grad=True)
    value = bce(logits, torch.tensor([[target]]))
    value.sum().backward()
    assert value.item() == pytest.approx(abs(z))
    assert logits.grad.item() == pytest.approx(-1.0 if target else 1.0)


@pytest.mark.parametrize("target", [0, 1])
def test_value_and_gradient_are_exact_over_the_whole_range(target):
    # Past the point where softplus turns linear too.
    points = torch.linspace(-110, 110, 441, dtype=torch.float64)
    ours, theirs = (points.clone().requires_grad_() for _ in range(2))
    values = bce(ours[None], torch.full((1, 441), target))
    values.sum().backward()
    expected = torch.stack([ref.bce(z, target) for z in theirs])
    expected.sum().backward()
    torch.testing.assert_close(values[0], expected, rtol=1e-13, atol=0)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-13, atol=1e-15)


def test_gradcheck():
    logits, _, targets = random_batch(1, 3, 4, missing=0.3)
    assert torch.autograd.gradcheck(lambda z: bce(z, targets), (logits.requires_grad_(),))
