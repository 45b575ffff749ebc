"""Binary cross-entropy of each entry, from logits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def observed_mask(targets: Tensor) -> Tensor:
    """Mark the entries that are known: bool, shape of ``targets``. Missing is negative or NaN."""
    return targets >= 0


def opposite_signs(targets: Tensor, dtype: torch.dtype) -> Tensor:
    """-1 for a positive, +1 for a negative; a missing target gives a finite number to be masked."""
    return (0.5 - targets.to(dtype)).sign()


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of each entry (Eq. 11), in nats.

    Written as ``log(1 + exp(-z))`` for a positive and ``log(1 + exp(z))`` for a negative: exact
    at any logit, with the exact gradient, where ``log(1 - sigmoid(z))`` would give infinity.

    Parameters
    ----------
    logits, targets : tensor, shape (batch, labels)
        A missing target (negative or NaN) gives some finite value: mask it.

    Returns
    -------
    float tensor, shape (batch, labels); not reduced
    """
    return signed_bce(logits, opposite_signs(targets, logits.dtype))


def signed_bce(logits: Tensor, signs: Tensor) -> Tensor:
    """Cross-entropy from :func:`opposite_signs` of the targets: see :func:`bce`."""
    # softplus turns linear above the threshold: 50 is beyond the precision of float64.
    return F.softplus(signs * logits, threshold=50)
