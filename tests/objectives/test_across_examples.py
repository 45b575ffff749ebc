import math

import pytest
import torch

from fairpo._checks import FairPOValueError
from fairpo.groups import LabelPartition
from fairpo.objectives.across_examples import AcrossExamplesObjective
from fairpo.training.competition import measure_competition
from tests import reference as slow

N_ROWS, N_LABELS, PRIVILEGED = 24, 5, [1, 3]


def scene(seed=0, missing=0.0):
    generator = torch.Generator().manual_seed(seed)
    shape = (N_ROWS, N_LABELS)
    reference = torch.randn(shape, generator=generator, dtype=torch.float64)
    targets = (reference + torch.randn(shape, generator=generator) > 0.7).to(torch.int8)
    targets[torch.rand(shape, generator=generator) < missing] = -1
    logits = reference + 0.7 * torch.randn(shape, generator=generator, dtype=torch.float64)
    return logits, targets, reference


def competition_of(reference, targets):
    return measure_competition(reference.float().numpy(), targets.numpy())


def groups(indices=PRIVILEGED):
    return LabelPartition.from_indices(indices, N_LABELS)


def objective(reference, targets, **options):
    return AcrossExamplesObjective(groups(), competition_of(reference, targets), **options)


def slow_preference(z, y, r, label):
    """What a label's positives cost, row by row; all other rows stay where the reference has them.

    A row that moves changes what it is compared with: -log(e^z_i / (e^z_i + sum_j e^r_j)) of a
    positive, and of a negative what its step from r_j to z_j adds to every positive's sum.
    """
    rows = range(len(y))
    positive = [i for i in rows if slow.is_positive(y[i][label])]
    negative = [i for i in rows if slow.is_negative(y[i][label])]
    whole = sum(math.exp(r[j][label]) for j in negative)
    total = 0.0
    for i in positive:
        total = total - slow.log_sigmoid(z[i][label] - math.log(whole))
        for j in negative:
            moved = whole - math.exp(r[j][label]) + z[j][label].exp()
            total = total + moved.log() - math.log(whole)
    return total / len(y)


def slow_weighed_losses(z, y, r, weight, share):
    """Group losses where each row's terms count by its weight, here 1 on average.

    A row of weight w competes as w rows, of which one moves at a time.
    """
    rows = range(len(y))
    others = [k for k in range(N_LABELS) if k not in PRIVILEGED]

    def of_entries(scores, labels):
        terms = [weight[i] * slow.bce(scores[i][k], y[i][k]) for i in rows for k in labels]
        return sum(terms) / (sum(weight) * len(labels))

    def of_pairs(scores, label):
        positive = [i for i in rows if slow.is_positive(y[i][label])]
        negative = [j for j in rows if slow.is_negative(y[j][label])]
        whole = sum(weight[j] * math.exp(r[j][label]) for j in negative)
        total = 0.0
        for i in positive:
            total = total - weight[i] * slow.log_sigmoid(scores[i][label] - math.log(whole))
            for j in negative:
                moved = whole - math.exp(r[j][label]) + scores[j][label].exp()
                total = total + weight[i] * weight[j] * (moved.log() - math.log(whole))
        return total

    fixed = torch.tensor(r, dtype=torch.float64)
    pairs = sum(of_pairs(z, k) for k in PRIVILEGED) / sum(of_pairs(fixed, k) for k in PRIVILEGED)
    first, second = (of_entries(z, part) / of_entries(fixed, part) for part in (PRIVILEGED, others))
    return [share * pairs + (1 - share) * first, second]


def slow_losses(z, y, r, share=0.5):
    """Group losses in units of the reference's own."""
    others = [k for k in range(N_LABELS) if k not in PRIVILEGED]
    fixed = torch.tensor(r, dtype=torch.float64)

    def in_units(labels):
        return slow.bce_loss(z, y, labels)[0] / slow.bce_loss(r, y, labels)[0]

    pairs = sum(slow_preference(z, y, r, k) for k in PRIVILEGED)
    pairs = pairs / sum(slow_preference(fixed, y, r, k) for k in PRIVILEGED)
    return [share * pairs + (1 - share) * in_units(PRIVILEGED), in_units(others)]


def same_with_gradients(output, policy, expected, z):
    """Group losses, and the gradient of their weighted sum, are the slow ones."""
    found = torch.stack([torch.as_tensor(loss) for loss in expected])
    torch.testing.assert_close(output.group_losses, found, rtol=1e-5, atol=1e-6)
    output.loss.backward()
    torch.dot(output.group_weights, found).backward()
    torch.testing.assert_close(policy.grad, z.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_it_is_the_sum_over_pairs(share):
    logits, targets, reference = scene()
    policy = logits.requires_grad_()
    output = objective(reference, targets, preference_share=share)(policy, targets, reference)
    z = logits.detach().clone().requires_grad_()
    expected = slow_losses(z, targets.tolist(), reference.tolist(), share)
    same_with_gradients(output, policy, expected, z)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_weight_counts_a_row_in_all_it_takes_part_in(share):
    logits, targets, reference = scene(seed=8)
    weight = torch.rand(N_ROWS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weight = 0.2 + 1.6 * weight
    weight = weight / weight.mean()
    competition = measure_competition(reference.float().numpy(), targets.numpy(), weight.numpy())
    built = AcrossExamplesObjective(groups(), competition, preference_share=share)
    policy = logits.requires_grad_()
    output = built(policy, targets, reference, entry_weight=weight.unsqueeze(1))
    z = logits.detach().clone().requires_grad_()
    expected = slow_weighed_losses(z, targets.tolist(), reference.tolist(), weight.tolist(), share)
    same_with_gradients(output, policy, expected, z)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_reference_costs_one(share):
    _, targets, reference = scene(seed=1)
    entries = objective(reference, targets, preference_share=share)(reference, targets, reference)
    torch.testing.assert_close(
        entries.group_losses, torch.ones(2, dtype=torch.float64), rtol=1e-5, atol=0
    )


def test_parts_of_a_step_add_up():
    logits, targets, reference = scene(seed=2)
    whole = objective(reference, targets)
    parts = [
        whole.sums(*(part[rows] for part in (logits, targets, reference)))
        for rows in (slice(0, 7), slice(7, 7), slice(7, None))
    ]
    added = parts[0] + parts[1] + parts[2]
    once = whole.sums(logits, targets, reference)
    torch.testing.assert_close(added.totals, once.totals)
    torch.testing.assert_close(added.counts, once.counts)
    torch.testing.assert_close(whole.known_counts(targets), once.counts)


def test_what_is_not_known_is_masked():
    logits, targets, reference = scene(seed=3, missing=0.3)
    built = objective(reference, targets)
    policy = logits.requires_grad_()
    built(policy, targets, reference).loss.backward()
    assert policy.grad.isfinite().all()
    assert not policy.grad[targets == -1].any()


def test_the_weights_move_to_the_group_that_is_worse_against_the_reference():
    _, targets, reference = scene(seed=4)
    built = objective(reference, targets, step_size=1.0, floor=0.0)
    policy = reference.clone()
    policy[:, PRIVILEGED] *= -1
    built(policy.requires_grad_(), targets, reference)
    privileged, others = built.group_weights().tolist()
    assert privileged > others


def test_labels_without_positives_and_empty_groups_are_finite():
    logits, targets, reference = scene(seed=5)
    targets[:, 3] = 0
    built = objective(reference, targets)
    assert built.labels.tolist() == [1]
    assert math.isfinite(built(logits.requires_grad_(), targets, reference).loss.item())
    for indices in ([], list(range(N_LABELS))):
        one_sided = AcrossExamplesObjective(groups(indices), competition_of(reference, targets))
        assert one_sided(logits, targets, reference).loss.isfinite()
    assert built(logits[:0], targets[:0], reference[:0]).loss.isfinite()


@pytest.mark.parametrize("floor", [0.0, 0.15, 0.3, 0.499])
def test_weights_start_at_the_floor_or_above(floor):
    logits, targets, reference = scene(seed=6)
    reference[:, PRIVILEGED] = torch.where(targets[:, PRIVILEGED] == 1, 6.0, -6.0).double()
    built = objective(reference, targets, floor=floor)
    start, _ = objective(reference, targets).group_weights()
    assert start < 0.15
    raised = floor + (1 - 2 * floor) * start
    torch.testing.assert_close(built.group_weights(), torch.stack([raised, 1 - raised]))
    built(logits, targets, reference)
    assert built.group_weights().min() >= floor * (1 - 1e-9)


def test_a_floor_is_of_groups_with_members_and_below_an_even_share():
    _, targets, reference = scene()
    competition = competition_of(reference, targets)
    alone = AcrossExamplesObjective(groups([]), competition, floor=0.9)
    assert alone.group_weights().tolist() == [0.0, 1.0]
    with pytest.raises(FairPOValueError, match=r"floor must be in \[0, 1/2\) for 2 groups"):
        objective(reference, targets, floor=0.6)


@pytest.mark.parametrize("indices", [range(10), range(10, 15)])
def test_a_group_of_which_nothing_is_known_has_no_loss(indices):
    logits, known, reference = (torch.cat([part] * 3, dim=1) for part in scene(seed=5))
    targets = known.clone()
    targets[:, :10] = -1
    built = AcrossExamplesObjective(
        LabelPartition.from_indices(indices, 15), competition_of(reference, targets)
    )
    policy = logits.requires_grad_()
    output = built(policy, targets, reference)
    output.loss.backward()
    assert 0.0 in output.group_losses.tolist()
    assert output.loss.isfinite()
    assert policy.grad.isfinite().all()
    assert built(logits, known, reference).loss.isfinite()


def test_a_negative_that_is_all_the_competition_costs_no_less_than_a_bound():
    reference = torch.zeros(3, N_LABELS, dtype=torch.float64)
    targets = torch.ones(3, N_LABELS, dtype=torch.int8)
    targets[0] = 0  # the only negative of every label
    built = objective(reference, targets, preference_share=1.0)
    policy = reference.clone()
    policy[0] = -1e4
    assert built(policy.requires_grad_(), targets, reference).loss.item() > -20


def test_gradcheck():
    logits, targets, reference = scene(seed=6)
    built = objective(reference, targets).double().eval()
    assert torch.autograd.gradcheck(
        lambda z: built(z, targets, reference).loss, logits.requires_grad_()
    )


def test_half_precision_is_computed_in_float32():
    logits, targets, reference = scene(seed=7)
    built = objective(reference, targets)
    half = built(logits.bfloat16(), targets, reference.bfloat16()).loss
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(built(logits, targets, reference).loss.item(), rel=0.02)


def test_sampled_labels_are_refused():
    logits, targets, reference = scene()
    from fairpo.objectives.sample import LabelSample

    sample = LabelSample(torch.arange(N_LABELS), torch.ones(N_LABELS))
    with pytest.raises(FairPOValueError, match="sampled_labels"):
        objective(reference, targets)(logits, targets, reference, sample=sample)


def test_competition_of_other_labels_is_refused():
    _, targets, reference = scene()
    others = competition_of(reference[:, :3], targets[:, :3])
    with pytest.raises(FairPOValueError, match="competition"):
        AcrossExamplesObjective(groups(), others)
