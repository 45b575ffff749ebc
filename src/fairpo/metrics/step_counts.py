"""Rows at each step of a ranking, counted under many weightings of the rows at once.

A weighting says how often each unit (row or cluster) counts: drawn so often, swapped or not. All
that average precision needs of it are sums over the rows between one step of the ranking and the
next, a sparse matrix times the weightings. The matrix is held by column: the weightings are then
read once, in order, and what is written, a line for each step, stays in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairpo.metrics.ranking import Floats, Scores

COLUMNS = 128  # weightings that are multiplied at a time: more fall out of the cache

NEXT_TO_NOTHING = np.float32(1e-30)
"""Added to a count of rows that something is divided by: it vanishes beside 1, and makes 0 / 0 a 0.

No rows are above a step only where no positives are."""


def count_steps(
    step: NDArray[np.int64],
    unit: NDArray[np.int64],
    shape: tuple[int, int],
    *,
    most: float,
    signs: NDArray[np.int8] | None = None,
) -> sparse.csc_array[Any]:
    """Count the rows of each unit at each step.

    Parameters
    ----------
    step, unit : int64 arrays, shape (rows,)
        Of each row; rows whose step is not below the number of steps count nowhere.
    shape : (int, int)
        Numbers of steps and units.
    most : float
        What no sum over a step can exceed under any weighting, in size. 16 bits are used where
        they hold it, float32 otherwise, which is exact below 2^24.
    signs : int8 array, shape (rows,), optional
        1 or -1 of each row; 1 when not given.

    Returns
    -------
    CSC array, shape (steps, units)
    """
    counted = step < shape[0]
    fits = most < (2**16 if signs is None else 2**15)
    narrow = np.uint16 if signs is None else np.int16
    entries = np.ones(len(step), dtype=np.int8) if signs is None else signs
    data = entries[counted].astype(narrow if fits else np.float32)
    return sparse.csc_array((data, (step[counted], unit[counted])), shape=shape)


def steps_of(scores: Scores, thresholds: Scores) -> NDArray[np.int64]:
    """Step of each row: 0 for the highest threshold it reaches, their number if it reaches none.

    Parameters
    ----------
    scores : float array, shape (n,)
    thresholds : float array, shape (steps,), ascending
    """
    return np.asarray(len(thresholds) - np.searchsorted(thresholds, scores, side="right"))


def in_parts(weightings: NDArray[Any]) -> list[NDArray[Any]]:
    """Cut weightings (units, columns) into contiguous parts of ``COLUMNS`` columns."""
    starts = range(0, weightings.shape[1], COLUMNS)
    return [np.ascontiguousarray(weightings[:, start : start + COLUMNS]) for start in starts]


def weigh(terms: Floats, parts: Sequence[NDArray[Any]]) -> Floats:
    """Sum terms (units, K) under each weighting, shape (K, columns), in float64."""
    return np.concatenate([terms.T @ part.astype(np.float64) for part in parts], axis=1)
