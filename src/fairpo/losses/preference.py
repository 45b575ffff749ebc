"""Preference losses of pairs: prefer a label that applies over one that does not.

``chosen`` and ``rejected`` are scores of the two labels under the policy, ``reference_*`` under
the reference; they broadcast, usually (anchors, 1) against (anchors, columns). A score is the
log-probability ``log sigmoid(z)`` (the paper's) or the log-odds ``z``: see :func:`scores`.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

ScoreSpace = Literal["log-probability", "log-odds"]


def scores(logits: Tensor, score_space: ScoreSpace) -> Tensor:
    """Turn logits into the scores that pairs compare.

    ``log-probability`` is the paper's; its gradient on a rejected label fades as that label
    grows confident (``1 - m``). ``log-odds`` keeps the full gradient (``beta`` at most).
    """
    return F.logsigmoid(logits) if score_space == "log-probability" else logits


def dpo_loss(
    chosen: Tensor,
    rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    *,
    beta: float = 1.0,
) -> Tensor:
    """DPO loss of each pair (Eq. 9-10).

    ``-log sigmoid(beta h)`` with ``h = (chosen - reference_chosen) - (rejected -
    reference_rejected)``; ``log 2`` where policy and reference agree.

    Parameters
    ----------
    chosen, rejected, reference_chosen, reference_rejected : float tensor
        Scores that broadcast.
    beta : float
        Over 0; scales ``h``, 0.1 to 2 is usual.

    Returns
    -------
    float tensor, the broadcast shape; not reduced
    """
    # Reference terms first: they carry no gradient, so the graph holds two subtractions less.
    # softplus(-x) is -log sigmoid(x) in one operation; above 50 both are -x to the last bit.
    offset = reference_chosen - reference_rejected
    return F.softplus((chosen - rejected - offset) * -beta, threshold=50)


def simpo_loss(
    chosen: Tensor, rejected: Tensor, *, beta: float = 1.0, margin: float = 0.0
) -> Tensor:
    """SimPO loss of each pair (Eq. 16): ``-log sigmoid(beta (chosen - rejected) - margin)``.

    The preference part of CPO (Eq. 17) is the same without a margin.

    Parameters
    ----------
    chosen, rejected : float tensor
        Scores that broadcast.
    beta : float
        Over 0.
    margin : float
        At least 0: how far ahead the chosen label should be (the paper's gamma).

    Returns
    -------
    float tensor, the broadcast shape; not reduced
    """
    return F.softplus(margin - beta * (chosen - rejected), threshold=50)
