import math

import pytest
import torch

from fairpo.objectives.base import Diagnostics
from fairpo.objectives.group_objective import ObjectiveOutput
from fairpo.training.step_log import StepLog

KEYS = tuple(f"diagnostics/{name}" for name in Diagnostics._fields)


def report(loss, pairs):
    diagnostics = Diagnostics(*(torch.tensor(value) for value in (pairs, pairs, 1.0, 2.0, 0.5)))
    losses, weights = torch.tensor([loss, 2 * loss]), torch.tensor([0.25, 0.75])
    return ObjectiveOutput(torch.tensor(loss), losses, weights, diagnostics)


def log():
    return StepLog(("a", "b"), KEYS, torch.device("cpu"))


def test_means_of_what_is_defined():
    steps = log()
    steps.add(report(1.0, math.nan))
    steps.add(report(2.0, 4.0))
    found = steps.take()
    assert found["group_losses/a"] == 1.5
    assert found["group_losses/b"] == 3.0
    assert found["group_weights/b"] == 0.75
    assert found["diagnostics/n_pairs"] == 4.0
    assert steps.take() == {}
    steps.add(report(1.0, math.nan))
    assert "diagnostics/n_pairs" not in steps.take()


def test_state_goes_on():
    one, other = log(), log()
    one.add(report(1.0, 1.0))
    other.load(one.state().clone())
    for steps in (one, other):
        steps.add(report(2.0, 3.0))
    assert one.take() == pytest.approx(other.take())
