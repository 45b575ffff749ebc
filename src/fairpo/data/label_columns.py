"""Targets of some labels only, cut out of CSR without touching the other labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fairpo.data.base import Targets


def in_batch_labels(targets: Targets, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels that are positive or missing in some of the rows, ascending, each once.

    Parameters
    ----------
    targets : int8 array or CSR, shape (n, L)
        Of CSR only the stored entries of the rows are read; of a dense array, the rows.
    rows : int array, shape (batch,)
    """
    part = targets[rows]
    if isinstance(part, np.ndarray):
        return np.flatnonzero(part.any(axis=0))
    labels: NDArray[np.int64] = np.unique(part.indices[part.data != 0]).astype(np.int64)
    return labels


def targets_at(
    targets: Targets, rows: NDArray[np.int64], labels: NDArray[np.int64]
) -> NDArray[np.int8]:
    """Dense targets (len(rows), len(labels)) of some rows and labels.

    Parameters
    ----------
    targets : int8 array or CSR, shape (n, L)
    rows : int array
    labels : int array, ascending, each once
    """
    if isinstance(targets, np.ndarray):
        return targets[rows[:, None], labels]
    part = targets[rows]  # columns of CSR are not cut by SciPy, which counts through all of them
    place = np.searchsorted(labels, part.indices)
    wanted = np.searchsorted(labels, part.indices, side="right") > place
    row = np.repeat(np.arange(len(rows)), np.diff(part.indptr))
    block = np.zeros((len(rows), len(labels)), dtype=np.int8)
    block[row[wanted], place[wanted]] = part.data[wanted]
    return block
