"""Splits that keep rare labels on both sides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairpo._checks import value_error
from fairpo.data.base import Targets, positive_counts


def stratified_split(
    targets: Targets, rows: NDArray[np.int64], fraction: float, *, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split rows in two so that every label has its share of positives on both sides.

    Labels are served from the rarest up: of its positives that have no side yet, as many are
    drawn for the second part as its share still lacks (the idea of iterative stratification,
    Sechidis et al. 2011, a whole label at a time). A label with two positives or more has one on
    each side wherever its co-occurring rarer labels leave a choice.

    Parameters
    ----------
    targets : int8 array or CSR, shape (n, L)
    rows : int array
        The rows to split.
    fraction : float
        Share of the second part, in (0, 1).
    seed : int

    Returns
    -------
    (first, second) : sorted row indices; the second part has about ``fraction`` of the rows

    Raises
    ------
    FairPOValueError
        ``fraction`` out of range, or too few rows for two parts.
    """
    if not 0 < fraction < 1:
        raise value_error("the validation fraction", must="be in (0, 1)", got=fraction)
    if len(rows) < 2:
        raise value_error("the rows to split", must="be at least 2", got=len(rows))
    generator = np.random.default_rng(seed)
    positives = sparse.csc_array(
        np.asarray(targets[rows] == 1) if not sparse.issparse(targets) else targets[rows] == 1
    )
    side = _serve_labels(positives, positive_counts(targets[rows]), fraction, generator)
    _fill_up(side, fraction, generator)
    return np.sort(rows[side == 0]), np.sort(rows[side == 1])


def _serve_labels(
    positives: sparse.csc_array[np.bool_],
    counts: NDArray[np.int64],
    fraction: float,
    generator: np.random.Generator,
) -> NDArray[np.int8]:
    side = np.full(positives.shape[0], -1, dtype=np.int8)
    for label in np.argsort(counts, kind="stable"):
        members = positives.indices[positives.indptr[label] : positives.indptr[label + 1]]
        if len(members) == 0:
            continue
        undecided = generator.permutation(members[side[members] < 0])
        wanted = round(fraction * len(members))
        if len(members) > 1:
            wanted = min(max(wanted, 1), len(members) - 1)
        lacking = int(np.clip(wanted - (side[members] == 1).sum(), 0, len(undecided)))
        side[undecided[:lacking]] = 1
        side[undecided[lacking:]] = 0
    return side


def _fill_up(side: NDArray[np.int8], fraction: float, generator: np.random.Generator) -> None:
    """Put the rows without any positive where the total lacks them."""
    undecided = generator.permutation(np.flatnonzero(side < 0))
    wanted = min(max(round(fraction * len(side)), 1), len(side) - 1)
    lacking = int(np.clip(wanted - (side == 1).sum(), 0, len(undecided)))
    side[undecided[:lacking]] = 1
    side[undecided[lacking:]] = 0
    if (side == 1).all() or not (side == 1).any():  # a handful of rows that all share one label
        side[generator.integers(len(side))] ^= 1
