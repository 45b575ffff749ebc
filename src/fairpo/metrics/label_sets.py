"""Metrics of generated label sets: can they occur, do they differ, is the true one among them.

Several sets a row are compared with the row's true set and, where it is known, with the true
distribution over sets. A group of labels is judged by the sets cut down to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import value_error
from fairpo.metrics.calibration import N_BINS
from fairpo.metrics.decisions import RowTerms
from fairpo.metrics.ranking import Floats, divide_defined

Sets = NDArray[np.bool_]

BLOCK_ENTRIES = 2**24


class SetCalibration(NamedTuple):
    """How far set probabilities are from what is true; both 0 at best.

    Attributes
    ----------
    error : float
        Expected calibration error: mean over sets of |mean probability - mean truth| of the set's
        bin, in [0, 1].
    brier : float
        Mean of (probability - truth)^2, in [0, 1].
    """

    error: float
    brier: float


def chances(sets: Sets, true_sets: Sets, true_probs: Floats) -> Floats:
    """Chance under the truth of each generated set.

    Parameters
    ----------
    sets : bool array, shape (n, k, L)
    true_sets : bool array, shape (n, m, L)
        The sets that can occur in each row.
    true_probs : float array, shape (n, m)
        Their chances; 0 in a place that is not used.

    Returns
    -------
    float64 array, shape (n, k); 0 for a set that cannot occur.
    """
    packed, true_packed = np.packbits(sets, axis=2), np.packbits(true_sets, axis=2)
    found = np.empty(sets.shape[:2])
    for rows in _row_blocks(len(sets), sets.shape[1] * true_packed.shape[1] * packed.shape[2]):
        same = (packed[rows, :, None] == true_packed[rows, None]).all(axis=3)
        found[rows] = (same * true_probs[rows, None]).sum(axis=2)
    return found


def possible(true_chances: Floats, present: NDArray[np.bool_]) -> RowTerms:
    """Coherence: share of the generated sets that can occur.

    Parameters
    ----------
    true_chances : float array, shape (n, k)
        Of :func:`chances`.
    present : bool array, shape (n, k)
        Places that hold a set.

    Returns
    -------
    RowTerms of shape (n, 1)
    """
    can = (true_chances > 0) & present
    return RowTerms(_column(can.sum(axis=1)), _column(present.sum(axis=1)))


def log_chance(true_chances: Floats, present: NDArray[np.bool_]) -> RowTerms:
    """Mean log-chance under the truth of the generated sets that can occur, in nats.

    The others, whose logarithm is -inf, are what :func:`possible` counts.
    """
    can = (true_chances > 0) & present
    logs = np.log(np.where(can, true_chances, 1.0))
    return RowTerms(_column(logs.sum(axis=1)), _column(can.sum(axis=1)))


def divergence(true_probs: Floats, log_probs: Floats) -> Floats:
    """Kullback-Leibler divergence of the model from the truth, per row, in nats.

    Parameters
    ----------
    true_probs : float array, shape (n, m)
        Chances of the sets that can occur.
    log_probs : float array, shape (n, m)
        What the model says of them; not read where the chance is 0.

    Returns
    -------
    float64 array, shape (n,); 0 where the model is right, inf where it excludes what can occur.
    """
    can = true_probs > 0
    logs = np.log(np.where(can, true_probs, 1.0)) - np.where(can, log_probs, 0.0)
    return np.asarray((true_probs * logs).sum(axis=1))


def distinct(sets: Sets, present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number of different sets in each row, (n,)."""
    packed = np.packbits(sets, axis=2)
    counts = np.empty(len(sets), dtype=np.int64)
    k = sets.shape[1]
    earlier = np.tri(k, k=-1, dtype=bool)
    for rows in _row_blocks(len(sets), k * k * packed.shape[2]):
        same = (packed[rows, :, None] == packed[rows, None]).all(axis=3)
        repeats = (same & earlier & present[rows, None]).any(axis=2)
        counts[rows] = (present[rows] & ~repeats).sum(axis=1)
    return counts


def jaccard_distance(sets: Sets, present: NDArray[np.bool_]) -> RowTerms:
    """Mean over the pairs of a row's sets of 1 - |A and B| / |A or B|; 0 for two empty sets.

    Returns
    -------
    RowTerms of shape (n, 1): sums over pairs, and numbers of pairs.
    """
    n_rows, k = present.shape
    sums, pairs = np.zeros(n_rows), np.zeros(n_rows)
    upper = np.triu(np.ones((k, k), dtype=bool), 1)
    for rows in _row_blocks(n_rows, k * (k + sets.shape[2])):
        part = sets[rows].astype(np.float32)
        both = part @ part.transpose(0, 2, 1)
        sizes = part.sum(axis=2)
        either = sizes[:, :, None] + sizes[:, None] - both
        distance = 1 - np.where(either > 0, both / np.maximum(either, 1), 1.0)
        counted = upper & present[rows, :, None] & present[rows, None]
        sums[rows] = (distance * counted).sum(axis=(1, 2))
        pairs[rows] = counted.sum(axis=(1, 2))
    return RowTerms(_column(sums), _column(pairs))


def coverage(sets: Sets, present: NDArray[np.bool_], targets: NDArray[np.int8]) -> RowTerms:
    """Share of rows whose true set is among the generated ones, over known entries.

    Parameters
    ----------
    sets : bool array, shape (n, k, L)
    present : bool array, shape (n, k)
    targets : int8 array, shape (n, L)
        1, 0, or -1 for not known. A row without a known entry is undefined.
    """
    known = targets >= 0
    wrong = ((sets != (targets == 1)[:, None]) & known[:, None]).any(axis=2)
    covered = np.asarray((~wrong & present).any(axis=1))
    some = np.asarray(known.any(axis=1))
    return RowTerms(_column(covered & some), _column(some))


def set_f1(sets: Sets, present: NDArray[np.bool_], targets: NDArray[np.int8]) -> Floats:
    """F1 of each generated set against the true one, (n, k), over known entries.

    As ``sample_f1``: NaN where neither holds a label, or there is no set.
    """
    known = (targets >= 0)[:, None]
    right = (sets & (targets == 1)[:, None]).sum(axis=2)
    total = (sets & known).sum(axis=2) + (targets == 1).sum(axis=1)[:, None]
    f1 = divide_defined(2.0 * right, total.astype(np.float64))
    return np.where(present, f1, np.nan)


def first_f1(f1: Floats) -> RowTerms:
    """F1 of the first set of each row, from :func:`set_f1`; rows without a label are undefined."""
    first = f1[:, 0]
    return RowTerms(_column(np.nan_to_num(first)), _column(~np.isnan(first)))


def best_f1(f1: Floats, present: NDArray[np.bool_]) -> RowTerms:
    """F1 of the best set of each row, from :func:`set_f1`.

    A row is undefined where a set is right in being empty: there is nothing better.
    """
    empty = np.asarray((np.isnan(f1) & present).any(axis=1) | ~present.any(axis=1))
    best = np.where(np.isnan(f1), 0.0, f1).max(axis=1)
    return RowTerms(_column(np.where(empty, 0.0, best)), _column(~empty))


class CalibrationTerms(NamedTuple):
    """Sums that make up the calibration of sets, a row each.

    Attributes
    ----------
    gaps : float array, shape (n, n_bins)
        Probability minus truth, over the row's sets in each bin.
    squares : float array, shape (n, 1)
        (probability - truth)^2, over the row's sets.
    counts : float array, shape (n, 1)
        The row's sets.
    """

    gaps: Floats
    squares: Floats
    counts: Floats


def calibration_terms(
    probs: Floats, truth: Floats, counted: NDArray[np.bool_], n_bins: int = N_BINS
) -> CalibrationTerms:
    """Compare set probabilities with the truth, row by row; see :func:`set_calibration`."""
    if n_bins < 1:
        raise value_error("n_bins", must="be at least 1", got=n_bins)
    n_rows = len(probs)
    gap = np.where(counted, probs.astype(np.float64) - truth, 0.0)
    place = np.searchsorted(np.linspace(0.0, 1.0, n_bins + 1)[1:-1], probs)
    flat = (np.arange(n_rows)[:, None] * n_bins + place).ravel()
    summed = np.bincount(flat, gap.ravel(), minlength=n_rows * n_bins)
    gaps = np.asarray(summed, dtype=np.float64)
    return CalibrationTerms(
        gaps.reshape(n_rows, n_bins), _column((gap**2).sum(axis=1)), _column(counted.sum(axis=1))
    )


def set_calibration(
    probs: Floats, truth: Floats, counted: NDArray[np.bool_], n_bins: int = N_BINS
) -> SetCalibration:
    """Compare set probabilities with the truth.

    Parameters
    ----------
    probs : float array, shape (n, k)
        What the model says of each generated set.
    truth : float array, shape (n, k)
        The set's chance (:func:`chances`) where it is known, else whether it is the true set.
    counted : bool array, shape (n, k)
        Sets that count.
    n_bins : int
        Bins of equal width, which hold their upper edge.

    Returns
    -------
    SetCalibration; NaN where no set counts.
    """
    gaps, squares, counts = (
        term.sum(axis=0) for term in calibration_terms(probs, truth, counted, n_bins)
    )
    if not counts[0]:
        return SetCalibration(np.nan, np.nan)
    return SetCalibration(float(np.abs(gaps).sum() / counts[0]), float(squares[0] / counts[0]))


def _column(values: NDArray[np.generic]) -> Floats:
    return values.astype(np.float64)[:, None]


def _row_blocks(n_rows: int, entries_a_row: int) -> Iterator[slice]:
    height = max(1, BLOCK_ENTRIES // max(1, entries_a_row))
    for start in range(0, n_rows, height):
        yield slice(start, start + height)
