"""The labels ranked first in each row: streamed over blocks of labels, judged at k."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import value_error
from fairpo.metrics.ranking import Floats, Scores, divide_defined

Entries: TypeAlias = "tuple[NDArray[np.int64], NDArray[np.int64]]"
"""Rows and labels of some entries of a matrix."""

NO_LABEL = -1
"""Stands where a row has fewer labels than places."""


class TopK:
    """The k labels of highest score in each row, from scores that come in blocks of labels.

    Ties go to the lower label, so that the result does not depend on the blocks. Memory: rows x k.

    Parameters
    ----------
    n_rows : int
    k : int
        Places, at least 1.

    Attributes
    ----------
    labels : int64 array, shape (n_rows, k)
        Label numbers, best first; -1 where there are fewer labels than places.
    scores : float64 array, shape (n_rows, k)
        Their scores; minus infinity where there is no label.

    Examples
    --------
    >>> import numpy as np
    >>> top = TopK(n_rows=1, k=2)
    >>> top.update(np.array([[0.5, 2.0, 0.5]]), np.array([0, 1, 2]))
    >>> top.update(np.array([[1.0, 0.5]]), np.array([7, 9]))
    >>> top.labels.tolist()
    [[1, 7]]
    """

    def __init__(self, n_rows: int, k: int) -> None:
        if k < 1:
            raise value_error("k", must="be at least 1", got=k)
        self.k = k
        self.labels = np.full((n_rows, k), NO_LABEL, dtype=np.int64)
        self.scores = np.full((n_rows, k), -np.inf)
        self._last = NO_LABEL

    def update(
        self,
        scores: Scores,
        labels: NDArray[np.int64],
        observed: NDArray[np.bool_] | None = None,
    ) -> None:
        """Rank a block of labels among those seen.

        Parameters
        ----------
        scores : float array, shape (n_rows, block)
            Finite.
        labels : int array, shape (block,)
            Label numbers of the columns, ascending, above all labels of earlier blocks.
        observed : bool array, shape (n_rows, block), optional
            A label that is not known in a row takes no place in its ranking.

        Raises
        ------
        FairPOValueError
            Shapes differ, or the labels do not ascend.
        """
        if scores.shape != (len(self.labels), len(labels)):
            raise value_error(
                "scores",
                must=f"have shape {(len(self.labels), len(labels))}: rows, and labels of the block",
                got=scores.shape,
            )
        if not len(labels):
            return
        if labels[0] <= self._last or (np.diff(labels) <= 0).any():
            raise value_error(
                "labels",
                must=f"ascend from above {self._last}, the last label seen",
                got=f"{labels[0]} to {labels[-1]}",
            )
        self._last = int(labels[-1])
        if observed is not None:
            scores = np.where(observed, scores, -np.inf)
        # As blocks go by, fewer and fewer rows have anything to gain.
        rows = np.flatnonzero(scores.max(axis=1) > self.scores[:, -1])
        if len(rows):
            self._merge(rows, scores[rows], labels)

    def hits(self, positive: Entries, n_labels: int) -> NDArray[np.bool_]:
        """Mark the places taken by a label that applies.

        Parameters
        ----------
        positive : two int arrays
            Rows and labels of the positives: :func:`positive_entries`.
        n_labels : int

        Returns
        -------
        bool array, shape (n_rows, k)
        """
        row = np.arange(len(self.labels))[:, None]
        applies = np.isin(row * n_labels + self.labels, positive[0] * n_labels + positive[1])
        return np.asarray(applies & (self.labels != NO_LABEL))

    def _merge(self, rows: NDArray[np.int64], block: Scores, numbers: NDArray[np.int64]) -> None:
        columns = _highest(block, self.k)
        labels = np.concatenate([self.labels[rows], numbers[columns]], axis=1)
        scores = np.concatenate(
            [self.scores[rows], np.take_along_axis(block, columns, axis=1)], axis=1
        )
        # Stable: among equals, labels of earlier blocks come first, then lower ones of this block.
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self.k]
        self.scores[rows] = np.take_along_axis(scores, order, axis=1)
        labels = np.take_along_axis(labels, order, axis=1)
        self.labels[rows] = np.where(self.scores[rows] > -np.inf, labels, NO_LABEL)


def positive_entries(targets: Any) -> Entries:
    """Rows and labels of the positives of targets (n, L), dense or CSR; nothing is made dense."""
    if isinstance(targets, np.ndarray):
        rows, labels = np.nonzero(targets == 1)
        return rows, labels
    ones = np.asarray(targets.data) == 1
    rows = np.repeat(np.arange(targets.shape[0]), np.diff(targets.indptr))
    return rows[ones], targets.indices[ones].astype(np.int64)


def precision_at_k(hits: NDArray[np.bool_], k: int) -> Floats:
    """Share of the first k places that are taken by labels that apply (P@k).

    Parameters
    ----------
    hits : bool array, shape (n, places)
        Whether the label in each place applies, best first: :meth:`TopK.hits`.
    k : int
        From 1 to ``places``.

    Returns
    -------
    float64 array, shape (n,)
        Divided by k also where fewer labels apply: the highest value of a row with one positive
        is 1 / k, and a row without positives has 0.
    """
    return np.asarray(_first(hits, k).mean(axis=1))


def ndcg_at_k(hits: NDArray[np.bool_], n_positives: NDArray[np.int64], k: int) -> Floats:
    """Discounted gain of the first k places over the highest possible (nDCG@k).

    A label that applies gains ``1 / log2(1 + place)``; the ideal ranking has all that apply first.

    Parameters
    ----------
    hits : bool array, shape (n, places)
        As for :func:`precision_at_k`.
    n_positives : int array, shape (n,)
        How many labels apply in each row, ranked or not.
    k : int
        From 1 to ``places``.

    Returns
    -------
    float64 array, shape (n,); NaN for a row without positives
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])[np.minimum(n_positives, k)]
    return divide_defined(_first(hits, k) @ discounts, ideal)


def _first(hits: NDArray[np.bool_], k: int) -> NDArray[np.bool_]:
    if not 1 <= k <= hits.shape[1]:
        raise value_error("k", must=f"be from 1 to {hits.shape[1]}, the places ranked", got=k)
    return hits[:, :k]


def _highest(block: Scores, k: int) -> NDArray[np.int64]:
    """Columns of the k highest scores of each row, ascending; ties go to the lower column."""
    width = block.shape[1]
    k = min(k, width)
    least = np.partition(block, width - k, axis=1)[:, width - k, None]
    above, equal = block > least, block == least
    places = k - np.count_nonzero(above, axis=1)
    crowded = np.flatnonzero(np.count_nonzero(equal, axis=1) > places)
    equal[crowded] &= np.cumsum(equal[crowded], axis=1) <= places[crowded, None]
    return np.nonzero(above | equal)[1].reshape(-1, k)
