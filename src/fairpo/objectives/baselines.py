"""Baselines without a reference: cross-entropy, and the published answers to rare labels."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from fairpo._checks import build_settings, value_error
from fairpo.groups import LabelGroups
from fairpo.losses.balance import class_balanced_weights, rebalanced_weights
from fairpo.losses.pointwise import asymmetric, focal, negative_tolerant
from fairpo.objectives.base import StepInputs
from fairpo.objectives.label_counts import LabelCounts
from fairpo.objectives.mean import MeanObjective, improved_labels


class BCESettings(BaseModel):
    """Options of the cross-entropy baselines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    privileged_weight: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="Weight of privileged labels against 1 for the others. Some methods have "
        "their own: 5 for bce-reweighted, 3 for fairpo-crossfit.",
    )


class BCEObjective(MeanObjective):
    """Mean cross-entropy over all observed entries, privileged labels weighted.

    Parameters
    ----------
    groups : LabelGroups
    **options
        Fields of :class:`BCESettings`.
    """

    settings_model = BCESettings

    def __init__(self, groups: LabelGroups, **options: Any) -> None:
        settings = build_settings(BCESettings, options)
        improved = improved_labels(groups) > 0
        super().__init__(groups, torch.where(improved, settings.privileged_weight, 1.0))
        self.settings = settings

    def entry_losses(self, inputs: StepInputs) -> Tensor:
        """Cross-entropy, (batch, labels)."""
        return inputs.bce


class NoSettings(BaseModel):
    """No options."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SquaredErrorObjective(MeanObjective):
    """Mean squared difference of logits and targets: what ridge regression solves for.

    Parameters
    ----------
    groups : LabelGroups
    **options
        None.
    """

    settings_model = NoSettings

    def __init__(self, groups: LabelGroups, **options: Any) -> None:
        super().__init__(groups)
        self.settings = build_settings(NoSettings, options)

    def entry_losses(self, inputs: StepInputs) -> Tensor:
        """Squared differences, (batch, labels)."""
        return (inputs.logits - (inputs.targets == 1).to(inputs.logits)) ** 2


class AsymmetricSettings(BaseModel):
    """Options of the asymmetric loss; the defaults are those of its paper's experiments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gamma_negative: float = Field(
        4.0,
        ge=0,
        allow_inf_nan=False,
        description="Asymmetric loss: power of a negative's probability; 0 counts all alike.",
    )
    gamma_positive: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="Asymmetric loss: power of what a positive's probability lacks to 1; 0 or 1 "
        "is usual.",
    )
    clip: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="Asymmetric loss: probability up to which a negative costs nothing.",
    )


class AsymmetricObjective(MeanObjective):
    """Mean asymmetric loss over all observed entries (Ridnik et al. 2021, 2009.14119).

    Parameters
    ----------
    groups : LabelGroups
    **options
        Fields of :class:`AsymmetricSettings`.

    Notes
    -----
    The paper adds entries up; a mean keeps learning rates comparable among methods.
    """

    settings_model = AsymmetricSettings

    def __init__(self, groups: LabelGroups, **options: Any) -> None:
        super().__init__(groups)
        self.settings = build_settings(AsymmetricSettings, options)

    def entry_losses(self, inputs: StepInputs) -> Tensor:
        """Asymmetric loss, (batch, labels)."""
        return asymmetric(inputs.logits, inputs.targets, **self.settings.model_dump())


class FocalSettings(BaseModel):
    """Options of the focal loss; the defaults are the best of its paper."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    focusing: float = Field(
        2.0,
        ge=0,
        allow_inf_nan=False,
        description="Focal loss: power of what the truth's probability lacks to 1; 0.5 to 5.",
    )
    positive_share: float | None = Field(
        0.25,
        gt=0,
        lt=1,
        description="Focal loss: weight of positives, negatives have what is left of 1; none "
        "weighs both 1.",
    )


class FocalObjective(MeanObjective):
    """Mean focal loss over all observed entries (Lin et al. 2017, 1708.02002).

    Parameters
    ----------
    groups : LabelGroups
    **options
        Fields of :class:`FocalSettings`.
    """

    settings_model = FocalSettings

    def __init__(self, groups: LabelGroups, **options: Any) -> None:
        super().__init__(groups)
        self.settings = build_settings(FocalSettings, options)

    def entry_losses(self, inputs: StepInputs) -> Tensor:
        """Focal loss, (batch, labels)."""
        return focal(inputs.logits, inputs.targets, **self.settings.model_dump())


class ClassBalancedSettings(BaseModel):
    """Options of the class-balanced cross-entropy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    effective_beta: float = Field(
        0.9999,
        ge=0,
        lt=1,
        description="Class-balanced: positives of a label past 1 / (1 - it) hardly count; 0 weighs "
        "all labels alike.",
    )


class ClassBalancedObjective(MeanObjective):
    """Mean cross-entropy, labels weighted by effective number (Cui et al. 2019, 1901.05555).

    Parameters
    ----------
    groups : LabelGroups
    label_counts : LabelCounts
        Of the training rows.
    **options
        Fields of :class:`ClassBalancedSettings`.

    Notes
    -----
    The paper has one label an example and weighs the whole example by it. With several, a weight
    for each label is what remains of that; it holds for the label's negatives too.
    """

    needs_label_counts = True
    settings_model = ClassBalancedSettings

    def __init__(self, groups: LabelGroups, label_counts: LabelCounts, **options: Any) -> None:
        settings = build_settings(ClassBalancedSettings, options)
        _check_fits(label_counts, groups)
        beta = settings.effective_beta
        weights = class_balanced_weights(label_counts.counted, effective_beta=beta)
        super().__init__(groups, weights)
        self.settings = settings

    def entry_losses(self, inputs: StepInputs) -> Tensor:
        """Cross-entropy, (batch, labels)."""
        return inputs.bce


class DistributionBalancedSettings(BaseModel):
    """Options of the distribution-balanced loss; the defaults are the authors' for COCO-MLT."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight_offset: float = Field(
        0.1,
        ge=0,
        allow_inf_nan=False,
        description="Distribution-balanced: least weight of an entry; the most is 1 above it.",
    )
    weight_slope: float = Field(
        10.0,
        gt=0,
        allow_inf_nan=False,
        description="Distribution-balanced: how steeply the weight grows with an entry's share of "
        "what its example is drawn for.",
    )
    weight_centre: float = Field(
        0.2,
        allow_inf_nan=False,
        description="Distribution-balanced: share at which the weight is half-way; 0.2 or 0.3.",
    )
    negative_scale: float = Field(
        2.0,
        gt=0,
        allow_inf_nan=False,
        description="Distribution-balanced: how much sooner negatives saturate; 2 to 5, 1 is "
        "cross-entropy.",
    )
    bias_scale: float = Field(
        0.05,
        ge=0,
        allow_inf_nan=False,
        description="Distribution-balanced: how far a label's log-odds in training shift its "
        "logits; 0 is not at all.",
    )


class DistributionBalancedObjective(MeanObjective):
    """Mean distribution-balanced loss over all observed entries (Wu et al. 2020, 2007.09654).

    Entries are weighted against the co-occurrence of labels, and negatives saturate early, around
    a bias for each label: ``bias_scale log(1 / p_k - 1)`` of its training frequency ``p_k``.

    Parameters
    ----------
    groups : LabelGroups
    label_counts : LabelCounts
        Of the training rows.
    **options
        Fields of :class:`DistributionBalancedSettings`.

    Notes
    -----
    The weights of entries are not divided by their mean, as in the paper. Nor are rows drawn class
    by class, as its experiments do: every method here sees the same rows.
    """

    needs_label_counts = True
    settings_model = DistributionBalancedSettings
    _inverse: Tensor
    _bias: Tensor

    def __init__(self, groups: LabelGroups, label_counts: LabelCounts, **options: Any) -> None:
        super().__init__(groups)
        self.settings = build_settings(DistributionBalancedSettings, options)
        _check_fits(label_counts, groups)
        bias = -self.settings.bias_scale * label_counts.frequencies.logit()
        self.register_buffer("_inverse", 1 / label_counts.counted, persistent=False)
        self.register_buffer("_bias", bias, persistent=False)

    def entry_losses(self, inputs: StepInputs) -> Tensor:
        """Distribution-balanced loss, (batch, labels)."""
        settings = self.settings
        weights = rebalanced_weights(
            inputs.targets,
            inputs.of_labels(self._inverse),
            offset=settings.weight_offset,
            slope=settings.weight_slope,
            centre=settings.weight_centre,
        )
        bias = inputs.of_labels(self._bias)
        scale = settings.negative_scale
        return weights * negative_tolerant(inputs.logits, inputs.targets, bias, scale=scale)


def _check_fits(label_counts: LabelCounts, groups: LabelGroups) -> None:
    if label_counts.n_labels != groups.n_labels:
        raise value_error(
            "label_counts",
            must=f"be over the {groups.n_labels} labels of the groups",
            got=label_counts.n_labels,
        )
