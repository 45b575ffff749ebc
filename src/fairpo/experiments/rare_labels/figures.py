"""What is claimed of the suite, and what the scores of the test rows say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from fairpo._checks import file_error
from fairpo._files import write_atomic
from fairpo.data.base import positive_counts
from fairpo.decisions import DecisionRule, DecisionSettings
from fairpo.experiments.rare_labels.bench import Bench, Unit
from fairpo.experiments.rare_labels.conduct import UNTUNED, Chosen
from fairpo.experiments.rare_labels.trials import ALIKE, OURS
from fairpo.metrics import BootstrapResult, bootstrap_metrics, percentile_interval
from fairpo.models.checkpoint import read_json
from fairpo.objectives.catalogue import CLOSED_FORM

METRICS = ("map", "sample_f1", "label_accuracy", "exact_match")
GROUPS = ("privileged", "non_privileged")
_PRIVILEGED_MAP = "map/privileged"
_REPLICATES = 10_000
ROLES = ("baseline", "reference", "closed_form", "alike")
"""What ours is held against: the best baseline, the better of ridge regression and cross-entropy,
the closed form it starts from, and that weighed with plain cross-entropy."""


@dataclass(frozen=True)
class Difference:
    """A difference in points with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SetFigures:
    """One set, on its test rows.

    Parameters
    ----------
    name : str
    n_labels, n_privileged : int
    positives : pair of int
        Of the rarest and of the most frequent privileged label, in the training rows.
    notes : tuple of str
        What became of labels with few positives.
    best_baseline, best_reference : str
        Chosen on validation rows.
    settings : dict from method to dict
        Those chosen, and ``head`` where it was.
    means : dict from method to dict
        Of ``<metric>/<group>``: mean over seeds, in points.
    against : dict from role to dict
        Of the same keys: ours less the method of each of :data:`ROLES`.
    by_run : dict from role to list of Difference
        Privileged mAP of each of our runs, the same.
    resampled : dict from role to tuple of float, one a resample
        Privileged mAP, the same, moved onto its estimate; for intervals over sets.
    seconds : dict from method to float
        Of the processor, in training, means over seeds; tuning not counted.
    own_rows : dict from method to dict
        Of the references: ``map`` and ``confused`` of their training rows, ``in_sample`` and
        ``left_out``, means over seeds.
    """

    name: str
    n_labels: int
    n_privileged: int
    positives: tuple[int, int]
    notes: tuple[str, ...]
    best_baseline: str
    best_reference: str
    settings: dict[str, dict[str, Any]]
    means: dict[str, dict[str, float]]
    against: dict[str, dict[str, Difference]]
    by_run: dict[str, list[Difference]]
    resampled: dict[str, tuple[float, ...]]
    seconds: dict[str, float]
    own_rows: dict[str, dict[str, dict[str, float]]]

    @classmethod
    def read(cls, path: Path) -> SetFigures:
        """Read what :meth:`write` wrote; a broken file is refused by name."""
        try:
            return _RECORD.validate_python(read_json(path))
        except ValidationError as error:
            told = f"does not hold the figures of a set ({error.errors()[0]['msg']})"
            raise file_error(path, told, "Delete it, and its set is judged again.") from error

    def write(self, path: Path) -> None:
        """Write as JSON, on one line: most of it are resamples."""
        write_atomic(path, _RECORD.dump_json(self) + b"\n")


_RECORD = TypeAdapter(SetFigures)


def figures_of(chosen: Chosen, n_resamples: int = 1000) -> SetFigures:
    """Judge a set's final trainings on its test rows, decisions re-calibrated for all alike."""
    bench = chosen.bench
    data, groups = bench.subject.data, bench.subject.groups.judged()
    truth = data.targets_of(data.rows("test"))
    of_role = {
        "baseline": chosen.best_baseline,
        "reference": chosen.best_reference,
        "closed_form": CLOSED_FORM,
        "alike": ALIKE,
    }
    wanted = {OURS, *of_role.values()}

    def measured(method: str) -> BootstrapResult:
        models = [_decided(bench, unit) for unit in chosen.finals[method]]
        return bootstrap_metrics(
            [logits for logits, _ in models],
            truth,
            groups,
            METRICS,
            threshold_logits_by_run=[thresholds for _, thresholds in models],
            clusters=None if data.clusters is None else data.clusters[data.rows("test")],
            n_resamples=n_resamples if method in wanted else 1,
        )

    found = {method: measured(method) for method in chosen.finals}
    ours = found[OURS]
    counts = positive_counts(data.targets[data.rows("train")])[bench.subject.groups.privileged]
    return SetFigures(
        bench.subject.name,
        data.n_labels,
        len(counts),
        (int(counts.min()), int(counts.max())),
        bench.subject.notes,
        chosen.best_baseline,
        chosen.best_reference,
        {method: _told_settings(bench, units[0]) for method, units in chosen.finals.items()},
        {
            method: dict(zip(result.keys, (100 * result.values.mean(0)).tolist(), strict=True))
            for method, result in found.items()
        },
        {role: _differences(ours, found[method]) for role, method in of_role.items()},
        {role: _by_run(ours, found[method]) for role, method in of_role.items()},
        {role: _resampled(ours, found[method]) for role, method in of_role.items()},
        {
            method: float(np.mean([bench.read(unit).about["seconds"] for unit in units]))
            for method, units in chosen.finals.items()
        },
        {
            UNTUNED: {"in_sample": _told(chosen, UNTUNED, "in_sample")},
            CLOSED_FORM: {k: _told(chosen, CLOSED_FORM, k) for k in ("in_sample", "left_out")},
        },
    )


def over_sets(sets: Sequence[SetFigures], role: str = "baseline", seed: int = 0) -> Difference:
    """Mean gain over sets in privileged mAP, with the interval of a hierarchical bootstrap.

    Sets are drawn with replacement, and of each drawn set a resample of its test rows; seeds are
    averaged within it.
    """
    generator = np.random.default_rng(seed)
    resampled = np.array([each.resampled[role] for each in sets])
    places = generator.integers(len(sets), size=(_REPLICATES, len(sets)))
    draws = generator.integers(resampled.shape[1], size=places.shape)
    low, high = percentile_interval(resampled[places, draws].mean(1))
    value = np.mean([each.against[role][_PRIVILEGED_MAP].value for each in sets])
    return Difference(float(value), float(low), float(high))


def summary(sets: Sequence[SetFigures]) -> dict[str, Any]:
    """Return the figures of all sets, without their resamples."""
    records = {each.name: _RECORD.dump_python(each, exclude={"resampled"}) for each in sets}
    gains = {role: asdict(over_sets(sets, role)) for role in ROLES}
    return {"over_sets": gains, "sets": records}


def time_ratio(figures: SetFigures) -> float:
    """Time of our training, closed form included, over that of cross-entropy."""
    return figures.seconds[OURS] / figures.seconds[UNTUNED]


def _told_settings(bench: Bench, unit: Unit) -> dict[str, Any]:
    settings: dict[str, Any] = bench.read(unit).about["settings"]
    return {"head": unit.head, **settings} if unit.head else settings


def _told(chosen: Chosen, method: str, which: str) -> dict[str, float]:
    """Means over seeds of what a reference said of its training rows."""
    found = [chosen.bench.read(unit).about[which] for unit in chosen.finals[method]]
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


def _decided(bench: Bench, unit: Unit) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Re-calibrated logits of the test rows, and thresholds."""
    scored = bench.read(unit)
    assert scored.test is not None
    data = bench.subject.data
    truth = data.targets_of(data.rows("validation"))
    rule = DecisionRule.fit(scored.validation, truth, DecisionSettings())
    return rule.apply(scored.test), rule.threshold_logits


def _resampled(first: BootstrapResult, second: BootstrapResult) -> tuple[float, ...]:
    place = first.keys.index(_PRIVILEGED_MAP)
    estimate = first.values.mean(0)[place] - second.values.mean(0)[place]
    drawn = first.resampled.mean(0)[place] - second.resampled.mean(0)[place]
    return tuple((100 * (drawn - np.nanmean(drawn) + estimate)).round(3).tolist())


def _by_run(first: BootstrapResult, second: BootstrapResult) -> list[Difference]:
    """Seed by seed; what has no seed has one run."""
    last = len(second.values) - 1
    return [
        _differences(first.run(place), second.run(min(place, last)))[_PRIVILEGED_MAP]
        for place in range(len(first.values))
    ]


def _differences(first: BootstrapResult, second: BootstrapResult) -> dict[str, Difference]:
    values = first.values.mean(0) - second.values.mean(0)
    resampled = first.resampled.mean(0) - second.resampled.mean(0)
    low, high = percentile_interval(resampled, estimate=values)
    return {
        key: Difference(*(100 * float(part[place]) for part in (values, low, high)))
        for place, key in enumerate(first.keys)
    }
