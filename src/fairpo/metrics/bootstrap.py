"""Paired bootstrap: metrics of several score matrices on the same resamples of the test rows.

A resample is a weight per row (how often it was drawn). Every metric is computed from weights
directly: decision metrics are ratios of weighted sums, and the AP of a label needs the weights
summed between one positive and the next, see :mod:`fairpo.metrics.step_counts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

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
    group_means,
)
from fairpo.metrics.row_metrics import (
    ROW_METRICS,
    ratios_of_sums,
    row_terms,
    sum_terms_by_unit,
    thresholds_by_run,
)
from fairpo.metrics.step_counts import (
    COLUMNS,
    NEXT_TO_NOTHING,
    count_steps,
    in_parts,
    steps_of,
    weigh,
)
from fairpo.metrics.units import cumulate_rows, sum_by_unit, units_of_rows

BOOTSTRAP_METRICS = ("map", *ROW_METRICS)
BLOCK_BYTES = 2**27  # of weights at a time; each block ranks every label again

Weights: TypeAlias = "NDArray[np.uint16] | NDArray[np.float32]"
"""How often each unit was drawn, shape (units, resamples); 16 bits where they are enough."""


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

    def run(self, place: int) -> BootstrapResult:
        """Return one run alone."""
        own = slice(place, place + 1)
        return BootstrapResult(self.keys, self.values[own], self.resampled[own])


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
    shared, so it is left out for every run. Time is about n x L x n_resamples additions per run:
    under 2 s for 40,000 rows, 80 labels and 1000 resamples. Memory stays around 200 MB beyond the
    input and the result.

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
    for block, parts in _weight_blocks(n_units, n_resamples, seed):
        for run, values in zip(runs, resampled, strict=True):
            values[:, block] = run.under(parts)
    return BootstrapResult(
        keys=tuple(metric_key(metric, group) for metric in metrics for group in (ALL, *groups)),
        values=np.stack([run.values() for run in runs]),
        resampled=resampled,
    )


def bootstrap_label_ap(
    logits_by_run: Sequence[Scores],
    targets: NDArray[Any],
    *,
    clusters: NDArray[Any] | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Floats:
    """Resample the test rows and compute the average precision of each label.

    Parameters
    ----------
    logits_by_run, targets, clusters, n_resamples, seed
        As in :func:`bootstrap_metrics`, and with the same resamples.

    Returns
    -------
    float64 array, shape (runs, L, n_resamples)
        NaN where a label has no positive in a resample. 16 bytes a label and resample for two runs:
        of many labels pass some at a time.
    """
    _check_request(logits_by_run, targets, ["map"], n_resamples)
    unit_of_row = units_of_rows(clusters, targets.shape[0])
    n_units, largest = int(unit_of_row.max()) + 1, int(np.bincount(unit_of_row).max())
    resampled = np.empty((len(logits_by_run), targets.shape[1], n_resamples))
    for block, parts in _weight_blocks(n_units, n_resamples, seed):
        most = n_units * largest
        for logits, values in zip(logits_by_run, resampled, strict=True):
            values[:, block] = _weighted_labels(logits, targets, unit_of_row, parts, most)
    return resampled


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
    terms = np.hstack([np.where(known, columns, 0.0), known])
    sums = bootstrap_sums(terms, clusters=clusters, n_resamples=n_resamples, seed=seed)
    return divide_defined(*np.split(sums, 2)).reshape(*values.shape[1:], n_resamples)


def bootstrap_sums(
    terms: Floats,
    *,
    clusters: NDArray[Any] | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Floats:
    """Resample the rows and add up terms that each row has for itself.

    For metrics that are made of sums in a way of their own, such as a calibration error.

    Parameters
    ----------
    terms : float array, shape (n, K)
        Finite.
    clusters, n_resamples, seed
        As in :func:`bootstrap_metrics`, and with the same resamples.

    Returns
    -------
    float64 array, shape (K, n_resamples)

    Examples
    --------
    >>> import numpy as np
    >>> bootstrap_sums(np.ones((5, 1)), n_resamples=3)
    array([[5., 5., 5.]])
    """
    by_unit = sum_by_unit(terms, units_of_rows(clusters, len(terms)))
    sums = np.empty((terms.shape[1], n_resamples))
    for block, parts in _weight_blocks(len(by_unit), n_resamples, seed):
        sums[:, block] = weigh(by_unit, parts)
    return sums


def percentile_interval(
    differences: Floats, level: float = 0.95, *, estimate: Floats | float | None = None
) -> tuple[Floats, Floats]:
    """Take the percentile interval over the last axis.

    Parameters
    ----------
    differences : float array, shape (..., n_resamples)
        Resampled values, usually a difference of two runs.
    level : float in (0, 1)
        Share of resamples inside; the rest is left out in equal parts on both sides.
    estimate : float array, shape (...), optional
        The figure on the rows themselves, onto which the mean of the resamples is moved. Give it
        for AP: a resample repeats positives, which raises the AP of a label that has few, so that
        plain percentiles may not even hold the figure.

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
    if estimate is not None:
        moved = np.asarray(estimate) - np.nanmean(values, axis=-1)
        values += np.where(empty, 0.0, moved)[..., None]  # a figure that does not exist is NaN
    tail = (1.0 - level) / 2.0
    quantile = np.nanquantile if np.isnan(values).any() else np.quantile
    low, high = quantile(values, [tail, 1.0 - tail], axis=-1)
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def weighted_average_precision(
    logits: Scores,
    targets: NDArray[Any],
    weights: NDArray[Any],
    unit_of_row: NDArray[np.int64] | None = None,
) -> Floats:
    """Compute the AP of every label under many weightings of the rows at once.

    Equal to :func:`~fairpo.metrics.average_precision` of rows repeated as often as their weight.

    Parameters
    ----------
    logits, targets : arrays, shape (n, L)
    weights : uint16 or float32 array, shape (U, resamples)
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
    rows_of_unit = np.bincount(unit_of_row, minlength=len(weights)).astype(np.float64)
    most = float((rows_of_unit @ weights).max(initial=0.0))
    return _weighted_labels(logits, targets, unit_of_row, in_parts(weights), most)


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
        self._by_row = [name for name in metrics if name != "map"]
        terms = row_terms(logits, targets, membership, self._by_row, threshold_logits)
        self.sums = sum_terms_by_unit(terms, unit_of_row)

    def under(self, parts: Sequence[Weights]) -> Floats:
        """Values under weights of the units, shape (keys, resamples)."""
        most = len(parts[0]) * int(np.bincount(self.unit_of_row).max())
        precision = None
        if "map" in self.metrics:
            precision = _weighted_labels(self.logits, self.targets, self.unit_of_row, parts, most)
        return self._combined(weigh(self.sums, parts), precision)

    def values(self) -> Floats:
        """Values on the rows as they are, shape (keys,)."""
        precision = None
        if "map" in self.metrics:
            precision = average_precision(self.logits, self.targets)
        return self._combined(self.sums.sum(axis=0), precision)

    def _combined(self, sums: Floats, precision: Floats | None) -> Floats:
        """All keys from sums of terms (2 x metrics x groups, ...) and each label's AP (L, ...)."""
        by_row = ratios_of_sums(sums, self.membership.shape[1])
        values = dict(zip(self._by_row, by_row, strict=True))
        if precision is not None:
            values["map"] = group_means(precision, self.membership)
        return np.concatenate([values[name] for name in self.metrics])


def _weighted_labels(
    logits: Scores,
    targets: NDArray[Any],
    unit_of_row: NDArray[np.int64],
    parts: Sequence[Weights],
    most: float,
) -> Floats:
    """AP of every label, shape (L, resamples); ``most`` rows are drawn in a resample."""
    values = np.full((targets.shape[1], sum(part.shape[1] for part in parts)), np.nan)
    for label, value in enumerate(values):
        observed = targets[:, label] >= 0
        positive = targets[observed, label] == 1
        if positive.any():
            scores = logits[observed, label]
            value[:] = _weighted_label(scores, positive, unit_of_row[observed], parts, most)
    return values


def _weighted_label(
    scores: Scores,
    positive: NDArray[np.bool_],
    unit_of_row: NDArray[np.int64],
    parts: Sequence[Weights],
    most: float,
) -> Floats:
    """AP of one label under each weighting, shape (resamples,)."""
    thresholds = np.unique(scores[positive])
    step = steps_of(scores, thresholds)
    shape = (len(thresholds), len(parts[0]))
    found = count_steps(step[positive], unit_of_row[positive], shape, most=most)
    rows = count_steps(step, unit_of_row, shape, most=most)
    return np.concatenate([_precision(found @ part, rows @ part) for part in parts])


def _precision(found: NDArray[Any], rows: NDArray[Any]) -> Floats:
    """AP from the positives and all rows that are drawn at each step, (steps, columns)."""
    at_step = found.astype(np.float32)
    above = cumulate_rows(at_step.copy())
    total = above[-1].astype(np.float64)
    rows_above = rows.astype(np.float32)
    rows_above[0] += NEXT_TO_NOTHING
    above /= cumulate_rows(rows_above)
    above *= at_step
    return divide_defined(above.sum(axis=0, dtype=np.float64), total)


def _weight_blocks(
    n_units: int, n_resamples: int, seed: int
) -> Iterator[tuple[slice, list[Weights]]]:
    """Draw units with replacement; yield blocks of resamples that fit into memory, in parts."""
    generator = np.random.default_rng(seed)
    dtype = np.uint16 if n_units < 2**16 else np.float32  # no unit is drawn more often
    block: list[Weights] = []
    start = 0
    for first in range(0, n_resamples, COLUMNS):
        drawn = np.empty((min(COLUMNS, n_resamples - first), n_units), dtype=dtype)
        for resample in drawn:
            units = generator.integers(0, n_units, n_units)
            resample[:] = np.bincount(units, minlength=n_units)
        block.append(np.ascontiguousarray(drawn.T))
        stop = first + len(drawn)
        if sum(part.nbytes for part in block) > BLOCK_BYTES or stop == n_resamples:
            yield slice(start, stop), block
            start, block = stop, []


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
