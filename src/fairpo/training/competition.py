"""Measuring competition for the objectives that compare examples, which never see data."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from fairpo.losses.pointwise import opposite_signs, signed_bce
from fairpo.objectives.competition import Competition


def measure_competition(logits: NDArray[np.float32], targets: NDArray[np.int8]) -> Competition:
    """Sum up, label by label, how a reference scores positives and negatives.

    Parameters
    ----------
    logits : float32 array, shape (n, L)
        Of a reference for rows it was not fitted to, such as leave-one-out logits.
    targets : int8 array, shape (n, L)
        1, 0, or -1 for not known.

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
    scores, truth = torch.from_numpy(logits).double(), torch.from_numpy(targets)
    is_positive, is_negative = truth == 1, truth == 0
    compared = is_positive.any(0) & is_negative.any(0)
    n_positives = is_positive.sum(0) * compared
    log_partition = scores.masked_fill(~is_negative, -torch.inf).logsumexp(0)
    log_partition = torch.where(compared, log_partition, 0.0)
    lost = F.softplus(log_partition - scores).where(is_positive & compared, 0).sum(0)
    known = truth >= 0
    losses = signed_bce(scores, opposite_signs(truth, scores.dtype)).where(known, 0)
    return Competition(
        log_partition.float(),
        n_positives.float(),
        len(scores),
        (lost / n_positives.clamp_min(1)).float(),
        (losses.sum(0) / known.sum(0).clamp_min(1)).float(),
    )
