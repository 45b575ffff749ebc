"""Objectives over pairs of completions, against slow loops written from Eq. 20-21."""

import math

import pytest
import torch

from fairpo._checks import FairPOValueError
from fairpo.groups import LabelGroup, LabelGroups, LabelPartition
from fairpo.objectives.pair_catalogue import (
    get_pair_method,
    make_pair_objective,
    pair_method_names,
)
from fairpo.objectives.pairs import CompletionScores, FairPOPairObjective, MeanPairObjective
from tests.reference import log_sigmoid, mirror_ascent

NAMES = ("helpful", "harmless", "short", "polite")
GROUPS = LabelPartition.from_names(["harmless", "polite"], NAMES)


def batch(n=12, seed=0, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)

    def log_probs():
        return -20 * torch.rand(n, generator=draw, dtype=dtype) - 5

    lengths = torch.randint(1, 9, (2, n), generator=draw)
    chosen, rejected = (
        CompletionScores(log_probs(), lengths[0]),
        CompletionScores(log_probs(), lengths[1]),
    )
    attributes = torch.randint(0, len(NAMES), (n,), generator=draw)
    return chosen, rejected, attributes, (log_probs(), log_probs())


def slow(method, chosen, rejected, attributes, reference, groups=GROUPS, **options):
    """Group losses, one pair at a time."""
    o = {"beta": 0.1, "slack": 0.01, "margin": 0.5, "nll_weight": 1.0, **options}
    held = o.get("constraint_beta", o["beta"])
    losses = []
    for group in groups.groups:
        preference, likelihood, tokens, count = 0.0, 0.0, 0, 0
        for i in range(len(attributes)):
            if int(attributes[i]) not in group.indices:
                continue
            won, lost = chosen.log_probs[i], rejected.log_probs[i]
            h = (won - reference[0][i]) - (lost - reference[1][i])
            count += 1
            if method == "sft":
                likelihood = likelihood - won
                tokens += int(chosen.lengths[i])
            elif group.role == "protect":
                loss = -log_sigmoid(held * h)
                if method not in ("dpo", "group-dro") and "no-constraint" not in method:
                    loss = max(loss - math.log(2) - o["slack"], 0 * loss)
                preference = preference + loss
            elif "simpo" in method:
                gap = won / int(chosen.lengths[i]) - lost / int(rejected.lengths[i])
                preference = preference - log_sigmoid(o["beta"] * gap - o["margin"])
            elif "cpo" in method:
                preference = preference - log_sigmoid(o["beta"] * (won - lost))
                likelihood = likelihood - won
                tokens += int(chosen.lengths[i])
            else:
                preference = preference - log_sigmoid(o["beta"] * h)
        mean = preference / count if count else 0.0
        if tokens:
            weight = 1.0 if method == "sft" else o["nll_weight"]
            mean = mean + weight * likelihood / tokens
        losses.append(mean)
    return losses


SIMPO = {"beta": 2.0, "constraint_beta": 0.1}


@pytest.mark.parametrize("method", pair_method_names())
def test_group_losses_and_gradients_are_those_of_the_loops(method):
    chosen, rejected, attributes, reference = batch()
    moving = [scores.log_probs.clone().requires_grad_() for scores in (chosen, rejected)]
    slowly = [scores.log_probs.clone().requires_grad_() for scores in (chosen, rejected)]
    objective = make_pair_objective(method, GROUPS, step_size=0.5)
    output = objective(
        CompletionScores(moving[0], chosen.lengths),
        CompletionScores(moving[1], rejected.lengths),
        attributes,
        reference,
    )
    expected = slow(
        method,
        CompletionScores(slowly[0], chosen.lengths),
        CompletionScores(slowly[1], rejected.lengths),
        attributes,
        reference,
        **(SIMPO if "simpo" in method else {}),
    )
    for ours, theirs in zip(output.group_losses, expected, strict=True):
        assert float(ours.detach()) == pytest.approx(
            float(torch.as_tensor(theirs).detach()), abs=1e-12
        )
    (output.group_weights * torch.stack([torch.as_tensor(e) for e in expected])).sum().backward()
    output.loss.backward()
    if get_pair_method(method).mean_of != "sft":  # its weights are shares of tokens: tested below
        for ours, theirs in zip(moving, slowly, strict=True):
            assert torch.allclose(ours.grad, theirs.grad, atol=1e-12)


@pytest.mark.parametrize("rule", ["raw", "excess"])
def test_weights_move_as_those_of_the_loops(rule):
    objective = make_pair_objective("fairpo-dpo", GROUPS, weight_rule=rule, step_size=0.7)
    weights = [0.5, 0.5]
    for seed in range(4):
        pairs = batch(seed=seed)
        output = objective(*(_moving(part) for part in pairs[:2]), *pairs[2:])
        gains = slow("fairpo-dpo", *pairs)
        if rule == "excess":
            plain = slow("group-dro", *pairs)
            targets = [0.0 if g.role == "improve" else 0.01 for g in GROUPS.groups]
            gains = [float(p) - math.log(2) - t for p, t in zip(plain, targets, strict=True)]
        weights = mirror_ascent(weights, [float(g) for g in gains], 0.7)
        assert output.group_weights.tolist() == pytest.approx(weights, abs=1e-12)


def _moving(scores):
    return CompletionScores(scores.log_probs.clone().requires_grad_(), scores.lengths)


def test_the_reference_pays_log_2_and_protected_pairs_nothing():
    chosen, rejected, attributes, _ = batch()
    policy = _moving(chosen), _moving(rejected)
    output = make_pair_objective("fairpo-dpo", GROUPS)(
        *policy, attributes, (chosen.log_probs, rejected.log_probs)
    )
    assert output.group_losses.tolist() == pytest.approx([math.log(2), 0.0])
    output.loss.backward()
    held = ~torch.isin(attributes, torch.from_numpy(GROUPS.privileged))
    assert policy[0].log_probs.grad[held].abs().max() == 0
    assert policy[0].log_probs.grad[~held].abs().min() > 0


@pytest.mark.parametrize("form", ["dpo", "simpo", "cpo"])
def test_with_every_attribute_privileged_it_is_the_plain_loss(form):
    everything = LabelPartition.from_indices(range(4), 4)
    chosen, rejected, attributes, reference = batch()
    objective = make_pair_objective(f"fairpo-{form}", everything)
    output = objective(chosen, rejected, attributes, reference)
    assert objective.needs_reference == (form == "dpo")
    if form == "dpo":
        plain = MeanPairObjective(everything, "dpo")
        assert torch.equal(output.loss, plain(chosen, rejected, attributes, reference).loss)
    alone = objective.eval()(chosen, rejected, attributes, None if form != "dpo" else reference)
    assert torch.equal(alone.loss, output.loss)
    assert output.group_weights.tolist() == [1, 0]


@pytest.mark.parametrize("method", ["sft", "dpo", "fairpo-dpo", "fairpo-cpo"])
def test_parts_of_a_step_add_up(method):
    chosen, rejected, attributes, reference = batch()
    whole = make_pair_objective(method, GROUPS).eval()
    together = whole(chosen, rejected, attributes, reference)
    parts = []
    for rows in (slice(0, 5), slice(5, 12)):
        scores = [CompletionScores(s.log_probs[rows], s.lengths[rows]) for s in (chosen, rejected)]
        old = tuple(r[rows] for r in reference)
        parts.append(whole.sums(*scores, attributes[rows], old))
    added = parts[0] + parts[1]
    loss = sum(whole.output(part, added).loss for part in parts)
    assert float(loss) == pytest.approx(float(together.loss), abs=1e-12)
    report = whole.output(added, added)
    assert torch.allclose(
        torch.stack(report.diagnostics), torch.stack(together.diagnostics), equal_nan=True
    )
    known = [
        whole.known_counts(chosen.lengths[r], attributes[r]) for r in (slice(0, 5), slice(5, 12))
    ]
    assert torch.equal(known[0] + known[1], added.counts.to(known[0].dtype))


def test_what_is_watched():
    chosen, rejected, attributes, reference = batch(n=40)
    objective = make_pair_objective("fairpo-dpo", GROUPS, attribute_names=NAMES)
    output = objective(chosen, rejected, attributes, reference)
    watched = dict(zip(objective.diagnostic_keys, output.diagnostics, strict=True))
    won = 0.1 * (chosen.log_probs - reference[0])
    lost = 0.1 * (rejected.log_probs - reference[1])
    for name, members in {
        "": range(4),
        "/privileged": [1, 3],
        "/non_privileged": [0, 2],
        "/attributes/short": [2],
    }.items():
        rows = torch.isin(attributes, torch.tensor(list(members)))
        expected = {
            "rewards/chosen": won,
            "rewards/rejected": lost,
            "rewards/accuracies": (won > lost).double(),
            "rewards/margins": won - lost,
            "logps/chosen": chosen.log_probs,
            "logps/rejected": rejected.log_probs,
        }
        for key, values in expected.items():
            assert float(watched[key + name]) == pytest.approx(float(values[rows].mean()))


def test_an_attribute_without_pairs_and_a_group_without_attributes():
    chosen, rejected, attributes, reference = batch()
    for groups in (
        LabelPartition.from_indices([], 4),
        LabelGroups(
            [
                LabelGroup("a", (0, 1), "improve"),
                LabelGroup("b", (2,), "protect"),
                LabelGroup("c", (3,), "improve"),
            ],
            4,
        ),
    ):
        objective = make_pair_objective("fairpo-dpo", groups, step_size=1.0)
        only = torch.zeros_like(attributes) + 2
        output = objective(_moving(chosen), _moving(rejected), only, reference)
        assert torch.isfinite(output.loss)
        assert torch.isfinite(output.group_weights).all()
        assert output.group_losses[0] == 0


def test_groups_may_be_one_an_attribute():
    groups = LabelGroups(
        [
            LabelGroup(name, (index,), "improve" if name == "harmless" else "protect")
            for index, name in enumerate(NAMES)
        ],
        4,
    )
    pairs = batch()
    output = make_pair_objective("fairpo-dpo", groups)(*pairs)
    expected = slow("fairpo-dpo", *pairs, groups=groups)
    assert output.group_losses.tolist() == pytest.approx([float(loss) for loss in expected])


def test_half_precision_is_computed_in_full():
    chosen, rejected, attributes, reference = batch(dtype=torch.float32)
    half = [CompletionScores(s.log_probs.bfloat16(), s.lengths) for s in (chosen, rejected)]
    output = make_pair_objective("fairpo-dpo", GROUPS)(*half, attributes, reference)
    assert output.loss.dtype == torch.float32
    assert torch.isfinite(output.loss)


@pytest.mark.parametrize("method", ["dpo", "fairpo-dpo", "fairpo-simpo", "fairpo-cpo", "sft"])
def test_gradcheck(method):
    chosen, rejected, attributes, reference = batch(n=5)
    objective = make_pair_objective(method, GROUPS).eval()

    def loss(won, lost):
        scores = CompletionScores(won, chosen.lengths), CompletionScores(lost, rejected.lengths)
        return objective(*scores, attributes, reference).loss

    inputs = (chosen.log_probs.requires_grad_(), rejected.log_probs.requires_grad_())
    assert torch.autograd.gradcheck(loss, inputs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_pair_objective("fairpo-dbo", GROUPS), "Did you mean 'fairpo-dpo'"),
        (
            lambda: make_pair_objective("fairpo-dpo", GROUPS, loss_type="ipo"),
            "loss_type must be 'sigmoid', got 'ipo'.*bound of Eq. 21",
        ),
        (lambda: make_pair_objective("dpo", GROUPS, betta=1), "options of dpo. Did you mean 'b"),
        (
            lambda: make_pair_objective("fairpo-dpo/fixed-weights", GROUPS, weight_rule="raw"),
            "weight_rule must not be set for",
        ),
        (lambda: make_pair_objective("dpo", [0]), "groups must be LabelGroups"),
        (lambda: FairPOPairObjective(GROUPS, "ipo"), "preference must be 'dpo', 'simpo' or 'cpo'"),
        (lambda: FairPOPairObjective(GROUPS, constraint="x"), "constraint must be 'hinge' or"),
        (lambda: MeanPairObjective(GROUPS, "x"), "loss must be 'dpo' or 'sft'"),
        (
            lambda: make_pair_objective("dpo", GROUPS)(*batch()[:3]),
            "reference log-probabilities must be given",
        ),
        (
            lambda: make_pair_objective("dpo", GROUPS)(batch()[0], None, *batch()[2:]),
            "rejected must be given",
        ),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(FairPOValueError, match=message):
        make()


def test_sft_is_a_mean_over_tokens_and_reads_the_chosen_alone():
    chosen, _, attributes, _ = batch()
    output = make_pair_objective("sft", GROUPS)(chosen, None, attributes)
    expected = -chosen.log_probs.sum() / chosen.lengths.sum()
    assert float(output.loss) == pytest.approx(float(expected))
    assert output.group_weights.sum() == pytest.approx(1)
