"""Cross-entropy objectives: the reference's own, and one line of re-weighting."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from fairpo._checks import build_settings
from fairpo.groups import LabelGroups
from fairpo.losses.reduction import group_sums
from fairpo.objectives.base import Objective, ObjectiveOutput, StepInputs
from fairpo.objectives.preference import no_pairs


class BCESettings(BaseModel):
    """Options of the cross-entropy baselines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    privileged_weight: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="Weight of privileged labels against 1 for the others; 5 is usual.",
    )


class BCEObjective(Objective):
    """Mean cross-entropy over all observed entries, privileged labels weighted.

    Weights are divided by their mean, so that the loss keeps its scale and a learning rate its
    meaning.

    Parameters
    ----------
    groups : LabelGroups
    **options
        Fields of :class:`BCESettings`.

    Notes
    -----
    ``group_losses`` are the plain means over each group's entries; ``group_weights`` the share of
    the total weight that lies on each group, which is what this objective amounts to (all 0 for a
    batch without any observed entry).
    """

    needs_reference = False
    _membership: Tensor
    _label_weights: Tensor
    _improved: Tensor

    def __init__(self, groups: LabelGroups, **options: Any) -> None:
        super().__init__(groups)
        self.settings = build_settings(BCESettings, options)
        label_weights = torch.ones(groups.n_labels)
        label_weights[torch.from_numpy(groups.privileged)] = self.settings.privileged_weight
        self.register_buffer("_label_weights", label_weights, persistent=False)
        self.register_buffer("_improved", torch.zeros(groups.n_labels), persistent=False)
        self._improved[torch.from_numpy(groups.privileged)] = 1
        membership = torch.from_numpy(groups.membership).float()
        self.register_buffer("_membership", membership, persistent=False)

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        reference_logits: Tensor | None = None,
        *,
        entry_weight: Tensor | None = None,
    ) -> ObjectiveOutput:
        """Return the loss of a batch; see :class:`~fairpo.objectives.base.Objective`."""
        inputs = StepInputs(logits, targets, reference_logits, entry_weight)
        label_weights = self._label_weights.to(inputs.logits.dtype)
        membership = self._membership.to(inputs.logits.dtype)
        entry_weights = inputs.weights * label_weights
        everything = membership.new_ones(1, membership.shape[1])
        loss = group_sums(inputs.bce, entry_weights, everything).mean().squeeze(0)
        with torch.no_grad():
            groups = group_sums(inputs.bce, inputs.weights, membership)
            shares = membership @ entry_weights.sum(0)
            shares = shares / shares.sum().clamp_min(torch.finfo(shares.dtype).tiny)
            signal = inputs.weights @ self._improved.to(shares.dtype)
        return ObjectiveOutput(loss, groups.mean(), shares, no_pairs(inputs, signal))
