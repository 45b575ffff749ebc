"""What stands behind the figures: scores, confusions and calibration before and after a method.

The result is one entry of ``metrics.json``, small enough to stand in a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fairpo.data.base import MultiLabelData
from fairpo.decisions import DecisionRule
from fairpo.experiments.figures import Figures, LogitFigures, logits_of
from fairpo.experiments.pool import Processes
from fairpo.experiments.runner import ModelScores, SeedResults
from fairpo.experiments.slices import slice_metrics
from fairpo.experiments.warning_signs import warning_signs
from fairpo.groups import LabelGroups
from fairpo.metrics import (
    ReliabilityBins,
    brier,
    membership_matrix,
    reliability_bins,
)
from fairpo.metrics.ranking import Floats
from fairpo.training.loop import none_if_nan

MOST_LABELS = 40
"""Labels shown one by one; of these a quarter is kept for labels that are not privileged."""

N_BINS = 20
"""Of the histograms of scores, over probabilities from 0 to 1."""

MOST_CONFUSED = 5
"""Labels named of each model for each label."""


def gather_evidence(
    data: MultiLabelData,
    seeds: Sequence[SeedResults],
    figures: Figures,
    processes: Processes,
) -> dict[str, Any] | None:
    """Collect what a page shows of single labels and of calibration, under one seed.

    A method is shown at its selected epoch, or at its last one where the reference was returned.

    Parameters
    ----------
    data : MultiLabelData
    seeds : sequence of SeedResults
        The first one with results of the most methods is shown; warnings are of all.
    figures : Figures
        Of these seeds: how their scores are recalibrated, and each label's AP.
    processes : Processes
        For the models.

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
    if not isinstance(figures, LogitFigures):
        return None
    seed = max(seeds, key=lambda each: len(each.results))
    made = seed.reference_method
    models = [(made, "selected", seed.start)]
    models += [(r.method, *r.trained()) for r in seed.results if r.method != made]
    targets = data.targets_of(data.rows("test"))
    ap = np.stack([figures.label_ap(scores) for _, _, scores in models])
    tool = _Showing(targets, seed.groups, _shown_labels(ap, seed.groups))
    tasks = [(scores, figures.rule(scores)) for _, _, scores in models]
    shown = processes.map(tool, _show, tasks, "evidence")
    confusions = _confusions(data.label_names, [model.confused for model in shown])
    slices = {name: values[data.rows("test")] for name, values in data.slices.items()}
    judged = (figures.judged(scores) for _, _, scores in models)
    return {
        "seed": seed.seed,
        "models": [{"method": method, "epoch": epoch} for method, epoch, _ in models],
        "labels": [
            {
                "label": data.label_names[index],
                "positives": int(np.count_nonzero(targets[:, index] == 1)),
                "scores": [model.scores[place] for model in shown],
                "confusions": confusions[place],
            }
            for place, index in enumerate(tool.shown)
        ],
        "calibration": [model.calibration for model in shown],
        "slices": slice_metrics(slices, list(judged), targets, seed.groups) if slices else [],
        "warnings": warning_signs(seeds, data),
    }


class _Showing(NamedTuple):
    """Test targets (rows, labels), groups, and the labels shown one by one."""

    targets: NDArray[np.int8]
    groups: LabelGroups
    shown: list[int]


class _ShownModel(NamedTuple):
    """A model's part: counts of scores, a label each; confusions (shown, labels); calibration."""

    scores: list[dict[str, list[int]]]
    confused: NDArray[np.int64]
    calibration: dict[str, dict[str, Any]]


def _show(tool: _Showing, task: tuple[ModelScores, DecisionRule]) -> _ShownModel:
    model, rule = task
    logits = logits_of(model)
    recalibrated = rule.apply(logits)
    return _ShownModel(
        [_score_counts(expit(recalibrated[:, k]), tool.targets[:, k]) for k in tool.shown],
        np.stack([_confused(logits, tool.targets, index) for index in tool.shown]),
        _calibration({"raw": logits, "recalibrated": recalibrated}, tool.targets, tool.groups),
    )


def _shown_labels(ap: Floats, groups: LabelGroups) -> list[int]:
    """Privileged labels first, in each part those whose AP changed most under any method.

    ``ap`` has shape (models, labels), the reference first.
    """
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


def _confused(
    logits: NDArray[np.float32], targets: NDArray[np.int8], index: int
) -> NDArray[np.int64]:
    """How often each label is ranked as high as one that is true where it is not, (labels,)."""
    rows = np.flatnonzero(targets[:, index] == 1)
    scores = logits[rows]
    higher = (targets[rows] == 0) & (scores >= scores[:, index, None])
    return np.asarray(np.count_nonzero(higher, axis=0), dtype=np.int64)


def _confusions(
    names: Sequence[str], confused: Sequence[NDArray[np.int64]]
) -> list[list[list[tuple[str, int, int]]]]:
    """A table for each shown label and method, from counts of the reference and each method."""
    before, *methods = confused
    return [
        [_most_confused(names, counts, after[place]) for after in methods]
        for place, counts in enumerate(before)
    ]


def _most_confused(
    names: Sequence[str], before: NDArray[np.int64], after: NDArray[np.int64]
) -> list[tuple[str, int, int]]:
    named = {*_most(before), *_most(after)}
    ordered = sorted(named, key=lambda k: (-max(before[k], after[k]), k))
    return [(names[k], int(before[k]), int(after[k])) for k in ordered]


def _most(counts: NDArray[np.int64]) -> list[int]:
    most = np.argsort(-counts, kind="stable")[:MOST_CONFUSED]
    return [int(k) for k in most if counts[k] > 0]


def _calibration(
    logits_by_kind: dict[str, NDArray[Any]], targets: NDArray[np.int8], groups: LabelGroups
) -> dict[str, dict[str, Any]]:
    """Curves and errors of each group, of the scores as they are and recalibrated."""
    membership = membership_matrix(groups.as_mapping(), groups.n_labels)[:, 1:]
    kinds = {}
    for kind, logits in logits_by_kind.items():
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
