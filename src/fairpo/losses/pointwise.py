"""Cross-entropy of each entry and the losses made of it, from logits."""

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


def focal(
    logits: Tensor, targets: Tensor, *, focusing: float = 2.0, positive_share: float | None = 0.25
) -> Tensor:
    """Focal loss of each entry: cross-entropy, less of it the better the entry is scored.

    ``share_t (1 - p_t)^focusing (-log p_t)``, where ``p_t`` is the probability of the truth
    (Lin et al. 2017, 1708.02002, Eq. 5).

    Parameters
    ----------
    logits, targets : tensor, shape (batch, labels)
        A missing target (negative or NaN) gives some finite value: mask it.
    focusing : float, at least 0, default 2
        The paper's gamma, and its best value; 0 is cross-entropy.
    positive_share : float in (0, 1) or None, default 0.25
        The paper's alpha, and its best value at ``focusing`` 2: positives weigh this much,
        negatives what is left of 1. None weighs both 1.

    Returns
    -------
    float tensor, shape (batch, labels); not reduced
    """
    signs = opposite_signs(targets, logits.dtype)
    values = _focused_bce(logits, signs, focusing)
    if positive_share is None:
        return values
    return torch.where(signs < 0, positive_share * values, (1 - positive_share) * values)


def asymmetric(
    logits: Tensor,
    targets: Tensor,
    *,
    gamma_negative: float = 4.0,
    gamma_positive: float = 0.0,
    clip: float = 0.05,
) -> Tensor:
    """Asymmetric loss of each entry: easy negatives count less, the easiest not at all.

    ``-(1 - p)^gamma_positive log p`` for a positive and ``-q^gamma_negative log(1 - q)`` with
    ``q = max(p - clip, 0)`` for a negative (Ridnik et al. 2021, 2009.14119).

    Parameters
    ----------
    logits, targets : tensor, shape (batch, labels)
        A missing target (negative or NaN) gives some finite value: mask it.
    gamma_negative, gamma_positive : float, at least 0, default 4 and 0
        The paper's; the defaults are those of its experiments.
    clip : float in [0, 1), default 0.05
        Probability up to which a negative costs nothing: the paper's m.

    Returns
    -------
    float tensor, shape (batch, labels); not reduced

    Notes
    -----
    The gradient is the formula's. The authors' code also has a switch that takes the powers as
    constants.
    """
    signs = opposite_signs(targets, logits.dtype)
    positive = _focused_bce(logits, -torch.ones_like(logits), gamma_positive)
    # 1 - q = min(1 - p + clip, 1), in logs: no clip is then the logarithm of 0.
    log_clip = torch.tensor(clip, dtype=logits.dtype, device=logits.device).log()
    log_rest = torch.logaddexp(F.logsigmoid(-logits), log_clip).clamp_max(0)
    # Not 0, at which a power between 0 and 1 has no gradient; the logarithm beside it is 0 there.
    shifted = (logits.sigmoid() - clip).clamp_min(torch.finfo(logits.dtype).tiny)
    return torch.where(signs < 0, positive, -shifted.pow(gamma_negative) * log_rest)


def negative_tolerant(logits: Tensor, targets: Tensor, bias: Tensor, *, scale: float) -> Tensor:
    """Cross-entropy of logits less a bias, in which negatives saturate early.

    ``log(1 + exp(-(z - bias)))`` for a positive and ``log(1 + exp(scale (z - bias))) / scale`` for
    a negative (Wu et al. 2020, 2007.09654): the higher ``scale``, the sooner a negative
    that is scored low has no gradient left.

    Parameters
    ----------
    logits, targets : tensor, shape (batch, labels)
        A missing target (negative or NaN) gives some finite value: mask it.
    bias : float tensor, shape (labels,)
    scale : float, above 0
        The paper's lambda; 1 with no bias is cross-entropy.

    Returns
    -------
    float tensor, shape (batch, labels); not reduced
    """
    signs = opposite_signs(targets, logits.dtype)
    scales = torch.full_like(logits, scale).masked_fill(signs < 0, 1)
    return signed_bce(scales * (logits - bias), signs) / scales


def _focused_bce(logits: Tensor, signs: Tensor, focusing: float) -> Tensor:
    """Cross-entropy times a power of the probability that the truth does not get."""
    # The power of an exponential: finite with its gradient where the probability rounds to 0.
    return (focusing * F.logsigmoid(signs * logits)).exp() * signed_bce(logits, signs)
