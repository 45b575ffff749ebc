"""Objectives on sampled labels: the loops again, and unbiasedness by adding up every draw."""

import itertools

import numpy as np
import pytest
import torch

from fairpo import make_objective
from fairpo._checks import FairPOValueError
from fairpo.groups import LabelGroup, LabelGroups
from fairpo.objectives import FairPOObjective
from fairpo.objectives.sample import LabelSample, draw_labels
from tests import reference as slow
from tests.objectives.scenes import objective as any_objective

N_LABELS, N_ROWS = 11, 4
GROUPS = LabelGroups(
    [
        LabelGroup("tail", (0, 2, 7, 8), "improve"),
        LabelGroup("head", (1, 3, 5, 6, 10), "protect"),
        LabelGroup("ours", (2, 5, 9), "improve"),  # overlaps with both, and 4 is in no group
        LabelGroup("nobody", (), "protect"),
    ],
    N_LABELS,
)
FORMS = list(
    itertools.product(
        ["dpo", "simpo", "cpo"],
        ["negatives", "both"],
        ["entries", "positives"],
        ["positives", "entries"],
        [False, True],
    )
)
NUMBERS = {"beta": 0.7, "margin": 0.3, "nll_weight": 0.4}


def scene(weighted=False, missing=True):
    """Positives on five labels only, so that six are there to be drawn; one entry is missing."""
    generator = torch.Generator().manual_seed(3)
    shape = (N_ROWS, N_LABELS)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64)
    reference = logits + torch.randn(shape, generator=generator, dtype=torch.float64)
    targets = torch.zeros(shape, dtype=torch.float64)
    for row, label in [(0, 0), (0, 3), (1, 2), (1, 5), (2, 0), (3, 7)]:
        targets[row, label] = 1
    if missing:
        targets[2, 3], targets[3, 2] = -1, torch.nan
    weight = torch.rand(N_ROWS, 1, generator=generator, dtype=torch.float64)
    weight[1] = 0
    return logits, targets, reference, weight if weighted else None


def in_batch(targets):
    return (targets != 0).any(0).nonzero().squeeze(1).numpy()


def every_draw(targets, n_drawn):
    """Each set of labels that may be drawn; all are equally likely."""
    sure = in_batch(targets).tolist()
    others = [label for label in range(N_LABELS) if label not in sure]
    for drawn in itertools.combinations(others, n_drawn):
        weight = dict.fromkeys(sure, 1.0) | dict.fromkeys(drawn, len(others) / n_drawn)
        labels = torch.tensor(sorted(weight))
        yield LabelSample(labels, torch.tensor([weight[label] for label in labels.tolist()]))


def sampled_sums(objective, logits, targets, reference, weight, sample):
    columns = [part[:, sample.labels] for part in (logits, targets, reference)]
    return objective.sums(*columns, entry_weight=weight, sample=sample)


def objective_of(kind, pairs="negatives", reduction="positives", likelihood="positives", **more):
    return FairPOObjective(
        GROUPS,
        preference=kind,
        pairs=pairs,
        reduction=reduction,
        likelihood=likelihood,
        slack=0.05,
        weight_rule="excess",
        **NUMBERS,
        **more,
    )


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(map(str, form)))
def test_value_and_gradient_of_a_sample(form):
    kind, pairs, reduction, likelihood, weighted = form
    logits, targets, reference, weight = scene(weighted)
    sample = list(every_draw(targets, 2))[FORMS.index(form) % 15]
    of_label = dict(zip(sample.labels.tolist(), sample.weights.tolist(), strict=True))
    full_weight = None if weight is None else weight.expand(N_ROWS, N_LABELS)
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    objective = objective_of(kind, pairs, reduction, likelihood)
    sums = sampled_sums(objective, ours, targets, reference, weight, sample)
    output = objective.output(sums, sums)
    expected, excess = [], []
    for group in GROUPS.groups:
        if group.role == "improve":
            value, _ = slow.privileged_loss(
                kind,
                theirs,
                reference,
                targets,
                group.indices,
                pairs=pairs,
                reduction=reduction,
                likelihood=likelihood,
                weights=full_weight,
                sample=of_label,
                **NUMBERS,
            )
        else:
            value, _ = slow.constraint_loss(
                theirs,
                reference,
                targets,
                group.indices,
                slack=0.05,
                weights=full_weight,
                sample=of_label,
            )
        expected.append(torch.as_tensor(value, dtype=torch.float64))
        excess.append(
            slow.excess_loss(logits, reference, targets, group.indices, full_weight, of_label)
        )
    torch.testing.assert_close(output.group_losses, torch.stack(expected))
    for (value, count), total, counted in zip(excess, *sums.excess.tolist(), strict=True):
        assert counted == pytest.approx(count)
        assert total == pytest.approx(float(value) * count)
    output.loss.backward()
    torch.stack(expected).dot(output.group_weights).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


OBJECTIVES = {
    "dpo": lambda: objective_of("dpo"),
    "dpo both entries": lambda: objective_of("dpo", "both", "entries"),
    "simpo": lambda: objective_of("simpo"),
    "cpo": lambda: objective_of("cpo", likelihood="entries"),
    "group-dro-excess": lambda: make_objective("group-dro-excess", GROUPS),
    "bce": lambda: make_objective("bce", GROUPS),
    "bce-reweighted": lambda: make_objective("bce-reweighted", GROUPS),
    "asl": lambda: make_objective("asl", GROUPS),
    "focal": lambda: make_objective("focal", GROUPS),
    "bce-class-balanced": lambda: any_objective("bce-class-balanced", GROUPS),
    "bce-distribution-balanced": lambda: any_objective("bce-distribution-balanced", GROUPS),
}


@pytest.mark.parametrize("n_drawn", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_mean_over_every_draw_is_the_sum_over_all_labels(name, missing, weighted, n_drawn):
    """Not a statistical test: the expectation itself, of totals, gradient and excess."""
    logits, targets, reference, weight = scene(weighted, missing)
    objective = OBJECTIVES[name]()
    full = logits.clone().requires_grad_()
    whole = objective.sums(full, targets, reference, entry_weight=weight)
    objective.output(whole, whole).loss.backward()

    draws = list(every_draw(targets, n_drawn))
    moving = logits.clone().requires_grad_()
    parts = [
        sampled_sums(objective, moving, targets, reference, weight, sample) for sample in draws
    ]
    for part in parts:
        torch.testing.assert_close(part.counts, whole.counts, atol=1e-12, rtol=1e-12)
    for field in ("totals", "excess"):
        mean = torch.stack([getattr(part, field) for part in parts]).mean(0)
        torch.testing.assert_close(mean, getattr(whole, field), atol=1e-12, rtol=1e-6)
    watched = torch.stack([part.watched for part in parts]).mean(0)[:5]
    torch.testing.assert_close(watched, whole.watched[:5], atol=1e-12, rtol=1e-6)
    losses = [objective.output(part, part).loss for part in parts]
    torch.stack(losses).mean().backward()
    torch.testing.assert_close(moving.grad, full.grad, atol=1e-12, rtol=1e-6)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_sample_of_all_labels_is_the_whole(name):
    logits, targets, reference, weight = scene(weighted=True)
    objective, other = OBJECTIVES[name](), OBJECTIVES[name]()
    sample = draw_labels(in_batch(targets), N_LABELS, n_drawn=100, seed=0, step=0)
    assert sample.weights.tolist() == [1] * N_LABELS
    moving = logits.clone().requires_grad_()
    whole = objective(moving, targets, reference, entry_weight=weight)
    sampled = other(moving, targets, reference, entry_weight=weight, sample=sample)
    for ours, theirs in zip((*sampled[:3], *sampled[3]), (*whole[:3], *whole[3]), strict=True):
        torch.testing.assert_close(ours.double(), theirs.double(), equal_nan=True)
    for name_of, value in objective.state_dict().items():  # the group weights took the same step
        torch.testing.assert_close(value, other.state_dict()[name_of])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_parts_of_a_step_add_up_and_counts_are_known_before(name):
    logits, targets, reference, weight = scene(weighted=True)
    objective = OBJECTIVES[name]()
    sample = list(every_draw(targets, 2))[3]
    whole = sampled_sums(objective, logits, targets, reference, weight, sample)
    parts = [
        sampled_sums(objective, logits[at], targets[at], reference[at], weight[at], sample)
        for at in (slice(0, 1), slice(1, 4))
    ]
    added = parts[0] + parts[1]
    torch.testing.assert_close(added.as_vector(), whole.as_vector())
    known = objective.known_counts(targets[:, sample.labels], weight, sample)
    torch.testing.assert_close(known, whole.counts, check_dtype=False)


def test_a_group_that_is_missing_altogether_is_absent():
    logits, targets, reference, _ = scene(missing=False)
    targets[:, list(GROUPS.groups[1].indices)] = -1
    weight = torch.tensor([[0.1], [0.7], [0.3], [1.9]], dtype=torch.float64)
    objective = objective_of("dpo")
    sample = next(every_draw(targets, 1))
    sums = sampled_sums(objective, logits, targets, reference, weight, sample)
    assert sums.counts[-1, 1] == 0
    assert sums.excess[1, 1] == 0


def test_gradcheck():
    logits, targets, reference, weight = scene(weighted=True)
    sample = next(every_draw(targets, 2))
    objective = objective_of("cpo", likelihood="entries").eval()
    columns = [part[:, sample.labels] for part in (logits, targets, reference)]

    def loss(z):
        return objective(z, *columns[1:], entry_weight=weight, sample=sample).loss

    assert torch.autograd.gradcheck(loss, columns[0].requires_grad_())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": "pairs"}, "reduction must be 'positives' or 'entries' where labels are"),
        ({"sampling": "one"}, "sampling must be 'all' where labels are sampled, got 'one'"),
        ({"fallback": "bce"}, "fallback must be 'none' where labels are sampled, got 'bce'"),
    ],
)
def test_what_a_sample_cannot_tell_is_refused(options, message):
    logits, targets, reference, _ = scene()
    objective = FairPOObjective(GROUPS, **{"reduction": "positives"} | options)
    with pytest.raises(FairPOValueError, match=message):
        sampled_sums(objective, logits, targets, reference, None, next(every_draw(targets, 2)))


def test_samples_and_weights_that_do_not_fit_are_refused():
    logits, targets, reference, _ = scene()
    objective = objective_of("dpo")
    sample = next(every_draw(targets, 2))
    with pytest.raises(FairPOValueError, match="a weight for each of the 11 columns"):
        objective.sums(logits, targets, reference, sample=sample)
    weight = torch.ones(N_ROWS, len(sample.labels), dtype=torch.float64)
    with pytest.raises(FairPOValueError, match=r"entry_weight must have shape \(4, 1\) where"):
        sampled_sums(objective, logits, targets, reference, weight, sample)
    raised = sample._replace(weights=torch.full_like(sample.weights, 2.0))
    with pytest.raises(FairPOValueError, match="positive or missing in the batch with weight 1"):
        sampled_sums(objective, logits, targets, reference, None, raised)


# --- the draw ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_drawn", [1, 2, 5, 8])
def test_every_set_of_the_other_labels_is_equally_likely(n_drawn):
    sure = np.array([0, 3, 4, 9])
    others = np.setdiff1d(np.arange(13), sure)
    sets = dict.fromkeys(itertools.combinations(others.tolist(), n_drawn), 0)
    n_draws = 40 * len(sets) + 2000
    for step in range(n_draws):
        labels, weights = draw_labels(sure, 13, n_drawn, seed=1, step=step)
        drawn = tuple(np.setdiff1d(labels.numpy(), sure).tolist())
        sets[drawn] += 1
        assert (np.diff(labels.numpy()) > 0).all()
        expected = [1.0 if label in sure else 9 / n_drawn for label in labels.tolist()]
        np.testing.assert_allclose(weights.numpy(), expected)
    counts = np.array(list(sets.values()))
    expected = n_draws / len(sets)
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    freedom = len(sets) - 1
    assert abs(chi_squared - freedom) < 4 * np.sqrt(2 * freedom)


def test_a_draw_is_a_function_of_seed_and_step():
    sure = np.array([5, 77])
    first = draw_labels(sure, 10**6, 100, seed=0, step=3)
    assert torch.equal(first.labels, draw_labels(sure, 10**6, 100, seed=0, step=3).labels)
    for seed, step in ((0, 4), (1, 3)):
        other = draw_labels(sure, 10**6, 100, seed=seed, step=step)
        assert len(np.intersect1d(first.labels, other.labels)) < 10
    assert first.labels.dtype == torch.int64
    assert len(first.labels) == 102
    assert first.to("cpu").weights.sum() == pytest.approx(10**6)


@pytest.mark.parametrize("sure", [[], [0], [12], [0, 1, 2], list(range(13))])
def test_in_batch_labels_at_the_edges(sure):
    for n_drawn in (1, 4, 13, 50):
        labels, weights = draw_labels(np.array(sure, dtype=np.int64), 13, n_drawn, seed=0, step=1)
        assert set(sure) <= set(labels.tolist())
        assert len(set(labels.tolist())) == min(13, len(sure) + n_drawn)
        assert set(labels.tolist()) <= set(range(13))
        assert weights.sum() == pytest.approx(13)


def test_no_draw_at_all_is_refused():
    with pytest.raises(FairPOValueError, match="n_drawn must be at least 1, got 0"):
        draw_labels(np.array([1]), 10, 0, seed=0, step=0)


@pytest.mark.parametrize("in_batch", [[3, 1], [2, 2], [-1, 4], [4, 10]])
def test_in_batch_labels_that_do_not_ascend_in_the_label_space_are_refused(in_batch):
    with pytest.raises(FairPOValueError, match="in_batch must hold label numbers from 0 to 9, asc"):
        draw_labels(np.array(in_batch), 10, 2, seed=0, step=0)
