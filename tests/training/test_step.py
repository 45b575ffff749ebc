"""One optimizer step: the same however its rows are cut into micro-batches."""

import copy

import numpy as np
import pytest
import torch

from fairpo.groups import LabelPartition
from fairpo.models.head import HeadSettings, Policy
from fairpo.objectives import make_objective, method_names
from fairpo.training.rows import TrainingRows
from fairpo.training.settings import TrainingSettings
from fairpo.training.step import Stepper
from tests.objectives.scenes import objective as any_objective

N_ROWS, N_FEATURES, N_LABELS = 32, 7, 9
GROUPS = LabelPartition.from_indices([0, 4, 7], N_LABELS)


def rows(seed=0, n_rows=N_ROWS, weighted=False):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n_rows, N_FEATURES)).astype(np.float32)
    targets = (rng.random((n_rows, N_LABELS)) < 0.3).astype(np.int8)
    targets[rng.random(targets.shape) < 0.1] = -1
    reference = rng.normal(size=targets.shape).astype(np.float32)
    weight = rng.random(n_rows) if weighted else None
    return TrainingRows(features, targets, np.arange(n_rows), reference, weight)


def run(method, preset, n_parts, accumulation, *, steps=4, given=None, objective=None, **changes):
    """Policy, objective, outputs and last gradients after steps of 32 rows in ``n_parts``."""
    torch.manual_seed(0)
    policy = Policy(N_FEATURES, N_LABELS, HeadSettings(hidden=(11,), dropout=0.4)).double()
    objective = objective or any_objective(method, GROUPS, preset)
    settings = TrainingSettings(
        accumulation_steps=n_parts, accumulation=accumulation, device="cpu", **changes
    )
    optimizer = torch.optim.AdamW(policy.parameters(), lr=0.0)
    given = given or rows(weighted=True)
    stepper = Stepper(policy, objective, optimizer, given, settings)
    order = np.arange(len(given))
    outputs = [stepper.step(number, order, 0.02) for number in range(steps)]
    gradients = torch.cat([p.grad.flatten() for p in policy.parameters()])
    return policy, objective, outputs, gradients


def close(first, second, tolerance=1e-10):
    return all(
        torch.allclose(a, b, atol=tolerance, rtol=0) for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("n_parts", [2, 4, 5, 40])
@pytest.mark.parametrize("preset", ["paper-v1", "paper-v2"])
@pytest.mark.parametrize("method", method_names())
def test_exact_accumulation_is_the_whole_step(method, preset, n_parts):
    whole = run(method, preset, 1, "exact")
    split = run(method, preset, n_parts, "exact")
    assert close(whole[0].parameters(), split[0].parameters())
    assert close([whole[3]], [split[3]])
    for first, second in zip(whole[2], split[2], strict=True):
        assert close(first[:3], second[:3])
        assert all(
            torch.allclose(a.double(), b.double(), equal_nan=True)
            for a, b in zip(first.diagnostics, second.diagnostics, strict=True)
        )


@pytest.mark.parametrize("accumulation", ["exact", "lagged"])
def test_one_drawn_label_is_the_same_in_every_split(accumulation):
    plain = [run("bce", "paper-v1", n, accumulation, label_draw="one") for n in (1, 4)]
    assert close(plain[0][0].parameters(), plain[1][0].parameters())


# Where no weights move and the targets tell all denominators, lagging makes no difference.
@pytest.mark.parametrize("n_parts", [2, 5, 40])
@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("bce-reweighted", {}),
        ("fairpo-dpo", {"weight_rule": "fixed", "reduction": "positives"}),
        ("fairpo-cpo", {"weight_rule": "fixed", "reduction": "entries", "fallback": "bce"}),
    ],
)
def test_lagged_is_exact_where_the_targets_tell_all(method, settings, n_parts):
    def objective():
        return make_objective(method, GROUPS, "paper-v1", **settings)

    whole = run(method, "", 1, "lagged", objective=objective())
    split = run(method, "", n_parts, "lagged", objective=objective())
    assert close(whole[0].parameters(), split[0].parameters())


def test_lagged_uses_the_weights_of_the_step_before_and_steps_once_on_all_sums():
    settings = {"step_size": 0.5, "reduction": "positives"}
    objective = make_objective("fairpo-dpo", GROUPS, **settings)
    _, _, outputs, gradients = run("", "", 4, "lagged", steps=1, objective=objective)
    frozen = make_objective("fairpo-dpo", GROUPS, **settings, weight_rule="fixed")
    _, _, _, expected = run("", "", 1, "exact", steps=1, objective=frozen)
    assert close([gradients], [expected])  # the first step's weights are still uniform
    exact = make_objective("fairpo-dpo", GROUPS, **settings)
    _, _, whole, moved = run("", "", 1, "exact", steps=1, objective=exact)
    assert close(outputs[0][1:3], whole[0][1:3])
    assert int(objective.group_weights.steps) == 1
    assert not close([gradients], [moved], 1e-4)


def test_lagged_weighs_each_part_of_the_pairs_by_its_positives():
    """Against the definition: the mean over a part's pairs, times its share of the positives."""
    given = rows(weighted=False)
    objective = make_objective("fairpo-dpo", GROUPS, weight_rule="fixed")
    policy, _, _, gradients = run("", "", 2, "lagged", steps=1, given=given, objective=objective)
    torch.manual_seed(0)
    fresh = Policy(N_FEATURES, N_LABELS, HeadSettings(hidden=(11,), dropout=0.4)).double()
    targets = given.targets_at(np.arange(N_ROWS))
    positives = (targets[:, [0, 4, 7]] == 1).sum(1).double()
    from fairpo._random import Draw

    loss = torch.zeros((), dtype=torch.float64)
    for start in (0, 16):
        at = np.arange(start, start + 16)
        logits = fresh(given.features_at(at).double(), None, Draw(0, 0, start))
        parts = [logits, targets[at], given.reference_at(at)]
        means = make_objective("fairpo-dpo", GROUPS, weight_rule="fixed")(*parts).group_losses
        observed = (targets[:, [1, 2, 3, 5, 6, 8]] >= 0).sum(1).double()
        shares = torch.stack(
            [positives[at].sum() / positives.sum(), observed[at].sum() / observed.sum()]
        )
        loss = loss + (0.5 * shares * means).sum()
    loss.backward()
    assert close([gradients], [torch.cat([p.grad.flatten() for p in fresh.parameters()])])
    assert policy is not fresh


def test_accumulating_naively_would_be_another_step():
    """What exact accumulation is for: means of parts, averaged, are not the mean of the whole."""
    given = rows(weighted=False)
    _, _, _, whole = run("fairpo-dpo", "paper-v1", 1, "exact", steps=1, given=given)
    policy = Policy(N_FEATURES, N_LABELS, HeadSettings(hidden=(11,), dropout=0.4))
    torch.manual_seed(0)
    policy = Policy(N_FEATURES, N_LABELS, HeadSettings(hidden=(11,), dropout=0.4)).double()
    objective = make_objective("fairpo-dpo", GROUPS)
    from fairpo._random import Draw

    for start in range(0, N_ROWS, 8):
        at = np.arange(start, start + 8)
        logits = policy(given.features_at(at).double(), None, Draw(0, 0, start))
        loss = objective(logits, given.targets_at(at), given.reference_at(at)).loss / 4
        loss.backward()
    naive = torch.cat([p.grad.flatten() for p in policy.parameters()])
    assert (naive - whole).norm() > 0.05 * whole.norm()


def test_bf16_is_near_fp32_and_finite():
    results = {}
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        policy = Policy(N_FEATURES, N_LABELS, HeadSettings(hidden=(64,), dropout=0.0))
        settings = TrainingSettings(precision=precision, device="cpu")
        optimizer = torch.optim.AdamW(policy.parameters(), lr=0.0)
        stepper = Stepper(policy, make_objective("fairpo-dpo", GROUPS), optimizer, rows(), settings)
        outputs = [stepper.step(number, np.arange(N_ROWS), 0.01) for number in range(5)]
        assert all(torch.isfinite(output.loss) for output in outputs)
        results[precision] = torch.stack([output.loss for output in outputs]), policy
    losses, policy = results["bf16"]
    assert losses.dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in policy.parameters())
    assert not torch.equal(losses, results["fp32"][0])
    assert torch.allclose(losses, results["fp32"][0], atol=0.02)


def test_gradients_are_clipped_as_one():
    for n_parts in (1, 4):
        _, _, _, free = run("fairpo-dpo", "paper-v1", n_parts, "exact", steps=1)
        limit = float(free.norm()) / 3
        _, _, _, clipped = run(
            "fairpo-dpo", "paper-v1", n_parts, "exact", steps=1, gradient_clip=limit
        )
        assert torch.allclose(clipped, free / 3, rtol=1e-4)


def test_a_step_does_not_touch_the_global_generator():
    torch.manual_seed(5)
    before = copy.deepcopy(torch.get_rng_state())
    policy = Policy(N_FEATURES, N_LABELS, HeadSettings(hidden=(11,)))
    start = torch.get_rng_state()
    optimizer = torch.optim.AdamW(policy.parameters())
    settings = TrainingSettings(device="cpu")
    stepper = Stepper(policy, make_objective("bce", GROUPS), optimizer, rows(), settings)
    stepper.step(0, np.arange(N_ROWS), 0.1)
    assert torch.equal(torch.get_rng_state(), start)
    assert not torch.equal(start, before)
