"""Run the methods of a plan for one seed and keep what the evidence needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fairpo.data.base import MultiLabelData
from fairpo.experiments.plan import Plan
from fairpo.groups import LabelGroups, parse_privileged
from fairpo.metrics import LabelBlockMetrics, evaluate_label_blocks
from fairpo.models.head import Policy
from fairpo.objectives.catalogue import get_method
from fairpo.training.fit import (
    FittedMethod,
    Reference,
    choose_groups,
    train_method,
    train_reference,
    training_rows,
)
from fairpo.training.label_scores import LabelScorer, LabelScores, scores_by_label
from fairpo.training.loop import EpochCallback
from fairpo.training.rows import predict_logits
from fairpo.training.state import Checkpoint

ProgressFactory = Callable[[str, int], EpochCallback]
"""``(what is trained, most epochs) -> callback`` for each epoch's record."""


TestScores: TypeAlias = NDArray[np.float32] | LabelBlockMetrics
"""Logits (test rows, labels), or, where labels are sampled, figures from one pass over them."""


@dataclass
class MethodResult:
    """One method under one seed: scores on the test rows, and how it went."""

    method: str
    seed: int
    selected: TestScores
    last: TestScores
    fitted: FittedMethod
    seconds: float


@dataclass
class SeedResults:
    """All methods under one seed, from one shared reference."""

    seed: int
    reference: Reference
    start: TestScores
    """The reference's."""
    groups: LabelGroups
    results: list[MethodResult]


def silent(_: str, __: int) -> EpochCallback:
    """Show no progress."""
    return lambda record: None


def run_seed(
    data: MultiLabelData,
    plan: Plan,
    seed: int,
    *,
    reference: Reference | None = None,
    groups: LabelGroups | None = None,
    progress: ProgressFactory = silent,
    checkpoint: Callable[[str], Checkpoint | None] = lambda stage: None,
) -> SeedResults:
    """Train the reference once and every method of the plan from it.

    Parameters
    ----------
    data : MultiLabelData
        With all three splits.
    plan : Plan
    seed : int
    reference : Reference, optional
        An existing model; trained here when not given.
    groups : LabelGroups, optional
        Of an earlier seed, so that all seeds share one partition.
    progress : callable
    checkpoint : callable
        Where the state of a stage, "reference" or "method", is kept.
    """
    data.require_features()
    training = plan.training.model_copy(update={"seed": seed})
    rule = parse_privileged(plan.privileged)
    if groups is None and not rule.needs_reference_ap:
        groups = choose_groups(rule, data, None)
    if reference is None:
        callback = progress(f"reference {seed}", training.reference_epochs)
        reference = train_reference(
            data, plan.head, training, on_epoch=callback, checkpoint=checkpoint("reference")
        )
    if groups is None:
        groups = choose_groups(rule, data, reference)
    judge = _Judge(data, reference, groups, in_blocks=training.sampled_labels > 0)
    start_scores = judge.reference_scores()
    results = []
    for method in plan.methods:
        start = time.perf_counter()
        fitted = train_method(
            data,
            reference,
            groups,
            method,
            training,
            preset=plan.preset,
            options=plan.options_for(method),
            head=plan.head,
            on_epoch=progress(f"{method} {seed}", training.epochs),
            checkpoint=checkpoint("method"),
        )
        seconds = time.perf_counter() - start
        # A policy that is the reference keeps its very scores, so that differences are exactly 0.
        is_reference = not get_method(method).continues
        untrained = is_reference and reference.training is None
        selected = last = start_scores
        if not (is_reference or fitted.fell_back):
            selected = judge.scores(fitted.policy)
        if not untrained:
            last = judge.scores(fitted.last_policy())
        results.append(MethodResult(method, seed, selected, last, fitted, seconds))
    return SeedResults(seed, reference, start_scores, groups, results)


@dataclass(frozen=True)
class _Judge:
    """Scores of policies on the test rows."""

    data: MultiLabelData
    reference: Reference
    groups: LabelGroups
    in_blocks: bool

    def reference_scores(self) -> TestScores:
        rows = self.data.rows("test")
        if not self.in_blocks:
            logits: NDArray[np.float32] = self.reference.logits[rows]
            return logits
        return self._figures(scores_by_label(self.reference.logits, rows))

    def scores(self, policy: Policy) -> TestScores:
        if not self.in_blocks:
            return predict_logits(policy, training_rows(self.data, "test", self.reference.logits))
        rows, logits = self.data.rows("test"), self.reference.logits
        return self._figures(LabelScores(policy, self.data.features, rows, logits))

    def _figures(self, score: LabelScorer) -> LabelBlockMetrics:
        targets = self.data.targets[self.data.rows("test")]
        return evaluate_label_blocks(score, targets, self.groups.as_mapping())
