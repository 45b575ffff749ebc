"""What is claimed of the suite, and what the scores of the test rows say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fairpo.decisions import DecisionRule, DecisionSettings
from fairpo.experiments.rare_labels.bench import Bench, Unit
from fairpo.experiments.rare_labels.conduct import UNTUNED, Chosen
from fairpo.experiments.rare_labels.trials import OURS
from fairpo.metrics import BootstrapResult, bootstrap_metrics, percentile_interval
from fairpo.objectives.catalogue import CLOSED_FORM

METRICS = ("map", "sample_f1", "label_accuracy", "exact_match")
GROUPS = ("privileged", "non_privileged")
_REPLICATES = 10_000


class Difference(NamedTuple):
    """A difference in points with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SetFigures:
    """One set, on its test rows.

    Parameters
    ----------
    chosen : Chosen
    means : dict from method to dict
        Of ``<metric>/<group>``: mean over seeds, in points.
    against_baseline, against_reference, against_closed_form : dict
        Of the same keys: ours less the best baseline, less the better of ridge regression and
        cross-entropy, and less the closed form it starts from.
    by_run : list of Difference
        Privileged mAP of each of our runs less that of its own reference.
    resampled : float64 array, shape (n_resamples,)
        Privileged mAP less the best baseline's, moved onto its estimate; for intervals over sets.
    seconds : dict from method to float
        Of training, means over seeds; tuning not counted.
    own_rows : dict from method to dict
        Of the references: ``map`` and ``confused`` of their training rows, ``in_sample`` and
        ``left_out``, means over seeds.
    """

    chosen: Chosen
    means: dict[str, dict[str, float]]
    against_baseline: dict[str, Difference]
    against_reference: dict[str, Difference]
    against_closed_form: dict[str, Difference]
    by_run: list[Difference]
    resampled: NDArray[np.float64]
    seconds: dict[str, float]
    own_rows: dict[str, dict[str, dict[str, float]]]


def figures_of(chosen: Chosen, n_resamples: int = 1000) -> SetFigures:
    """Judge a set's final trainings on its test rows, decisions re-calibrated for all alike."""
    bench = chosen.bench
    data, groups = bench.subject.data, bench.subject.groups.judged()
    truth = data.targets_of(data.rows("test"))
    wanted = {OURS, CLOSED_FORM, chosen.best_baseline, chosen.best_reference}

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
    ours, solved = found[OURS], found[CLOSED_FORM]
    key = ours.keys.index("map/privileged")
    best = found[chosen.best_baseline]
    estimate = float((ours.values.mean(0) - best.values.mean(0))[key])
    drawn = (ours.resampled.mean(0) - best.resampled.mean(0))[key]
    return SetFigures(
        chosen,
        {
            method: dict(zip(result.keys, (100 * result.values.mean(0)).tolist(), strict=True))
            for method, result in found.items()
        },
        _differences(ours, best),
        _differences(ours, found[chosen.best_reference]),
        _differences(ours, solved),
        [
            _differences(ours.run(place), solved.run(place))["map/privileged"]
            for place in range(len(ours.values))
        ],
        100 * (drawn - np.nanmean(drawn) + estimate),
        {
            method: float(np.mean([bench.read(unit).about["seconds"] for unit in units]))
            for method, units in chosen.finals.items()
        },
        {
            UNTUNED: {"in_sample": _told(chosen, UNTUNED, "in_sample")},
            CLOSED_FORM: {k: _told(chosen, CLOSED_FORM, k) for k in ("in_sample", "left_out")},
        },
    )


def over_sets(sets: Sequence[SetFigures], seed: int = 0) -> Difference:
    """Mean gain over sets in privileged mAP, with the interval of a hierarchical bootstrap.

    Sets are drawn with replacement, and of each drawn set a resample of its test rows; seeds are
    averaged within it.
    """
    generator = np.random.default_rng(seed)
    resampled = np.stack([each.resampled for each in sets])
    places = generator.integers(len(sets), size=(_REPLICATES, len(sets)))
    draws = generator.integers(resampled.shape[1], size=places.shape)
    low, high = percentile_interval(resampled[places, draws].mean(1))
    value = np.mean([each.against_baseline["map/privileged"].value for each in sets])
    return Difference(float(value), float(low), float(high))


def time_ratio(figures: SetFigures) -> float:
    """Time of our training, closed form included, over that of cross-entropy."""
    return figures.seconds[OURS] / figures.seconds[UNTUNED]


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


def _differences(first: BootstrapResult, second: BootstrapResult) -> dict[str, Difference]:
    values = first.values.mean(0) - second.values.mean(0)
    resampled = first.resampled.mean(0) - second.resampled.mean(0)
    low, high = percentile_interval(resampled, estimate=values)
    return {
        key: Difference(*(100 * float(part[place]) for part in (values, low, high)))
        for place, key in enumerate(first.keys)
    }
