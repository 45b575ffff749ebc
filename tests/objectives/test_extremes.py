"""Extreme logits and half precision: finite, with a gradient where the maths has one."""

import pytest
import torch

from fairpo.losses import bce
from fairpo.objectives import make_objective, method_names
from tests.objectives.scenes import batch, partition
from tests.objectives.scenes import objective as any_objective

HALVES = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("name", method_names())
@pytest.mark.parametrize("preset", ["paper-v1", "paper-v2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_finite_at_logits_of_a_hundred(name, preset, dtype):
    _, targets, _ = batch(seed=1, rows=20)
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (2, *targets.shape), generator=generator) * 200.0 - 100
    logits = signs[0].to(dtype).requires_grad_()
    output = any_objective(name, partition(), preset)(logits, targets, signs[1].to(dtype))
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert torch.isfinite(output.group_losses).all()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize("space", ["log-probability", "log-odds"])
@pytest.mark.parametrize("dtype", [torch.float32, *HALVES])
def test_a_pair_at_the_ends_still_has_its_gradient(space, dtype):
    logits = torch.tensor([[-100.0, 100.0]], dtype=dtype, requires_grad=True)
    groups = partition().__class__.from_indices([0], 2)
    objective = make_objective("fairpo-simpo", groups, score_space=space)
    objective(logits, torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2)).group_losses[0].backward()
    assert logits.grad[0, 0].item() == pytest.approx(-1.0, rel=1e-2)
    # Under log-probability the push on a confident false label is 1 - m = e^-100 (failure 5).
    expected = 1.0 if space == "log-odds" else 0.0
    assert logits.grad[0, 1].item() == pytest.approx(expected, abs=1e-6)


def test_bce_keeps_value_and_gradient_where_a_clamp_would_lose_them():
    logits = torch.tensor([[-100.0, 100.0, 100.0]], requires_grad=True)
    values = bce(logits, torch.tensor([[1.0, 0.0, 1.0]]))
    values.sum().backward()
    assert values.tolist()[0][:2] == [100.0, 100.0]
    assert 0 < values[0, 2].item() < 1e-40
    assert logits.grad.tolist()[0][:2] == [-1.0, 1.0]
    assert logits.grad[0, 2].item() < 0


@pytest.mark.parametrize("name", method_names())
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 2e-2), (torch.bfloat16, 1e-1)])
def test_half_precision_is_close_to_single(name, dtype, tolerance):
    logits, targets, ref = batch(seed=2, rows=40, dtype=torch.float32)
    half = any_objective(name, partition())(logits.to(dtype), targets, ref.to(dtype))
    rounded = any_objective(name, partition())(
        logits.to(dtype).float(), targets, ref.to(dtype).float()
    )
    assert half.loss.item() == rounded.loss.item()  # computed in float32 from the same numbers
    single = any_objective(name, partition())(logits, targets, ref)
    assert half.loss.item() == pytest.approx(single.loss.item(), abs=tolerance)


def test_missing_entries_get_no_gradient():
    for name in method_names():
        logits, targets, ref = batch(seed=3, missing=0.4)
        logits.requires_grad_()
        any_objective(name, partition(), "paper-v2" if "fairpo" in name else "paper-v1")(
            logits, targets, ref
        ).loss.backward()
        assert logits.grad[targets < 0].abs().sum() == 0, name


def test_nan_marks_missing_as_well():
    logits, targets, ref = batch(seed=4, missing=0.3)
    marked = torch.where(targets < 0, torch.nan, targets)
    for name in method_names():
        first, second = (
            any_objective(name, partition())(logits, y, ref) for y in (targets, marked)
        )
        assert first.loss.item() == second.loss.item(), name
