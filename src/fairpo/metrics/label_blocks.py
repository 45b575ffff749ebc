"""Metrics of label spaces too large to score whole: all from one pass over blocks of labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import check_finite, value_error
from fairpo.metrics.decisions import ALL, Groups, membership_matrix, metric_key
from fairpo.metrics.ranking import Floats, Scores, average_precision, mean_defined
from fairpo.metrics.top_k import Entries, TopK, ndcg_at_k, positive_entries, precision_at_k

BLOCK_SCORES = 2**24
"""Scores of a block: 64 MB in float32."""


class LabelBlockMetrics(NamedTuple):
    """What one pass over all labels tells."""

    values: Mapping[str, float]
    """``<metric>`` over all labels and ``<metric>/<group>``: fractions in [0, 1], NaN where there
    is nothing to average, and counts under ``n_``."""
    average_precision: Floats
    """Of every label, (L,); NaN for a label without a positive."""
    by_row: Mapping[str, Floats]
    """The rankings' values of each row, (n,), whose means stand in ``values``; NaN for a row to
    which no label applies."""


def evaluate_label_blocks(
    score: Callable[[slice], Scores],
    targets: Any,
    groups: Groups,
    *,
    ks: Sequence[int] = (1, 3, 5),
    block_labels: int | None = None,
) -> LabelBlockMetrics:
    """Mean average precision, P@k and nDCG@k, over all labels and over each group.

    Parameters
    ----------
    score : callable
        Takes a slice of labels and returns their scores for all rows, float (n, len(slice)).
    targets : int8 array or CSR, shape (n, L)
        1, 0, or -1 for not known: such an entry takes no place in its row's ranking and is left
        out of its label's average precision.
    groups : mapping from name to int array
        Label indices. A group's ``precision_at_<k>`` and ``ndcg_at_<k>`` rank its own labels
        alone: how good the model is at telling them apart, whatever the other labels do.
    ks : sequence of int
        Depths of the rankings. 1, 3 and 5 are the field's.
    block_labels : int, optional
        Labels scored at a time; by default 64 MB of scores. The result does not depend on it.

    Returns
    -------
    LabelBlockMetrics
        ``map``, ``precision_at_<k>``, ``ndcg_at_<k>``, ``n_labels_without_positives`` and
        ``n_rows_without_positives``, each also with ``/<group>``. Rankings are averaged over the
        rows to which some label (of the group) applies: in the others there is nothing to find.

    Raises
    ------
    FairPOValueError
        Scores that are not finite or not (n, block), or groups that do not fit.

    Notes
    -----
    Scores of all rows and labels never exist at once; a block of them does, with the same block of
    the targets and a ranking of each group. Labels without positives are not sorted.

    Examples
    --------
    >>> import numpy as np
    >>> scores = np.array([[2.0, -1.0, 0.0], [1.0, 3.0, 2.0]])
    >>> targets = np.array([[1, 0, 0], [0, 1, 1]], dtype=np.int8)
    >>> groups = {"rare": np.array([1, 2])}
    >>> result = evaluate_label_blocks(lambda labels: scores[:, labels], targets, groups, ks=(1,))
    >>> result.values["precision_at_1"], result.values["precision_at_1/rare"]
    (1.0, 1.0)
    """
    n_rows, n_labels = targets.shape
    membership = membership_matrix(groups, n_labels).T > 0  # the first row is all labels
    tops = [TopK(n_rows, max(ks)) for _ in membership]
    precision = np.full(n_labels, np.nan)
    for labels, scores, marks in _blocks(score, targets, range(n_labels), block_labels):
        observed = marks >= 0 if (marks < 0).any() else None
        for top, inside in zip(tops, membership[:, labels], strict=True):
            columns = slice(None) if inside.all() else np.flatnonzero(inside)
            known = None if observed is None else observed[:, columns]
            top.update(scores[:, columns], labels[columns], known)
        precision[labels] = _defined_precision(scores, marks)
    rows, labels = positive_entries(targets)
    values: dict[str, float] = {}
    by_row: dict[str, Floats] = {}
    for name, top, inside in zip([ALL, *groups], tops, membership, strict=True):
        of_group = inside[labels]
        rankings = _rankings(top, (rows[of_group], labels[of_group]), ks, n_labels)
        undefined = next(iter(rankings.values()))
        figures = {metric: float(mean_defined(of_rows)) for metric, of_rows in rankings.items()}
        figures["map"] = float(mean_defined(precision[inside]))
        figures["n_labels_without_positives"] = int(np.isnan(precision[inside]).sum())
        figures["n_rows_without_positives"] = int(np.isnan(undefined).sum())
        values |= {metric_key(metric, name): value for metric, value in figures.items()}
        by_row |= {metric_key(metric, name): of_rows for metric, of_rows in rankings.items()}
    return LabelBlockMetrics(values, precision, by_row)


def _rankings(top: TopK, positive: Entries, ks: Sequence[int], n_labels: int) -> dict[str, Floats]:
    """P@k and nDCG@k of each row."""
    n_positives = np.bincount(positive[0], minlength=len(top.labels))
    hits, some = top.hits(positive, n_labels), n_positives > 0
    of_rows: dict[str, Floats] = {}
    for k in ks:
        of_rows[f"precision_at_{k}"] = np.where(some, precision_at_k(hits, k), np.nan)
        of_rows[f"ndcg_at_{k}"] = ndcg_at_k(hits, n_positives, k)
    return of_rows


def average_precision_in_blocks(
    score: Callable[[slice], Scores],
    targets: Any,
    labels: range | None = None,
    *,
    block_labels: int | None = None,
) -> Floats:
    """Average precision of each label, scored a block of labels at a time.

    Parameters
    ----------
    score, targets, block_labels
        As in :func:`evaluate_label_blocks`.
    labels : range, optional
        Only these labels, one after the other; all when not given.

    Returns
    -------
    float64 array, shape (L,); NaN for a label without a positive, and for the labels left out
    """
    precision = np.full(targets.shape[1], np.nan)
    wanted = range(targets.shape[1]) if labels is None else labels
    for numbers, scores, marks in _blocks(score, targets, wanted, block_labels):
        precision[numbers] = _defined_precision(scores, marks)
    return precision


_Block = tuple[NDArray[np.int64], Scores, NDArray[np.int8]]


def _blocks(
    score: Callable[[slice], Scores], targets: Any, labels: range, block_labels: int | None
) -> Iterator[_Block]:
    """Label numbers, scores and targets of one block of labels after the other."""
    n_rows = targets.shape[0]
    by_label = targets if isinstance(targets, np.ndarray) else targets.tocsc()
    width = block_labels or max(1, BLOCK_SCORES // max(1, n_rows))
    for start in range(labels.start, labels.stop, width):
        block = slice(start, min(start + width, labels.stop))
        numbers = np.arange(block.start, block.stop)
        scores = _checked(score(block), (n_rows, len(numbers)))
        marks = by_label[:, block]
        yield numbers, scores, marks if isinstance(marks, np.ndarray) else marks.toarray()


def _defined_precision(scores: Scores, marks: NDArray[np.int8]) -> Floats:
    """AP of the labels of a block; those without positives are not sorted."""
    precision = np.full(marks.shape[1], np.nan)
    defined = (marks == 1).any(axis=0)
    precision[defined] = average_precision(scores[:, defined], marks[:, defined])
    return precision


def _checked(scores: Scores, shape: tuple[int, int]) -> Scores:
    if scores.shape != shape:
        raise value_error(
            "score", must=f"return {shape}: all rows, and the labels asked for", got=scores.shape
        )
    check_finite(scores, "scores")
    return scores
