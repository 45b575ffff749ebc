"""Figures of models on the test rows, with intervals from the same resamples for all of them.

Every model is judged under its own rule of decision, fitted on validation rows: the reference and
all methods alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fairpo.data.base import MultiLabelData
from fairpo.decisions import DecisionRule, DecisionSettings
from fairpo.experiments.pool import Processes
from fairpo.experiments.runner import ModelScores, SeedResults
from fairpo.metrics import (
    BootstrapResult,
    LabelBlockMetrics,
    average_precision,
    bootstrap_means,
    bootstrap_metrics,
    percentile_interval,
)

METRICS = ("map", "sample_f1", "label_accuracy", "exact_match")
LABEL_BLOCK_METRICS = ("map", "precision_at_1", "precision_at_5", "ndcg_at_5")
LEVEL = 0.95
AT_ONCE = 3
"""Models judged in one task: they share the drawing of the resamples."""


class Judged(NamedTuple):
    """A model on the test rows.

    Attributes
    ----------
    logits : float array, shape (n, L)
        Recalibrated; the ranking of rows within each label is the model's.
    threshold_logits : float64 array, shape (L,)
    """

    logits: NDArray[np.floating[Any]]
    threshold_logits: NDArray[np.float64]


class Figures(Protocol):
    """Metric values of models, and intervals of their differences."""

    metrics: tuple[str, ...]
    without_interval: str
    """What of this has no interval, in words that go on a sentence."""

    def values(self, key: str, models: Sequence[ModelScores]) -> NDArray[np.float64]:
        """One value for each of some models."""

    def interval(
        self, key: str, ends: Sequence[ModelScores], starts: Sequence[ModelScores]
    ) -> tuple[float, float]:
        """Interval of the mean difference; NaN where there is none."""

    def label_ap(self, model: ModelScores) -> NDArray[np.float64]:
        """Average precision of every label under a model, shape (L,)."""


def judge(model: ModelScores, data: MultiLabelData, decisions: DecisionSettings) -> Judged:
    """Take a model's test logits under the rule that its validation logits give."""
    rule = model.rule(data, decisions)
    return Judged(rule.apply(logits_of(model)), rule.threshold_logits)


class ModelFigures(NamedTuple):
    """What one model comes to.

    Attributes
    ----------
    rule : DecisionRule
        Fitted on its validation logits.
    resampled : BootstrapResult
        Of the test rows, under that rule.
    label_ap : float64 array, shape (L,)
        Average precision of every label on the test rows.
    """

    rule: DecisionRule
    resampled: BootstrapResult
    label_ap: NDArray[np.float64]


class LogitFigures:
    """Of logits for all labels: every metric is resampled.

    Each model is judged once, in whatever process is free, which holds the scores of a few.

    Parameters
    ----------
    data : MultiLabelData
    seeds : sequence of SeedResults
    decisions : DecisionSettings
    clusters : int array, shape (test rows,), optional
    n_resamples : int
    processes : Processes
    """

    metrics: tuple[str, ...] = METRICS
    without_interval = ""

    def __init__(
        self,
        data: MultiLabelData,
        seeds: Sequence[SeedResults],
        decisions: DecisionSettings,
        clusters: NDArray[np.int64] | None,
        n_resamples: int,
        processes: Processes,
    ) -> None:
        models = [seed.start for seed in seeds]
        models += [model for seed in seeds for r in seed.results for model in (r.selected, r.last)]
        # Many policies are the reference: judge each model once.
        distinct = {id(model): model for model in models}
        tool = _Judging(
            data.without_features(),
            decisions,
            seeds[0].groups.judged(),
            clusters,
            n_resamples,
        )
        wanted = list(distinct.values())
        tasks = [wanted[start : start + AT_ONCE] for start in range(0, len(wanted), AT_ONCE)]
        found = chain.from_iterable(processes.map(tool, _figures_of, tasks, "models"))
        self._found = dict(zip(distinct, found, strict=True))

    def rule(self, model: ModelScores) -> DecisionRule:
        """How a model's logits become decisions."""
        return self._found[id(model)].rule

    def judged(self, model: ModelScores) -> Judged:
        """A model's test logits under its rule."""
        rule = self.rule(model)
        return Judged(rule.apply(logits_of(model)), rule.threshold_logits)

    def label_ap(self, model: ModelScores) -> NDArray[np.float64]:
        """Average precision of every label under a model, shape (L,)."""
        return self._found[id(model)].label_ap

    def values(self, key: str, models: Sequence[ModelScores]) -> NDArray[np.float64]:
        """One value for each of some models."""
        found = [self._found[id(model)].resampled for model in models]
        return np.array([each.values[0, each.keys.index(key)] for each in found])

    def interval(
        self, key: str, ends: Sequence[ModelScores], starts: Sequence[ModelScores]
    ) -> tuple[float, float]:
        """Interval of the mean difference over pairs of models."""
        differences = [
            self._found[id(end)].resampled.of(key)[0] - self._found[id(start)].resampled.of(key)[0]
            for end, start in zip(ends, starts, strict=True)
        ]
        estimate = float(np.mean(self.values(key, ends) - self.values(key, starts)))
        low, high = percentile_interval(np.mean(differences, axis=0), LEVEL, estimate=estimate)
        return float(low), float(high)


class BlockFigures:
    """Of figures by block of labels: rankings are resampled by row, mean AP is not.

    Parameters
    ----------
    clusters : int array, shape (test rows,), optional
    n_resamples : int
    """

    metrics: tuple[str, ...] = LABEL_BLOCK_METRICS
    without_interval = "; mAP has none: resampling it needs the scores of all labels"

    def __init__(self, clusters: NDArray[np.int64] | None, n_resamples: int) -> None:
        self._clusters, self._n_resamples = clusters, n_resamples

    def label_ap(self, model: ModelScores) -> NDArray[np.float64]:
        """Average precision of every label under a model, shape (L,)."""
        return _blocks(model).average_precision

    def values(self, key: str, models: Sequence[ModelScores]) -> NDArray[np.float64]:
        """One value for each of some models."""
        return np.array([_blocks(model).values[key] for model in models])

    def interval(
        self, key: str, ends: Sequence[ModelScores], starts: Sequence[ModelScores]
    ) -> tuple[float, float]:
        """Interval of the mean difference over pairs of models, NaN for mean AP."""
        if key not in _blocks(ends[0]).by_row:
            return np.nan, np.nan
        by_seed = [
            _blocks(end).by_row[key] - _blocks(start).by_row[key]
            for end, start in zip(ends, starts, strict=True)
        ]
        means = bootstrap_means(
            np.mean(by_seed, axis=0), clusters=self._clusters, n_resamples=self._n_resamples
        )
        low, high = percentile_interval(means, LEVEL)
        return float(low), float(high)


class _Judging(NamedTuple):
    data: MultiLabelData
    decisions: DecisionSettings
    groups: dict[str, NDArray[np.int64]]
    clusters: NDArray[np.int64] | None
    n_resamples: int


def _figures_of(tool: _Judging, models: Sequence[ModelScores]) -> list[ModelFigures]:
    targets = tool.data.targets_of(tool.data.rows("test"))
    rules = [model.rule(tool.data, tool.decisions) for model in models]
    logits = [logits_of(model) for model in models]
    resampled = bootstrap_metrics(
        [rule.apply(scores) for rule, scores in zip(rules, logits, strict=True)],
        targets,
        tool.groups,
        METRICS,
        threshold_logits_by_run=[rule.threshold_logits for rule in rules],
        clusters=tool.clusters,
        n_resamples=tool.n_resamples,
    )
    return [
        ModelFigures(rule, resampled.run(place), average_precision(scores, targets))
        for place, (rule, scores) in enumerate(zip(rules, logits, strict=True))
    ]


def logits_of(model: ModelScores) -> NDArray[np.float32]:
    """Test logits (rows, labels) of a model that was scored whole."""
    logits = model.test
    assert not isinstance(logits, LabelBlockMetrics)
    return logits


def _blocks(model: ModelScores) -> LabelBlockMetrics:
    figures = model.test
    assert isinstance(figures, LabelBlockMetrics)
    return figures
