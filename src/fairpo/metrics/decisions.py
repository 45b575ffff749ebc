"""Metrics of yes/no decisions: one set of counts per row and group, each metric a ratio of it.

Every metric here is a sum over rows divided by a sum over rows (:class:`RowTerms`). The bootstrap
reweights the rows of both sums, so it needs nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import check_finite, type_error, value_error
from fairpo.groups import ALL as ALL
from fairpo.groups import RESERVED
from fairpo.metrics.ranking import Floats, divide_defined
from fairpo.metrics.row_blocks import row_blocks

Groups: TypeAlias = "Mapping[str, NDArray[np.int64] | Sequence[int]]"


class Counts(NamedTuple):
    """True positives, false positives, false negatives and observed entries.

    float64 arrays of whole numbers; shape (n, G) per row and group, or (L,) per label.
    """

    true_positives: Floats
    false_positives: Floats
    false_negatives: Floats
    observed: Floats


class RowTerms(NamedTuple):
    """A metric as two terms per row and group, both of shape (n, G)."""

    numerator: Floats
    denominator: Floats

    def rows(self) -> Floats:
        """Value of each row, shape (n, G); NaN where the row is undefined."""
        return divide_defined(self.numerator, self.denominator)

    def mean(self) -> Floats:
        """Value over all rows, shape (G,); NaN for an empty group or when no row is defined."""
        return divide_defined(self.numerator.sum(axis=0), self.denominator.sum(axis=0))

    def undefined(self) -> NDArray[np.int64]:
        """Count the rows that are left out, shape (G,)."""
        return np.asarray(np.count_nonzero(self.denominator == 0, axis=0), dtype=np.int64)


def membership_matrix(groups: Groups, n_labels: int) -> NDArray[np.float32]:
    """Write the groups as 0/1 columns, after a first column that holds all labels.

    Parameters
    ----------
    groups : mapping from name to int array
        Indices of the labels of each group. Groups may overlap, be empty, or leave labels out.
    n_labels : int
        Number of labels, L.

    Returns
    -------
    float32 array, shape (L, 1 + len(groups))

    Raises
    ------
    FairPOTypeError
        Label indices are not integers.
    FairPOValueError
        A reserved name ("all", "group_min", "group_max", "difference"), a name with "/", an index
        outside 0 to L - 1 or given twice.
    """
    matrix = np.zeros((n_labels, 1 + len(groups)), dtype=np.float32)
    matrix[:, 0] = 1.0
    for column, (name, indices) in enumerate(groups.items(), start=1):
        _check_group(name, np.asarray(indices), n_labels)
        matrix[np.asarray(indices, dtype=np.int64), column] = 1.0
    return matrix


def metric_key(metric: str, group: str = ALL) -> str:
    """Name a value: ``<metric>/<group>``, or ``<metric>`` alone for all labels."""
    return metric if group == ALL else f"{metric}/{group}"


def decide(
    logits: NDArray[np.floating[Any]], threshold_logits: Floats | None = None
) -> NDArray[np.bool_]:
    """Predict the labels whose logit is above their threshold.

    Parameters
    ----------
    logits : float array, shape (n, L)
    threshold_logits : float array, shape (L,), optional
        Finite. 0, the logit of probability 0.5, when not given.

    Returns
    -------
    bool array, shape (n, L)

    Raises
    ------
    FairPOValueError
        Not one finite threshold for each label.
    """
    if threshold_logits is None:
        return np.asarray(logits > 0)
    thresholds = np.asarray(threshold_logits)
    if thresholds.shape != logits.shape[1:]:
        raise value_error(
            "threshold_logits", must=f"have shape {logits.shape[1:]}", got=thresholds.shape
        )
    check_finite(thresholds, "threshold_logits")
    return np.asarray(logits > thresholds)


def row_counts(
    predictions: NDArray[np.bool_],
    targets: NDArray[Any],
    membership: NDArray[np.float32] | None = None,
) -> Counts:
    """Count, for every row, what was right and wrong among the labels of each group.

    Parameters
    ----------
    predictions : bool array, shape (n, L)
        The decisions, see :func:`decide`.
    targets : int8 array, shape (n, L)
        1, 0, or -1 for not known: such an entry is counted nowhere.
    membership : float32 array, shape (L, G), optional
        0/1 columns, see :func:`membership_matrix`. One group of all labels when not given.

    Returns
    -------
    Counts
        Arrays of shape (n, G).
    """
    _check_decisions(predictions, targets)
    if membership is None:
        membership = np.ones((targets.shape[1], 1), dtype=np.float32)
    counts = np.empty((4, targets.shape[0], membership.shape[1]))
    for rows in row_blocks(targets):
        for count, events in zip(counts, _events(predictions[rows], targets[rows]), strict=True):
            count[rows] = events.astype(np.float32) @ membership  # exact: whole and below 2^24
    return Counts(*counts)


def label_counts(predictions: NDArray[np.bool_], targets: NDArray[Any]) -> Counts:
    """Count, for every label, what was right and wrong over all rows: arrays of shape (L,)."""
    _check_decisions(predictions, targets)
    counts = np.zeros((4, targets.shape[1]))
    for rows in row_blocks(targets):
        for count, events in zip(counts, _events(predictions[rows], targets[rows]), strict=True):
            count += np.ones(len(events), dtype=np.float32) @ events.astype(np.float32)
    return Counts(*counts)


def label_accuracy(counts: Counts) -> RowTerms:
    """Share of correct decisions among the observed entries; every entry weighs the same."""
    wrong = counts.false_positives + counts.false_negatives
    return RowTerms(counts.observed - wrong, counts.observed)


def exact_match(counts: Counts) -> RowTerms:
    """Share of rows without any wrong decision among their observed entries.

    A row without an observed entry in the group is undefined.
    """
    seen = counts.observed > 0
    right = counts.false_positives + counts.false_negatives == 0
    return RowTerms((seen & right).astype(np.float64), seen.astype(np.float64))


def sample_f1(counts: Counts) -> RowTerms:
    """F1 of each row, averaged over the rows that have a true or a predicted label.

    A row with neither is undefined: there is nothing that could have been found or missed.
    """
    f1, defined = _f1(counts)
    return RowTerms(f1, defined)


def sample_f1_paper(counts: Counts) -> RowTerms:
    """F1 of each row, where a row with neither true nor predicted label counts 0.

    As in the authors' code. It falls when a group is small, however good the decisions are. Only
    rows without an observed entry in the group are undefined.
    """
    f1, _ = _f1(counts)
    return RowTerms(f1, (counts.observed > 0).astype(np.float64))


DECISION_METRICS: dict[str, Callable[[Counts], RowTerms]] = {
    "sample_f1": sample_f1,
    "sample_f1_paper": sample_f1_paper,
    "label_accuracy": label_accuracy,
    "exact_match": exact_match,
}


def _f1(counts: Counts) -> tuple[Floats, Floats]:
    doubled = 2.0 * counts.true_positives
    total = doubled + counts.false_positives + counts.false_negatives
    return doubled / np.maximum(total, 1.0), (total > 0).astype(np.float64)


def _events(predictions: NDArray[np.bool_], targets: NDArray[Any]) -> Iterator[NDArray[np.bool_]]:
    """Entries that are true positives, false positives, false negatives, observed."""
    positive = targets == 1
    yield predictions & positive
    yield predictions & (targets == 0)
    yield positive & ~predictions
    yield targets >= 0


def _check_decisions(predictions: NDArray[Any], targets: NDArray[Any]) -> None:
    if predictions.dtype != np.bool_:
        raise type_error(
            "predictions",
            must="be booleans",
            got=f"dtype {predictions.dtype}",
            do="Pass decide(logits).",
        )
    if predictions.ndim != 2 or predictions.shape != targets.shape:
        raise value_error(
            "predictions and targets",
            must="share one shape (rows, labels)",
            got=f"{predictions.shape} and {targets.shape}",
        )


def _check_group(name: str, indices: NDArray[Any], n_labels: int) -> None:
    if name in RESERVED or "/" in name:
        raise value_error(
            "a group's name",
            must=f"have no '/' and not be one of {', '.join(RESERVED)}",
            got=repr(name),
            do="Rename the group.",
        )
    if indices.size == 0:
        return
    if indices.dtype.kind not in "iu":
        raise type_error(
            f"group {name!r}", must="be an array of label indices", got=f"dtype {indices.dtype}"
        )
    if indices.min() < 0 or indices.max() >= n_labels or len(np.unique(indices)) < indices.size:
        raise value_error(
            f"group {name!r}",
            must=f"hold label indices from 0 to {n_labels - 1}, each once",
            got=f"{indices.size} indices from {indices.min()} to {indices.max()}",
        )
