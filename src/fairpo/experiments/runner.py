"""Train the reference of a seed and methods from it, and keep what the evidence needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fairpo.data.base import MultiLabelData
from fairpo.decisions import DecisionRule, DecisionSettings
from fairpo.experiments.plan import Plan
from fairpo.groups import LabelGroups, parse_privileged
from fairpo.metrics import LabelBlockMetrics, evaluate_label_blocks
from fairpo.models.head import Policy
from fairpo.objectives.catalogue import REFERENCE
from fairpo.training.fit import (
    choose_groups,
    make_reference,
    most_epochs,
    train_method,
)
from fairpo.training.fitted import FittedMethod
from fairpo.training.label_scores import LabelScorer, LabelScores, scores_by_label
from fairpo.training.loop import EpochCallback
from fairpo.training.reference import Reference
from fairpo.training.rows import predict_logits, training_rows
from fairpo.training.state import Checkpoint

ProgressFactory = Callable[[str, int], EpochCallback]
"""``(what is trained, most epochs) -> callback`` for each epoch's record."""


SplitScores: TypeAlias = NDArray[np.float32] | LabelBlockMetrics
"""Logits (rows, labels), or, where labels are sampled, figures from one pass over them."""


@dataclass(frozen=True, eq=False)
class ModelScores:
    """What a model says of the rows that no training saw; two are the same if they are one object.

    Parameters
    ----------
    test, validation : SplitScores
    """

    test: SplitScores
    validation: SplitScores
    _rules: dict[DecisionSettings, DecisionRule] = field(
        default_factory=dict, init=False, repr=False
    )

    def rule(self, data: MultiLabelData, settings: DecisionSettings) -> DecisionRule:
        """Return how its logits become decisions, fitted on the validation rows, once.

        The identity where labels are sampled: nearly all have too few validation positives.
        """
        validation = self.validation
        if isinstance(validation, LabelBlockMetrics):
            return DecisionRule.identity(data.n_labels)
        if settings not in self._rules:
            targets = data.targets_of(data.rows("validation"))
            self._rules[settings] = DecisionRule.fit(validation, targets, settings)
        return self._rules[settings]


@dataclass(frozen=True)
class MethodResult:
    """One method under one seed: its scores, and how it went.

    Parameters
    ----------
    method : str
    seed : int
    selected, last : ModelScores
        Of the epoch that is kept, and of the last one.
    selected_epoch : int
        0 is the reference.
    n_epochs : int
    fell_back : bool or None
        Whether the reference was returned; None for the reference's own method.
    seconds : float
        Of training, without the reference and the closed form that it was given.
    trace : list of dict
        Group losses and weights over the training.
    notes : list of str
    """

    method: str
    seed: int
    selected: ModelScores
    last: ModelScores
    selected_epoch: int
    n_epochs: int
    fell_back: bool | None
    seconds: float
    trace: list[dict[str, Any]]
    notes: list[str]

    def trained(self) -> tuple[str, ModelScores]:
        """Return the epoch that shows what the training did, by name, and its scores.

        The selected one, or the last one where the reference was returned.
        """
        return ("last", self.last) if self.fell_back else ("selected", self.selected)


@dataclass(frozen=True)
class SeedResults:
    """All methods under one seed, from one shared reference.

    Parameters
    ----------
    seed : int
    groups : LabelGroups
    start : ModelScores
        The reference's.
    notes : list of str
        Of the reference.
    results : list of MethodResult
    reference_method : str
        By which the reference was made.
    """

    seed: int
    groups: LabelGroups
    start: ModelScores
    notes: list[str]
    results: list[MethodResult]
    reference_method: str = REFERENCE


def methods_of(seeds: Sequence[SeedResults]) -> list[str]:
    """Methods that have a result under some seed, in their order."""
    return list(dict.fromkeys(result.method for seed in seeds for result in seed.results))


def results_of(seeds: Sequence[SeedResults], method: str) -> list[tuple[SeedResults, MethodResult]]:
    """The seeds under which a method has a result; one that crashed has none."""
    return [(seed, result) for seed in seeds for result in seed.results if result.method == method]


def common_seeds(seeds: Sequence[SeedResults]) -> tuple[list[SeedResults], list[str]]:
    """Seeds under which all methods have a result, so that every figure is over the same ones.

    Where there is no such seed, the methods with the fewest results are left out until there is.

    Parameters
    ----------
    seeds : sequence of SeedResults
        At least one; trials that failed have no result in it.

    Returns
    -------
    (seeds, notes)
        The seeds, with results of the methods that are left, and what was left out.
    """
    methods = methods_of(seeds)
    whole = list(seeds)
    while not (whole := [s for s in seeds if {r.method for r in s.results} >= {*methods}]):
        methods.remove(min(methods, key=lambda method: len(results_of(seeds, method))))
    notes = [
        f"{method} has no figures: it failed under every seed of the others."
        for method in methods_of(seeds)
        if method not in methods
    ]
    without = [str(seed.seed) for seed in seeds if all(seed is not kept for kept in whole)]
    if without:
        notes.append(
            f"seed{'s' if len(without) > 1 else ''} {', '.join(without)} left out of all figures: "
            "a trial failed there."
        )
    return [
        replace(seed, results=[r for r in seed.results if r.method in methods]) for seed in whole
    ], notes


def silent(_: str, __: int) -> EpochCallback:
    """Show no progress."""
    return lambda record: None


class SeedRunner:
    """The reference of a seed, and methods trained from it.

    Parameters
    ----------
    data : MultiLabelData
        With all three splits.
    plan : Plan
    seed : int
    reference : Reference, optional
        An existing model; trained here when not given.
    closed_form : Reference, optional
        As in :func:`~fairpo.training.fit.train_method`.
    groups : LabelGroups, optional
        Of an earlier seed, so that all seeds share one partition.
    progress : callable
    checkpoint : callable
        Where the state of a stage, "reference" or "method", is kept.
    """

    def __init__(
        self,
        data: MultiLabelData,
        plan: Plan,
        seed: int,
        *,
        reference: Reference | None = None,
        closed_form: Reference | None = None,
        groups: LabelGroups | None = None,
        progress: ProgressFactory = silent,
        checkpoint: Callable[[str], Checkpoint | None] = lambda stage: None,
    ) -> None:
        data.require_features()
        self.data, self.plan, self.seed = data, plan, seed
        self._closed_form = closed_form
        self._progress, self._checkpoint = progress, checkpoint
        training = plan.training.model_copy(update={"seed": seed})
        rule = parse_privileged(plan.privileged)
        if groups is None and not rule.needs_reference_ap:
            groups = choose_groups(rule, data, None)
        if reference is None:
            reference = make_reference(
                plan.reference_method,
                data,
                plan.head,
                training,
                on_epoch=progress(f"reference {seed}", training.reference_epochs),
                checkpoint=checkpoint("reference"),
            )
        self.reference = reference
        self.groups = choose_groups(rule, data, reference) if groups is None else groups
        self._in_blocks = training.sampled_labels > 0
        self.start = ModelScores(self._of_reference("test"), self._of_reference("validation"))

    def run(self, method: str) -> tuple[MethodResult, FittedMethod]:
        """Train a method of the plan; its scores, and the model."""
        plan = self.plan
        training = plan.training_for(method).model_copy(update={"seed": self.seed})
        start = time.perf_counter()
        fitted = train_method(
            self.data,
            self.reference,
            self.groups,
            method,
            training,
            preset=plan.preset,
            options=plan.options_for(method),
            head=plan.head,
            closed_form=self._closed_form,
            on_epoch=self._progress(f"{method} {self.seed}", most_epochs(method, training)),
            checkpoint=self._checkpoint("method"),
        )
        seconds = time.perf_counter() - start
        # A policy that is the reference keeps its very scores, so that differences are exactly 0.
        is_reference = method == plan.reference_method
        untrained = is_reference and self.reference.training is None
        as_reference = is_reference or fitted.fell_back
        selected = self.start if as_reference else self._scores(fitted.policy)
        as_selected = untrained or (not as_reference and fitted.ended_best)
        result = MethodResult(
            method=method,
            seed=self.seed,
            selected=selected,
            last=selected if as_selected else self._scores(fitted.last_policy()),
            selected_epoch=fitted.training.selector.best_epoch,
            n_epochs=len(fitted.training.epochs),
            fell_back=None if is_reference else fitted.fell_back,
            seconds=seconds,
            trace=[] if is_reference else fitted.training.trace,
            notes=list(fitted.notes),
        )
        return result, fitted

    def _of_reference(self, split: str) -> SplitScores:
        rows = self.data.rows(split)
        if not self._in_blocks:
            logits: NDArray[np.float32] = self.reference.logits[rows]
            return logits
        return self._figures(scores_by_label(self.reference.logits, rows), split)

    def _scores(self, policy: Policy) -> ModelScores:
        return ModelScores(self._of_policy(policy, "test"), self._of_policy(policy, "validation"))

    def _of_policy(self, policy: Policy, split: str) -> SplitScores:
        logits = self.reference.logits
        if not self._in_blocks:
            return predict_logits(policy, training_rows(self.data, split, logits))
        score = LabelScores(policy, self.data.features, self.data.rows(split), logits)
        return self._figures(score, split)

    def _figures(self, score: LabelScorer, split: str) -> LabelBlockMetrics:
        targets = self.data.targets[self.data.rows(split)]
        return evaluate_label_blocks(score, targets, self.groups.judged())
