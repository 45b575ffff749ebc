"""How much labels and entries count, from how often labels apply."""

from __future__ import annotations

import torch
from torch import Tensor


def class_balanced_weights(positives: Tensor, *, effective_beta: float = 0.9999) -> Tensor:
    """Weigh labels by the inverse of their effective number of positives; the mean is 1.

    The effective number of ``n`` positives is ``(1 - beta^n) / (1 - beta)``: ``n`` for few of
    them, and never above ``1 / (1 - beta)`` (Cui et al. 2019, 1901.05555).

    Parameters
    ----------
    positives : float tensor, shape (labels,), above 0
    effective_beta : float in [0, 1), default 0.9999
        0 weighs all labels 1; towards 1 the weights go to those by inverse frequency. The paper
        takes 0.9 to 0.9999; 0.9999 is its choice for the largest sets.

    Returns
    -------
    float64 tensor, shape (labels,)
    """
    beta = torch.tensor(effective_beta, dtype=torch.float64)
    # 1 - beta^n would cancel where beta is near 1.
    weights = (1 - beta) / -torch.expm1(positives.double() * beta.log())
    return weights / weights.mean()


def rebalanced_weights(
    targets: Tensor, inverse_frequencies: Tensor, *, offset: float, slope: float, centre: float
) -> Tensor:
    """Weigh entries against the sampling that examples with several labels bring, smoothed.

    ``r_ik`` is the rate at which class-aware sampling would draw example ``i`` for label ``k``
    over that at which it draws it for any of its labels: ``(1 / n_k)`` over the sum of ``1 / n_l``
    over the labels ``l`` of the example. The weight is ``offset + sigmoid(slope (r_ik - centre))``
    (Wu et al. 2020, 2007.09654).

    Parameters
    ----------
    targets : tensor, shape (batch, labels)
    inverse_frequencies : float tensor, shape (labels,), above 0
        ``1 / n_k``, or anything in proportion.
    offset, slope, centre : float
        The paper's alpha, beta and mu; ``slope`` is above 0.

    Returns
    -------
    float tensor, shape (batch, labels), from ``offset`` to ``offset + 1``; an example without a
    label, which the paper does not have, has the limit ``offset + 1``
    """
    drawn = (targets == 1).to(inverse_frequencies.dtype) @ inverse_frequencies
    rates = inverse_frequencies / drawn.unsqueeze(1)
    return offset + (slope * (rates - centre)).sigmoid()
