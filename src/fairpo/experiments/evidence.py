"""What stands behind the figures: scores, confusions and calibration before and after a method.

The result is one entry of ``metrics.json``, small enough to stand in a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairpo.data.base import MultiLabelData
from fairpo.decisions import DecisionRule
from fairpo.experiments.figures import Judged
from fairpo.experiments.plan import Plan
from fairpo.experiments.runner import ModelScores, SeedResults
from fairpo.experiments.slices import slice_metrics
from fairpo.experiments.warning_signs import warning_signs
from fairpo.groups import LabelGroups
from fairpo.metrics import (
    LabelBlockMetrics,
    ReliabilityBins,
    average_precision,
    brier,
    membership_matrix,
    reliability_bins,
)
from fairpo.metrics.ranking import Floats
from fairpo.objectives.catalogue import REFERENCE
from fairpo.training.loop import none_if_nan

MOST_LABELS = 40
"""Labels shown one by one; of these a quarter is kept for labels that are not privileged."""

N_BINS = 20
"""Of the histograms of scores, over probabilities from 0 to 1."""

MOST_CONFUSED = 5
"""Labels named of each model for each label."""


@dataclass(frozen=True)
class _Model:
    """Test logits (rows, labels) of the reference or of a method, and what recalibrates them."""

    method: str
    epoch: str
    logits: NDArray[np.float32]
    rule: DecisionRule

    def judged(self) -> Judged:
        return Judged(self.rule.apply(self.logits), self.rule.threshold_logits)


def gather_evidence(
    data: MultiLabelData, plan: Plan, seeds: Sequence[SeedResults]
) -> dict[str, Any] | None:
    """Collect what a page shows of single labels and of calibration, under one seed.

    A method is shown at its selected epoch, or at its last one where the reference was returned.

    Parameters
    ----------
    data : MultiLabelData
    plan : Plan
        Its ``decisions`` say how scores are recalibrated.
    seeds : sequence of SeedResults
        The first one with results of the most methods is shown; warnings are of all.

    Returns
    -------
    dict, JSON-able, or None
        ``seed``; ``models`` (method and epoch, the reference first); ``labels``; ``calibration``
        by model and group; ``slices`` (:func:`~fairpo.experiments.slices.slice_metrics`);
        ``warnings``. None where labels are sampled: there are no scores.

    Notes
    -----
    Of each label: ``scores``, a model each, counts of true (1) and other (0) test rows in
    ``N_BINS`` bins of their recalibrated probability; ``confusions``, a method each, the labels
    most often ranked as high or higher in rows where the label is true and they are not (the
    paper's confusing negatives, Eq. 8), as ``[label, under the reference, under the method]``.
    """
    if isinstance(seeds[0].start.test, LabelBlockMetrics):
        return None
    seed = max(seeds, key=lambda each: len(each.results))
    groups = seed.groups
    targets = data.targets_of(data.rows("test"))
    models = _models(data, plan, seed)
    judged = [model.judged() for model in models]
    slices = {name: values[data.rows("test")] for name, values in data.slices.items()}
    shown = _shown_labels(models, targets, groups)
    probabilities = [model.rule.probabilities(model.logits)[:, shown] for model in models]
    return {
        "seed": seed.seed,
        "models": [{"method": model.method, "epoch": model.epoch} for model in models],
        "labels": [
            {
                "label": data.label_names[index],
                "positives": int(np.count_nonzero(targets[:, index] == 1)),
                "scores": [
                    _score_counts(probability[:, place], targets[:, index])
                    for probability in probabilities
                ],
                "confusions": _confusions(data.label_names, models, targets, index),
            }
            for place, index in enumerate(shown)
        ],
        "calibration": [_calibration(model, targets, groups) for model in models],
        "slices": slice_metrics(slices, judged, targets, groups),
        "warnings": warning_signs(seeds, data),
    }


def _models(data: MultiLabelData, plan: Plan, seed: SeedResults) -> list[_Model]:
    reference = _model(REFERENCE, "selected", seed.start, data, plan)
    return [
        reference,
        *(
            _model(result.method, *result.trained(), data, plan)
            for result in seed.results
            if result.method != REFERENCE
        ),
    ]


def _model(
    method: str, epoch: str, scores: ModelScores, data: MultiLabelData, plan: Plan
) -> _Model:
    assert not isinstance(scores.test, LabelBlockMetrics)
    return _Model(method, epoch, scores.test, scores.rule(data, plan.decisions))


def _shown_labels(
    models: Sequence[_Model], targets: NDArray[np.int8], groups: LabelGroups
) -> list[int]:
    """Privileged labels first, in each part those whose AP changed most under any method."""
    ap = np.stack([average_precision(model.logits, targets) for model in models])
    change = np.nan_to_num(np.abs(ap - ap[0]), nan=-1.0).max(axis=0)  # without positives: last
    privileged, others = (
        indices[np.argsort(-change[indices], kind="stable")].tolist()
        for indices in (groups.privileged, groups.non_privileged)
    )
    kept = min(len(others), MOST_LABELS // 4)
    first = privileged[: MOST_LABELS - kept]
    return [*first, *others[: MOST_LABELS - len(first)]]


def _score_counts(probability: Floats, target: NDArray[np.int8]) -> dict[str, list[int]]:
    return {
        name: np.histogram(probability[target == value], N_BINS, (0.0, 1.0))[0].tolist()
        for name, value in (("1", 1), ("0", 0))
    }


def _confusions(
    names: Sequence[str], models: Sequence[_Model], targets: NDArray[np.int8], index: int
) -> list[list[tuple[str, int, int]]]:
    rows = np.flatnonzero(targets[:, index] == 1)
    absent = targets[rows] == 0
    counts = [
        np.count_nonzero(absent & (model.logits[rows] >= model.logits[rows, index, None]), axis=0)
        for model in models
    ]
    before = counts[0]
    tables = []
    for after in counts[1:]:
        named = {*_most(before), *_most(after)}
        ordered = sorted(named, key=lambda k: (-max(before[k], after[k]), k))
        tables.append([(names[k], int(before[k]), int(after[k])) for k in ordered])
    return tables


def _most(counts: NDArray[np.int64]) -> list[int]:
    most = np.argsort(-counts, kind="stable")[:MOST_CONFUSED]
    return [int(k) for k in most if counts[k] > 0]


def _calibration(
    model: _Model, targets: NDArray[np.int8], groups: LabelGroups
) -> dict[str, dict[str, Any]]:
    """Curves and errors of each group, of the scores as they are and recalibrated."""
    membership = membership_matrix(groups.as_mapping(), groups.n_labels)[:, 1:]
    kinds = {}
    for kind, logits in (("raw", model.logits), ("recalibrated", model.rule.apply(model.logits))):
        bins = reliability_bins(logits, targets).of_groups(membership)
        squared = brier(logits, targets, membership).mean()
        kinds[kind] = (bins, squared, bins.calibration_error())
    return {
        name: {
            kind: {
                "curve": _curve(ReliabilityBins(*(part[place] for part in bins))),
                "brier": none_if_nan(float(squared[place])),
                "calibration_error": none_if_nan(float(error[place])),
            }
            for kind, (bins, squared, error) in kinds.items()
        }
        for place, name in enumerate(groups.names)
    }


def _curve(bins: ReliabilityBins) -> list[tuple[float, float, int]]:
    """Mean probability, positive rate and entries of each bin that is not empty."""
    curve = bins.curve()
    return [
        (float(f"{probability:.4g}"), float(f"{rate:.4g}"), int(entries))
        for probability, rate, entries in zip(*curve, strict=True)
        if entries
    ]
