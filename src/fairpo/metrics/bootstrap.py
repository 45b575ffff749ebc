"""Paired bootstrap: metrics of several score matrices on the same resamples of the test rows.

A resample is a weight per row (how often it was drawn). Every metric is computed from weights
directly: decision metrics are ratios of weighted sums, and the AP of a label needs the weights
summed between one positive and the next, a sparse matrix times all resamples at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairpo._checks import unknown_name, value_error
from fairpo.metrics.decisions import (
    ALL,
    Groups,
    membership_matrix,
    metric_key,
)
from fairpo.metrics.ranking import (
    Floats,
    Scores,
    average_precision,
    check_scores,
    divide_defined,
)
from fairpo.metrics.row_metrics import ROW_METRICS, row_terms, thresholds_by_run
from fairpo.metrics.units import cumulate_rows, sum_by_unit, units_of_rows

BOOTSTRAP_METRICS = ("map", *ROW_METRICS)
BLOCK_BYTES = 2**25  # of weights at a time; a label's work needs about four times that


class BootstrapResult(NamedTuple):
    """Values of every run, as measured and on every resample.

    Attributes
    ----------
    keys : tuple of str, length K
        ``<metric>`` and ``<metric>/<group>``, metric by metric.
    values : float64 array, shape (runs, K)
        On the test rows as they are.
    resampled : float64 array, shape (runs, K, n_resamples)
        The last axis means the same resample in every run and key.
    """

    keys: tuple[str, ...]
    values: Floats
    resampled: Floats

    def of(self, key: str) -> Floats:
        """Resampled values of one key, shape (runs, n_resamples)."""
        if key not in self.keys:
            raise unknown_name("key", key, self.keys, of="keys of this bootstrap")
        return self.resampled[:, self.keys.index(key)]


def bootstrap_metrics(
    logits_by_run: Sequence[Scores],
    targets: NDArray[Any],
    groups: Groups,
    metrics: Sequence[str] = BOOTSTRAP_METRICS,
    *,
    threshold_logits_by_run: Sequence[Floats | None] | None = None,
    clusters: NDArray[Any] | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> BootstrapResult:
    """Resample the test rows and compute metrics of every run on the same resamples.

    Parameters
    ----------
    logits_by_run : sequence of float arrays, each of shape (n, L)
        Scores of several runs (methods, seeds) on the same rows.
    targets : int8 array, shape (n, L)
        1, 0, or -1 for not known.
    groups : mapping from name to int array
        Label indices of each group.
    metrics : sequence of str
        From ``map``, ``sample_f1``, ``sample_f1_paper``, ``label_accuracy``, ``exact_match``,
        ``brier``.
    threshold_logits_by_run : sequence of float arrays, each of shape (L,), optional
        Each run's thresholds of the decisions; 0 for a run that has None, or for all.
    clusters : array, shape (n,), optional
        Rows that share a value are not independent: whole clusters are drawn. Rows are drawn
        one by one when not given.
    n_resamples : int
        1000 is enough for a 95% interval.
    seed : int
        The same seed, number of rows (or clusters) and ``n_resamples`` give the same resamples,
        also in another call.

    Returns
    -------
    BootstrapResult
        Take differences between runs, or averages over seeds, along its first axis.

    Raises
    ------
    FairPOValueError
        No runs, an unknown metric, shapes that differ, thresholds for another number of runs,
        fewer than two clusters.

    Notes
    -----
    A label without a positive in a resample is left out of that resample's ``map``; targets are
    shared, so it is left out for every run. Time is about n x L x n_resamples additions per run;
    memory stays around 200 MB beyond the input and the result.

    Examples
    --------
    >>> import numpy as np
    >>> targets = np.eye(4, 2, dtype=np.int8)
    >>> logits = np.arange(8.0).reshape(4, 2) - 3.5
    >>> result = bootstrap_metrics([logits, -logits], targets, {}, ["map"], n_resamples=10)
    >>> result.keys, result.resampled.shape
    (('map',), (2, 1, 10))
    >>> low, high = percentile_interval(result.of("map")[1] - result.of("map")[0])
    """
    _check_request(logits_by_run, targets, metrics, n_resamples)
    membership = membership_matrix(groups, targets.shape[1])
    unit_of_row = units_of_rows(clusters, targets.shape[0])
    thresholds = thresholds_by_run(threshold_logits_by_run, len(logits_by_run))
    runs = [
        _Run(logits, targets, membership, metrics, unit_of_row, own)
        for logits, own in zip(logits_by_run, thresholds, strict=True)
    ]
    n_units = int(unit_of_row.max()) + 1
    n_keys = len(metrics) * membership.shape[1]
    resampled = np.empty((len(runs), n_keys, n_resamples))
    for part, weights in _weight_blocks(n_units, len(targets), n_resamples, seed):
        for run, values in zip(runs, resampled, strict=True):
            values[:, part] = run.under(weights)
    return BootstrapResult(
        keys=tuple(metric_key(metric, group) for metric in metrics for group in (ALL, *groups)),
        values=np.stack([run.values() for run in runs]),
        resampled=resampled,
    )


def bootstrap_means(
    values: Floats,
    *,
    clusters: NDArray[Any] | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Floats:
    """Resample the rows and take the mean of values that each row has for itself.

    Parameters
    ----------
    values : float array, shape (n, ...)
        Such as differences of two models' precision at 5; NaN for a row that has none. Further
        axes are means of their own, all on the same resamples.
    clusters, n_resamples, seed
        As in :func:`bootstrap_metrics`, and with the same resamples.

    Returns
    -------
    float64 array, shape (..., n_resamples)
        NaN for a resample without any row that has a value.

    Examples
    --------
    >>> import numpy as np
    >>> bootstrap_means(np.array([[1.0, np.nan], [1.0, np.nan]]), n_resamples=3)
    array([[ 1.,  1.,  1.],
           [nan, nan, nan]])
    """
    columns = values.reshape(len(values), -1)
    known = ~np.isnan(columns)
    unit_of_row = units_of_rows(clusters, len(values))
    sums = sum_by_unit(np.hstack([np.where(known, columns, 0.0), known]), unit_of_row)
    means = np.empty((columns.shape[1], n_resamples))
    for part, weights in _weight_blocks(len(sums), len(values), n_resamples, seed):
        numerator, denominator = np.split(sums.T @ weights, 2)
        means[:, part] = divide_defined(numerator, denominator)
    return means.reshape(*values.shape[1:], n_resamples)


def percentile_interval(differences: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """Take the percentile interval over the last axis.

    Parameters
    ----------
    differences : float array, shape (..., n_resamples)
        Resampled values, usually a difference of two runs.
    level : float in (0, 1)
        Share of resamples inside; the rest is left out in equal parts on both sides.

    Returns
    -------
    low, high : float64 arrays, shape (...)
        Resamples whose value is NaN are left out; NaN when no other is there.
    """
    if not 0.0 < level < 1.0:
        raise value_error("level", must="be between 0 and 1", got=level)
    values = np.array(differences, dtype=np.float64)
    empty = np.isnan(values).all(axis=-1)
    values[empty] = 0.0  # only to keep NumPy from warning; replaced below
    tail = (1.0 - level) / 2.0
    quantile = np.nanquantile if np.isnan(values).any() else np.quantile
    low, high = quantile(values, [tail, 1.0 - tail], axis=-1)
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def weighted_average_precision(
    logits: Scores,
    targets: NDArray[Any],
    weights: NDArray[np.float32],
    unit_of_row: NDArray[np.int64] | None = None,
) -> Floats:
    """Compute the AP of every label under many weightings of the rows at once.

    Equal to :func:`~fairpo.metrics.average_precision` of rows repeated as often as their weight.

    Parameters
    ----------
    logits, targets : arrays, shape (n, L)
    weights : float32 array, shape (U, resamples)
        Whole numbers: how often each unit was drawn.
    unit_of_row : int64 array, shape (n,), optional
        The unit (cluster) of each row, 0 to U - 1. Each row is its own unit when not given.

    Returns
    -------
    float64 array, shape (L, resamples)
        NaN where no positive of the label has a weight.
    """
    if unit_of_row is None:
        unit_of_row = np.arange(len(targets))
    values = np.full((targets.shape[1], weights.shape[1]), np.nan)
    for label, value in enumerate(values):
        observed = targets[:, label] >= 0
        positive = targets[observed, label] == 1
        if positive.any():
            scores = logits[observed, label]
            value[:] = _weighted_label(scores, positive, unit_of_row[observed], weights)
    return values


class _Run:
    """One score matrix, reduced to what does not change between resamples."""

    def __init__(
        self,
        logits: Scores,
        targets: NDArray[Any],
        membership: NDArray[np.float32],
        metrics: Sequence[str],
        unit_of_row: NDArray[np.int64],
        threshold_logits: Floats | None,
    ) -> None:
        self.logits, self.targets, self.unit_of_row = logits, targets, unit_of_row
        self.membership = membership.astype(np.float64)
        self.metrics = metrics
        by_row = [name for name in metrics if name != "map"]
        terms = row_terms(logits, targets, membership, by_row, threshold_logits)
        self.sums = {
            name: [sum_by_unit(term, unit_of_row) for term in pair] for name, pair in terms.items()
        }

    def under(self, weights: NDArray[np.float32]) -> Floats:
        """Values under weights (units, resamples), shape (keys, resamples)."""
        return np.concatenate([self._metric_under(name, weights) for name in self.metrics])

    def values(self) -> Floats:
        """Values on the rows as they are, shape (keys,)."""
        return np.concatenate([self._metric(name) for name in self.metrics])

    def _metric_under(self, name: str, weights: NDArray[np.float32]) -> Floats:
        if name == "map":
            return self._group_means(
                weighted_average_precision(self.logits, self.targets, weights, self.unit_of_row)
            )
        numerator, denominator = self.sums[name]
        return divide_defined(numerator.T @ weights, denominator.T @ weights)

    def _metric(self, name: str) -> Floats:
        if name == "map":
            return self._group_means(average_precision(self.logits, self.targets))
        numerator, denominator = self.sums[name]
        return divide_defined(numerator.sum(axis=0), denominator.sum(axis=0))

    def _group_means(self, precision: Floats) -> Floats:
        defined = ~np.isnan(precision)
        sums = self.membership.T @ np.where(defined, precision, 0.0)
        return divide_defined(sums, self.membership.T @ defined)


def _weighted_label(
    scores: Scores,
    positive: NDArray[np.bool_],
    unit_of_row: NDArray[np.int64],
    weights: NDArray[np.float32],
) -> Floats:
    """AP of one label under each column of weights, shape (resamples,)."""
    thresholds = np.unique(scores[positive])
    step = len(thresholds) - np.searchsorted(thresholds, scores, side="right")
    shape = (len(thresholds), len(weights))  # a row that scores below every positive has no step
    rows = step < len(thresholds)
    rows_above = cumulate_rows(_count_matrix(step[rows], unit_of_row[rows], shape) @ weights)
    at_step = _count_matrix(step[positive], unit_of_row[positive], shape) @ weights
    precision = cumulate_rows(at_step.copy())
    total = precision[-1].astype(np.float64)
    np.maximum(rows_above, 1.0, out=rows_above)  # 0 only where the positives' weight is 0 too
    precision /= rows_above
    precision *= at_step
    return divide_defined(precision.sum(axis=0, dtype=np.float64), total)


def _count_matrix(
    step: NDArray[np.int64], unit: NDArray[np.int64], shape: tuple[int, int]
) -> sparse.csr_array[Any]:
    """Count the rows of each unit at each step; float32 is exact below 2^24 rows."""
    ones = np.ones(len(step), dtype=np.float32)
    return sparse.csr_array((ones, (step, unit)), shape=shape)


def _weight_blocks(
    n_units: int, n_rows: int, n_resamples: int, seed: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Draw units with replacement; yield blocks of resamples that fit into memory."""
    generator = np.random.default_rng(seed)
    width = max(1, BLOCK_BYTES // (4 * n_rows))
    for start in range(0, n_resamples, width):
        stop = min(start + width, n_resamples)
        weights = np.empty((stop - start, n_units), dtype=np.float32)
        for resample in weights:
            drawn = generator.integers(0, n_units, n_units)
            resample[:] = np.bincount(drawn, minlength=n_units)
        yield slice(start, stop), np.ascontiguousarray(weights.T)


def _check_request(
    logits_by_run: Sequence[Scores],
    targets: NDArray[Any],
    metrics: Sequence[str],
    n_resamples: int,
) -> None:
    if len(logits_by_run) == 0:
        raise value_error("logits_by_run", must="hold at least one score matrix", got="none")
    if n_resamples < 1:
        raise value_error("n_resamples", must="be at least 1", got=n_resamples)
    if len(metrics) == 0:
        raise value_error("metrics", must="name at least one metric", got="none")
    if len(targets) == 0:
        raise value_error("targets", must="hold at least one row", got="none")
    for name in metrics:
        if name not in BOOTSTRAP_METRICS:
            raise unknown_name("metric", name, BOOTSTRAP_METRICS, of="metrics of the bootstrap")
    for logits in logits_by_run:
        check_scores(logits, targets)
