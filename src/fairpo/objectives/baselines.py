"""Cross-entropy objectives: the reference's own, and one line of re-weighting."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from fairpo._checks import build_settings
from fairpo.groups import LabelGroups
from fairpo.losses.reduction import GroupSums, group_sums
from fairpo.objectives.base import Objective, ObjectiveOutput, StepInputs, StepSums
from fairpo.objectives.preference import diagnose, watch_no_pairs


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
    _columns: Tensor
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
        columns = torch.cat([membership, torch.ones(1, groups.n_labels)])
        self.register_buffer("_columns", columns, persistent=False)

    def sums(
        self,
        logits: Tensor,
        targets: Tensor,
        reference_logits: Tensor | None = None,
        *,
        entry_weight: Tensor | None = None,
        first_row: int = 0,
        step: int | None = None,
    ) -> StepSums:
        """Sums of a part of a step; see :meth:`Objective.sums`.

        Two terms, weighted and plain; a column for each group and a last one for all labels.
        """
        inputs = StepInputs(logits, targets, reference_logits, entry_weight)
        columns = self._columns.to(inputs.logits.dtype)
        entry_weights = inputs.weights * self._label_weights.to(inputs.logits.dtype)
        terms = [
            group_sums(inputs.bce, weights, columns) for weights in (entry_weights, inputs.weights)
        ]
        return StepSums(
            torch.stack([term.totals for term in terms]),
            torch.stack([term.counts for term in terms]),
            columns.new_empty(2, 0),
            watch_no_pairs(inputs.weights @ self._improved.to(columns.dtype)),
        )

    def known_counts(self, targets: Tensor, entry_weight: Tensor | None = None) -> Tensor:
        """What targets tell of the counts, which is all; see :meth:`Objective.known_counts`."""
        weights = StepInputs.of_targets(targets, entry_weight).weights
        plain = weights.sum(0)
        each = torch.stack([plain * self._label_weights.to(plain.dtype), plain])
        return each @ self._columns.to(plain.dtype).T

    def output(self, part: StepSums, whole: StepSums) -> ObjectiveOutput:
        """What a part adds to the loss of its step; see :meth:`Objective.output`."""
        weighted = GroupSums(part.totals[0, -1:], whole.counts[0, -1:])
        plain = GroupSums(part.totals[1, :-1].detach(), whole.counts[1, :-1])
        shares = whole.counts[0, :-1]
        shares = shares / shares.sum().clamp_min(torch.finfo(shares.dtype).tiny)
        loss = weighted.mean().squeeze(0)
        return ObjectiveOutput(loss, plain.mean(), shares, diagnose(whole.watched))
