"""Significance of differences between two models: paired permutation, and Holm over many labels.

A permutation swaps what the two models said about some rows. Every metric of the swapped pair
follows from what the swapped rows change: a ratio of sums for decisions, and for the AP of a label
the rows that stand at another step of its ranking in one model than in the other.
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
from fairpo.metrics.ranking import Floats, Scores, check_scores, group_means
from fairpo.metrics.row_metrics import (
    ROW_METRICS,
    ratios_of_sums,
    row_terms,
    sum_terms_by_unit,
    thresholds_by_run,
)
from fairpo.metrics.step_counts import COLUMNS, NEXT_TO_NOTHING, count_steps, weigh
from fairpo.metrics.units import cumulate_rows, units_of_rows

Swaps: TypeAlias = "NDArray[np.int16]"
"""1 where a unit is swapped, 0 where not, shape (units, permutations)."""

BLOCK_BYTES = 2**28  # of swaps at a time; each block ranks every label again
ROUNDING = 1e-6
"""Differences nearer than this are equal: counts are exact, their float32 quotients are not."""


class PermutationResult(NamedTuple):
    """Differences between two models, and how often chance alone makes them as large.

    Attributes
    ----------
    keys : tuple of str, length K
        ``<metric>`` and ``<metric>/<group>``, metric by metric: ``map``, ``sample_f1``,
        ``sample_f1_paper``, ``label_accuracy``, ``exact_match``, ``brier``.
    differences : float64 array, shape (K,)
        First model minus second, mean over runs; NaN where the metric does not exist.
    p_values : float64 array, shape (K,)
        Two-sided, in [1 / (1 + n_permutations), 1]; NaN where the difference is.
    label_differences, label_p_values : float64 arrays, shape (L,)
        The same of every label's AP; NaN for a label without a positive. See :func:`holm`.
    """

    keys: tuple[str, ...]
    differences: Floats
    p_values: Floats
    label_differences: Floats
    label_p_values: Floats

    def of(self, key: str) -> tuple[float, float]:
        """Difference and p-value of one key."""
        if key not in self.keys:
            raise unknown_name("key", key, self.keys, of="keys of this test")
        place = self.keys.index(key)
        return float(self.differences[place]), float(self.p_values[place])


class SwappedDifferences(NamedTuple):
    """Differences of two models under every permutation; the first column is that of no swap.

    Attributes
    ----------
    by_row : float64 array, shape (metrics x groups, 1 + n_permutations)
        Of ``ROW_METRICS``.
    by_label : float64 array, shape (L, 1 + n_permutations)
        Of every label's AP; NaN for a label without a positive.
    """

    by_row: Floats
    by_label: Floats


def paired_permutation_test(
    first: Sequence[Scores],
    second: Sequence[Scores],
    targets: NDArray[Any],
    groups: Groups,
    *,
    first_threshold_logits: Sequence[Floats | None] | None = None,
    second_threshold_logits: Sequence[Floats | None] | None = None,
    clusters: NDArray[Any] | None = None,
    n_permutations: int = 1000,
    seed: int = 0,
) -> PermutationResult:
    """Test whether two models differ, by swapping their predictions of random rows.

    If the models were equally good, which of them made which prediction of a row would not
    matter. Each permutation swaps every row (or cluster) with probability 1/2, the same rows in
    all runs; ``p = (1 + #{|d*| >= |d|}) / (1 + n_permutations)``.

    Parameters
    ----------
    first, second : sequences of float arrays, each of shape (n, L)
        Logits of the two models on the same rows, one array for each run (seed); run ``k`` of the
        first is compared with run ``k`` of the second. The statistic is the mean over runs.
    targets : int8 array, shape (n, L)
        1, 0, or -1 for not known.
    groups : mapping from name to int array
        Label indices of each group.
    first_threshold_logits, second_threshold_logits : sequences of float arrays (L,), optional
        Thresholds of the decisions, one array for each run; 0 where None.
    clusters : array, shape (n,), optional
        Rows that share a value are not independent: whole clusters are swapped.
    n_permutations : int
        1000 resolves p = 0.05 well. Holm over L labels can call a label significant only if
        ``n_permutations`` is at least ``L / 0.05``.
    seed : int
        The same seed, number of rows (or clusters) and ``n_permutations`` give the same swaps.

    Returns
    -------
    PermutationResult

    Raises
    ------
    FairPOValueError
        No runs, different numbers of runs, shapes that differ, fewer than two clusters.

    Notes
    -----
    Before AP is taken, each model's scores of a label become their ranks among the rows where the
    label is known. AP does not see more, and scores of different scale cannot be mixed: a model
    that is the other one plus a constant would otherwise look torn by every swap, and the test
    would find nothing. Decisions and probabilities are swapped as they are.

    The null hypothesis is that rows are exchangeable between the models, which is more than equal
    metrics; p is exact up to the ranks' dependence on each other, which the tests measure.

    Time grows with the rows that stand elsewhere in the second ranking: 40,000 rows, 80 labels and
    1000 permutations take seconds on one core.

    References
    ----------
    Smucker, Allan and Carterette, "A comparison of statistical significance tests for information
    retrieval evaluation", CIKM 2007; Phipson and Smyth, "Permutation p-values should never be
    zero", 2010.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> targets = (rng.random((500, 2)) < 0.3).astype(np.int8)
    >>> good = targets + rng.normal(size=(500, 2))
    >>> bad = targets + 3 * rng.normal(size=(500, 2))
    >>> result = paired_permutation_test([good], [bad], targets, {"rare": [0]})
    >>> difference, p = result.of("map/rare")
    >>> difference > 0.1, p < 0.01
    (True, True)
    """
    if len(first) == 0 or len(first) != len(second):
        raise value_error(
            "first and second",
            must="hold the same number of runs, at least one",
            got=f"{len(first)} and {len(second)}",
        )
    thresholds = zip(
        thresholds_by_run(first_threshold_logits, len(first)),
        thresholds_by_run(second_threshold_logits, len(second)),
        strict=True,
    )
    runs = [
        swapped_differences(
            pair,
            targets,
            groups,
            threshold_logits=own,
            clusters=clusters,
            n_permutations=n_permutations,
            seed=seed,
        )
        for pair, own in zip(zip(first, second, strict=True), thresholds, strict=True)
    ]
    return judge_swaps(runs, groups)


def swapped_differences(
    pair: tuple[Scores, Scores],
    targets: NDArray[Any],
    groups: Groups,
    *,
    threshold_logits: tuple[Floats | None, Floats | None] = (None, None),
    clusters: NDArray[Any] | None = None,
    n_permutations: int = 1000,
    seed: int = 0,
) -> SwappedDifferences:
    """Compare one run of two models under every permutation, for :func:`judge_swaps`.

    Runs of a test can so be taken one by one, in whatever process.

    Parameters
    ----------
    pair : two float arrays of shape (n, L)
    threshold_logits : two float arrays of shape (L,), or None
    targets, groups, clusters, n_permutations, seed
        As for :func:`paired_permutation_test`.
    """
    _check_request(pair, targets, n_permutations)
    membership = membership_matrix(groups, targets.shape[1])
    unit_of_row = units_of_rows(clusters, len(targets))
    sums = _RowSums(pair, targets, membership, threshold_logits, unit_of_row)
    # A model compared with itself, as after a fallback to the reference: one swap tells all.
    is_same = pair[0] is pair[1] and threshold_logits[0] is threshold_logits[1]
    n_drawn = 0 if is_same else n_permutations
    by_row, by_label = [], []
    for swaps in _swap_blocks(int(unit_of_row.max()) + 1, n_drawn, seed):
        by_row.append(sums.under(swaps))
        by_label.append(_labels(*pair, targets, unit_of_row, swaps))
    differences = SwappedDifferences(*(np.concatenate(part, axis=1) for part in (by_row, by_label)))
    if not is_same:
        return differences
    return SwappedDifferences(*(np.repeat(part, 1 + n_permutations, 1) for part in differences))


def judge_swaps(runs: Sequence[SwappedDifferences], groups: Groups) -> PermutationResult:
    """Test the mean over runs that were swapped alike.

    Parameters
    ----------
    runs : sequence of SwappedDifferences
        At least one; of the same rows, groups, ``n_permutations`` and seed.
    groups : mapping from name to int array
    """
    labels = np.mean([run.by_label for run in runs], axis=0)
    others = np.mean([run.by_row for run in runs], axis=0)
    means = group_means(labels, membership_matrix(groups, len(labels)))
    differences, p_values = _judge(np.concatenate([means, others]))
    label_differences, label_p_values = _judge(labels)
    metrics = ("map", *ROW_METRICS)
    keys = tuple(metric_key(metric, group) for metric in metrics for group in (ALL, *groups))
    return PermutationResult(keys, differences, p_values, label_differences, label_p_values)


def holm(p_values: Floats) -> Floats:
    """Adjust p-values of many tests at once, so that one false alarm in all stays rare.

    Holm's step-down: with the m p-values in ascending order, the adjusted one is
    ``max over j <= i of min(1, (m - j + 1) p_j)``. Rejecting what is at most ``alpha`` makes any
    false rejection with probability at most ``alpha``, whatever the dependence of the tests.

    Parameters
    ----------
    p_values : float array, shape (m,), in [0, 1]
        NaN where there is no test: kept, and not counted in m.

    Returns
    -------
    float64 array, shape (m,)

    References
    ----------
    Holm, "A simple sequentially rejective multiple test procedure", 1979.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1 or (values < 0).any() or (values > 1).any():
        raise value_error("p_values", must="be one row of numbers in [0, 1]", got=values)
    adjusted = values.copy()
    order = np.argsort(values)[: int(np.count_nonzero(~np.isnan(values)))]  # NaN is sorted last
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, factors * values[order]))
    return adjusted


class _RowSums:
    """Metrics that are ratios of sums over rows, of two models under swaps."""

    def __init__(
        self,
        pair: tuple[Scores, Scores],
        targets: NDArray[Any],
        membership: NDArray[np.float32],
        threshold_logits: tuple[Floats | None, Floats | None],
        unit_of_row: NDArray[np.int64],
    ) -> None:
        self.n_groups = membership.shape[1]
        self.first, self.second = (
            sum_terms_by_unit(
                row_terms(logits, targets, membership, threshold_logits=own), unit_of_row
            )
            for logits, own in zip(pair, threshold_logits, strict=True)
        )

    def under(self, swaps: Sequence[Swaps]) -> Floats:
        """First minus second, shape (keys, permutations)."""
        moved = weigh(self.second - self.first, swaps)
        first = self.first.sum(axis=0)[:, None] + moved
        second = self.second.sum(axis=0)[:, None] - moved
        differences = ratios_of_sums(first, self.n_groups) - ratios_of_sums(second, self.n_groups)
        return differences.reshape(-1, moved.shape[1])


def _labels(
    first: Scores,
    second: Scores,
    targets: NDArray[Any],
    unit_of_row: NDArray[np.int64],
    swaps: Sequence[Swaps],
) -> Floats:
    """AP of every label, first minus second, shape (L, permutations)."""
    values = np.full((targets.shape[1], sum(part.shape[1] for part in swaps)), np.nan)
    for label, value in enumerate(values):
        observed = targets[:, label] >= 0
        positive = targets[observed, label] == 1
        if positive.any():
            pair = _Label(
                _ranks(first[observed, label]),
                _ranks(second[observed, label]),
                positive,
                unit_of_row[observed],
                len(swaps[0]),
            )
            value[:] = np.concatenate([pair.under(part) for part in swaps])
    return values


def _ranks(scores: Scores) -> NDArray[np.int64]:
    """Ranks of scores from the lowest, doubled: those that are tied share their mean.

    Twice ``scipy.stats.rankdata``, whole numbers, without the price of a stable sort.
    """
    order = np.argsort(scores)
    ascending = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]]))
    ends = np.append(starts[1:], len(scores))
    ranks = np.empty(len(scores), dtype=np.int64)
    ranks[order] = np.repeat(starts + 1 + ends, ends - starts)
    return ranks


class _Label:
    """The rankings of one label by two models: counts at each step, and what a swap moves.

    Steps are the different ranks of positives in either model, from the top. A row counts at a
    step if its rank is between it and the step above; below the last step it counts nowhere.
    """

    def __init__(
        self,
        first: NDArray[np.int64],
        second: NDArray[np.int64],
        positive: NDArray[np.bool_],
        unit_of_row: NDArray[np.int64],
        n_units: int,
    ) -> None:
        is_step = np.zeros(2 * len(first) + 1, dtype=bool)  # by rank
        is_step[first[positive]] = is_step[second[positive]] = True
        above = np.cumsum(is_step[::-1])[::-1] - is_step  # steps above each rank
        self.n_positives = np.count_nonzero(positive)
        here, there = above[first], above[second]
        shape = (int(np.count_nonzero(is_step)), n_units)
        self.found = _Counts(here[positive], there[positive], unit_of_row[positive], shape)
        self.rows = _Counts(here, there, unit_of_row, shape)

    def under(self, swaps: Swaps) -> Floats:
        """AP of the first minus that of the second, shape (permutations,)."""
        found, rows = self.found.under(swaps), self.rows.under(swaps)
        above = cumulate_rows(found.copy())
        rows[0] += NEXT_TO_NOTHING
        cumulate_rows(rows)
        ap = _sum_precision(found, above, rows)
        np.subtract(self.found.both[:, None], found, out=found)  # what the first lacks, it has
        np.subtract(np.cumsum(self.found.both)[:, None], above, out=above)
        np.subtract(np.cumsum(self.rows.both)[:, None], rows, out=rows)
        np.maximum(rows, 1.0, out=rows)
        return (ap - _sum_precision(found, above, rows)) / self.n_positives


class _Counts:
    """Rows of one kind at each step of the first model, and in both together."""

    def __init__(
        self,
        here: NDArray[np.int64],
        there: NDArray[np.int64],
        unit_of_row: NDArray[np.int64],
        shape: tuple[int, int],
    ) -> None:
        n_steps = shape[0]
        at_first, at_second = (
            np.bincount(step, minlength=n_steps + 1)[:n_steps].astype(np.float32)
            for step in (here, there)
        )
        self.first, self.both = at_first, at_first + at_second
        moved = here != there
        step = np.concatenate([here[moved], there[moved]])
        most = np.bincount(step, minlength=n_steps + 1)[:n_steps].max(initial=0)  # at one step
        signs = np.repeat(np.array([-1, 1], dtype=np.int8), np.count_nonzero(moved))
        unit = np.tile(unit_of_row[moved], 2)
        self.moves = count_steps(step, unit, shape, most=float(most), signs=signs)

    def under(self, swaps: Swaps) -> NDArray[np.float32]:
        """Rows of the first model at each step, shape (steps, permutations)."""
        counts: NDArray[np.float32] = (self.moves @ swaps).astype(np.float32)
        counts += self.first[:, None]
        return counts


def _sum_precision(
    found: NDArray[np.float32], above: NDArray[np.float32], rows: NDArray[np.float32]
) -> Floats:
    """Sum the precision at each positive; ``above`` of them and of ``rows`` count from the top."""
    precision = above / rows
    precision *= found
    return np.asarray(precision.sum(axis=0, dtype=np.float64))


def _judge(values: Floats) -> tuple[Floats, Floats]:
    """Difference and p from values whose first column is that of no swap."""
    differences = values[:, 0]
    smaller = np.abs(values[:, 1:]) < np.abs(differences)[:, None] - ROUNDING
    p_values = 1 - np.count_nonzero(smaller, axis=1) / values.shape[1]
    return differences, np.where(np.isnan(differences), np.nan, p_values)


def _swap_blocks(n_units: int, n_permutations: int, seed: int) -> Iterator[list[Swaps]]:
    """Yield blocks of permutations, in parts; the very first permutation swaps nothing."""
    generator = np.random.default_rng(seed)
    parts: list[Swaps] = []
    for start in range(0, 1 + n_permutations, COLUMNS):
        width = min(COLUMNS, 1 + n_permutations - start)
        swaps = generator.integers(0, 2, (width, n_units), dtype=np.int8)
        if start == 0:
            swaps[0] = 0
        parts.append(np.ascontiguousarray(swaps.T, dtype=np.int16))
        if sum(part.nbytes for part in parts) > BLOCK_BYTES:
            yield parts
            parts = []
    if parts:
        yield parts


def _check_request(pair: tuple[Scores, Scores], targets: NDArray[Any], n_permutations: int) -> None:
    if n_permutations < 1:
        raise value_error("n_permutations", must="be at least 1", got=n_permutations)
    if len(targets) == 0:
        raise value_error("targets", must="hold at least one row", got="none")
    for logits in pair:
        check_scores(logits, targets)
