"""Splits that keep rare labels on both sides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairpo._checks import value_error
from fairpo.data.base import Targets

FEWEST_ROWS_TO_SPLIT = 10
"""Below this no row is held out: the training rows themselves choose the epoch."""

_PATIENCE = 1_000
_NOISE = 0.1
_CANDIDATES = 50


def stratified_split(
    targets: Targets, rows: NDArray[np.int64], fraction: float, *, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split rows in two so that every label has its share of positives on both sides.

    Labels are served from the rarest up: of its positives that have no side yet, as many are
    drawn for the second part as its share still lacks (the idea of iterative stratification,
    Sechidis et al. 2011, a whole label at a time). A label of two positives or more that is left
    on one side only is then brought to the other by moving rows, as far as rows that share rare
    labels leave a choice.

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
    positives = sparse.csr_array(targets[rows] == 1)
    by_label = positives.tocsc()
    side = _serve_labels(by_label, fraction, generator)
    _fill_up(side, fraction, generator)
    _bring_across(side, positives, by_label, generator)
    return np.sort(rows[side == 0]), np.sort(rows[side == 1])


def stratified_folds(
    targets: Targets, rows: NDArray[np.int64], n_folds: int, *, seed: int = 0
) -> list[NDArray[np.int64]]:
    """Cut rows into folds that have their share of every label's positives.

    Parameters
    ----------
    targets : int8 array or CSR, shape (n, L)
    rows : int array
        At least ``n_folds``.
    n_folds : int
        2 or more.
    seed : int

    Returns
    -------
    list of sorted row indices, disjoint, together ``rows``
    """
    folds, rest = [], rows
    for left in range(n_folds, 1, -1):
        rest, fold = stratified_split(targets, rest, 1 / left, seed=seed)
        folds.append(fold)
    return [*folds, rest]


def _members(by_label: sparse.csc_array[np.bool_], label: int) -> NDArray[np.int32]:
    rows: NDArray[np.int32] = by_label.indices[by_label.indptr[label] : by_label.indptr[label + 1]]
    return rows


def _serve_labels(
    by_label: sparse.csc_array[np.bool_], fraction: float, generator: np.random.Generator
) -> NDArray[np.int8]:
    side = np.full(by_label.shape[0], -1, dtype=np.int8)
    for label in np.argsort(np.diff(by_label.indptr), kind="stable"):
        members = _members(by_label, label)
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


def _bring_across(
    side: NDArray[np.int8],
    positives: sparse.csr_array[np.bool_],
    by_label: sparse.csc_array[np.bool_],
    generator: np.random.Generator,
) -> None:
    """Repair labels that one side lacks: co-occurring rarer labels decided where their rows went.

    A walk as for satisfiability: of the rows of a label that is lacking, the one moves whose
    other labels suffer least; they are repaired in turn.
    """
    counts = np.stack([positives[side == part].sum(axis=0) for part in (0, 1)]).astype(np.int64)
    can_be_both = counts.sum(axis=0) >= 2
    best = side.copy()
    fewest, without_gain = len(can_be_both) + 1, 0
    while without_gain < _PATIENCE:
        lacking = np.flatnonzero(can_be_both & (counts.min(axis=0) == 0))
        without_gain += 1
        if len(lacking) < fewest:
            fewest, best[:], without_gain = len(lacking), side, 0
        if fewest == 0:
            break
        label = int(generator.choice(lacking))
        to = int(np.argmin(counts[:, label]))
        if (side == 1 - to).sum() <= 1:
            break
        members = generator.permutation(_members(by_label, label))[:_CANDIDATES]
        labels_of = [
            positives.indices[positives.indptr[row] : positives.indptr[row + 1]] for row in members
        ]
        harm = [(counts[1 - to, labels] == 1).sum() for labels in labels_of]
        noisy = generator.random() < _NOISE
        chosen = 0 if noisy else int(np.argmin(harm))
        counts[1 - to, labels_of[chosen]] -= 1
        counts[to, labels_of[chosen]] += 1
        side[members[chosen]] = to
    side[:] = best
