import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fairpo._checks import FairPOValueError
from fairpo.objectives import BCEObjective, LabelCounts, make_objective
from tests import reference as slow
from tests.objectives.scenes import (
    N_LABELS,
    PRIVILEGED,
    as_lists,
    batch,
    counts,
    objective,
    partition,
    three_groups,
)

OTHERS = [label for label in range(N_LABELS) if label not in PRIVILEGED]


def test_bce_is_the_mean_over_observed_entries():
    logits, targets, _ = batch(seed=1, missing=0.2)
    output = make_objective("bce", partition())(logits.requires_grad_(), targets)
    expected, _ = slow.bce_loss(logits.tolist(), as_lists(targets), range(N_LABELS))
    assert output.loss.item() == pytest.approx(expected, abs=1e-12)


def test_bce_equals_torch():
    logits, targets, _ = batch(seed=2, dtype=torch.float32)
    output = make_objective("bce-continued", partition())(logits, targets)
    torch.testing.assert_close(output.loss, F.binary_cross_entropy_with_logits(logits, targets))


def test_reweighting_is_divided_by_the_mean_weight():
    logits, targets, _ = batch(seed=3)
    output = make_objective("bce-reweighted", partition())(logits.requires_grad_(), targets)
    weights = [5.0 if label in PRIVILEGED else 1.0 for label in range(N_LABELS)]
    mean_weight = sum(weights) / N_LABELS
    z, y = logits.tolist(), as_lists(targets)
    total = sum(
        weights[k] / mean_weight * slow.bce(z[i][k], y[i][k])
        for i in range(len(y))
        for k in range(N_LABELS)
    )
    assert output.loss.item() == pytest.approx(total / (len(y) * N_LABELS), abs=1e-12)


def test_reported_weights_are_what_the_objective_amounts_to():
    logits, targets, _ = batch(seed=4, missing=0.1)
    output = BCEObjective(partition(), privileged_weight=3.0)(logits.requires_grad_(), targets)
    torch.testing.assert_close((output.group_weights * output.group_losses).sum(), output.loss)


def test_group_dro_weighs_the_two_cross_entropies():
    logits, targets, ref = batch(seed=5, missing=0.1)
    output = make_objective("group-dro", partition())(logits.requires_grad_(), targets, ref)
    z, y = logits.tolist(), as_lists(targets)
    losses = [slow.bce_loss(z, y, labels)[0] for labels in (PRIVILEGED, OTHERS)]
    weights = slow.mirror_ascent([0.5, 0.5], losses, 0.01)
    assert output.group_losses.tolist() == pytest.approx(losses, abs=1e-12)
    assert output.group_weights.tolist() == pytest.approx(weights, abs=1e-12)


def test_group_dro_needs_no_reference_and_its_excess_form_does():
    logits, targets, _ = batch(seed=6)
    make_objective("group-dro", partition())(logits.requires_grad_(), targets)
    with pytest.raises(FairPOValueError, match="reference_logits must be given"):
        make_objective("group-dro-excess", partition())(logits, targets)


def test_bad_weight_is_refused():
    with pytest.raises(
        FairPOValueError, match="BCESettings.privileged_weight must be greater than 0, got 0"
    ):
        BCEObjective(partition(), privileged_weight=0)


ENTRY_LOSSES = {
    "focal": ({"focusing": 1.5, "positive_share": 0.3}, slow.focal, (1.5, 0.3)),
    "asl": (
        {"gamma_negative": 3, "gamma_positive": 0.5, "clip": 0.1},
        slow.asymmetric,
        (3, 0.5, 0.1),
    ),
}
DISTRIBUTION = {
    "offset": 0.2,
    "slope": 8.0,
    "centre": 0.3,
    "negative_scale": 3.0,
    "bias_scale": 0.4,
}
BALANCED = {
    "weight_offset": 0.2,
    "weight_slope": 8.0,
    "weight_centre": 0.3,
    "negative_scale": 3.0,
    "bias_scale": 0.4,
}
OPTIONS = {
    **{name: options for name, (options, *_) in ENTRY_LOSSES.items()},
    "bce-class-balanced": {"effective_beta": 0.97},
    "bce-distribution-balanced": BALANCED,
}


def slow_loss(name, z, targets, labels, weight=None):
    """The loss of some labels by the papers' formulas, one entry at a time."""
    y, counted = as_lists(targets), counts()
    if name in ENTRY_LOSSES:
        _, loss, numbers = ENTRY_LOSSES[name]
        entries = [(i, k) for i in range(len(y)) for k in labels if not slow.is_missing(y[i][k])]
        total = sum(
            slow.weight_of(weight, i, k) * loss(z[i][k], y[i][k], *numbers) for i, k in entries
        )
        return total / sum(slow.weight_of(weight, i, k) for i, k in entries)
    if name == "bce-class-balanced":
        label_weights = slow.class_balanced_weights(counted.positives, 0.97)
        return slow.class_balanced_bce(z, y, labels, label_weights, weight)
    return slow.distribution_balanced(
        z, y, labels, counted.positives, counted.observed, weights=weight, **DISTRIBUTION
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", OPTIONS)
def test_published_baselines_are_their_formulas(name, weighted):
    """Loss, gradient and group losses, of examples without a label too."""
    logits, targets, _ = batch(seed=7, missing=0.2)
    targets[0], targets[1] = 0, 1
    weight = None
    if weighted:
        weight = torch.rand(targets.shape, generator=torch.Generator().manual_seed(0)).double()
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    output = objective(name, partition(), **OPTIONS[name])(ours, targets, entry_weight=weight)
    expected = slow_loss(name, theirs, targets, range(N_LABELS), weight)
    torch.testing.assert_close(output.loss, expected)
    output.loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    for value, labels in zip(output.group_losses, (PRIVILEGED, OTHERS), strict=True):
        torch.testing.assert_close(value, slow_loss(name, logits, targets, labels, weight))
    torch.testing.assert_close((output.group_weights * output.group_losses).sum(), output.loss)


@pytest.mark.parametrize("name", OPTIONS)
def test_overlapping_groups_report_their_own_means(name):
    logits, targets, _ = batch(seed=8, missing=0.1)
    output = objective(name, three_groups(), **OPTIONS[name])(logits, targets)
    for value, group in zip(output.group_losses, three_groups().groups, strict=True):
        torch.testing.assert_close(value, slow_loss(name, logits, targets, group.indices))
    torch.testing.assert_close(output.loss, slow_loss(name, logits, targets, range(N_LABELS)))


@pytest.mark.parametrize("name", OPTIONS)
def test_gradcheck(name):
    logits, targets, _ = batch(seed=9, rows=4, missing=0.2)
    loss = objective(name, partition(), **OPTIONS[name])
    moved = (logits + 0.03).requires_grad_()  # no probability at the clip
    assert torch.autograd.gradcheck(lambda z: loss(z, targets).loss, moved)


EQUAL = LabelCounts(np.full(N_LABELS, 30), np.full(N_LABELS, 60))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("asl", {"gamma_negative": 0, "gamma_positive": 0, "clip": 0}),
        ("focal", {"focusing": 0, "positive_share": None}),
        ("bce-class-balanced", {}),  # equal counts
        ("bce-class-balanced", {"effective_beta": 0}),
        # All weights of entries 1 to 10 digits; labels that apply half the time have no bias.
        (
            "bce-distribution-balanced",
            {"weight_offset": 0.5, "weight_slope": 1e-10, "negative_scale": 1},
        ),
    ],
)
def test_what_they_are_cross_entropy_without(name, options):
    logits, targets, _ = batch(seed=10, missing=0.1)
    targets[:, 0] = 1  # every example has a label
    label_counts = counts() if "effective_beta" in options else EQUAL
    output = make_objective(name, partition(), label_counts=label_counts, **options)(
        logits, targets
    )
    expected = make_objective("bce", partition())(logits, targets)
    for ours, theirs in zip(output[:3], expected[:3], strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_defaults_are_the_papers():
    assert objective("asl", partition()).settings.model_dump() == {
        "gamma_negative": 4.0,
        "gamma_positive": 0.0,
        "clip": 0.05,
    }
    assert objective("focal", partition()).settings.model_dump() == {
        "focusing": 2.0,
        "positive_share": 0.25,
    }
    assert objective("bce-class-balanced", partition()).settings.effective_beta == 0.9999
    assert objective("bce-distribution-balanced", partition()).settings.model_dump() == {
        "weight_offset": 0.1,
        "weight_slope": 10.0,
        "weight_centre": 0.2,
        "negative_scale": 2.0,
        "bias_scale": 0.05,
    }


def test_rare_labels_weigh_more_where_they_are_balanced():
    logits, targets, _ = batch(seed=11, rows=40)
    gradients = {}
    for name in ("bce", "bce-class-balanced"):
        moving = logits.clone().requires_grad_()
        objective(name, partition())(moving, targets).loss.backward()
        gradients[name] = moving.grad.abs().sum(0)
    share = gradients["bce-class-balanced"] / gradients["bce"]
    assert (share.diff() < 0).all()  # counts() grows with the label


def test_labels_that_never_or_always_apply_stay_finite():
    logits, targets, _ = batch(seed=12)
    edge = LabelCounts([0, 60, 5, 5, 0, 60, 1], [60, 60, 60, 60, 0, 60, 60])
    for name in ("bce-class-balanced", "bce-distribution-balanced"):
        moving = logits.clone().requires_grad_()
        output = make_objective(name, partition(), label_counts=edge)(moving, targets)
        output.loss.backward()
        assert output.loss.isfinite()
        assert moving.grad.isfinite().all()


def test_what_ridge_regression_solves_for_is_the_mean_squared_difference():
    logits, targets, _ = batch(seed=7, missing=0.2)
    output = make_objective("kernel-ridge", partition())(logits, targets)
    known = [
        (z - y) ** 2
        for row, truth in zip(logits.tolist(), as_lists(targets), strict=True)
        for z, y in zip(row, truth, strict=True)
        if y is not None
    ]
    assert output.loss.item() == pytest.approx(sum(known) / len(known), abs=1e-12)
