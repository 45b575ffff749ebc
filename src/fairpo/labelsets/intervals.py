"""Intervals of what sets are worth, and of differences between models, over the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import check_same_length, value_error
from fairpo.labelsets.evaluation import CALIBRATION_ERROR, MeasuredSets, value_of
from fairpo.metrics import bootstrap_sums, percentile_interval
from fairpo.metrics.ranking import Floats


class Interval(NamedTuple):
    """A value with the ends of its bootstrap interval; all NaN where it is not defined."""

    value: float
    low: float
    high: float


SetIntervals = dict[str, dict[str, Interval]]
"""By metric and group."""


@dataclass(frozen=True)
class SetComparison:
    """Several models of sets on the same rows.

    Parameters
    ----------
    models : dict of name to SetIntervals
        In the order they were given.
    differences : dict of name to SetIntervals
        Of each model but the first: its value minus the first one's.
    level : float
        Of the intervals.
    n_resamples : int
    """

    models: dict[str, SetIntervals]
    differences: dict[str, SetIntervals]
    level: float
    n_resamples: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything ready for JSON; NaN becomes None."""
        return {
            "level": self.level,
            "n_resamples": self.n_resamples,
            "models": {name: _plain(found) for name, found in self.models.items()},
            "differences": {name: _plain(found) for name, found in self.differences.items()},
        }


def compare_sets(
    measured: Mapping[str, MeasuredSets],
    *,
    clusters: NDArray[Any] | None = None,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> SetComparison:
    """Bootstrap every metric of several models, and how the others differ from the first.

    Parameters
    ----------
    measured : mapping from name to MeasuredSets
        Of :func:`fairpo.labelsets.evaluation.measure_sets`, all on the same rows.
    clusters : array, shape (n,), optional
        Rows that share a value are drawn together.
    level : float in (0, 1)
        Of the intervals.
    n_resamples : int
        1000 is enough for 95%.
    seed : int
        Of the resamples.

    Returns
    -------
    SetComparison
        All models see the same resamples: the interval of a difference is that of the difference
        on each of them. A calibration error is higher on resamples than on the rows themselves, so
        the mean of its resamples is moved onto the figure.

    Raises
    ------
    FairPOValueError
        No models, different numbers of rows, fewer than two rows or clusters, no resamples.
    """
    if not measured:
        raise value_error("measured", must="hold at least one model", got="none")
    if n_resamples < 1:
        raise value_error("n_resamples", must="be at least 1", got=n_resamples)
    lengths = {name: _n_rows(each) for name, each in measured.items()}
    check_same_length(lengths)
    units = np.arange(next(iter(lengths.values()))) if clusters is None else clusters
    draws = {name: _resampled(each, units, n_resamples, seed) for name, each in measured.items()}
    figures = {name: each.figures() for name, each in measured.items()}
    first, *others = measured
    return SetComparison(
        {name: _intervals(figures[name], draws[name], level) for name in measured},
        {
            name: _intervals(
                _minus(figures[name], figures[first]), _minus(draws[name], draws[first]), level
            )
            for name in others
        },
        level,
        n_resamples,
    )


def _n_rows(measured: MeasuredSets) -> int:
    return len(measured.terms["distinct"]["all"].denominator)


def _resampled(
    measured: MeasuredSets, clusters: NDArray[Any], n_resamples: int, seed: int
) -> dict[str, dict[str, Floats]]:
    """Values (n_resamples,) of each metric and group."""
    places = [(metric, group) for metric, of in measured.terms.items() for group in of]
    blocks = [term for metric, group in places for term in measured.terms[metric][group]]
    edges = np.cumsum([block.shape[1] for block in blocks])
    sums = bootstrap_sums(np.hstack(blocks), clusters=clusters, n_resamples=n_resamples, seed=seed)
    parts = iter(np.split(sums, edges[:-1]))
    found: dict[str, dict[str, Floats]] = {}
    for metric, group in places:
        found.setdefault(metric, {})[group] = value_of(metric, next(parts), next(parts))
    return found


def _minus(one: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]]) -> Any:
    return {
        metric: {group: value - other[metric][group] for group, value in of.items()}
        for metric, of in one.items()
    }


def _intervals(
    values: dict[str, dict[str, float]], draws: dict[str, dict[str, Floats]], level: float
) -> SetIntervals:
    return {
        metric: {
            group: Interval(value, *_ends(metric, value, draws[metric][group], level))
            for group, value in of.items()
        }
        for metric, of in values.items()
    }


def _ends(metric: str, value: float, draws: Floats, level: float) -> Iterable[float]:
    estimate = value if metric == CALIBRATION_ERROR else None
    return map(float, percentile_interval(draws, level, estimate=estimate))


def _plain(found: SetIntervals) -> dict[str, Any]:
    return {
        metric: {
            group: {
                name: None if np.isnan(number) else number
                for name, number in interval._asdict().items()
            }
            for group, interval in of.items()
        }
        for metric, of in found.items()
    }
