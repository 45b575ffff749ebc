import math

import pytest
import torch

from fairpo.losses.preference import dpo_loss, scores, simpo_loss
from tests import reference as ref

SPACES = ["log-probability", "log-odds"]


def four_scores(seed, space, n=40, spread=4.0):
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(4, n, generator=generator, dtype=torch.float64)
    return logits, scores(logits, space)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("beta", [0.1, 0.5, 1.0, 2.0])
def test_dpo_is_equation_10(space, beta):
    logits, (chosen, rejected, was_chosen, was_rejected) = four_scores(0, space)
    ours = dpo_loss(chosen, rejected, was_chosen, was_rejected, beta=beta)
    for n, value in enumerate(ours):
        z, r = [logits[:2, n].tolist()], [logits[2:, n].tolist()]
        expected = ref.pair_loss("dpo", z, r, (0, 0, 1, 0), beta=beta, margin=9.0, space=space)
        assert value.item() == pytest.approx(expected, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(("beta", "margin"), [(1.0, 0.0), (0.5, 0.3), (2.0, 1.5)])
def test_simpo_is_equation_16(space, beta, margin):
    logits, (chosen, rejected, _, _) = four_scores(1, space)
    ours = simpo_loss(chosen, rejected, beta=beta, margin=margin)
    for n, value in enumerate(ours):
        z = [logits[:2, n].tolist()]
        expected = ref.pair_loss(
            "simpo", z, None, (0, 0, 1, 0), beta=beta, margin=margin, space=space
        )
        assert value.item() == pytest.approx(expected, rel=1e-12, abs=1e-14)


def test_scores_are_the_two_spaces():
    logits = torch.tensor([-100.0, -1.0, 0.0, 2.0, 100.0], dtype=torch.float64)
    expected = torch.stack([ref.log_sigmoid(z) for z in logits])
    torch.testing.assert_close(scores(logits, "log-probability"), expected)
    assert torch.equal(scores(logits, "log-odds"), logits)


@pytest.mark.parametrize("space", SPACES)
def test_at_the_reference_dpo_is_log_2_exactly(space):
    _, (chosen, rejected, _, _) = four_scores(2, space, spread=30)
    losses = dpo_loss(chosen, rejected, chosen, rejected, beta=0.7)
    assert torch.equal(losses, torch.full_like(losses, math.log(2)))


def test_pairs_broadcast_from_anchors_to_columns():
    chosen, rejected = torch.randn(3, 1), torch.randn(3, 5)
    losses = dpo_loss(chosen, rejected, chosen * 0.5, rejected * 0.5)
    assert losses.shape == (3, 5)
    assert torch.equal(simpo_loss(chosen, rejected)[2, 4], simpo_loss(chosen[2, 0], rejected[2, 4]))


def rejected_push(space, rejected_logit, beta):
    """Gradient of a DPO pair at h = 0 on the logit of its rejected label."""
    z = torch.tensor(rejected_logit, dtype=torch.float64, requires_grad=True)
    chosen = scores(z.detach() - 1, space)
    dpo_loss(chosen, scores(z, space), chosen, scores(z.detach(), space), beta=beta).backward()
    return float(z.grad)


def test_log_odds_push_a_confident_false_positive_and_log_probabilities_hardly_do():
    # method.md: beta s(-beta h)(1 - m_k) against beta s(-beta h), here with h = 0.
    confident = math.log(0.999 / 0.001)
    assert rejected_push("log-probability", confident, 0.5) == pytest.approx(0.25 * 0.001)
    assert rejected_push("log-odds", confident, 0.5) == pytest.approx(0.25)


@pytest.mark.parametrize("space", SPACES)
def test_gradcheck(space):
    logits, _ = four_scores(3, space, n=4)
    logits.requires_grad_()

    def both(z):
        chosen, rejected, was_chosen, was_rejected = scores(z, space)
        return dpo_loss(chosen, rejected, was_chosen, was_rejected, beta=0.5) + simpo_loss(
            chosen, rejected, beta=2.0, margin=0.1
        )

    assert torch.autograd.gradcheck(both, (logits,))
