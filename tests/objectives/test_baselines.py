import pytest
import torch
import torch.nn.functional as F

from fairpo._checks import FairPOValueError
from fairpo.objectives import BCEObjective, make_objective
from tests import reference as slow
from tests.objectives.scenes import N_LABELS, PRIVILEGED, as_lists, batch, partition

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
