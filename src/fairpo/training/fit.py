"""From a data set to a reference, and from a reference to a policy."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from fairpo._checks import value_error
from fairpo.data.base import (
    Features,
    MultiLabelData,
    block_rows,
    feature_rows,
    positive_counts,
)
from fairpo.decisions import DecisionRule, DecisionSettings
from fairpo.groups import LabelGroup, LabelGroups, LabelPartition, PrivilegedRule
from fairpo.models.head import HeadSettings, Policy, Scaling
from fairpo.objectives import BCEObjective, LabelCounts, Objective
from fairpo.objectives.catalogue import accepts, get_method, make_objective
from fairpo.training.distributed import share, sum_over_processes
from fairpo.training.label_counts import count_labels
from fairpo.training.label_scores import LabelScores, precision_by_label, scores_by_label
from fairpo.training.loop import EpochCallback, Training, train
from fairpo.training.reference_scores import Scores, head_scores
from fairpo.training.rows import TrainingRows, predict_logits
from fairpo.training.selection import Selector, ValidationScores
from fairpo.training.settings import TrainingSettings
from fairpo.training.state import Checkpoint

Method: TypeAlias = str | Callable[[LabelGroups], Objective]
"""A name of the catalogue, or a function that builds the objective for given groups."""


@dataclass
class Reference:
    """The model that must not get worse.

    Parameters
    ----------
    logits : Scores, shape (n, L)
        Its logits for every row of the data set: in memory, in a file beside the store, or
        computed for the rows asked for.
    policy : Policy or None
        The network, where there is one: methods start as its copy. With scores only, methods are
        residual heads on the scores.
    training : Training or None
        How it was trained, if here.
    """

    logits: Scores
    policy: Policy | None = None
    training: Training | None = None
    notes: list[str] = field(default_factory=list)


@dataclass
class FittedMethod:
    """A trained method: the selected policy, the last one, and how it went."""

    method: str
    groups: LabelGroups
    policy: Policy
    training: Training
    objective: Objective
    notes: list[str]

    @property
    def fell_back(self) -> bool:
        """Whether no epoch within tolerance beat the reference, so that it was returned."""
        return self.training.selector.fell_back

    @property
    def ended_best(self) -> bool:
        """Whether the selected epoch is the last one."""
        return self.training.selector.best_epoch == len(self.training.epochs)

    def last_policy(self) -> Policy:
        """Return a copy in the state of the last epoch."""
        return _with_state(self.policy, self.training.last_state)


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
    notes = _untrainable_labels(data)
    policy = new_policy(data, head, settings.seed)
    if settings.sampled_labels:
        rows_trained = data.rows("train")
        counts = positive_counts(data.targets[rows_trained])
        frequencies = (counts + 0.5) / (len(rows_trained) + 1)
        policy.start_at_frequencies(torch.from_numpy(frequencies).float())
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
        score=_scorer(data, everything, None, settings),
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


def head_reference(
    policy: Policy,
    data: MultiLabelData,
    settings: TrainingSettings,
    training: Training | None = None,
    notes: list[str] | None = None,
) -> Reference:
    """Take a trained head as the reference; its logits are kept within ``reference_cache_mb``."""
    data.require_features()
    logits = head_scores(policy, data, settings.reference_cache_mb * 2**20)
    return Reference(logits, policy, training, notes or [])


def scores_reference(
    scores: NDArray[Any], data: MultiLabelData, kind: Literal["logits", "probs"]
) -> Reference:
    """Take the scores of an existing model as the reference.

    Parameters
    ----------
    scores : array, shape (n, L)
        One row for each row of the data set, in its order, and one column for each label.
    data : MultiLabelData
    kind : "logits" or "probs"
        Probabilities are turned into logits; exact 0 and 1 become the float32 numbers next to
        them.
    """
    return Reference(as_logits(scores, (data.n_rows, data.n_labels), kind))


def as_logits(
    scores: NDArray[Any], shape: tuple[int, int], kind: Literal["logits", "probs"]
) -> NDArray[np.float32]:
    """Check reference scores and return them as logits, float32."""
    array = np.asarray(scores)
    if array.shape != shape:
        raise value_error(
            "reference scores",
            must=f"have shape {shape}: every row and label of the data",
            got=array.shape,
        )
    values = array.astype(np.float64)
    if not np.isfinite(values).all():
        raise value_error("reference scores", must="be finite", got="NaN or inf")
    if kind == "logits":
        return values.astype(np.float32)
    if values.min() < 0 or values.max() > 1:
        raise value_error(
            "reference probabilities",
            must="be in [0, 1]",
            got=f"{values.min():g} to {values.max():g}",
            do="If these are logits, say reference_kind='logits' (--reference-kind logits).",
        )
    edge = float(np.finfo(np.float32).eps)
    clipped = values.clip(edge, 1 - edge)
    return np.asarray(np.log(clipped) - np.log1p(-clipped), dtype=np.float32)


def choose_groups(
    rule: PrivilegedRule, data: MultiLabelData, reference: Reference | None
) -> LabelPartition:
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
    sample_weight: NDArray[np.float64] | None = None,
    on_epoch: EpochCallback | None = None,
    checkpoint: Checkpoint | None = None,
) -> FittedMethod:
    """Train one method from the reference, within the common extra budget.

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
        Of the residual head, where the reference is scores only.
    sample_weight : float array, shape (n,), optional
    on_epoch : callable, optional
    checkpoint : Checkpoint, optional
        Where the training's state is kept, and taken up if it was stopped.
    """
    name = method if isinstance(method, str) else getattr(method, "__name__", "custom")
    objective = _build_objective(method, groups, preset, options or {}, data, settings.seed)
    policy = start_policy(data, reference, head or HeadSettings(), settings.seed)
    if isinstance(method, str) and not get_method(method).continues:
        return _reference_as_method(name, groups, policy, reference, objective, data)
    rows = training_rows(data, "train", reference.logits, sample_weight)
    score = _scorer(data, groups, reference.logits, settings)
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
        notes.append(
            "no gain found: no epoch within tolerance beat the reference's privileged mAP on "
            "validation, so the reference is returned."
        )
    return FittedMethod(name, groups, policy, training, objective, notes)


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


def new_policy(
    data: MultiLabelData, head: HeadSettings, seed: int, *, residual: bool = False
) -> Policy:
    """Return an untrained policy for a data set, its scaling taken from the training rows."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        policy = Policy(data.n_features, data.n_labels, head, residual=residual)
    if isinstance(policy.scaling, Scaling):
        mean, deviation = feature_moments(data.features, data.rows("train"))
        policy.scaling.mean.copy_(torch.from_numpy(mean))
        policy.scaling.scale.copy_(torch.from_numpy(deviation))
    return policy


def start_policy(
    data: MultiLabelData, reference: Reference, head: HeadSettings, seed: int
) -> Policy:
    """Return a policy that scores exactly like the reference: its copy, or a residual at zero."""
    if reference.policy is None:
        return new_policy(data, head, seed, residual=True)
    return _with_state(reference.policy, reference.policy.state_dict())


def training_rows(
    data: MultiLabelData,
    split: str,
    reference_logits: Scores | None = None,
    sample_weight: NDArray[np.float64] | None = None,
) -> TrainingRows:
    """Return the rows of a split, with reference logits (n, L) and sample weights (n,) at hand."""
    rows = data.rows(split)
    return TrainingRows(
        data.features,
        data.targets,
        rows,
        reference_logits,
        None if sample_weight is None else sample_weight[rows],
    )


def score_logits(logits: Scores, data: MultiLabelData, groups: LabelGroups) -> ValidationScores:
    """Validation scores of logits (n, L), a block of labels at a time."""
    rows = data.rows("validation")
    ap = precision_by_label(scores_by_label(logits, rows), data.targets[rows])
    return ValidationScores.from_ap(ap, groups)


def _scorer(
    data: MultiLabelData,
    groups: LabelGroups,
    reference_logits: Scores | None,
    settings: TrainingSettings,
) -> Callable[[Policy], ValidationScores]:
    rows = training_rows(data, "validation", reference_logits)
    if settings.sampled_labels:
        few = data.targets[rows.rows]

        def in_blocks(policy: Policy) -> ValidationScores:
            score = LabelScores(policy, data.features, rows.rows, reference_logits)
            return ValidationScores.from_ap(precision_by_label(score, few), groups)

        return in_blocks
    targets = data.targets_of(rows.rows)
    return lambda policy: ValidationScores.from_logits(
        predict_logits(policy, rows), targets, groups
    )


def _reference_as_method(
    name: str,
    groups: LabelGroups,
    policy: Policy,
    reference: Reference,
    objective: Objective,
    data: MultiLabelData,
) -> FittedMethod:
    state = policy.state_dict()
    training = reference.training or Training(
        Selector(score_logits(reference.logits, data, groups)), state, state
    )
    return FittedMethod(name, groups, policy, training, objective, [])


def _with_state(policy: Policy, state: Mapping[str, torch.Tensor]) -> Policy:
    other = copy.deepcopy(policy)
    other.load_state_dict(state)
    return other


def feature_moments(
    features: Features, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation of each column over rows, in blocks; a constant column has scale 1."""
    sums = np.zeros((2, features.shape[1]))
    size = block_rows(features.shape[1])
    own = rows[share(len(rows))]
    for start in range(0, len(own), size):
        block = np.asarray(feature_rows(features, own[start : start + size]), dtype=np.float64)
        sums += block.sum(0), (block**2).sum(0)
    total, squares = sum_over_processes(torch.from_numpy(sums)).numpy()
    mean = total / len(rows)
    deviation = np.sqrt(np.maximum(squares / len(rows) - mean**2, 0))
    constant = deviation <= 1e-6 * np.maximum(np.abs(mean), 1e-6)
    return mean.astype(np.float32), np.where(constant, 1, deviation).astype(np.float32)


def _untrainable_labels(data: MultiLabelData) -> list[str]:
    counts = positive_counts(data.targets[data.rows("train")])
    names = [data.label_names[index] for index in np.flatnonzero(counts == 0)]
    if not names:
        return []
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    return [
        f"{len(names)} labels have no positive in the training rows and cannot be learnt: {shown}."
    ]
