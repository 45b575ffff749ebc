"""From a data set to a reference, and from a reference to a policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import value_error
from fairpo.data.base import (
    MultiLabelData,
    positive_counts,
)
from fairpo.decisions import DecisionRule, DecisionSettings
from fairpo.groups import LabelGroup, LabelGroups, PrivilegedRule
from fairpo.models.head import HeadSettings, Policy
from fairpo.objectives import BCEObjective, LabelCounts, Objective
from fairpo.objectives.catalogue import accepts, get_method, make_objective
from fairpo.training.cross_fit import train_cross_fitted
from fairpo.training.fitted import NO_GAIN, FittedMethod, judged, start_policy
from fairpo.training.label_counts import count_labels
from fairpo.training.label_scores import precision_by_label, scores_by_label
from fairpo.training.loop import EpochCallback, Training, train
from fairpo.training.new_policy import new_policy, new_policy_at_frequencies
from fairpo.training.reference import Reference, head_reference, kernel_reference
from fairpo.training.rows import predict_logits, training_rows
from fairpo.training.selection import Selector
from fairpo.training.settings import TrainingSettings
from fairpo.training.state import Checkpoint
from fairpo.training.validation import score_logits, scorer

Method: TypeAlias = str | Callable[[LabelGroups], Objective]
"""A name of the catalogue, or a function that builds the objective for given groups."""


def make_reference(
    method: str,
    data: MultiLabelData,
    head: HeadSettings,
    settings: TrainingSettings,
    *,
    sample_weight: NDArray[np.float64] | None = None,
    on_epoch: EpochCallback | None = None,
    checkpoint: Checkpoint | None = None,
) -> Reference:
    """Make the reference by its method: :func:`train_reference`, or the closed form.

    Parameters
    ----------
    method : str
        Of :func:`~fairpo.objectives.catalogue.reference_method`.
    data, head, settings, sample_weight, on_epoch, checkpoint
        As in :func:`train_reference`.
    """
    if get_method(method).solves:
        return kernel_reference(data, head, settings, sample_weight=sample_weight)
    return train_reference(
        data,
        head,
        settings,
        sample_weight=sample_weight,
        on_epoch=on_epoch,
        checkpoint=checkpoint,
    )


def train_reference(
    data: MultiLabelData,
    head: HeadSettings,
    settings: TrainingSettings,
    *,
    sample_weight: NDArray[np.float64] | None = None,
    on_epoch: EpochCallback | None = None,
    checkpoint: Checkpoint | None = None,
) -> Reference:
    """Train a head by binary cross-entropy; the epoch with the best validation mAP is kept.

    Parameters
    ----------
    data : MultiLabelData
        With a train and a validation split.
    head : HeadSettings
    settings : TrainingSettings
    sample_weight : float array, shape (n,), optional
    on_epoch : callable, optional
    checkpoint : Checkpoint, optional
        Where the training's state is kept, and taken up if it was stopped.
    """
    data.require_features()
    settings = settings.filled()
    assert settings.reference_learning_rate is not None
    notes = _untrainable_labels(data)
    fresh = new_policy_at_frequencies if settings.sampled_labels else new_policy
    policy = fresh(data, head, settings.seed)
    everything = LabelGroups(
        [LabelGroup("all", tuple(range(data.n_labels)), "protect")], data.n_labels
    )
    rows = training_rows(data, "train", sample_weight=sample_weight)
    training = train(
        policy,
        BCEObjective(everything),
        rows,
        settings,
        epochs=settings.reference_epochs,
        learning_rate=settings.reference_learning_rate,
        score=scorer(data, everything, None, settings),
        selector=Selector(None),
        on_epoch=on_epoch,
        checkpoint=checkpoint,
    )
    policy.load_state_dict(training.selected_state)
    if training.selector.best_epoch + settings.patience > settings.reference_epochs:
        notes.append(
            f"the reference was best in epoch {training.selector.best_epoch} of at most "
            f"{settings.reference_epochs}: it may not have learnt all it can, and methods that "
            "start from it may gain by training longer alone. Raise reference_epochs."
        )
    return head_reference(policy, data, settings, training, notes)


def choose_groups(
    rule: PrivilegedRule, data: MultiLabelData, reference: Reference | None
) -> LabelGroups:
    """Find the privileged labels: by training frequency, reference AP on validation, or name.

    Rules that need no reference can be resolved before it is trained, so that a label name that
    does not exist is told at once.

    Raises
    ------
    FairPOValueError
        None of them has a positive in the training rows.
    """
    ap = None
    if rule.needs_reference_ap and reference is not None:
        rows = data.rows("validation")
        ap = precision_by_label(scores_by_label(reference.logits, rows), data.targets[rows])
    targets = data.targets[data.rows("train")]
    groups = rule.resolve(targets, data.label_names, ap)
    chosen = groups.privileged
    if not positive_counts(targets)[chosen].any():
        names = [data.label_names[index] for index in chosen[:5]]
        raise value_error(
            "the privileged labels",
            must="have a positive in the training rows",
            got=f"none for {', '.join(names)}" + (", ..." if len(chosen) > 5 else ""),
            do="Choose labels that occur.",
        )
    return groups


def train_method(
    data: MultiLabelData,
    reference: Reference,
    groups: LabelGroups,
    method: Method,
    settings: TrainingSettings,
    *,
    preset: str = "paper-v1",
    options: Mapping[str, Any] | None = None,
    head: HeadSettings | None = None,
    closed_form: Reference | None = None,
    sample_weight: NDArray[np.float64] | None = None,
    on_epoch: EpochCallback | None = None,
    checkpoint: Checkpoint | None = None,
) -> FittedMethod:
    """Train one method: from the reference, for some extra epochs, or beside it.

    Parameters
    ----------
    data : MultiLabelData
        With a train and a validation split.
    reference : Reference
    groups : LabelGroups
    method : str or callable
    settings : TrainingSettings
    preset : str
        Objective preset.
    options : mapping, optional
        Objective settings over the preset's.
    head : HeadSettings, optional
        Of the residual head, where the reference is scores only, and of a network beside the
        reference.
    closed_form : Reference, optional
        By :func:`make_reference` of the same data, head, seed and weights, for the methods that
        need it; they solve for it when it is not given.
    sample_weight : float array, shape (n,), optional
    on_epoch : callable, optional
    checkpoint : Checkpoint, optional
        Where the training's state is kept, and taken up if it was stopped.
    """
    name = method if isinstance(method, str) else getattr(method, "__name__", "custom")
    known = get_method(method) if isinstance(method, str) else None
    head = (head or HeadSettings()).filled(**(known.head if known else {}))
    settings = settings.filled(**(known.training if known else {}))
    if known is not None and known.cross_fits:
        return _train_cross_fitted(
            data,
            reference,
            groups,
            name,
            settings,
            preset=preset,
            options=options or {},
            head=head,
            closed_form=closed_form,
            sample_weight=sample_weight,
            on_epoch=on_epoch,
            checkpoint=checkpoint,
        )
    objective = _build_objective(method, groups, preset, options or {}, data, settings.seed)
    policy = start_policy(data, reference, head, settings.seed)
    if known is not None and known.solves and reference.left_out is None:
        solved = closed_form or kernel_reference(data, head, settings, sample_weight=sample_weight)
        state = policy.state_dict()
        training = Training(Selector(None), state, state, notes=solved.notes)
        assert solved.policy is not None
        return judged(
            solved.policy, name, training, objective, data, reference, groups, settings, head
        )
    if known is not None and not known.continues:
        return _reference_as_method(name, groups, policy, reference, objective)
    rows = training_rows(data, "train", reference.logits, sample_weight)
    score = scorer(data, groups, reference.logits, settings)
    start = score_logits(reference.logits, data, groups)
    training = train(
        policy,
        objective,
        rows,
        settings,
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        score=score,
        selector=Selector(
            start, settings.tolerance_points / 100, candidate=settings.reference_is_candidate
        ),
        on_epoch=on_epoch,
        checkpoint=checkpoint,
    )
    policy.load_state_dict(training.selected_state)
    notes = list(training.notes)
    if training.selector.fell_back:
        notes.append(NO_GAIN)
    return FittedMethod(name, groups, policy, training, objective, notes)


def _train_cross_fitted(
    data: MultiLabelData,
    reference: Reference,
    groups: LabelGroups,
    method: str,
    settings: TrainingSettings,
    *,
    preset: str,
    options: Mapping[str, Any],
    head: HeadSettings,
    closed_form: Reference | None,
    sample_weight: NDArray[np.float64] | None,
    on_epoch: EpochCallback | None,
    checkpoint: Checkpoint | None,
) -> FittedMethod:
    """Train a method that needs a closed form; the reference judges what came of it."""
    if reference.left_out is not None:
        closed_form = reference
    elif closed_form is None:
        closed_form = kernel_reference(data, head, settings, sample_weight=sample_weight)
    fitted = train_cross_fitted(
        data,
        reference,
        closed_form,
        head,
        settings,
        lambda found: make_objective(method, groups, preset, competition=found, **options),
        scorer(data, groups, None, settings),
        sample_weight=sample_weight,
        on_epoch=on_epoch,
        checkpoint=checkpoint,
    )
    told = _without_effect(method, settings, preset)
    told += [] if closed_form is reference else closed_form.notes
    training = replace(fitted.training, notes=[*told, *fitted.notes, *fitted.training.notes])
    return judged(
        fitted.policy, method, training, fitted.objective, data, reference, groups, settings, head
    )


def most_epochs(method: str, settings: TrainingSettings) -> int:
    """Return how many epochs a method is trained for at most; those of a reference from scratch."""
    return settings.epochs if get_method(method).continues else settings.reference_epochs


def _without_effect(method: str, settings: TrainingSettings, preset: str) -> list[str]:
    """Tell what is set for the paper's form or for training from a reference, and is not used."""
    usual = TrainingSettings()
    told = [f"preset={preset} has no effect on {method}, which is not a form of the paper's."]
    return (told if preset != "paper-v1" else []) + [
        f"{name}={getattr(settings, name):g} has no effect on {method}, whose network does not "
        f"start from the reference: set reference_{name}."
        for name in ("epochs", "learning_rate")
        if getattr(settings, name) != getattr(usual, name)
    ]


def fit_decisions(
    data: MultiLabelData,
    reference: Reference,
    policy: Policy | None,
    training: TrainingSettings,
    decisions: DecisionSettings,
) -> DecisionRule:
    """Fit probabilities and thresholds on the validation rows, for a policy or the reference.

    Parameters
    ----------
    data : MultiLabelData
        With a validation split.
    reference : Reference
    policy : Policy or None
        ``None`` takes the reference's own logits.
    training : TrainingSettings
    decisions : DecisionSettings

    Returns
    -------
    DecisionRule
        The identity where labels are sampled: so many labels are not scored whole, and nearly all
        of them have too few validation positives.
    """
    if training.sampled_labels:
        return DecisionRule.identity(data.n_labels)
    rows = data.rows("validation")
    if policy is None:
        logits: NDArray[np.float32] = np.asarray(reference.logits[rows])
    else:
        logits = predict_logits(policy, training_rows(data, "validation", reference.logits))
    return DecisionRule.fit(logits, data.targets_of(rows), decisions)


def _build_objective(
    method: Method,
    groups: LabelGroups,
    preset: str,
    options: Mapping[str, Any],
    data: MultiLabelData,
    seed: int,
) -> Objective:
    """Build the objective of a method; the run's seed also seeds pair draws unless told."""
    if callable(method):
        return method(groups)
    if accepts(method, "seed"):
        options = {"seed": seed, **options}
    counts: LabelCounts | None = None
    if get_method(method).needs_label_counts:
        counts = count_labels(data.targets[data.rows("train")])
    return make_objective(method, groups, preset, label_counts=counts, **options)


def _reference_as_method(
    name: str,
    groups: LabelGroups,
    policy: Policy,
    reference: Reference,
    objective: Objective,
) -> FittedMethod:
    state = policy.state_dict()
    training = reference.training or Training(Selector(None), state, state)
    return FittedMethod(name, groups, policy, training, objective, [])


def _untrainable_labels(data: MultiLabelData) -> list[str]:
    counts = positive_counts(data.targets[data.rows("train")])
    names = [data.label_names[index] for index in np.flatnonzero(counts == 0)]
    if not names:
        return []
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    return [
        f"{len(names)} labels have no positive in the training rows and cannot be learnt: {shown}."
    ]
