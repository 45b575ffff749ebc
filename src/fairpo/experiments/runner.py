"""Run the methods of a plan for one seed and keep what the evidence needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairpo.data.base import MultiLabelData
from fairpo.experiments.plan import Plan
from fairpo.groups import LabelGroups, parse_privileged
from fairpo.objectives.catalogue import get_method
from fairpo.training.fit import (
    FittedMethod,
    Reference,
    choose_groups,
    train_method,
    train_reference,
    training_rows,
)
from fairpo.training.loop import EpochCallback
from fairpo.training.rows import predict_logits
from fairpo.training.state import Checkpoint

ProgressFactory = Callable[[str, int], EpochCallback]
"""``(what is trained, most epochs) -> callback`` for each epoch's record."""


@dataclass
class MethodResult:
    """One method under one seed: logits on the test rows, and how it went."""

    method: str
    seed: int
    selected_logits: NDArray[np.float32]
    last_logits: NDArray[np.float32]
    fitted: FittedMethod
    seconds: float


@dataclass
class SeedResults:
    """All methods under one seed, from one shared reference."""

    seed: int
    reference: Reference
    test_logits: NDArray[np.float32]
    """The reference's, (test rows, labels)."""
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
    test_logits = reference.logits[data.rows("test")]
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
        results.append(_collect(data, reference, test_logits, fitted, seconds, seed))
    return SeedResults(seed, reference, test_logits, groups, results)


def _collect(
    data: MultiLabelData,
    reference: Reference,
    test_logits: NDArray[np.float32],
    fitted: FittedMethod,
    seconds: float,
    seed: int,
) -> MethodResult:
    rows = training_rows(data, "test", reference.logits)
    # A policy that is the reference keeps its very array, so that differences are exactly zero.
    is_reference = not get_method(fitted.method).continues
    kept = is_reference or fitted.fell_back
    selected = test_logits if kept else predict_logits(fitted.policy, rows)
    untrained = is_reference and reference.training is None
    last = test_logits if untrained else predict_logits(fitted.last_policy(), rows)
    return MethodResult(fitted.method, seed, selected, last, fitted, seconds)
