"""The defects of the authors' code, and the method's measured failures, as tests of ours."""

import math

import numpy as np
import pytest
import torch

from fairpo.group_weights import GroupWeights
from fairpo.metrics import average_precision, map_batch_mean
from fairpo.objectives import FairPOObjective, make_objective
from tests import reference as slow
from tests.objectives.scenes import batch, partition

BOTH = torch.tensor([True, True])


@pytest.mark.parametrize("name", ["fairpo-simpo", "fairpo-cpo"])
@pytest.mark.parametrize("preset", ["paper-v1", "paper-v2"])
def test_1_simpo_and_cpo_can_be_trained(name, preset):
    logits, targets, ref = batch(seed=1, rows=30)
    logits = logits.clone().requires_grad_()
    objective = make_objective(name, partition(), preset, weight_rule="fixed", sampling="all")
    optimizer = torch.optim.SGD([logits], lr=1.0)
    losses = []
    for _ in range(50):
        loss = objective(logits, targets, ref).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_3_at_the_reference_every_dpo_pair_costs_log_2():
    logits, targets, _ = batch(seed=2)
    output = FairPOObjective(partition())(logits.requires_grad_(), targets, logits.detach())
    assert output.group_losses[0].item() == pytest.approx(math.log(2), abs=1e-15)
    assert output.group_losses[1].item() == 0.0


def test_5_the_relative_rule_is_blind_to_the_level():
    weights = GroupWeights(2, rule="relative", step_size=0.05)
    for _ in range(100):
        weights.step(torch.tensor([5.0, 0.1]), BOTH)
    assert weights().tolist() == pytest.approx([0.56, 0.44], abs=0.01)


def test_5_the_relative_rule_collapses_when_a_loss_starts_at_zero():
    relative = GroupWeights(2, rule="relative", step_size=0.05)
    raw = GroupWeights(2, rule="raw", step_size=0.05)
    losses = [[math.log(2), 2e-5 * step] for step in range(20)]
    for step in losses:
        relative.step(torch.tensor(step, dtype=torch.float64), BOTH)
        raw.step(torch.tensor(step, dtype=torch.float64), BOTH)
    assert relative()[0].item() < 0.05
    assert raw()[0].item() > 0.5
    assert relative().tolist() == pytest.approx(
        slow.relative_rule([0.5, 0.5], losses, 0.05)[-1], abs=1e-12
    )


@pytest.mark.parametrize(("rule", "least"), [("relative", 0.0), ("raw", 0.5), ("excess", 0.5)])
def test_5_training_from_the_reference_collapses_under_the_relative_rule_alone(rule, least):
    """The later settings, whole: the first hinge is 0, so the next is a million times larger."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(64, 16, generator=generator)
    targets = (torch.rand(64, 7, generator=generator) < 0.3).long()
    reference = 0.3 * torch.randn(16, 7, generator=generator)
    policy = reference.clone().requires_grad_()
    objective = make_objective("fairpo-dpo", partition(), "paper-v2", weight_rule=rule)
    optimizer = torch.optim.AdamW([policy], lr=0.01)
    for _ in range(20):
        output = objective(features @ policy, targets, features @ reference)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
    privileged = output.group_weights[0].item()
    assert privileged < 0.05 if rule == "relative" else privileged > least


def test_7_no_entry_loses_its_gradient_to_a_clamp():
    logits = torch.tensor([[-30.0, 30.0]], dtype=torch.float64, requires_grad=True)
    groups = partition().__class__.from_indices([0], 2)
    FairPOObjective(groups)(logits, torch.tensor([[1, 0]]), torch.zeros(1, 2)).loss.backward()
    clamped = torch.tensor([[-30.0, 30.0]], dtype=torch.float64, requires_grad=True)
    probs = torch.sigmoid(clamped).clamp(1e-8, 1 - 1e-8)
    (-torch.nn.functional.logsigmoid(probs[0, 0].log() - probs[0, 1].log())).backward()
    assert clamped.grad.abs().sum() == 0
    assert logits.grad[0, 0].item() < -0.1
    assert logits.grad[0, 1].item() > 0


def test_9_the_mean_of_batch_aps_is_far_above_the_ap():
    rng = np.random.default_rng(0)
    targets = (rng.random((2048, 20)) < 0.03).astype(np.int8)
    logits = (targets + rng.normal(size=targets.shape)).astype(np.float32)
    whole = np.nanmean(average_precision(logits, targets))
    assert map_batch_mean(logits, targets) > 2 * whole


def test_failure_1_pairs_within_an_example_do_not_see_the_ap():
    """A random offset for each example leaves the pair loss and ruins the mean AP."""
    rng = np.random.default_rng(1)
    targets = (rng.random((600, 7)) < 0.3).astype(np.int8)
    logits = 2.0 * targets + rng.normal(size=targets.shape)
    shifted = logits + 5 * rng.normal(size=(600, 1))
    objective = FairPOObjective(partition(), preference="simpo", score_space="log-odds").eval()
    y = torch.from_numpy(targets)
    losses = [
        objective(torch.from_numpy(z), y, torch.from_numpy(logits)).group_losses[0].item()
        for z in (logits, shifted)
    ]
    assert losses[0] == pytest.approx(losses[1])
    ap = [np.nanmean(average_precision(z.astype(np.float32), targets)) for z in (logits, shifted)]
    assert ap[1] < 0.7 * ap[0]


def test_failure_2_an_example_without_a_privileged_positive_gives_no_signal():
    logits, targets, ref = batch(seed=3)
    targets[:, [0, 2, 5]] = 0
    first = make_objective("fairpo-dpo", partition())(logits, targets, ref)
    later = make_objective("fairpo-dpo", partition(), "paper-v2")(logits, targets, ref)
    assert first.diagnostics.no_signal_share.item() == 1.0
    assert later.diagnostics.no_signal_share.item() == 0.0


def test_failure_5_the_push_on_a_confident_false_label():
    logits = torch.tensor([[0.0, math.log(999.0)]], dtype=torch.float64)  # m_k = 0.999
    groups = partition().__class__.from_indices([0], 2)
    pushes = {}
    for space in ("log-probability", "log-odds"):
        moving = logits.clone().requires_grad_()
        objective = FairPOObjective(groups, score_space=space)
        objective(moving, torch.tensor([[1, 0]]), moving.detach() * 0).group_losses[0].backward()
        pushes[space] = moving.grad[0, 1].item()
    assert 0 < pushes["log-probability"] < 0.001
    assert pushes["log-odds"] > 0.5
