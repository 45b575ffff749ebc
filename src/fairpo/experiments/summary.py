"""From trained methods to figures: one table with intervals, per-label rows, traces, notes.

The result is ``metrics.json``, all that tables and reports read.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

import fairpo
from fairpo._checks import FairPOError, FairPOWarning
from fairpo.data.base import MultiLabelData, dense_targets, positive_counts
from fairpo.experiments.claims import weigh_claims
from fairpo.experiments.evidence import gather_evidence
from fairpo.experiments.figures import LEVEL, BlockFigures, Figures, LogitFigures, judge
from fairpo.experiments.plan import Plan
from fairpo.experiments.pool import Processes
from fairpo.experiments.runner import (
    MethodResult,
    ModelScores,
    SeedResults,
    common_seeds,
    methods_of,
    results_of,
)
from fairpo.groups import LabelGroups
from fairpo.metrics import (
    LabelBlockMetrics,
    LabelFrame,
)
from fairpo.models.checkpoint import write_json
from fairpo.objectives.catalogue import get_method
from fairpo.training.loop import none_if_nan
from fairpo.training.run import METRICS as METRICS_FILE

MOST_LISTED_LABELS = 2000
"""Above this ``per_label`` holds the labels with the most test positives, half from each group."""

MOST_NAMED = 20
LEVEL_OF_TESTS = 0.05
FEWEST_SEEDS_FOR_T = 5
"""Below this a t interval over seeds says next to nothing."""


def summarise(
    data: MultiLabelData,
    plan: Plan,
    seeds: Sequence[SeedResults],
    *,
    kind: str,
    command: str,
    processes: Processes | None = None,
) -> dict[str, Any]:
    """Build the content of ``metrics.json``.

    Parameters
    ----------
    data : MultiLabelData
    plan : Plan
    seeds : sequence of SeedResults
        Those under which every method has a result count; the others are told in the notes.
    kind : "comparison" or "run"
    command : str
        How to run it again.
    processes : Processes, optional
        For resamples and tests; this process alone when not given.

    Returns
    -------
    dict, JSON-able; metric values are fractions, null where undefined
    """
    seeds, left_out = common_seeds(seeds)
    groups = seeds[0].groups
    test = data.rows("test")
    clusters = None if data.clusters is None else data.clusters[test]
    processes = processes or Processes()
    figures: Figures
    claims: dict[str, Any] | None = None
    if isinstance(seeds[0].start.test, LabelBlockMetrics):
        figures = BlockFigures(clusters, plan.n_resamples)
    else:
        figures = of_logits = LogitFigures(
            data, seeds, plan.decisions, clusters, plan.n_resamples, processes
        )
        claims = weigh_claims(data, seeds, of_logits, clusters, plan.n_permutations, processes)
    return {
        "kind": kind,
        "plan": plan.model_dump(mode="json"),
        "title": _title(data, plan),
        "data": {
            "name": data.name,
            "kind": data.kind,
            "notes": list(data.notes),
            "n_rows": {name: len(rows) for name, rows in data.split.items()},
            "n_features": data.n_features,
            "n_labels": data.n_labels,
            "clusters": None if clusters is None else len(np.unique(clusters)),
        },
        "privileged": {"spec": plan.privileged},
        "groups": _group_names(groups, data.label_names),
        "reference_method": seeds[0].reference_method,
        "preset": plan.preset,
        "seeds": [seed.seed for seed in seeds],
        "version": fairpo.__version__,
        "command": command,
        "settings": {
            "training": plan.training.model_dump(mode="json"),
            "objective": {"preset": plan.preset, **plan.options},
            "head": plan.head.model_dump(mode="json"),
            "decisions": plan.decisions.model_dump(mode="json"),
        },
        "claims": claims,
        "metrics": list(figures.metrics),
        "interval": {
            "level": LEVEL,
            "kind": _interval_words(clusters) + figures.without_interval,
            "n_resamples": plan.n_resamples,
        },
        "rows": [
            _row(seeds, figures, method, epoch)
            for method in methods_of(seeds)
            for epoch in ("selected", "last")
        ],
        "per_label": _per_label(data, seeds, figures, groups),
        "trace": _traces(seeds),
        "undefined": _undefined(data, seeds, groups),
        "notes": [*_notes(seeds, groups, data, claims), *left_out],
        "evidence": gather_evidence(data, seeds, figures, processes),
    }


Report = Callable[[Path], object]
"""Adds a report to a folder that holds ``metrics.json``."""


def write_summary(folder: Path, metrics: dict[str, Any], report: Report) -> None:
    """Write ``metrics.json`` and a report into a folder; a report that fails costs no figure."""
    write_json(folder / METRICS_FILE, metrics)
    try:
        report(folder)
    except FairPOError as error:
        warnings.warn(f"there is no report: {error}", FairPOWarning, stacklevel=2)


def result_row(
    data: MultiLabelData, plan: Plan, groups: LabelGroups, result: MethodResult
) -> dict[str, Any]:
    """What ``results.jsonl`` says of a method under a seed: all metrics, selected and last."""
    targets = data.targets[data.rows("test")]
    mapping = groups.judged()

    def metrics(model: ModelScores) -> dict[str, Any]:
        if isinstance(model.test, LabelBlockMetrics):
            return {key: none_if_nan(value) for key, value in model.test.values.items()}
        judged = judge(model, data, plan.decisions)
        return LabelFrame.from_scores(
            judged.logits,
            dense_targets(targets),
            mapping,
            data.label_names,
            batch_mean=True,
            threshold_logits=judged.threshold_logits,
        ).to_dict()

    selected = metrics(result.selected)
    training = plan.training_for(result.method).model_copy(update={"seed": result.seed})
    return {
        "data": data.name,
        "source": plan.data,
        "data_options": plan.data_options.model_dump(mode="json", exclude_unset=True),
        "reference": plan.reference,
        "reference_kind": plan.reference_kind,
        "method": result.method,
        "seed": result.seed,
        "preset": plan.preset,
        "options": plan.options_for(result.method),
        "privileged": [data.label_names[index] for index in groups.privileged],
        "selected_epoch": result.selected_epoch,
        "epochs": result.n_epochs,
        "fell_back": result.fell_back,
        "seconds": round(result.seconds, 3),
        "decisions": plan.decisions.model_dump(mode="json"),
        "selected": selected,
        "last": selected if result.last is result.selected else metrics(result.last),
        "notes": result.notes,
        "training": training.model_dump(mode="json"),
        "head": plan.head.model_dump(mode="json"),
        "version": fairpo.__version__,
    }


def _row(seeds: Sequence[SeedResults], figures: Figures, method: str, epoch: str) -> dict[str, Any]:
    pairs = results_of(seeds, method)
    results = [result for _, result in pairs]
    fallbacks = [result.fell_back for result in results if result.fell_back is not None]
    ends: list[ModelScores] = [getattr(result, epoch) for result in results]
    starts = [seed.start for seed, _ in pairs]
    if method == seeds[0].reference_method and epoch == "selected":
        starts = []  # it is the reference: there is no difference to show
    return {
        "method": method,
        "summary": get_method(method).summary,
        "epoch": epoch,
        "fell_back_share": float(np.mean(fallbacks)) if fallbacks else None,
        "seconds": round(float(np.mean([result.seconds for result in results])), 3),
        "cells": {
            f"{metric}/{group}": _cell(figures, f"{metric}/{group}", ends, starts)
            for metric in figures.metrics
            for group in seeds[0].groups.names
        },
    }


def _cell(
    figures: Figures, key: str, ends: Sequence[ModelScores], starts: Sequence[ModelScores]
) -> dict[str, Any]:
    values = figures.values(key, ends)
    cell: dict[str, Any] = {"value": none_if_nan(float(values.mean()))}
    if not starts:
        return {**cell, "difference": None, "low": None, "high": None, "excludes_zero": False}
    by_seed = values - figures.values(key, starts)
    low, high = figures.interval(key, ends, starts)
    cell |= {
        "difference": none_if_nan(float(by_seed.mean())),
        "low": none_if_nan(low),
        "high": none_if_nan(high),
        "excludes_zero": bool(low > 0 or high < 0),
    }
    if len(by_seed) >= FEWEST_SEEDS_FOR_T:
        cell["seeds_low"], cell["seeds_high"] = _t_interval(by_seed)
    elif len(by_seed) > 1:
        cell["seeds_sd"] = none_if_nan(float(by_seed.std(ddof=1)))
    return cell


def _t_interval(by_seed: NDArray[np.float64]) -> tuple[float | None, float | None]:
    error = float(stats.sem(by_seed))
    if not error > 0:
        return none_if_nan(float(by_seed.mean())), none_if_nan(float(by_seed.mean()))
    low, high = stats.t.interval(LEVEL, len(by_seed) - 1, float(by_seed.mean()), error)
    return none_if_nan(float(low)), none_if_nan(float(high))


def _title(data: MultiLabelData, plan: Plan) -> str:
    seeds = f"{len(plan.seeds)} seed" + ("s" if len(plan.seeds) > 1 else "")
    if len(plan.methods) <= 2:
        return f"{data.name}: {plan.methods[-1]} against the reference, {seeds}"
    return f"{data.name}: {len(plan.methods)} methods, {seeds}"


def _interval_words(clusters: NDArray[np.int64] | None) -> str:
    units = "test rows" if clusters is None else f"{len(np.unique(clusters))} blocks of test rows"
    return f"paired bootstrap over {units}, seeds averaged"


def _group_names(groups: LabelGroups, names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"name": g.name, "role": g.role, "labels": [names[index] for index in g.indices]}
        for g in groups.groups
    ]


def _per_label(
    data: MultiLabelData, seeds: Sequence[SeedResults], figures: Figures, groups: LabelGroups
) -> list[dict[str, Any]]:
    train = positive_counts(data.targets[data.rows("train")])
    test = positive_counts(data.targets[data.rows("test")])

    def mean_ap(models: Sequence[ModelScores]) -> NDArray[np.float64]:
        return np.asarray(np.mean([figures.label_ap(model) for model in models], axis=0))

    methods, names = methods_of(seeds), groups.names_by_label
    start = mean_ap([seed.start for seed in seeds])
    ap, last = (
        {
            method: mean_ap([getattr(r, epoch) for _, r in results_of(seeds, method)])
            for method in methods
        }
        for epoch in ("selected", "last")
    )
    return [
        {
            "label": data.label_names[index],
            "groups": list(names[index]),
            "train_positives": int(train[index]),
            "test_positives": int(test[index]),
            "reference_ap": none_if_nan(float(start[index])),
            "ap": {method: none_if_nan(float(ap[method][index])) for method in methods},
            "ap_last": {method: none_if_nan(float(last[method][index])) for method in methods},
        }
        for index in _listed_labels(groups, test)
    ]


def _listed_labels(groups: LabelGroups, test: NDArray[np.int64]) -> list[int]:
    """All labels, or, of very many, each group's with the most test positives."""
    if groups.n_labels <= MOST_LISTED_LABELS:
        return list(range(groups.n_labels))
    listed: set[int] = set()
    for group in groups.groups:
        indices = np.asarray(group.indices, dtype=np.int64)
        most = np.argsort(-test[indices], kind="stable")
        listed |= set(indices[most[: MOST_LISTED_LABELS // len(groups.groups)]].tolist())
    return sorted(listed)


def _traces(seeds: Sequence[SeedResults]) -> list[dict[str, Any]]:
    return [
        {"method": result.method, "seed": result.seed, **point}
        for seed in seeds
        for result in seed.results
        for point in result.trace
    ]


def _undefined(
    data: MultiLabelData, seeds: Sequence[SeedResults], groups: LabelGroups
) -> dict[str, Any]:
    test = data.rows("test")
    start = seeds[0].start.test
    if isinstance(start, LabelBlockMetrics):
        without = np.flatnonzero(positive_counts(data.targets[test]) == 0)
        values = start.values
        return {
            "n_labels_without_positives": len(without),
            "labels_without_positives": [data.label_names[n] for n in without[:MOST_NAMED]],
            "rows_without_f1": {},
            "rows_without_ranking": {
                name: int(values[f"n_rows_without_positives/{name}"]) for name in groups.names
            },
        }
    frame = LabelFrame.from_scores(start, data.targets_of(test), groups.judged(), data.label_names)
    names = frame.undefined.labels_without_positives["all"]
    return {
        "n_labels_without_positives": len(names),
        "labels_without_positives": list(names),
        "rows_without_f1": {
            name: int(frame.undefined.rows_without_f1[name]) for name in groups.names
        },
        "rows_without_ranking": {},
    }


def _notes(
    seeds: Sequence[SeedResults],
    groups: LabelGroups,
    data: MultiLabelData,
    claims: dict[str, Any] | None,
) -> list[str]:
    notes = list(seeds[0].notes)
    privileged = set(groups.privileged.tolist())
    if len(privileged) == data.n_labels:
        notes.append("Every label is privileged: there is no label to hold to the reference.")
    if claims and claims["labels"] and data.n_labels > LEVEL_OF_TESTS * claims["n_permutations"]:
        notes.append(
            f"{claims['n_permutations']:,} swaps cannot tell a change of any single one of "
            f"{data.n_labels} labels from chance, as p is corrected over labels. Set "
            f"n_permutations to {round(data.n_labels / LEVEL_OF_TESTS)} or more."
        )
    for method in methods_of(seeds):
        results = [result for _, result in results_of(seeds, method)]
        for text in dict.fromkeys(note for result in results for note in result.notes):
            count = sum(text in result.notes for result in results)
            notes.append(f"{method} ({count} of {len(seeds)} seeds): {text}")
    return notes
