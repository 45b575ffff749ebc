"""All trainings of a set in their order: references, then what starts from them, then finals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from fairpo.experiments.pool import Processes
from fairpo.experiments.rare_labels.bench import Bench, Unit, run_unit
from fairpo.experiments.rare_labels.suite import RareLabelSet
from fairpo.experiments.rare_labels.trials import (
    ALIKE,
    CONTINUED,
    HEADS,
    OURS,
    PAPER,
    RIDGE,
    VARIANTS,
    trials_of,
)
from fairpo.objectives.catalogue import CLOSED_FORM, REFERENCE
from fairpo.training.selection import ValidationScores

SEEDS = (0, 1, 2, 3, 4)
TOLERANCE = 0.005
"""By how much non-privileged validation mAP may be below the best reference's."""

UNTUNED = f"{REFERENCE}, as it comes"
"""The reference with the settings that fairpo has for it."""

PAPER_LAST = f"{PAPER}, last epoch"
"""Where the paper's form ends, whatever selection would save."""


@dataclass(frozen=True)
class Chosen:
    """What the validation rows of a set chose.

    Parameters
    ----------
    bench : Bench
    finals : dict from method to list of Unit
        Each with its chosen head and settings, under every seed.
    best_reference, best_baseline : str
        Ridge regression or cross-entropy; and of all baselines.
    """

    bench: Bench
    finals: dict[str, list[Unit]]
    best_reference: str
    best_baseline: str


def conduct_set(subject: RareLabelSet, folder: Path, processes: Processes) -> Chosen:
    """Run what is not done yet, and choose.

    References have the best overall mAP on validation; what starts from them, and the best
    baseline, the best privileged mAP among those whose non-privileged mAP is within
    :data:`TOLERANCE` of the best reference's.

    Parameters
    ----------
    subject : RareLabelSet
    folder : Path
        Of this set; each training has a file.
    processes : Processes
    """
    folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(subject, folder, {})
    ridge = _trials(subject, RIDGE, "")
    heads = {head: _trials(subject, REFERENCE, head) for head in HEADS}
    _run(
        bench,
        [*_flat(ridge), *(unit for tried in heads.values() for unit in _flat(tried))],
        processes,
    )

    best = {
        head: max(tried, key=lambda units: bench.scores(units).overall)
        for head, tried in heads.items()
    }
    trials = {
        RIDGE: max(ridge, key=lambda units: bench.scores(units).overall),
        REFERENCE: max(best.values(), key=lambda units: bench.scores(units).overall),
        UNTUNED: heads["mlp"][0],
    }
    finals = {
        **{method: _finals(units[0]) for method, units in trials.items()},
        RIDGE: [trials[RIDGE][0]._replace(final=True)],  # the same under every seed
        CLOSED_FORM: _finals(Unit(CLOSED_FORM)),
        OURS: _finals(Unit(OURS)),
        ALIKE: _finals(Unit(OURS, trial=[*VARIANTS].index(ALIKE))),
        PAPER_LAST: _finals(Unit(PAPER, "mlp")),
    }
    bench = replace(bench, references={head: units[0].trial for head, units in best.items()})
    of_heads = [unit for units in best.values() for unit in (*_finals(units[0]), *units[1:])]
    _run(bench, [*of_heads, *finals[UNTUNED]], processes)
    _run(bench, _flat(finals.values()), processes)

    def judged(method: str) -> ValidationScores:
        return bench.scores([*finals[method], *trials[method][1:]])

    best_reference = max((RIDGE, REFERENCE), key=lambda method: judged(method).overall)
    # Trials are of one seed: so is what they must not fall below.
    floor = bench.scores(trials[best_reference]).non_privileged - TOLERANCE
    tried = {m: [u for head in HEADS for u in _trials(subject, m, head)] for m in CONTINUED}
    _run(bench, [unit for units in tried.values() for unit in _flat(units)], processes)
    for method, each in tried.items():
        trials[method] = max(each, key=lambda units: _goal(bench.scores(units), floor))
        finals[method] = _finals(trials[method][0])
    _run(bench, _flat(finals.values()), processes)
    scores = {method: judged(method) for method in trials}
    floor = scores[best_reference].non_privileged - TOLERANCE
    best_baseline = max(trials, key=lambda method: _goal(scores[method], floor))
    return Chosen(bench, finals, best_reference, best_baseline)


def conduct_parts(subject: RareLabelSet, folder: Path, processes: Processes) -> Chosen:
    """Run ours with and without its parts, and cross-entropy as it comes; nothing is tuned."""
    folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(subject, folder, {})
    finals = {UNTUNED: _finals(Unit(REFERENCE, "mlp")), CLOSED_FORM: _finals(Unit(CLOSED_FORM))}
    finals |= {name: _finals(Unit(OURS, trial=trial)) for trial, name in enumerate(VARIANTS)}
    _run(bench, _flat(finals.values()), processes)
    return Chosen(bench, finals, UNTUNED, UNTUNED)


def _goal(scores: ValidationScores, floor: float) -> tuple[bool, float]:
    return scores.non_privileged >= floor, scores.privileged


def _trials(subject: RareLabelSet, method: str, head: str) -> list[list[Unit]]:
    """Each trial, on each fold."""
    folds = range(len(subject.folds))
    return [[Unit(method, head, trial, 0, fold) for fold in folds] for trial in trials_of(method)]


def _finals(unit: Unit) -> list[Unit]:
    return [unit._replace(seed=seed, fold=0, final=True) for seed in SEEDS]


def _flat(groups: Iterable[Iterable[Unit]]) -> list[Unit]:
    return [unit for units in groups for unit in units]


def _run(bench: Bench, units: list[Unit], processes: Processes) -> None:
    """Run the units whose file is not there."""
    left = [unit for unit in dict.fromkeys(units) if not bench.is_done(unit)]
    if left:
        processes.map(
            bench, run_unit, left, f"{bench.subject.name}: {left[0].method} to {left[-1].method}"
        )
