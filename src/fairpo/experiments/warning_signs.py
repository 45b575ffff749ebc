"""Two ways in which preference training goes wrong unseen, looked for and put into words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit

from fairpo.data.base import MultiLabelData
from fairpo.experiments.runner import (
    MethodResult,
    SeedResults,
    SplitScores,
    methods_of,
    results_of,
)
from fairpo.groups import LabelGroups
from fairpo.metrics import LabelBlockMetrics, average_precision

SATURATED = 0.95
"""A group weight above this leaves the other groups a twentieth of the attention."""

DISPLACED = 0.05
"""Nats; below this a true label lost less than a twentieth of its probability."""


def warning_signs(seeds: Sequence[SeedResults], data: MultiLabelData) -> list[dict[str, Any]]:
    """Look for group weights that saturated and for true labels whose scores were pushed down.

    Parameters
    ----------
    seeds : sequence of SeedResults
        With test logits, not figures by block of labels.
    data : MultiLabelData

    Returns
    -------
    list of dict
        ``kind`` ("saturation" or "displacement"), ``method`` and ``text``.

    Notes
    -----
    Saturation: a group weight ends above ``SATURATED`` or below one less it. Displacement: the mean
    log-probability of the true privileged entries, by the model's own scores, fell by more than
    ``DISPLACED`` although privileged mAP rose. The loss of FairPO asks that a true label rank above
    the false ones, which it also does where both fall.

    References
    ----------
    Razin et al., "Unintentional unalignment: likelihood displacement in direct preference
    optimization", ICLR 2025.
    """
    targets = data.targets_of(data.rows("test"))
    starts = {seed.seed: _Privileged.of(seed.start.test, targets, seed.groups) for seed in seeds}
    signs: list[dict[str, Any]] = []
    for method in methods_of(seeds):
        runs = results_of(seeds, method)
        if method == seeds[0].reference_method:
            continue
        signs += _saturation(method, runs)
        ends = [_Privileged.of(r.trained()[1].test, targets, s.groups) for s, r in runs]
        before = _Privileged.mean([starts[seed.seed] for seed, _ in runs])
        signs += _displacement(method, before, _Privileged.mean(ends), runs)
    return signs


class _Privileged(NamedTuple):
    """Of the privileged labels: mAP, and mean log-probability of the true entries."""

    map: float
    log_probability: float

    @classmethod
    def of(cls, scores: SplitScores, targets: NDArray[np.int8], groups: LabelGroups) -> _Privileged:
        assert not isinstance(scores, LabelBlockMetrics)
        logits, truth = scores[:, groups.privileged], targets[:, groups.privileged]
        positive = logits[truth == 1].astype(np.float64)
        if not positive.size:
            return cls(np.nan, np.nan)
        ap = average_precision(logits, truth)
        return cls(float(np.nanmean(ap)), float(log_expit(positive).mean()))

    @classmethod
    def mean(cls, seeds: Sequence[_Privileged]) -> _Privileged:
        return cls(*(float(value) for value in np.mean(seeds, axis=0)))


def _saturation(
    method: str, runs: Sequence[tuple[SeedResults, MethodResult]]
) -> Iterator[dict[str, Any]]:
    """One sign for each group that held nearly all the weight, or hardly any, at the end."""
    ended: dict[str, list[float]] = {}
    for seed, result in runs:
        with_labels = [group.name for group in seed.groups.groups if group.indices]
        last = result.trace[-1]["group_weights"] if result.trace else {}
        weights = {name: last[name] for name in with_labels if last.get(name) is not None}
        if len(weights) > 1:  # the weight of a group that is alone is 1
            for name, weight in weights.items():
                ended.setdefault(name, []).append(weight)
    for name, weights_of_seeds in ended.items():
        high = [weight for weight in weights_of_seeds if weight > SATURATED]
        low = [weight for weight in weights_of_seeds if weight < 1 - SATURATED]
        for found, what in (
            (high, "the other groups hardly counted"),
            (low, "it hardly counted"),
        ):
            if found:
                yield {
                    "kind": "saturation",
                    "method": method,
                    "text": f"the weight of the {name.replace('_', '-')} group ended at "
                    f"{np.mean(found):.3f} in {len(found)} of {len(runs)} seeds: {what} in the "
                    "last steps.",
                }


def _displacement(
    method: str,
    before: _Privileged,
    after: _Privileged,
    runs: Sequence[tuple[SeedResults, MethodResult]],
) -> Iterator[dict[str, Any]]:
    fell = before.log_probability - after.log_probability
    rose = after.map - before.map
    if not (fell > DISPLACED and rose > 0):
        return
    where = " at the last epoch" if all(result.fell_back for _, result in runs) else ""
    yield {
        "kind": "displacement",
        "method": method,
        "text": f"privileged mAP rose by {100 * rose:.1f} points{where}, yet the mean "
        f"log-probability of true privileged labels fell by {fell:.2f} nats (from "
        f"{before.log_probability:.2f} to {after.log_probability:.2f}): scores were pushed down "
        "together. Decide by recalibrated scores, not by raw ones.",
    }
