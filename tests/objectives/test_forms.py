"""Every form of the privileged loss, value and gradient, against ``backward`` through the loops.

Two improved groups overlap, one label is in no group, some targets are missing (-1 and NaN), and
for half of the forms the entries have weights.
"""

import itertools

import pytest
import torch

from fairpo._random import Draw
from fairpo.group_weights import GroupWeights
from fairpo.groups import LabelGroup, LabelGroups
from fairpo.losses.confusing import (
    confusing_negatives,
    confusing_positives,
    draw_one_pair,
    join_pairs,
    privileged_positives,
)
from fairpo.objectives import FairPOObjective, make_objective
from tests import reference as slow
from tests.objectives.scenes import N_LABELS, PRIVILEGED, batch, partition

GROUPS = LabelGroups(
    [
        LabelGroup("tail", (0, 2), "improve"),
        LabelGroup("head", (3, 5, 6), "protect"),
        LabelGroup("ours", (2, 5), "improve"),  # 2 is improved twice, 5 improved and protected
        LabelGroup("nobody", (), "protect"),
    ],
    N_LABELS,
)
FORMS = [
    form
    for form in itertools.product(
        ["dpo", "simpo", "cpo"],
        ["negatives", "both"],
        ["all", "one"],
        ["none", "bce"],
        ["pairs", "entries", "positives"],
        ["positives", "entries"],
        ["log-probability", "log-odds"],
    )
    if form[0] == "cpo" or form[5] == "positives"
]
NUMBERS = {"beta": 0.7, "margin": 0.3, "nll_weight": 0.4}


def scene(seed, weighted):
    """A batch in which every group has something to learn from: the first after ``seed``."""
    for attempt in itertools.count(100 * seed):
        logits, targets, ref = batch(seed=attempt, rows=5, missing=0.2)
        improved = (GROUPS.groups[g].indices for g in (0, 2))
        if all(slow.confusing_pairs(logits, targets, labels) for labels in improved):
            break
    targets[0, targets[0] < 0] = torch.nan
    generator = torch.Generator().manual_seed(seed)
    weight = torch.rand(logits.shape, generator=generator, dtype=torch.float64)
    return logits, targets, ref, weight if weighted else None


def drawn_labels(logits, targets, pairs, seed):
    """What the objective will draw in its first step: {(row, owner): confusing label}."""
    privileged = torch.tensor(sorted({label for g in (0, 2) for label in GROUPS.groups[g].indices}))
    found = confusing_negatives(logits, targets, *privileged_positives(targets, privileged))
    if pairs == "both":
        found = join_pairs(found, confusing_positives(logits, targets, privileged))
    drawn = draw_one_pair(found, logits.shape, Draw(seed, torch.tensor(0)))
    columns = zip(*(part.tolist() for part in drawn[:4]), strict=True)
    return {(i, owner): preferred + rejected - owner for i, preferred, rejected, owner in columns}


@pytest.mark.parametrize("form", FORMS, ids="-".join)
def test_value_and_gradient(form):
    kind, pairs, sampling, fallback, reduction, likelihood, space = form
    logits, targets, ref, weight = scene(FORMS.index(form), weighted=FORMS.index(form) % 2 == 0)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    options = {"pairs": pairs, "fallback": fallback, "reduction": reduction}
    options |= {"likelihood": likelihood, **NUMBERS}
    objective = FairPOObjective(
        GROUPS,
        preference=kind,
        sampling=sampling,
        score_space=space,
        slack=0.05,
        seed=3,
        step_size=0.5,
        **options,
    )
    output = objective(ours, targets, ref, entry_weight=weight)
    output.loss.backward()

    choose = None
    if sampling == "one":
        drawn = drawn_labels(logits, targets, pairs, seed=3)

        def choose(i, label, found):
            assert drawn[i, label] in found
            return drawn[i, label]

    expected, counts = [], []
    for group in GROUPS.groups:
        if group.role == "improve":
            value, count = slow.privileged_loss(
                kind,
                theirs,
                ref,
                targets,
                group.indices,
                space=space,
                weights=weight,
                choose=choose,
                **options,
            )
        else:
            value, count = slow.constraint_loss(
                theirs, ref, targets, group.indices, slack=0.05, weights=weight
            )
        expected.append(value)
        counts.append(count)
    assert all(counts[:3])
    weights = slow.mirror_ascent([1 / 3] * 3, [slow.plain(value) for value in expected[:3]], 0.5)
    sum(a * value for a, value in zip(weights, expected[:3], strict=True)).backward()

    assert output.group_losses.tolist() == pytest.approx(
        [slow.plain(value) for value in expected], abs=1e-12
    )
    assert output.group_weights.tolist() == pytest.approx([*weights, 0.0], abs=1e-12)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-12)


def test_the_presets_are_the_two_columns_of_the_method():
    """paper-v1 and paper-v2 as calls of the loops, with nothing but method.md's numbers."""
    columns = {
        "paper-v1": ({"beta": 1.0, "nll_weight": 1.0}, 0.01),
        "paper-v2": (
            {
                "beta": 0.5,
                "nll_weight": 0.5,
                "pairs": "both",
                "fallback": "bce",
                "reduction": "entries",
                "likelihood": "entries",
            },
            0.05,
        ),
    }
    others = [label for label in range(N_LABELS) if label not in PRIVILEGED]
    for preset, (options, slack) in columns.items():
        for kind in ("dpo", "simpo", "cpo"):
            logits, targets, ref = batch(seed=30)
            objective = make_objective(f"fairpo-{kind}", partition(), preset, sampling="all")
            losses = objective.eval()(logits, targets, ref).group_losses.tolist()
            expected, _ = slow.privileged_loss(kind, logits, ref, targets, PRIVILEGED, **options)
            hinge, _ = slow.constraint_loss(logits, ref, targets, others, slack=slack)
            assert losses == pytest.approx([expected.item(), hinge.item()], abs=1e-12)


def test_missing_targets_change_nothing_whatever_their_logits():
    logits, targets, ref, _ = scene(5, weighted=False)
    moved = torch.where(targets >= 0, logits, -50 * logits)
    for name in ("fairpo-dpo", "fairpo-simpo", "fairpo-cpo", "group-dro", "bce-reweighted"):
        for preset in ("paper-v1", "paper-v2"):
            first, second = (
                make_objective(name, partition(), preset)(z, targets, ref) for z in (logits, moved)
            )
            assert torch.equal(first.group_losses, second.group_losses)
            assert torch.equal(first.loss, second.loss)
            torch.testing.assert_close(
                first.diagnostics, second.diagnostics, rtol=0, atol=0, equal_nan=True
            )


def test_an_entry_weight_of_zero_is_a_missing_target_for_its_own_entry():
    """The entry is out of every sum; as a confusing label of another entry it stays."""
    logits, targets, ref = batch(seed=6)
    keep = torch.zeros_like(logits)
    keep[2:, :] = 1  # whole examples out: here both readings are one
    moving = logits.clone().requires_grad_()
    output = FairPOObjective(partition()).eval()(moving, targets, ref, entry_weight=keep)
    alone = FairPOObjective(partition()).eval()(logits[2:], targets[2:], ref[2:])
    torch.testing.assert_close(output.group_losses, alone.group_losses)
    assert output.diagnostics.n_pairs == alone.diagnostics.n_pairs
    output.loss.backward()
    assert moving.grad[:2].count_nonzero() == 0
    assert moving.grad[2:].count_nonzero() > 0


@pytest.mark.parametrize("name", ["fairpo-dpo", "fairpo-simpo", "fairpo-cpo", "group-dro"])
def test_identity_of_algorithm_1_entry_by_entry(name):
    """One entry of a group drawn by its ``entry_weight``: E[2 x gradient] = the batch gradient.

    Under the reductions that divide by entries every draw of an entry is one call; the mean over
    pairs is a ratio, so there a pair has to be drawn (``test_identity_of_algorithm_1``).
    """
    logits, targets, ref = batch(seed=8, rows=3, missing=0.1)
    options = {"pairs": "both", "fallback": "bce", "reduction": "entries", "likelihood": "entries"}
    objective = make_objective(name, partition(), step_size=0.0, **options)
    moving = logits.clone().requires_grad_()
    (expected,) = torch.autograd.grad(objective(moving, targets, ref).loss, moving)
    mean = torch.zeros_like(expected)
    for labels in (PRIVILEGED, [label for label in range(N_LABELS) if label not in PRIVILEGED]):
        entries = [(i, k) for i in range(3) for k in labels if targets[i, k] >= 0]
        for i, k in entries:
            drawn = torch.zeros_like(logits)
            drawn[i, k] = 1
            loss = objective(moving, targets, ref, entry_weight=drawn).loss
            (gradient,) = torch.autograd.grad(loss, moving)
            mean += 0.5 / len(entries) * 2 * gradient
    torch.testing.assert_close(mean, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("fallback", ["none", "bce"])
@pytest.mark.parametrize("kind", ["dpo", "simpo"])
def test_a_group_whose_denominator_is_zero_is_absent_even_if_it_has_pairs(kind, fallback):
    """No privileged positive: under "positives" the pairs of the negatives have no mean."""
    logits, targets, ref = batch(seed=7)
    targets[:, PRIVILEGED] = 0
    options = {"pairs": "both", "reduction": "positives", "fallback": fallback}
    objective = FairPOObjective(partition(), preference=kind, step_size=1.0, **options)
    moving = logits.clone().requires_grad_()
    output = objective(moving, targets, ref)
    assert int(output.diagnostics.n_pairs) > 0
    assert output.group_losses[0].item() == 0.0
    assert output.group_weights.tolist() == [0.5, 0.5]
    (gradient,) = torch.autograd.grad(output.group_losses[0], moving)
    assert gradient.count_nonzero() == 0


def test_positives_reduction_counts_a_flipped_pair_as_zero():
    """Failure 4 of method.md: the mean over current pairs is above log 2 until S is empty."""
    targets = torch.tensor([[1, 1, 0, 0, 0, 0, 0]])
    groups = partition().__class__.from_indices([0, 1], N_LABELS)
    ref = torch.zeros(1, N_LABELS, dtype=torch.float64)
    before = torch.tensor([[0.0, 0.0, 1, -9, -9, -9, -9]], dtype=torch.float64)
    after = before.clone()
    after[0, 0] = 5.0  # one of the two pairs is flipped
    losses = {}
    for reduction in ("pairs", "positives"):
        objective = FairPOObjective(groups, preference="simpo", reduction=reduction).eval()
        losses[reduction] = [
            objective(z, targets, ref).group_losses[0].item() for z in (before, after)
        ]
    assert losses["pairs"][0] == pytest.approx(losses["pairs"][1])
    assert losses["positives"][1] == pytest.approx(losses["positives"][0] / 2)


@pytest.mark.parametrize("name", ["fairpo-dpo", "fairpo-cpo", "group-dro", "bce"])
@pytest.mark.parametrize("scale", [1.0, 2.0**16, 1e-6])
def test_a_scaled_loss_with_absent_groups_has_a_finite_gradient(name, scale):
    """A gradient scaler multiplies the loss; an absent group must stay a zero, not inf * 0."""
    for absent in (PRIVILEGED, [1, 3, 4, 6], range(N_LABELS)):
        logits, targets, ref = batch(seed=9, dtype=torch.float32)
        targets[:, list(absent)] = -1
        (
            scale * make_objective(name, partition())(logits.requires_grad_(), targets, ref).loss
        ).backward()
        assert logits.grad.isfinite().all()
        assert logits.grad[targets < 0].count_nonzero() == 0


def test_a_batch_of_no_rows_is_finite_and_holds_the_weights():
    for name in ("fairpo-dpo", "fairpo-cpo", "group-dro-excess", "bce-reweighted"):
        for preset in ("paper-v1", "paper-v2"):
            empty = torch.zeros(0, N_LABELS, requires_grad=True)
            output = make_objective(name, partition(), preset)(
                empty, torch.zeros(0, N_LABELS), empty
            )
            output.loss.backward()
            assert output.loss.item() == 0.0
            if name != "bce-reweighted":
                assert output.group_weights.tolist() == [0.5, 0.5]


def test_a_batch_and_a_label_space_of_one():
    groups = partition().__class__.from_indices([0], 1)
    logits = torch.zeros(1, 1, requires_grad=True)
    output = make_objective("fairpo-dpo", groups, fallback="bce")(
        logits, torch.ones(1, 1), torch.zeros(1, 1)
    )
    output.loss.backward()
    assert output.group_weights.tolist() == [1.0, 0.0]
    assert logits.grad.item() == pytest.approx(-0.5)


def test_all_positive_rows_have_no_pair():
    logits, targets, ref = batch(seed=10)
    output = FairPOObjective(partition(), step_size=1.0)(
        logits.requires_grad_(), torch.ones_like(targets), ref
    )
    assert int(output.diagnostics.n_pairs) == 0
    assert output.diagnostics.no_signal_share.item() == 1.0
    assert output.diagnostics.confusing_share.isnan()
    assert output.group_losses[0].item() == 0.0
    assert output.group_weights.tolist() == [0.5, 0.5]


def test_excess_presence_is_by_entries_and_not_by_pairs():
    """Under excess a group without a pair still has its cross-entropy, so its weight moves."""
    logits, targets, ref = batch(seed=11)
    targets[:, PRIVILEGED] = 0
    objective = FairPOObjective(partition(), weight_rule="excess", step_size=0.5, slack=0.01)
    output = objective(logits.requires_grad_(), targets, ref)
    z, r = logits.detach(), ref
    others = [1, 3, 4, 6]
    gains = [
        (slow.bce_loss(z, targets, labels)[0] - slow.bce_loss(r, targets, labels)[0]).item()
        - target
        for labels, target in ((PRIVILEGED, 0.0), (others, 0.01))
    ]
    assert output.group_losses[0].item() == 0.0
    assert output.group_weights.tolist() == pytest.approx(
        slow.mirror_ascent([0.5, 0.5], gains, 0.5), abs=1e-12
    )


def test_a_group_with_all_its_targets_missing_is_absent_under_excess():
    logits, targets, ref = batch(seed=12)
    targets[:, PRIVILEGED] = -1
    objective = FairPOObjective(partition(), weight_rule="excess", step_size=0.5)
    assert objective(logits.requires_grad_(), targets, ref).group_weights.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_several_steps_are_the_product_form_with_a_floor(floor):
    objective = FairPOObjective(partition(), preference="cpo", step_size=0.8, floor=floor)
    weights, seen = [0.5, 0.5], []
    for seed in range(6):
        logits, targets, ref = batch(seed=seed)
        output = objective(logits.requires_grad_(), targets, ref)
        weights = slow.mirror_ascent(weights, output.group_losses.tolist(), 0.8)
        weights = [floor + (1 - 2 * floor) * a for a in weights]
        seen.append(weights)
        assert output.group_weights.tolist() == pytest.approx(weights, abs=1e-12)
    means = [sum(column) / 6 for column in zip(*seen, strict=True)]
    assert objective.group_weights.mean_weights.tolist() == pytest.approx(means, abs=1e-12)


def test_weights_with_a_floor_sum_to_one_after_many_steps():
    """Rounding must not add up: the floor is applied in the precision of the weights."""
    weights = GroupWeights(2, step_size=1e-3, floor=0.1)
    present = torch.tensor([True, True])
    for _ in range(2000):
        weights.step(torch.tensor([0.7, 0.0]), present)
    assert weights().sum().item() == pytest.approx(1, abs=1e-12)


def test_relative_rule_over_batches_with_an_absent_group():
    objective = make_objective("fairpo-cpo", partition(), "paper-v2")
    losses, seen = [], []
    for seed in range(8):
        logits, targets, ref = batch(seed=20 + seed)
        if seed in (0, 4):
            targets[:, PRIVILEGED] = -1
        output = objective(logits.requires_grad_(), targets, ref)
        values = output.group_losses.tolist()
        losses.append([None if seed in (0, 4) else values[0], values[1]])
        seen.append(output.group_weights.tolist())
    expected = slow.relative_rule([0.5, 0.5], losses, 0.05)
    for ours, theirs in zip(seen, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-9)
