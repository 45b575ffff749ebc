"""Shares of pairs won, by attribute and group, with paired bootstrap intervals.

A row is one comparison: a prompt, the attribute it was judged by, and for each run a value in
[0, 1]. Win rates of two models and the reward accuracy of one are both means of such values. All
runs and all keys see the same resamples of the prompts, so that differences between runs, and the
minimum over groups, are taken within each resample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import check_same_length, check_unique, unknown_name, value_error
from fairpo.groups import LabelGroups
from fairpo.metrics import bootstrap_means, membership_matrix, percentile_interval
from fairpo.metrics.ranking import Floats, divide_defined

OVERALL = "overall"
WORST_GROUP = "worst_group"
WORST_ATTRIBUTE = "worst_attribute"


class Rate(NamedTuple):
    """Mean of the values of some rows; all fractions, NaN where no row has a value.

    Attributes
    ----------
    value, low, high : float
        As measured, and the ends of the bootstrap interval.
    wins, ties, losses : int
        Rows above, at and below one half.
    skipped : int
        Rows without a value: in no mean, never counted as a loss.
    """

    value: float
    low: float
    high: float
    wins: int
    ties: int
    losses: int
    skipped: int


class Worst(NamedTuple):
    """The lowest rate of several; ``name`` is None where none of them has a value.

    The interval is that of the minimum, taken within each resample, whichever is lowest there,
    and moved so that its mean is the figure.
    """

    name: str | None
    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """One run's rate minus another's, and the paired interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class RunRates:
    """Rates of one run.

    Attributes
    ----------
    overall : Rate
        Of all rows; every row weighs the same.
    groups, attributes : dict from name to Rate
        Of the rows whose attribute is in the group, and of those of one attribute.
    worst_group, worst_attribute : Worst
    """

    overall: Rate
    groups: dict[str, Rate]
    attributes: dict[str, Rate]
    worst_group: Worst
    worst_attribute: Worst

    def to_dict(self) -> dict[str, Any]:
        """Return nested dicts, ready for JSON; NaN becomes None."""
        return {
            OVERALL: plain(self.overall),
            "groups": {name: plain(rate) for name, rate in self.groups.items()},
            "attributes": {name: plain(rate) for name, rate in self.attributes.items()},
            WORST_GROUP: plain(self.worst_group),
            WORST_ATTRIBUTE: plain(self.worst_attribute),
        }


@dataclass(frozen=True)
class Rates:
    """Rates of several runs on the same rows and the same resamples.

    Build it with :meth:`from_values`.

    Attributes
    ----------
    runs : dict from name to RunRates
    keys : tuple of str, length K
        ``overall``, ``groups/<name>``, ``attributes/<name>``, ``worst_group``,
        ``worst_attribute``.
    values : float64 array, shape (runs, K)
    resampled : float64 array, shape (runs, K, n_resamples)
        The last axis means the same resample in every run and key.
    n_prompts : int
        What was resampled.
    level : float
        Of the intervals.
    """

    runs: dict[str, RunRates]
    keys: tuple[str, ...]
    values: Floats
    resampled: Floats
    n_prompts: int
    level: float

    @classmethod
    def from_values(
        cls,
        values: Mapping[str, Floats],
        attributes: NDArray[np.int64],
        attribute_names: Sequence[str],
        groups: LabelGroups,
        prompts: NDArray[Any] | None = None,
        *,
        level: float = 0.95,
        n_resamples: int = 1000,
        seed: int = 0,
    ) -> Rates:
        """Take the mean of values by attribute, by group, over all rows, and the worst of each.

        Parameters
        ----------
        values : mapping from run to float array, shape (n,)
            In [0, 1]: 1 won, 0 lost, 1/2 tied; NaN where there is no verdict.
        attributes : int array, shape (n,)
            Index into ``attribute_names``.
        attribute_names : sequence of str
        groups : LabelGroups
            Over the attributes; :class:`~fairpo.groups.LabelPartition` for the paper's two.
        prompts : array, shape (n,), optional
            Rows that share a value share a prompt and are drawn together. Each row is its own
            prompt when not given.
        level : float in (0, 1)
            Of the intervals.
        n_resamples : int
            1000 is enough for 95%.
        seed : int
            Of the resamples.

        Returns
        -------
        Rates

        Raises
        ------
        FairPOValueError
            No run or row, values outside [0, 1], arrays of different lengths, an attribute
            without a name, groups over another number of attributes, fewer than two prompts.

        Notes
        -----
        The worst of several rates lies below the truth on average, the more so the more there are
        and the fewer rows each has: a minimum picks out bad luck too. Its resamples are lower
        once more, so their mean is moved onto the figure before percentiles are taken; the rest
        of the bias stays. Compare the worst between runs, on the same rows.
        """
        _check(values, attributes, attribute_names, groups, n_resamples)
        units = np.arange(len(attributes)) if prompts is None else np.asarray(prompts)
        check_same_length({"prompts": len(units), "attributes": len(attributes)})
        n_prompts = len(np.unique(units))
        if n_prompts < 2:
            raise value_error("the prompts", must="be two or more, to be resampled", got=n_prompts)
        membership = membership_matrix(groups.as_mapping(), len(attribute_names)) > 0
        inside = np.hstack([membership, np.eye(len(membership), dtype=bool)])[attributes]
        split = 1 + len(groups.names)
        measured, resampled = [], []
        for run in values.values():
            own = np.where(inside, run[:, None], np.nan)
            means = bootstrap_means(own, clusters=units, n_resamples=n_resamples, seed=seed)
            measured.append(_with_worst(_means(own), split))
            resampled.append(_with_worst(means, split))
        keys = (
            OVERALL,
            *(f"groups/{name}" for name in groups.names),
            *(f"attributes/{name}" for name in attribute_names),
            WORST_GROUP,
            WORST_ATTRIBUTE,
        )
        table, draws = np.stack(measured), np.stack(resampled)
        low, high = np.clip(_intervals(table, draws, level), 0.0, 1.0)
        names = (groups.names, tuple(attribute_names))
        runs = {
            name: _run(np.stack([table[place], low[place], high[place]]), run, inside, names)
            for place, (name, run) in enumerate(values.items())
        }
        return cls(runs, keys, table, draws, n_prompts, level)

    def difference(self, first: str, second: str) -> dict[str, Difference]:
        """Rates of one run minus those of another, by key.

        The interval holds the difference on each resample, which is narrower than two intervals
        laid beside each other.

        Raises
        ------
        FairPOValueError
            No such run.
        """
        one, other = self._place(first), self._place(second)
        differences = self.values[one] - self.values[other]
        draws = self.resampled[one] - self.resampled[other]
        low, high = _intervals(differences, draws, self.level)
        return {
            key: Difference(*map(float, numbers))
            for key, *numbers in zip(self.keys, differences, low, high, strict=True)
        }

    def to_dict(self) -> dict[str, Any]:
        """Return what was counted and measured, ready for JSON; NaN becomes None."""
        return {
            "level": self.level,
            "n_prompts": self.n_prompts,
            "n_resamples": self.resampled.shape[-1],
            "runs": {name: run.to_dict() for name, run in self.runs.items()},
        }

    def _place(self, run: str) -> int:
        if run not in self.runs:
            raise unknown_name("run", run, self.runs, of="runs")
        return list(self.runs).index(run)


def plain(numbers: Rate | Worst | Difference) -> dict[str, Any]:
    """Write one of the tuples above as a dict, ready for JSON; NaN becomes None."""
    return {
        name: None if isinstance(value, float) and np.isnan(value) else value
        for name, value in numbers._asdict().items()
    }


def _means(own: Floats) -> Floats:
    known = ~np.isnan(own)
    return divide_defined(np.where(known, own, 0.0).sum(axis=0), known.sum(axis=0))


def _with_worst(means: Floats, split: int) -> Floats:
    """Append the lowest of the groups and of the attributes; NaN only where all are."""
    worst = [np.fmin.reduce(means[1:split]), np.fmin.reduce(means[split:])]
    return np.concatenate([means, np.stack(worst)])


def _intervals(estimates: Floats, draws: Floats, level: float) -> tuple[Floats, Floats]:
    """Percentiles (..., K); of the two worst ones, which come last, around the figure."""
    low, high = percentile_interval(draws, level)
    low[..., -2:], high[..., -2:] = percentile_interval(
        draws[..., -2:, :], level, estimate=estimates[..., -2:]
    )
    return low, high


def _run(
    numbers: Floats,
    run: Floats,
    inside: NDArray[np.bool_],
    names: tuple[Sequence[str], Sequence[str]],
) -> RunRates:
    """Name the columns of (value, low, high), shape (3, K), and count rows beside them."""
    events = np.stack([run > 0.5, run == 0.5, run < 0.5, np.isnan(run)]).astype(np.int64)
    counts = events @ inside
    columns = [
        Rate(*three, *four)
        for three, four in zip(numbers.T[:-2].tolist(), counts.T.tolist(), strict=True)
    ]
    split = 1 + len(names[0])
    of_groups, of_attributes = columns[1:split], columns[split:]
    return RunRates(
        overall=columns[0],
        groups=dict(zip(names[0], of_groups, strict=True)),
        attributes=dict(zip(names[1], of_attributes, strict=True)),
        worst_group=Worst(_lowest(names[0], of_groups), *numbers[:, -2].tolist()),
        worst_attribute=Worst(_lowest(names[1], of_attributes), *numbers[:, -1].tolist()),
    )


def _lowest(names: Sequence[str], of: Sequence[Rate]) -> str | None:
    defined = [(rate.value, place) for place, rate in enumerate(of) if not np.isnan(rate.value)]
    return names[min(defined)[1]] if defined else None


def _check(
    values: Mapping[str, Floats],
    attributes: NDArray[np.int64],
    attribute_names: Sequence[str],
    groups: LabelGroups,
    n_resamples: int,
) -> None:
    if not values:
        raise value_error("values", must="hold at least one run", got="none")
    if n_resamples < 1:
        raise value_error("n_resamples", must="be at least 1", got=n_resamples)
    check_unique(attribute_names, "attribute names")
    if groups.n_labels != len(attribute_names):
        raise value_error(
            "groups",
            must=f"be over the {len(attribute_names)} attributes",
            got=f"groups over {groups.n_labels}",
        )
    if len(attributes) == 0:
        raise value_error("attributes", must="hold at least one row", got="none")
    if attributes.min() < 0 or attributes.max() >= len(attribute_names):
        raise value_error(
            "attributes",
            must=f"be from 0 to {len(attribute_names) - 1}",
            got=f"{attributes.min()} to {attributes.max()}",
        )
    for name, run in values.items():
        check_same_length({f"the values of {name}": len(run), "attributes": len(attributes)})
        known = run[~np.isnan(run)]
        if known.size and not (known.min() >= 0 and known.max() <= 1):
            raise value_error(
                f"the values of {name}",
                must="be in [0, 1], or NaN for no verdict",
                got=f"{known.min()} to {known.max()}",
            )
