"""Measuring competition for the objectives that compare examples, which never see data."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fairpo.losses.pointwise import opposite_signs, signed_bce
from fairpo.objectives.competition import Competition

_ENTRIES = 2**20  # of a block of labels: float64 copies of all of them would fill the memory


def measure_competition(
    logits: NDArray[np.float32],
    targets: NDArray[np.int8],
    sample_weight: NDArray[np.float64] | None = None,
) -> Competition:
    """Sum up, label by label, how a reference scores positives and negatives.

    Parameters
    ----------
    logits : float32 array, shape (n, L)
        Of a reference for rows it was not fitted to, such as leave-one-out logits.
    targets : int8 array, shape (n, L)
        1, 0, or -1 for not known.
    sample_weight : float array, shape (n,), optional
        A row of weight 2 competes and counts as two rows do; only ratios matter.

    Returns
    -------
    Competition
        A label without positives or without negatives has 0 positives.

    Examples
    --------
    >>> import numpy as np
    >>> logits = np.log(np.array([[4.0], [2.0], [1.0]], dtype=np.float32))
    >>> found = measure_competition(logits, np.array([[0], [1], [0]], dtype=np.int8))
    >>> found.log_partition.exp().tolist(), found.preference_losses.neg().exp().tolist()
    ([5.0], [0.2857142984867096])
    """
    weight = _of_rows(sample_weight, len(logits))
    scores, truth = torch.from_numpy(logits), torch.from_numpy(targets)
    size = max(_ENTRIES // max(len(logits), 1), 1)
    blocks = zip(torch.split(scores, size, 1), torch.split(truth, size, 1), strict=True)
    parts = [_of_labels(block.double(), known, weight) for block, known in blocks]
    log_partition, n_positives, lost, losses = torch.cat(parts, dim=1).float()
    return Competition(log_partition, n_positives, len(logits), lost, losses)


def _of_labels(scores: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """What a competition holds of some labels, (4, labels)."""
    positive, negative = (truth == 1) * weight, (truth == 0) * weight
    n_positives = positive.sum(0)
    compared = (n_positives > 0) & (negative.sum(0) > 0)
    log_partition = (scores + negative.log()).logsumexp(0)
    log_partition = torch.where(compared, log_partition, 0.0)
    n_positives = n_positives * compared
    lost = (F.softplus(log_partition - scores) * positive).sum(0) * compared
    known = positive + negative
    losses = signed_bce(scores, opposite_signs(truth, scores.dtype)) * known
    least = torch.finfo(torch.float64).tiny
    lost, losses = (
        lost / n_positives.clamp_min(least),
        losses.sum(0) / known.sum(0).clamp_min(least),
    )
    return torch.stack([log_partition, n_positives, lost, losses])


def _of_rows(sample_weight: NDArray[np.float64] | None, n_rows: int) -> Tensor:
    """Weights of rows, (n, 1), 1 on average."""
    if sample_weight is None:
        return torch.ones(n_rows, 1, dtype=torch.float64)
    weight = torch.from_numpy(sample_weight).double().unsqueeze(1)
    return weight / weight.mean().clamp_min(torch.finfo(torch.float64).tiny)
