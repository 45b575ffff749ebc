"""The model that must not get worse: a trained head, a closed form, or scores of another model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from fairpo._checks import value_error
from fairpo.data.base import MultiLabelData
from fairpo.models.head import HeadSettings, Policy
from fairpo.training.kernel_reference import KernelFit, KernelSettings, fit_kernel_ridge
from fairpo.training.loop import Training
from fairpo.training.new_policy import new_policy
from fairpo.training.reference_scores import HeadScores, Scores, head_scores
from fairpo.training.settings import TrainingSettings

_AT_ONCE = 13  # times the scores: measured where Platt's line of all labels together is fitted


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
        How it was trained, if here by steps.
    notes : list of str
    left_out : float32 array, shape (training rows, L), or None
        Its logits of each training row from a fit to all others, where it can tell.
    """

    logits: Scores
    policy: Policy | None = None
    training: Training | None = None
    notes: list[str] = field(default_factory=list)
    left_out: NDArray[np.float32] | None = None


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


def kernel_reference(
    data: MultiLabelData,
    head: HeadSettings,
    settings: TrainingSettings,
    kernel: KernelSettings | None = None,
    *,
    sample_weight: NDArray[np.float64] | None = None,
) -> Reference:
    """Solve for a reference in closed form, which knows how it does on rows left out.

    Parameters
    ----------
    data : MultiLabelData
        With a train split.
    head : HeadSettings
        Of the head beside the regression, which is 0.
    settings : TrainingSettings
        Its seed, and ``reference_cache_mb``, which the scores of the training rows, and what is
        computed of all of them at once, must not exceed.
    kernel : KernelSettings, optional
    sample_weight : float array, shape (n,), optional

    Raises
    ------
    FairPOValueError
        The head is ``per-label``, or there are too many rows and labels.
    """
    data.require_features()
    if head.kind == "per-label":
        raise value_error(
            "HeadSettings.kind",
            must="be 'mlp' or 'linear' beside a closed form, as in fairpo-crossfit",
            got="'per-label'",
            do="Labels with a network each have no last layer that could be weighed.",
        )
    rows = data.rows("train")
    if settings.sampled_labels:
        raise value_error(
            "sampled_labels",
            must="be 0 for a closed form, which scores all labels of all training rows",
            got=str(settings.sampled_labels),
            do="Train a method for so many labels, such as bce-reweighted.",
        )
    needed = _AT_ONCE * len(rows) * data.n_labels * 4 / 2**20
    if needed > settings.reference_cache_mb:
        raise value_error(
            "the closed-form reference",
            must="have room to work on its scores of all training rows and labels: "
            f"reference_cache_mb={settings.reference_cache_mb}",
            got=f"{needed:.0f} MB",
            do="Raise reference_cache_mb, or train a method for so many labels, such as "
            "bce-reweighted.",
        )
    fit = fit_kernel_ridge(data, rows, kernel or KernelSettings(), settings.seed, sample_weight)
    policy = new_policy(data, head, settings.seed, n_landmarks=len(fit.model.landmarks))
    assert policy.base is not None
    policy.base.load_state_dict(fit.model.state_dict())
    policy.interpolate(0.0, 1.0, torch.zeros(data.n_labels))
    return Reference(
        HeadScores(policy, data.features), policy, notes=[_told(fit)], left_out=fit.left_out
    )


def _told(fit: KernelFit) -> str:
    return (
        f"kernel ridge regression: features {_SCALINGS[fit.scaling]}, width {fit.width:g} median "
        f"distances, penalty {fit.penalty:g}, {len(fit.model.landmarks)} landmarks."
    )


_SCALINGS = {"none": "centred", "standard": "centred and scaled"}


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
