"""Calibration: do events of probability p happen with frequency p, per label and per group."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fairpo._checks import value_error
from fairpo.metrics.decisions import ALL, Groups, RowTerms, membership_matrix
from fairpo.metrics.ranking import Floats, Scores, check_scores, divide_defined
from fairpo.metrics.row_blocks import row_blocks

N_BINS = 15


class ReliabilityBins(NamedTuple):
    """Sums over the observed entries whose probability falls into each bin.

    Bins have equal width and hold their upper edge, as scikit-learn's ``calibration_curve``; the
    first one also holds 0. float64 arrays, shape (..., bins); the first axis is labels or groups.

    Attributes
    ----------
    entries : number of observed entries
    probability : sum of their probabilities
    positives : number of positives among them
    """

    entries: Floats
    probability: Floats
    positives: Floats

    def of_groups(self, membership: NDArray[np.float32]) -> ReliabilityBins:
        """Pool the entries of the labels of each group: shape (G, bins)."""
        inside = membership.T.astype(np.float64)
        return ReliabilityBins(*(inside @ part for part in self))

    def calibration_error(self) -> Floats:
        """Expected calibration error: mean over entries of |mean probability - positive rate|.

        Both means are over the entry's bin. In [0, 1], shape (...); NaN without an entry.
        """
        gaps = np.abs(self.probability - self.positives)
        return divide_defined(gaps.sum(axis=-1), self.entries.sum(axis=-1))

    def curve(self) -> ReliabilityCurve:
        """Means of each bin."""
        return ReliabilityCurve(
            divide_defined(self.probability, self.entries),
            divide_defined(self.positives, self.entries),
            self.entries.astype(np.int64),
        )


class ReliabilityCurve(NamedTuple):
    """What a reliability diagram draws: each array has shape (..., bins), NaN in an empty bin.

    Attributes
    ----------
    mean_probability : float64 array
    positive_rate : float64 array
    entries : int64 array
        Observed entries in the bin.
    """

    mean_probability: Floats
    positive_rate: Floats
    entries: NDArray[np.int64]


def brier(
    logits: Scores, targets: NDArray[Any], membership: NDArray[np.float32] | None = None
) -> RowTerms:
    """Squared error of the probabilities: the mean of ``(sigmoid(logit) - target)^2``.

    Every observed entry weighs the same. 0 is best, 0.25 what a coin says; the base rate q of a
    label said everywhere gives q (1 - q). It counts calibration and sharpness together.

    Parameters
    ----------
    logits : float array, shape (n, L)
    targets : int8 array, shape (n, L)
        1, 0, or -1 for not known: counted nowhere.
    membership : float32 array, shape (L, G), optional
        0/1 columns, see :func:`~fairpo.metrics.membership_matrix`; one group of all labels when
        not given.

    Returns
    -------
    RowTerms
        Sum of squared errors and number of observed entries, shape (n, G); ``mean()`` is the score
        of each group.

    References
    ----------
    Brier, "Verification of forecasts expressed in terms of probability", 1950.
    """
    check_scores(logits, targets)
    if membership is None:
        membership = np.ones((targets.shape[1], 1), dtype=np.float32)
    inside = membership.astype(np.float64)
    terms = np.empty((2, len(targets), inside.shape[1]))
    for rows in row_blocks(targets):
        errors, observed = _squared_errors(logits[rows], targets[rows])
        terms[0, rows], terms[1, rows] = errors @ inside, observed @ inside
    return RowTerms(*terms)


def label_brier(logits: Scores, targets: NDArray[Any]) -> Floats:
    """Brier score of every label, shape (L,), in [0, 1]; NaN for a label never observed."""
    check_scores(logits, targets)
    sums = np.zeros((2, targets.shape[1]))
    for rows in row_blocks(targets):
        errors, observed = _squared_errors(logits[rows], targets[rows])
        sums += errors.sum(axis=0), observed.sum(axis=0)
    return divide_defined(*sums)


def reliability_bins(
    logits: Scores, targets: NDArray[Any], n_bins: int = N_BINS
) -> ReliabilityBins:
    """Sort the observed entries of every label into bins of equal width of their probability.

    Parameters
    ----------
    logits : float array, shape (n, L)
    targets : int8 array, shape (n, L)
    n_bins : int
        15, as in most of the literature. The error of few entries grows with the number of bins,
        also where the model is right: compare values of the same number of entries.

    Returns
    -------
    ReliabilityBins
        Arrays of shape (L, n_bins).

    References
    ----------
    Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian
    binning", AAAI 2015; Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    check_scores(logits, targets)
    if n_bins < 1:
        raise value_error("n_bins", must="be at least 1", got=n_bins)
    n_labels = targets.shape[1]
    edges = np.linspace(0.0, 1.0, n_bins + 1)[1:-1]
    sums = np.zeros((3, n_labels * n_bins))
    for rows in row_blocks(targets):
        observed = targets[rows] >= 0
        first_cell = np.broadcast_to(np.arange(n_labels) * n_bins, observed.shape)
        probability = expit(logits[rows].astype(np.float64))[observed]
        cell = first_cell[observed] + np.searchsorted(edges, probability)
        positive = targets[rows][observed] == 1
        for part, weight in zip(sums, (None, probability, positive), strict=True):
            part += np.bincount(cell, weights=weight, minlength=len(part))
    return ReliabilityBins(*sums.reshape(3, n_labels, n_bins))


def reliability_curve(
    logits: Scores, targets: NDArray[Any], groups: Groups, n_bins: int = N_BINS
) -> dict[str, ReliabilityCurve]:
    """Mean probability and positive rate by bin, pooled over the labels of each group.

    Parameters
    ----------
    logits, targets : arrays, shape (n, L)
    groups : mapping from name to int array
        Label indices.
    n_bins : int

    Returns
    -------
    dict from "all" and the group names to ReliabilityCurve of shape (n_bins,)

    Examples
    --------
    >>> import numpy as np
    >>> logits = np.array([[-2.0], [-2.0], [2.0], [2.0]])
    >>> targets = np.array([[0], [1], [1], [1]], dtype=np.int8)
    >>> curve = reliability_curve(logits, targets, {}, n_bins=2)["all"]
    >>> curve.mean_probability.round(2), curve.positive_rate, curve.entries
    (array([0.12, 0.88]), array([0.5, 1. ]), array([2, 2]))
    """
    membership = membership_matrix(groups, targets.shape[1])
    curve = reliability_bins(logits, targets, n_bins).of_groups(membership).curve()
    return {
        name: ReliabilityCurve(*(part[place] for part in curve))
        for place, name in enumerate((ALL, *groups))
    }


def _squared_errors(logits: Scores, targets: NDArray[Any]) -> tuple[Floats, NDArray[np.bool_]]:
    observed = targets >= 0
    errors = (expit(logits.astype(np.float64)) - targets) ** 2
    return np.where(observed, errors, 0.0), observed
