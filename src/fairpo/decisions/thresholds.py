"""One threshold for each label, by rule, on validation rows.

A threshold tuned on a rare label's few positives is tuned to them. What is counted here are
therefore guarded targets: a prior from the calibrated probabilities stands beside what was seen,
and with few positives the threshold is the one those probabilities call for. Out of sample this
beat tuning on the counts alone, shrinking towards a threshold shared by all labels, and the means
of cross-fitted or bootstrapped thresholds; the tests repeat the first of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from fairpo.decisions.guard import guarded_targets
from fairpo.decisions.settings import Threshold
from fairpo.metrics.ranking import Floats, Scores, check_scores, divide_defined

BLOCK_ENTRIES = 2**22
ROUNDING = 1e-12  # of sums: a precision this little below the wanted one is the wanted one


def fit_thresholds(
    logits: Scores, targets: NDArray[Any], rule: Threshold, prior: Floats, guard: float
) -> Floats:
    """Find each label's threshold.

    Parameters
    ----------
    logits : float array, shape (n, L)
        Recalibrated, of validation rows.
    targets : int8 array, shape (n, L)
        1, 0, or -1 for not known.
    rule : Threshold
        ``probability``: that one. ``cost``: ``1 / (1 + cost)``, where one miss costs as much as
        ``cost`` false alarms: for true probabilities nothing costs less. ``f1``: the highest F1.
        ``precision``: the lowest threshold that has at least this precision; where none has, one
        above every validation row, so that the label is seldom predicted. ``recall``: the highest
        threshold that has at least this recall.
    prior : float array, shape (n, L), in (0, 1)
        Calibrated probabilities.
    guard : float, above 0
        Positives that the prior adds to each label, see :mod:`fairpo.decisions.guard`.

    Returns
    -------
    float64 array, shape (L,)
        Logits: a label is predicted above. Half way between two scores of validation rows; 0 for
        a label that is never observed.

    References
    ----------
    Lipton, Elkan and Naryanaswamy, "Optimal thresholding of classifiers to maximize F1 measure",
    ECML 2014; Elkan, "The foundations of cost-sensitive learning", IJCAI 2001.

    Examples
    --------
    >>> import numpy as np
    >>> logits = np.array([[2.0], [1.0], [0.0], [-1.0]])
    >>> targets = np.array([[1], [1], [0], [0]], dtype=np.int8)
    >>> fit_thresholds(logits, targets, Threshold("f1"), 1 / (1 + np.exp(-logits)), 0.1)
    array([0.5])
    """
    check_scores(logits, targets)
    n_labels = logits.shape[1]
    if rule.kind == "probability":
        return np.full(n_labels, logit(rule.value))
    if rule.kind == "cost":
        return np.full(n_labels, -np.log(rule.value))
    thresholds = np.zeros(n_labels)
    for part in _label_blocks(logits):
        mixed, weights = guarded_targets(targets[:, part], prior[:, part], guard)
        scores = np.where(weights > 0, logits[:, part].astype(np.float64), -np.inf)
        thresholds[part] = _cut(scores, mixed * weights, weights, rule)
    return thresholds


def _cut(scores: Floats, positives: Floats, entries: Floats, rule: Threshold) -> Floats:
    """Threshold of each column; scores of entries that do not count are minus infinity."""
    order = np.argsort(-scores, axis=0, kind="stable")
    scores, positives, entries = (
        np.take_along_axis(values, order, axis=0) for values in (scores, positives, entries)
    )
    found, predicted = positives.cumsum(axis=0), entries.cumsum(axis=0)
    lower = np.concatenate([scores[1:], np.full((1, scores.shape[1]), -np.inf)])
    possible = scores > lower  # tied rows stand or fall together
    total = found[-1]
    if rule.kind == "f1":
        f1 = divide_defined(2 * found, predicted + total)
        place = np.where(possible, f1, -1.0).argmax(axis=0)
    elif rule.kind == "precision":
        enough = possible & (divide_defined(found, predicted) >= rule.value - ROUNDING)
        place = len(scores) - 1 - enough[::-1].argmax(axis=0)
        place = np.where(enough.any(axis=0), place, -1)
    else:
        enough = possible & (found >= (rule.value - ROUNDING) * total)
        place = enough.argmax(axis=0)
    return _between(scores, lower, place)


def _between(scores: Floats, lower: Floats, place: NDArray[np.int64]) -> Floats:
    """Half way between the last score that is in and the first that is out.

    A place of -1 lets nothing in: the threshold is then the highest score, and no row is above.
    """
    labels = np.arange(scores.shape[1])
    last, first_out = scores[place, labels], lower[place, labels]
    first_out = np.where(np.isfinite(first_out), first_out, last - 2.0)
    middle = (last + first_out) / 2
    cut = np.where(middle < last, middle, first_out)  # neighbours among the float numbers
    cut = np.where(place < 0, scores[0], cut)
    return np.where(np.isfinite(cut), cut, 0.0)


def _label_blocks(logits: Scores) -> Iterator[slice]:
    width = max(1, BLOCK_ENTRIES // max(1, len(logits)))
    for start in range(0, logits.shape[1], width):
        yield slice(start, start + width)
