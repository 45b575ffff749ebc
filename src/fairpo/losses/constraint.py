"""The constraint that holds labels to the reference."""

from __future__ import annotations

from torch import Tensor


def slack_hinge(loss: Tensor, reference_loss: Tensor, *, slack: float = 0.01) -> Tensor:
    """Penalise entries whose cross-entropy exceeds the reference's by more than a slack.

    ``max(0, loss - reference_loss - slack)`` per entry (Eq. 13-14; the paper's epsilon is
    ``slack``).

    Parameters
    ----------
    loss, reference_loss : float tensor, shape (batch, labels)
        Cross-entropies in nats.
    slack : float
        In nats, at least 0. 0.01 is the paper's first version.

    Returns
    -------
    float tensor, shape (batch, labels); not reduced. No gradient where the constraint holds.
    """
    # Not clamp, whose gradient at the kink is 1: with slack 0 training starts there.
    return (loss - reference_loss - slack).relu()
