"""Values and gradients against slow loops, and the semantics of groups and steps."""

import itertools

import pytest
import torch

from fairpo._checks import FairPOValueError
from fairpo.groups import LabelPartition
from fairpo.losses import bce
from fairpo.objectives import FairPOObjective, make_objective
from tests import reference as slow
from tests.objectives.scenes import N_LABELS, PRIVILEGED, as_lists, batch, partition, three_groups

OTHERS = [label for label in range(N_LABELS) if label not in PRIVILEGED]
FORMS = list(
    itertools.product(
        ["dpo", "simpo", "cpo"],
        ["negatives", "both"],
        ["none", "bce"],
        ["pairs", "entries", "positives"],
        ["log-probability", "log-odds"],
    )
)


def numerical_gradient(function, logits, epsilon=1e-6):
    gradient = torch.zeros_like(logits)
    for index in itertools.product(*map(range, logits.shape)):
        up, down = logits.clone(), logits.clone()
        up[index] += epsilon
        down[index] -= epsilon
        gradient[index] = (function(up.tolist()) - function(down.tolist())) / (2 * epsilon)
    return gradient


@pytest.mark.parametrize(("kind", "pairs", "fallback", "reduction", "space"), FORMS)
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_group_losses_equal_the_slow_loops(kind, pairs, fallback, reduction, space, missing):
    logits, targets, ref = batch(seed=1, missing=missing)
    options = {"pairs": pairs, "fallback": fallback, "reduction": reduction}
    likelihood = "entries" if pairs == "both" else "positives"
    objective = FairPOObjective(
        partition(),
        preference=kind,
        beta=0.7,
        margin=0.3,
        nll_weight=0.4,
        slack=0.05,
        score_space=space,
        likelihood=likelihood,
        **options,
    )
    losses = objective.eval()(logits, targets, ref).group_losses
    z, y, r = logits.tolist(), as_lists(targets), ref.tolist()
    expected, _ = slow.privileged_loss(
        kind,
        z,
        r,
        y,
        PRIVILEGED,
        beta=0.7,
        margin=0.3,
        nll_weight=0.4,
        space=space,
        likelihood=likelihood,
        **options,
    )
    hinge, _ = slow.constraint_loss(z, r, y, OTHERS, slack=0.05)
    assert losses.tolist() == pytest.approx([expected, hinge], abs=1e-12)


@pytest.mark.parametrize("kind", ["dpo", "simpo", "cpo"])
@pytest.mark.parametrize("preset", ["pairs", "both"])
def test_gradients_equal_numerical_ones_of_the_slow_loops(kind, preset):
    logits, targets, ref = batch(seed=2, rows=4, missing=0.1)
    logits = logits + torch.linspace(0, 0.01, logits.numel(), dtype=logits.dtype).view_as(logits)
    options = {"pairs": "both", "fallback": "bce", "reduction": "entries"}
    options = options if preset == "both" else {}
    objective = FairPOObjective(partition(), preference=kind, slack=0.02, **options).eval()
    moving = logits.clone().requires_grad_()
    objective(moving, targets, ref).loss.backward()
    y, r = as_lists(targets), ref.tolist()

    def loss(z):
        first, _ = slow.privileged_loss(kind, z, r, y, PRIVILEGED, **options)
        second, _ = slow.constraint_loss(z, r, y, OTHERS, slack=0.02)
        return 0.5 * first + 0.5 * second

    expected = numerical_gradient(loss, logits)
    torch.testing.assert_close(moving.grad, expected, atol=1e-7, rtol=1e-5)


def test_gradcheck_in_double_precision():
    logits, targets, ref = batch(seed=3, rows=3)
    objective = FairPOObjective(partition(), preference="cpo", score_space="log-odds").eval()
    moving = logits.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: objective(z, targets, ref).loss, (moving,))


def test_one_drawn_pair_has_the_expected_mean():
    logits, targets, ref = batch(seed=4, rows=6)
    settings = {"pairs": "both", "fallback": "bce", "reduction": "entries"}
    objective = FairPOObjective(partition(), sampling="one", weight_rule="fixed", **settings)
    moving = logits.clone().requires_grad_()
    draws = [float(objective(moving, targets, ref).group_losses[0].detach()) for _ in range(3000)]
    z, y, r = logits.tolist(), as_lists(targets), ref.tolist()
    by_entry: dict = {}
    for pair in slow.confusing_pairs(z, y, PRIVILEGED, "both"):
        value = slow.pair_loss("dpo", z, r, pair, beta=1.0, margin=0.0, space="log-probability")
        by_entry.setdefault((pair[0], pair[3]), []).append(value)
    total = 0.0
    for i, row in enumerate(y):
        for entry in PRIVILEGED:
            values = by_entry.get((i, entry)) or [slow.bce(z[i][entry], row[entry])]
            total += sum(values) / len(values)
    mean = torch.tensor(draws, dtype=torch.float64)
    error = float(mean.std()) / len(draws) ** 0.5
    assert float(mean.mean()) == pytest.approx(total / (len(y) * len(PRIVILEGED)), abs=5 * error)
    assert error > 0  # it does draw


def test_drawn_pairs_are_one_for_each_entry_and_repeat_by_seed():
    logits, targets, ref = batch(seed=5)
    moving = logits.clone().requires_grad_()

    def run(seed):
        objective = make_objective("fairpo-dpo", partition(), "paper-v2", seed=seed)
        return [objective(moving, targets, ref) for _ in range(4)]

    owners = {
        (i, owner)
        for i, _, _, owner in slow.confusing_pairs(
            logits.tolist(), as_lists(targets), PRIVILEGED, "both"
        )
    }
    assert int(run(0)[0].diagnostics.n_pairs) == len(owners)
    first, again, other = ([o.loss.item() for o in run(seed)] for seed in (0, 0, 1))
    assert first == again != other


def test_overlapping_groups_are_each_their_own_mean():
    logits, targets, ref = batch(seed=6, missing=0.1)
    losses = FairPOObjective(three_groups()).eval()(logits, targets, ref).group_losses
    z, y, r = logits.tolist(), as_lists(targets), ref.tolist()
    expected = [slow.privileged_loss("dpo", z, r, y, labels)[0] for labels in ([0, 2], [2, 5])]
    expected.append(slow.constraint_loss(z, r, y, OTHERS, slack=0.01)[0])
    assert losses.tolist() == pytest.approx(expected, abs=1e-12)


def test_entry_weight_weights_each_entry_and_its_pairs():
    logits, targets, ref = batch(seed=7, missing=0.2)
    weight = torch.rand(logits.shape, dtype=torch.float64, generator=torch.manual_seed(0))
    objective = FairPOObjective(
        partition(), preference="cpo", pairs="both", fallback="bce", slack=0.01
    ).eval()
    losses = objective(logits, targets, ref, entry_weight=weight).group_losses
    z, y, r, w = logits.tolist(), as_lists(targets), ref.tolist(), weight.tolist()
    first, _ = slow.privileged_loss(
        "cpo", z, r, y, PRIVILEGED, pairs="both", fallback="bce", weights=w
    )
    second, _ = slow.constraint_loss(z, r, y, OTHERS, slack=0.01, weights=w)
    assert losses.tolist() == pytest.approx([first, second], abs=1e-12)


def test_identity_of_algorithm_1():
    """With weights held, E[2 x gradient of the drawn group's draw] = sum_g a_g grad L_g."""
    logits, targets, ref = batch(seed=8, rows=5)
    moving = logits.clone().requires_grad_()
    objective = FairPOObjective(partition(), slack=0.01, weight_rule="fixed")
    output = objective(moving, targets, ref)
    (expected,) = torch.autograd.grad(output.loss, moving)
    weights = output.group_weights.tolist()
    z, y = logits.tolist(), as_lists(targets)
    draws = [[], []]
    for pair in slow.confusing_pairs(z, y, PRIVILEGED):
        i, l, k, _ = pair
        scores = torch.nn.functional.logsigmoid(moving[i]) - torch.nn.functional.logsigmoid(ref[i])
        draws[0].append(-torch.nn.functional.logsigmoid(scores[l] - scores[k]))
    for i, row in enumerate(y):
        for k in OTHERS:
            target = torch.tensor(float(row[k]))
            draws[1].append(
                (bce(moving[i, k], target) - bce(ref[i, k], target) - 0.01).clamp_min(0)
            )
    mean = torch.zeros_like(expected)
    for group in (0, 1):
        for value in draws[group]:
            (gradient,) = torch.autograd.grad(weights[group] * value, moving)
            mean += 0.5 * 2 * gradient / len(draws[group])
    torch.testing.assert_close(mean, expected)


def test_without_privileged_labels_only_the_constraint_is_left():
    logits, targets, ref = batch(seed=9)
    objective = FairPOObjective(LabelPartition.from_indices([], N_LABELS))
    output = objective(logits.clone().requires_grad_(), targets, ref)
    hinge, _ = slow.constraint_loss(
        logits.tolist(), ref.tolist(), as_lists(targets), range(N_LABELS), slack=0.01
    )
    assert output.group_weights.tolist() == [0.0, 1.0]
    assert output.loss.item() == pytest.approx(hinge, abs=1e-12)


@pytest.mark.parametrize("kind", ["dpo", "simpo", "cpo"])
def test_with_all_labels_privileged_the_loss_is_the_plain_preference_loss(kind):
    logits, targets, ref = batch(seed=10)
    groups = LabelPartition.from_indices(range(N_LABELS), N_LABELS)
    output = FairPOObjective(groups, preference=kind)(logits.requires_grad_(), targets, ref)
    expected, _ = slow.privileged_loss(
        kind, logits.tolist(), ref.tolist(), as_lists(targets), range(N_LABELS)
    )
    assert output.group_weights.tolist() == [1.0, 0.0]
    assert output.loss.item() == pytest.approx(expected, abs=1e-12)
    assert output.loss.item() == output.group_losses[0].item()


def test_simpo_with_all_labels_privileged_needs_no_reference():
    logits, targets, _ = batch(seed=11)
    groups = LabelPartition.from_indices(range(N_LABELS), N_LABELS)
    objective = FairPOObjective(groups, preference="simpo")
    assert not objective.needs_reference
    assert torch.isfinite(objective(logits.requires_grad_(), targets).loss)


def test_an_absent_group_does_not_move_the_weights():
    logits, targets, ref = batch(seed=12)
    targets[:, PRIVILEGED] = 0  # no privileged positive: no pair
    logits = logits + 1
    objective = FairPOObjective(partition(), step_size=1.0)
    output = objective(logits.requires_grad_(), targets, ref)
    assert output.group_losses[0].item() == 0.0
    assert output.group_losses[1].item() > 0.0
    assert output.group_weights.tolist() == [0.5, 0.5]
    output.loss.backward()
    assert torch.isfinite(logits.grad).all() and logits.grad.abs().sum() > 0
    # The same batch under CPO: its likelihood term has no entry either.
    cpo = FairPOObjective(partition(), preference="cpo", step_size=1.0)
    assert cpo(logits, targets, ref).group_weights.tolist() == [0.5, 0.5]


def test_a_satisfied_hinge_is_present_with_a_true_zero():
    logits, targets, _ = batch(seed=13)
    objective = FairPOObjective(partition(), step_size=1.0)
    output = objective(logits.requires_grad_(), targets, logits.detach())
    assert output.group_losses[1].item() == 0.0
    assert output.group_weights[0] > 0.5  # it counts as a group with loss 0


def test_the_loss_uses_the_stepped_weights():
    logits, targets, ref = batch(seed=14)
    objective = FairPOObjective(partition(), step_size=0.5)
    output = objective(logits.requires_grad_(), targets, ref)
    expected = slow.mirror_ascent([0.5, 0.5], output.group_losses.tolist(), 0.5)
    assert output.group_weights.tolist() == pytest.approx(expected, abs=1e-12)
    weighted = sum(a * b for a, b in zip(expected, output.group_losses.tolist(), strict=True))
    assert output.loss.item() == pytest.approx(weighted, abs=1e-12)


@pytest.mark.parametrize("quiet", ["eval", "no_grad"])
def test_nothing_changes_without_training(quiet):
    logits, targets, ref = batch(seed=15)
    objective = make_objective("fairpo-cpo", partition(), "paper-v2")
    before = {k: torch.as_tensor(v).clone() for k, v in objective.state_dict().items()}
    if quiet == "eval":
        objective.eval()(logits.requires_grad_(), targets, ref)
    else:
        with torch.no_grad():
            objective(logits, targets, ref)
    for name, value in objective.state_dict().items():
        assert torch.equal(torch.as_tensor(value), before[name]), name


def test_excess_rule_moves_by_the_same_quantity_for_every_group():
    logits, targets, ref = batch(seed=16, missing=0.2)
    objective = FairPOObjective(
        partition(), weight_rule="excess", step_size=0.5, slack=0.02, target_gain=0.1
    )
    weights = objective(logits.requires_grad_(), targets, ref).group_weights
    z, y, r = logits.tolist(), as_lists(targets), ref.tolist()
    gains = []
    for labels, target in ((PRIVILEGED, -0.1), (OTHERS, 0.02)):
        gains.append(slow.bce_loss(z, y, labels)[0] - slow.bce_loss(r, y, labels)[0] - target)
    expected = slow.mirror_ascent([0.5, 0.5], gains, 0.5)
    assert weights.tolist() == pytest.approx(expected, abs=1e-12)


def test_own_parts_are_passed_in():
    logits, targets, ref = batch(seed=17)

    def ipo(chosen, rejected, reference_chosen, reference_rejected):
        return (chosen - reference_chosen - rejected + reference_rejected - 0.5) ** 2

    def brier(logits, reference_logits, targets):
        return (torch.sigmoid(logits) - targets) ** 2

    objective = FairPOObjective(
        partition(),
        preference=ipo,
        constraint=brier,
        weight_rule=lambda losses: -losses,
        step_size=1.0,
    )
    output = objective(logits.requires_grad_(), targets, ref)
    z, y, r = logits.tolist(), as_lists(targets), ref.tolist()
    values = []
    for i, l, k, _ in slow.confusing_pairs(z, y, PRIVILEGED):
        s = [slow.log_sigmoid(z[i][j]) - slow.log_sigmoid(r[i][j]) for j in (l, k)]
        values.append((s[0] - s[1] - 0.5) ** 2)
    assert output.group_losses[0].item() == pytest.approx(sum(values) / len(values), abs=1e-12)
    entries = [
        (1 / (1 + 2.718281828459045 ** -z[i][k]) - y[i][k]) ** 2
        for i in range(len(y))
        for k in OTHERS
    ]
    assert output.group_losses[1].item() == pytest.approx(sum(entries) / len(entries), abs=1e-12)
    expected = slow.mirror_ascent([0.5, 0.5], output.group_losses.tolist(), -1.0)
    assert output.group_weights.tolist() == pytest.approx(expected, abs=1e-12)


def test_diagnostics():
    logits, targets, ref = batch(seed=18, missing=0.1)
    diagnostics = FairPOObjective(partition())(logits.requires_grad_(), targets, ref).diagnostics
    z, y = logits.tolist(), as_lists(targets)
    pairs = slow.confusing_pairs(z, y, PRIVILEGED)
    possible = sum(
        row[l] == 1 for row in y for l in PRIVILEGED for k in range(N_LABELS) if row[k] == 0
    )
    assert int(diagnostics.n_pairs) == len(pairs)
    assert float(diagnostics.confusing_share) == pytest.approx(len(pairs) / possible)
    chosen = [slow.log_sigmoid(z[i][l]) for i, l, _, _ in pairs]
    rejected = [slow.log_sigmoid(z[i][k]) for i, _, k, _ in pairs]
    assert float(diagnostics.chosen_log_score) == pytest.approx(sum(chosen) / len(chosen))
    assert float(diagnostics.rejected_log_score) == pytest.approx(sum(rejected) / len(rejected))
    silent = len(y) - len({i for i, *_ in pairs})
    assert float(diagnostics.no_signal_share) == pytest.approx(silent / len(y))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda o, z, y, r: o(z, y[:, :3], r), r"logits and targets must share one shape \(batch"),
        (lambda o, z, y, r: o(z, y, r[:2]), "reference_logits must have the shape of logits"),
        (lambda o, z, y, r: o(z, y), "reference_logits must be given: this objective compares"),
        (lambda o, z, y, r: o(z.long(), y, r), "logits must be floating point"),
        (lambda o, z, y, r: o(z, y, r, entry_weight=z[:2]), "entry_weight must have shape"),
    ],
)
def test_bad_calls_are_refused(call, message):
    with pytest.raises(FairPOValueError, match=message):
        call(FairPOObjective(partition()), *batch())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preference": "ppo"}, "preference must be 'dpo', 'simpo', 'cpo', 'bce' or a pair loss"),
        ({"constraint": "none"}, "constraint must be 'hinge', 'bce' or a function, got 'none'"),
        (
            {"weight_rule": "max"},
            "weight_rule must be 'raw', 'relative', 'excess' or 'fixed', got 'max'",
        ),
        ({"floor": 0.5}, r"floor must be in \[0, 1/2\) for 2 groups, got 0.5"),
    ],
)
def test_unknown_parts_are_refused(options, message):
    with pytest.raises(FairPOValueError, match=message):
        FairPOObjective(partition(), **options)
