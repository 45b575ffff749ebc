"""What is drawn together: rows, or whole clusters of rows that are not independent."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import check_same_length, value_error
from fairpo.metrics.ranking import Floats


def units_of_rows(clusters: NDArray[Any] | None, n_rows: int) -> NDArray[np.int64]:
    """Return the number of the unit that is drawn with each row.

    Parameters
    ----------
    clusters : array, shape (n_rows,), or None
        Rows that share a value are one unit; ``None`` makes each row its own.
    n_rows : int

    Returns
    -------
    int64 array, shape (n_rows,), from 0 without gaps

    Raises
    ------
    FairPOValueError
        Another number of rows, or fewer than two clusters.
    """
    if clusters is None:
        return np.arange(n_rows)
    check_same_length({"clusters": len(clusters), "targets": n_rows})
    names, unit_of_row = np.unique(clusters, return_inverse=True)
    if len(names) < 2:
        raise value_error(
            "clusters",
            must="hold at least two different values",
            got=f"{len(names)}",
            do="With one cluster every resample is the same; pass None to resample rows.",
        )
    return np.asarray(unit_of_row, dtype=np.int64)


def sum_by_unit(term: Floats, unit_of_row: NDArray[np.int64]) -> Floats:
    """Sum a term (n, G) over the rows of each unit, shape (U, G)."""
    return np.stack([np.bincount(unit_of_row, weights=column) for column in term.T], axis=1)


def cumulate_rows(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cumulative sum over the first axis of a contiguous array (n, columns), in place.

    In about ``2 sqrt(n)`` additions of many rows each: several times faster than ``cumsum``.
    """
    height = max(1, math.isqrt(len(values)))
    whole = len(values) // height * height
    blocks = values[:whole].reshape(-1, height, values.shape[1])  # a view
    for row in range(1, height):
        blocks[:, row] += blocks[:, row - 1]
    for above, block in pairwise(blocks):  # each block is complete when it is added
        block += above[-1]
    for row in range(max(1, whole), len(values)):
        values[row] += values[row - 1]
    return values
