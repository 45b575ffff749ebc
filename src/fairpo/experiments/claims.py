"""Whether a method is better, tested: against the reference, and against the best baseline.

Permutation tests that swap the predictions of test rows, seeds together; Holm's correction over
the methods that are compared, and over labels within a method.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fairpo.data.base import MultiLabelData
from fairpo.decisions import DecisionRule
from fairpo.experiments.figures import Judged, LogitFigures, logits_of
from fairpo.experiments.pool import Processes
from fairpo.experiments.runner import ModelScores, SeedResults, methods_of
from fairpo.metrics import LabelBlockMetrics, average_precision
from fairpo.metrics.significance import (
    PermutationResult,
    SwappedDifferences,
    holm,
    judge_swaps,
    swapped_differences,
)
from fairpo.objectives.catalogue import get_method
from fairpo.training.loop import none_if_nan
from fairpo.training.selection import ValidationScores

Pairs = list[tuple[ModelScores, ModelScores]]
"""A method's model and what it is compared with, seed by seed."""


def weigh_claims(
    data: MultiLabelData,
    seeds: Sequence[SeedResults],
    figures: LogitFigures,
    clusters: NDArray[np.int64] | None,
    n_permutations: int,
    processes: Processes,
) -> dict[str, Any]:
    """Test every method that was trained from the reference.

    Returns
    -------
    dict
        ``n_permutations``; ``best_baseline``, the method without a preference term that has the
        best privileged mAP on validation rows, or None; ``against``, for "reference" and
        "best_baseline" a mapping from method to metric key to ``difference`` (a fraction), ``p``
        and ``p_holm`` (over methods); ``labels``, for each method, of every label the ``p_holm``
        (over labels) of its AP against the reference's, None where it is undefined.
    """
    made = seeds[0].reference_method
    methods = [method for method in methods_of(seeds) if method != made]
    best = best_baseline(data, seeds)
    opponents = {"reference": made, "best_baseline": best}
    wanted = {
        (name, method): _pairs(seeds, method, None if name == "reference" else opponent)
        for name, opponent in opponents.items()
        if opponent is not None
        for method in methods
        if method != opponent
    }
    tool = _Swapping(
        data.targets_of(data.rows("test")),
        seeds[0].groups.judged(),
        clusters,
        n_permutations,
    )
    tasks = [
        tuple((model, figures.rule(model)) for model in pair)
        for pairs in wanted.values()
        for pair in pairs
    ]
    runs = iter(processes.map(tool, _swap, tasks, "tests"))
    found = {
        claim: judge_swaps([next(runs) for _ in pairs], tool.groups)
        for claim, pairs in wanted.items()
    }
    return {
        "n_permutations": n_permutations,
        "best_baseline": best,
        "against": {
            name: _corrected({m: r for (n, m), r in found.items() if n == name})
            for name in opponents
        },
        "labels": {
            method: [none_if_nan(float(p)) for p in holm(result.label_p_values)]
            for (name, method), result in found.items()
            if name == "reference"
        },
    }


def best_baseline(data: MultiLabelData, seeds: Sequence[SeedResults]) -> str | None:
    """Return the method without a preference term with the best privileged validation mAP."""
    targets = data.targets_of(data.rows("validation"))
    groups = seeds[0].groups
    goals: dict[str, list[float]] = {}
    for seed in seeds:
        for result in seed.results:
            if get_method(result.method).prefers or result.method == seed.reference_method:
                continue
            scores = result.selected.validation
            assert not isinstance(scores, LabelBlockMetrics)
            ap = average_precision(scores, targets)
            goals.setdefault(result.method, []).append(ValidationScores.from_ap(ap, groups).goal)
    means = {method: float(np.mean(values)) for method, values in goals.items()}
    return max(means, key=lambda method: means[method]) if means else None


class _Swapping(NamedTuple):
    targets: NDArray[np.int8]
    groups: dict[str, NDArray[np.int64]]
    clusters: NDArray[np.int64] | None
    n_permutations: int


def _swap(
    tool: _Swapping, pair: tuple[tuple[ModelScores, DecisionRule], ...]
) -> SwappedDifferences:
    judged = {
        id(model): Judged(rule.apply(logits_of(model)), rule.threshold_logits)
        for model, rule in pair
    }
    first, second = (judged[id(model)] for model, _ in pair)  # which may be one
    return swapped_differences(
        (first.logits, second.logits),
        tool.targets,
        tool.groups,
        threshold_logits=(first.threshold_logits, second.threshold_logits),
        clusters=tool.clusters,
        n_permutations=tool.n_permutations,
    )


def _corrected(found: dict[str, PermutationResult]) -> dict[str, dict[str, Any]]:
    """Holm over methods, key by key."""
    if not found:
        return {}
    results = list(found.values())
    adjusted = np.stack([holm(p) for p in np.stack([r.p_values for r in results]).T], axis=1)
    return {
        method: {
            key: {
                "difference": none_if_nan(float(result.differences[place])),
                "p": none_if_nan(float(result.p_values[place])),
                "p_holm": none_if_nan(float(corrected[place])),
            }
            for place, key in enumerate(result.keys)
        }
        for (method, result), corrected in zip(found.items(), adjusted, strict=True)
    }


def _pairs(seeds: Sequence[SeedResults], method: str, opponent: str | None) -> Pairs:
    """Models of a method and of its opponent, the reference if None, under the same seeds."""
    pairs: Pairs = []
    for seed in seeds:
        models = {result.method: result.selected for result in seed.results}
        other = seed.start if opponent is None else models.get(opponent)
        if method in models and other is not None:
            pairs.append((models[method], other))
    return pairs
