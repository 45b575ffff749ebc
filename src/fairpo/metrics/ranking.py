"""Average precision: of the whole set, and as the authors' code takes it, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import check_finite, type_error, value_error

Scores: TypeAlias = "NDArray[np.floating[Any]]"
Floats: TypeAlias = "NDArray[np.float64]"

BLOCK_BYTES = 2**24  # of scores that are copied and sorted at a time; what goes with them is less


def average_precision(logits: Scores, targets: NDArray[Any]) -> Floats:
    """Compute the average precision of every label over the whole set.

    The mean, over a label's positives, of the share of positives among the rows that score at
    least as high. Tied rows stand or fall together, so the order of the rows does not matter;
    this is ``sklearn.metrics.average_precision_score``.

    Parameters
    ----------
    logits : float array, shape (n, L)
        Any scores: only their order within a label counts. Kept in their own precision.
    targets : int8 array, shape (n, L)
        1 the label applies, 0 it does not, -1 not known: such a row is left out of that label.

    Returns
    -------
    float64 array, shape (L,), in [0, 1]
        NaN for a label without a positive, for which no average precision exists.

    Notes
    -----
    Each column is sorted once and the positives are looked up in it: O(n log n) per label,
    without an argsort. Memory beyond the input stays under about 64 MB unless a single column
    is larger than that.

    Examples
    --------
    >>> import numpy as np
    >>> logits = np.array([[2.0, 0.5], [1.0, 0.1], [0.0, 0.3]])
    >>> average_precision(logits, np.array([[1, 0], [0, 0], [1, 0]], dtype=np.int8)).round(3)
    array([0.833,   nan])
    """
    check_scores(logits, targets)
    values = np.full(logits.shape[1], np.nan)
    for labels in _label_blocks(logits):
        values[labels] = _sorted_average_precision(logits[:, labels].T, targets[:, labels].T)
    return values


def map_batch_mean(logits: Scores, targets: NDArray[Any], batch_size: int = 32) -> float:
    """Compute the authors' mAP: the mean, over batches, of the mean AP within a batch.

    Within a batch of 32 rows few negatives can outrank a positive, so this is far above the mAP
    of the whole set, and it depends on the batch size and the order of the rows. It is here to
    stand beside published numbers, under its own name.

    Parameters
    ----------
    logits, targets : arrays, shape (n, L)
        As for :func:`average_precision`.
    batch_size : int
        Rows of a batch; consecutive rows, the last batch may be shorter. 32 as in the authors'
        evaluation.

    Returns
    -------
    float
        NaN when there is no positive at all. Labels without a positive in a batch are left out
        of that batch, batches without any positive are left out.
    """
    return mean_over_batches(batch_average_precision(logits, targets, batch_size))


def batch_average_precision(logits: Scores, targets: NDArray[Any], batch_size: int = 32) -> Floats:
    """Compute the average precision of every label within every batch of consecutive rows.

    Parameters
    ----------
    logits, targets, batch_size
        As for :func:`map_batch_mean`.

    Returns
    -------
    float64 array, shape (ceil(n / batch_size), L)
        NaN where a label has no positive in a batch.
    """
    check_scores(logits, targets)
    if batch_size < 1:
        raise value_error("batch_size", must="be at least 1", got=batch_size)
    n_rows, n_labels = logits.shape
    rows, labels = np.nonzero(targets == 1)
    precision = np.empty(len(rows))
    step = max(1, BLOCK_BYTES // (8 * batch_size))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        precision[part] = _precision_in_batch(logits, targets, rows[part], labels[part], batch_size)
    n_batches = -(-n_rows // batch_size)
    cells = rows // batch_size * n_labels + labels
    sums = np.bincount(cells, weights=precision, minlength=n_batches * n_labels)
    counts = np.bincount(cells, minlength=n_batches * n_labels)
    return divide_defined(sums, counts).reshape(n_batches, n_labels)


def mean_over_batches(values: Floats) -> float:
    """Average the output of :func:`batch_average_precision`: over labels, then over batches."""
    return float(mean_defined(mean_defined(values, axis=1)))


def mean_defined(values: Floats, axis: int | None = None) -> Floats:
    """Average the entries that are not NaN; NaN where there are none, without a warning."""
    defined = ~np.isnan(values)
    sums = np.where(defined, values, 0.0).sum(axis=axis)
    return divide_defined(sums, defined.sum(axis=axis))


def divide_defined(numerator: NDArray[Any], denominator: NDArray[Any]) -> Floats:
    """Divide elementwise; NaN where the denominator is 0, without a warning."""
    quotient = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=np.asarray(denominator) != 0)
    return quotient


def group_means(values: Floats, membership: NDArray[Any]) -> Floats:
    """Mean over the labels of each group that have a value.

    Parameters
    ----------
    values : float array, shape (L, ...)
        NaN where a label has none.
    membership : array, shape (L, G)
        See :func:`~fairpo.metrics.membership_matrix`.

    Returns
    -------
    float64 array, shape (G, ...); NaN for a group without a value
    """
    defined = ~np.isnan(values)
    inside = membership.T.astype(np.float64)
    return divide_defined(inside @ np.where(defined, values, 0.0), inside @ defined)


def check_scores(logits: NDArray[Any], targets: NDArray[Any]) -> None:
    """Refuse scores and targets that no metric can be computed from.

    Raises
    ------
    FairPOTypeError
        Logits are not floating point or targets not integers.
    FairPOValueError
        Not two-dimensional, different shapes, NaN or infinite logits, targets outside
        {0, 1, -1}.
    """
    if logits.dtype.kind != "f":
        raise type_error("logits", must="be floating point", got=f"dtype {logits.dtype}")
    if targets.dtype.kind not in "biu":
        raise type_error(
            "targets",
            must="be integers (1, 0, or -1 for not known)",
            got=f"dtype {targets.dtype}",
            do="fairpo.data.as_targets converts them.",
        )
    if logits.ndim != 2 or logits.shape != targets.shape:
        raise value_error(
            "logits and targets",
            must="share one shape (rows, labels)",
            got=f"{logits.shape} and {targets.shape}",
        )
    if targets.size and (targets.min() < -1 or targets.max() > 1):
        raise value_error(
            "targets", must="be 1, 0 or -1", got=f"values from {targets.min()} to {targets.max()}"
        )
    check_finite(logits, "logits")


def _label_blocks(logits: Scores) -> Iterator[slice]:
    n_rows, n_labels = logits.shape
    width = max(1, BLOCK_BYTES // max(1, n_rows * logits.itemsize))
    for start in range(0, n_labels, width):
        yield slice(start, start + width)


def _sorted_average_precision(columns: Scores, marks: NDArray[Any]) -> Floats:
    """AP of labels stored as rows, shape (labels, n)."""
    scores = np.array(columns, order="C")  # always a copy: it is sorted in place
    positive = np.array(marks == 1, order="C")
    ends = np.cumsum(np.count_nonzero(positive, axis=1))
    of_positives = np.split(scores[positive], ends[:-1])
    np.copyto(scores, -np.inf, where=marks == -1)  # below every finite score
    scores.sort(axis=1)
    return np.array(
        [_one_label(ranked, found) for ranked, found in zip(scores, of_positives, strict=True)]
    )


def _one_label(ranked: Scores, found: Scores) -> float:
    """AP from all scores, ascending, and those of the positives."""
    if found.size == 0:
        return np.nan
    found = np.sort(found)
    rows_above = ranked.size - ranked.searchsorted(found)
    positives_above = found.size - found.searchsorted(found)
    return float(np.mean(positives_above / rows_above))


def _precision_in_batch(
    logits: Scores,
    targets: NDArray[Any],
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    batch_size: int,
) -> Floats:
    """Precision at the score of each given positive, within its own batch."""
    batch = (rows // batch_size * batch_size)[:, None] + np.arange(batch_size)
    exists = batch < logits.shape[0]
    batch[~exists] = 0
    columns = labels[:, None]
    marks = targets[batch, columns]
    above = exists & (logits[batch, columns] >= logits[rows, labels][:, None]) & (marks >= 0)
    hits = above & (marks == 1)
    return np.asarray(np.count_nonzero(hits, axis=1) / np.count_nonzero(above, axis=1))
