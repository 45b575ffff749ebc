"""A step in parts, without any trainer: what the three kinds of step promise."""

import pytest
import torch

from fairpo._checks import FairPOError
from fairpo.groups import LabelPartition
from fairpo.objectives import make_objective
from fairpo.training.accumulation import ExactStep, LaggedStep, WholeStep, added

GROUPS = LabelPartition.from_indices([0, 3], 6)


def scene(seed=0, rows=24):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, 6, generator=generator, dtype=torch.float64)
    targets = (torch.rand(rows, 6, generator=generator) < 0.4).double()
    reference = logits + torch.randn(rows, 6, generator=generator, dtype=torch.float64)
    return logits, targets, reference


def parts_of(objective, logits, targets, reference, size, number=None):
    for start in range(0, len(logits), size):
        part = [each[start : start + size] for each in (logits, targets, reference)]
        yield objective.sums(*part, first_row=start, step=number)


def exact(objective, scene, size, number=None):
    with torch.no_grad():
        first = added(list(parts_of(objective, *scene, size, number)))
    return ExactStep(objective, first)


def run(step, objective, scene, size, number=None):
    logits = scene[0].clone().requires_grad_()
    parts = parts_of(objective, logits, *scene[1:], size, number)
    loss = sum(step.loss(part) for part in parts)
    loss.backward()
    return loss.detach(), logits.grad


@pytest.mark.parametrize("preset", ["paper-v1", "paper-v2"])
@pytest.mark.parametrize("method", ["fairpo-dpo", "fairpo-cpo", "group-dro", "bce"])
@pytest.mark.parametrize("size", [1, 5, 8, 24])
def test_exact_parts_are_the_call(method, preset, size):
    called, split = (make_objective(method, GROUPS, preset) for _ in range(2))
    for seed in range(3):  # weights and averages move from step to step
        logits, targets, reference = scene(seed)
        leaf = logits.clone().requires_grad_()
        output = called(leaf, targets, reference)
        output.loss.backward()
        step = exact(split, (logits, targets, reference), size, seed)
        loss, gradient = run(step, split, (logits, targets, reference), size, seed)
        torch.testing.assert_close(loss, output.loss.detach(), atol=1e-12, rtol=0)
        torch.testing.assert_close(gradient, leaf.grad, atol=1e-12, rtol=0)
        torch.testing.assert_close(step.report.group_losses, output.group_losses.detach())
        for name, value in called.state_dict().items():
            torch.testing.assert_close(split.state_dict()[name], value)


def test_a_whole_step_is_the_call():
    called, whole = (make_objective("fairpo-dpo", GROUPS, "paper-v2") for _ in range(2))
    logits, targets, reference = scene()
    output = called(logits.clone().requires_grad_(), targets, reference)
    step = WholeStep(whole)
    loss, _ = run(step, whole, (logits, targets, reference), 24)
    assert torch.equal(loss, output.loss.detach())
    assert torch.equal(step.report.group_weights, output.group_weights)


def test_lagged_weights_move_once_and_after_the_last_part():
    objective = make_objective("group-dro", GROUPS, step_size=1.0)
    logits, targets, reference = scene()
    known = [objective.known_counts(targets[s : s + 8]) for s in (0, 8, 16)]
    step = LaggedStep(objective, known)
    before = objective.group_weights()
    losses, total = [], 0
    for part in parts_of(objective, logits, targets, reference, 8):
        assert step.report is None
        assert torch.equal(objective.group_weights(), before)
        total += step.loss(part)
        losses.append(part)
    report = step.report
    assert int(objective.group_weights.steps) == 1
    assert not torch.equal(objective.group_weights(), before)
    # Cross-entropy per group, divided by counts that targets tell: exact under the old weights.
    assert total == pytest.approx(float(before @ report.group_losses), abs=1e-12)


def test_the_next_step_uses_them():
    objective = make_objective("group-dro", GROUPS, step_size=1.0)
    for _ in range(2):
        held = objective.group_weights()
        logits, targets, reference = scene()
        known = [objective.known_counts(targets[s : s + 12]) for s in (0, 12)]
        step = LaggedStep(objective, known)
        loss, _ = run(step, objective, (logits, targets, reference), 12)
        assert float(loss) == pytest.approx(float(held @ step.report.group_losses))


@pytest.mark.parametrize("kind", ["whole", "exact", "lagged"])
def test_what_is_not_finite_moves_no_weights(kind):
    objective = make_objective("fairpo-dpo", GROUPS)
    logits, targets, reference = scene()
    logits[3, 0] = float("nan")
    before = objective.state_dict()
    before = {name: value.clone() for name, value in before.items()}

    def attempt():
        if kind == "whole":
            run(WholeStep(objective), objective, (logits, targets, reference), 24)
        elif kind == "exact":
            exact(objective, (logits, targets, reference), 8)
        else:
            known = [objective.known_counts(targets[s : s + 8]) for s in (0, 8, 16)]
            run(LaggedStep(objective, known), objective, (logits, targets, reference), 8)

    with pytest.raises(FairPOError, match="the loss is nan: group losses .*'privileged'"):
        attempt()
    for name, value in objective.state_dict().items():
        assert torch.equal(value, before[name])
