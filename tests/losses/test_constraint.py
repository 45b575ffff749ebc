import pytest
import torch

from fairpo.losses.constraint import slack_hinge
from fairpo.losses.pointwise import bce
from tests import reference as ref
from tests.losses.numbers import random_batch


@pytest.mark.parametrize("slack", [0.0, 0.01, 0.05, 0.3])
def test_hinge_is_equation_13(slack):
    logits, reference, targets = random_batch(0, 5, 6)
    ours = slack_hinge(bce(logits, targets), bce(reference, targets), slack=slack)
    assert ours.shape == logits.shape
    assert ours.count_nonzero() not in (0, ours.numel())  # both sides of the hinge are here
    for i in range(5):
        for j in range(6):
            one = (part[i : i + 1].tolist() for part in (logits, reference, targets))
            expected, _ = ref.constraint_loss(*one, [j], slack=slack)
            assert ours[i, j].item() == pytest.approx(expected, rel=1e-12, abs=1e-14)


def test_no_gradient_inside_the_slack_and_the_full_one_outside():
    loss = torch.tensor([0.5, 1.005, 1.5], requires_grad=True)
    slack_hinge(loss, torch.ones(3), slack=0.01).sum().backward()
    assert loss.grad.tolist() == [0.0, 0.0, 1.0]


def test_at_the_reference_the_constraint_holds_without_a_gradient_at_any_slack():
    """Training starts here: every entry sits at max(0, 0 - slack), with slack 0 on the kink."""
    for slack in (0.01, 0.0):
        loss = torch.tensor([0.1, 2.0], requires_grad=True)
        value = slack_hinge(loss, loss.detach().clone(), slack=slack)
        value.sum().backward()
        assert value.tolist() == [0.0, 0.0]
        assert loss.grad.tolist() == [0.0, 0.0], f"slack {slack}"


def test_the_hinge_is_per_entry_and_gains_elsewhere_do_not_pay_for_losses():
    loss, reference = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.5]])
    assert slack_hinge(loss, reference, slack=0.0).tolist() == [[0.0, 0.5]]
