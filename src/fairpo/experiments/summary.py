"""From trained methods to figures: one table with intervals, per-label rows, traces, notes.

The result is ``metrics.json``, all that tables and reports read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

import fairpo
from fairpo.data.base import MultiLabelData, positive_counts
from fairpo.experiments.plan import Plan
from fairpo.experiments.runner import MethodResult, SeedResults
from fairpo.groups import LabelGroups
from fairpo.metrics import LabelFrame, average_precision, bootstrap_metrics, percentile_interval
from fairpo.objectives.catalogue import get_method
from fairpo.training.loop import none_if_nan

METRICS = ("map", "sample_f1", "label_accuracy", "exact_match")
LEVEL = 0.95
REFERENCE = "bce"
FEWEST_SEEDS_FOR_T = 5
"""Below this a t interval over seeds says next to nothing."""


def summarise(
    data: MultiLabelData, plan: Plan, seeds: Sequence[SeedResults], *, kind: str, command: str
) -> dict[str, Any]:
    """Build the content of ``metrics.json``.

    Parameters
    ----------
    data : MultiLabelData
    plan : Plan
    seeds : sequence of SeedResults
    kind : "comparison" or "run"
    command : str
        How to run it again.

    Returns
    -------
    dict, JSON-able; metric values are fractions, null where undefined
    """
    groups = seeds[0].groups
    test = data.rows("test")
    targets = data.targets_of(test)
    clusters = None if data.clusters is None else data.clusters[test]
    scored = _Scored(seeds, targets, groups, clusters, plan.n_resamples)
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
        "reference_method": REFERENCE,
        "preset": plan.preset,
        "seeds": list(plan.seeds),
        "version": fairpo.__version__,
        "command": command,
        "settings": {
            "training": plan.training.model_dump(mode="json"),
            "objective": {"preset": plan.preset, **plan.options},
            "head": plan.head.model_dump(mode="json"),
        },
        "metrics": list(METRICS),
        "interval": {
            "level": LEVEL,
            "kind": _interval_words(clusters),
            "n_resamples": plan.n_resamples,
        },
        "rows": [
            scored.row(method, epoch) for method in scored.methods for epoch in ("selected", "last")
        ],
        "per_label": _per_label(data, seeds, targets, groups),
        "trace": _traces(seeds),
        "undefined": _undefined(seeds, targets, groups, data.label_names),
        "notes": _notes(seeds, groups, data),
    }


def result_rows(data: MultiLabelData, plan: Plan, results: SeedResults) -> list[dict[str, Any]]:
    """One row for ``results.jsonl`` for each method of a seed: all metrics, selected and last."""
    test = data.rows("test")
    targets = data.targets_of(test)
    mapping = results.groups.as_mapping()

    def metrics(logits: NDArray[np.float32]) -> dict[str, Any]:
        return LabelFrame.from_scores(
            logits, targets, mapping, data.label_names, batch_mean=True
        ).to_dict()

    return [
        {
            "data": data.name,
            "method": result.method,
            "seed": result.seed,
            "preset": plan.preset,
            "options": plan.options_for(result.method),
            "privileged": [data.label_names[index] for index in results.groups.privileged],
            "selected_epoch": result.fitted.training.selector.best_epoch,
            "epochs": len(result.fitted.training.epochs),
            "fell_back": _falls_back(result),
            "seconds": round(result.seconds, 3),
            "selected": metrics(result.selected_logits),
            "last": metrics(result.last_logits),
            "notes": result.fitted.notes,
            "training": plan.training.model_dump(mode="json"),
            "head": plan.head.model_dump(mode="json"),
            "version": fairpo.__version__,
        }
        for result in results.results
    ]


@dataclass
class _Scored:
    """Metric values of every method, epoch and seed, with the same resamples for all."""

    seeds: Sequence[SeedResults]
    targets: NDArray[np.int8]
    groups: LabelGroups
    clusters: NDArray[np.int64] | None
    n_resamples: int

    def __post_init__(self) -> None:
        self.methods = [result.method for result in self.seeds[0].results]
        logits: list[NDArray[np.float32]] = []
        position: dict[int, int] = {}
        self._index: dict[tuple[str, str, int], int] = {}

        def place(key: tuple[str, str, int], array: NDArray[np.float32]) -> None:
            # Many policies are the reference or their own last epoch: score each array once.
            if id(array) not in position:
                position[id(array)] = len(logits)
                logits.append(array)
            self._index[key] = position[id(array)]

        for number, seed in enumerate(self.seeds):
            for result in seed.results:
                place((result.method, "selected", number), result.selected_logits)
                place((result.method, "last", number), result.last_logits)
            place((_START, "selected", number), seed.test_logits)
        self.bootstrap = bootstrap_metrics(
            logits,
            self.targets,
            self.groups.as_mapping(),
            METRICS,
            clusters=self.clusters,
            n_resamples=self.n_resamples,
        )

    def row(self, method: str, epoch: str) -> dict[str, Any]:
        results = [r for seed in self.seeds for r in seed.results if r.method == method]
        fallbacks = [back for result in results if (back := _falls_back(result)) is not None]
        return {
            "method": method,
            "summary": get_method(method).summary,
            "epoch": epoch,
            "fell_back_share": float(np.mean(fallbacks)) if fallbacks else None,
            "seconds": round(float(np.mean([result.seconds for result in results])), 3),
            "cells": {
                f"{metric}/{group}": self._cell(method, epoch, f"{metric}/{group}")
                for metric in METRICS
                for group in self.groups.names
            },
        }

    def _cell(self, method: str, epoch: str, key: str) -> dict[str, Any]:
        column = self.bootstrap.keys.index(key)
        numbers = range(len(self.seeds))
        runs = [self._index[(method, epoch, number)] for number in numbers]
        starts = [self._index[(_START, "selected", number)] for number in numbers]
        values = self.bootstrap.values[:, column]
        cell: dict[str, Any] = {"value": none_if_nan(float(values[runs].mean()))}
        if not get_method(method).continues and epoch == "selected":
            return {**cell, "difference": None, "low": None, "high": None, "excludes_zero": False}
        by_seed = values[runs] - values[starts]
        resampled = self.bootstrap.resampled[:, column]
        low, high = percentile_interval((resampled[runs] - resampled[starts]).mean(0), LEVEL)
        cell |= {
            "difference": none_if_nan(float(by_seed.mean())),
            "low": none_if_nan(float(low)),
            "high": none_if_nan(float(high)),
            "excludes_zero": bool(low > 0 or high < 0),
        }
        if len(by_seed) >= FEWEST_SEEDS_FOR_T:
            cell["seeds_low"], cell["seeds_high"] = _t_interval(by_seed)
        return cell


_START = "(reference)"


def _t_interval(by_seed: NDArray[np.float64]) -> tuple[float | None, float | None]:
    error = float(stats.sem(by_seed))
    if not error > 0:
        return none_if_nan(float(by_seed.mean())), none_if_nan(float(by_seed.mean()))
    low, high = stats.t.interval(LEVEL, len(by_seed) - 1, float(by_seed.mean()), error)
    return none_if_nan(float(low)), none_if_nan(float(high))


def _falls_back(result: MethodResult) -> bool | None:
    """Whether the reference was returned; undefined for the reference's own method."""
    return result.fitted.fell_back if get_method(result.method).continues else None


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
    data: MultiLabelData,
    seeds: Sequence[SeedResults],
    targets: NDArray[np.int8],
    groups: LabelGroups,
) -> list[dict[str, Any]]:
    train = positive_counts(data.targets[data.rows("train")])
    test = positive_counts(targets)
    methods = [result.method for result in seeds[0].results]
    ap = {method: np.zeros(data.n_labels) for method in methods}
    last = {method: np.zeros(data.n_labels) for method in methods}
    start = np.zeros(data.n_labels)
    for seed in seeds:
        for result in seed.results:
            ap[result.method] += average_precision(result.selected_logits, targets) / len(seeds)
            last[result.method] += average_precision(result.last_logits, targets) / len(seeds)
        start += average_precision(seed.test_logits, targets) / len(seeds)
    membership = groups.membership
    return [
        {
            "label": name,
            "groups": [
                g for g, inside in zip(groups.names, membership[:, index], strict=True) if inside
            ],
            "train_positives": int(train[index]),
            "test_positives": int(test[index]),
            "reference_ap": none_if_nan(float(start[index])),
            "ap": {method: none_if_nan(float(ap[method][index])) for method in methods},
            "ap_last": {method: none_if_nan(float(last[method][index])) for method in methods},
        }
        for index, name in enumerate(data.label_names)
    ]


def _traces(seeds: Sequence[SeedResults]) -> list[dict[str, Any]]:
    return [
        {"method": result.method, "seed": result.seed, **point}
        for seed in seeds
        for result in seed.results
        if get_method(result.method).continues
        for point in result.fitted.training.trace
    ]


def _undefined(
    seeds: Sequence[SeedResults],
    targets: NDArray[np.int8],
    groups: LabelGroups,
    names: Sequence[str],
) -> dict[str, Any]:
    frame = LabelFrame.from_scores(seeds[0].test_logits, targets, groups.as_mapping(), names)
    return {
        "labels_without_positives": list(frame.undefined.labels_without_positives["all"]),
        "rows_without_f1": {
            name: int(frame.undefined.rows_without_f1[name]) for name in groups.names
        },
    }


def _notes(seeds: Sequence[SeedResults], groups: LabelGroups, data: MultiLabelData) -> list[str]:
    notes = list(seeds[0].reference.notes)
    privileged = set(groups.privileged.tolist())
    if len(privileged) == data.n_labels:
        notes.append("Every label is privileged: there is no label to hold to the reference.")
    for number, result in enumerate(seeds[0].results):
        per_seed = [seed.results[number] for seed in seeds]
        for text in dict.fromkeys(note for r in per_seed for note in r.fitted.notes):
            count = sum(text in r.fitted.notes for r in per_seed)
            notes.append(f"{result.method} ({count} of {len(seeds)} seeds): {text}")
    return notes
