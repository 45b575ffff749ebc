"""Cross-entropy objectives: the reference's own, and one line of re-weighting."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from fairpo._checks import build_settings
from fairpo.groups import LabelGroups
from fairpo.losses.reduction import GroupSums
from fairpo.objectives.base import Objective, ObjectiveOutput, StepInputs, StepSums
from fairpo.objectives.membership import Membership
from fairpo.objectives.preference import diagnose, watch_no_pairs
from fairpo.objectives.sample import LabelSample


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

    def __init__(self, groups: LabelGroups, **options: Any) -> None:
        super().__init__(groups)
        self.settings = build_settings(BCESettings, options)
        improved = torch.zeros(1, groups.n_labels)
        improved[0, torch.from_numpy(groups.privileged)] = 1
        self._improved = Membership(improved)
        membership = torch.from_numpy(groups.membership).float()
        columns = torch.cat([membership, torch.ones(1, groups.n_labels)])
        weighted = columns * torch.where(improved > 0, self.settings.privileged_weight, 1.0)
        self._columns = Membership(torch.cat([weighted, columns]))

    def sums(
        self,
        logits: Tensor,
        targets: Tensor,
        reference_logits: Tensor | None = None,
        *,
        entry_weight: Tensor | None = None,
        first_row: int = 0,
        step: int | None = None,
        sample: LabelSample | None = None,
    ) -> StepSums:
        """Sums of a part of a step; see :meth:`Objective.sums`.

        Two terms, weighted and plain; a column for each group and a last one for all labels.
        """
        inputs = StepInputs(logits, targets, reference_logits, entry_weight, sample)
        totals, counts = inputs.group_sums(inputs.bce, self._columns)
        signal = inputs.weights @ inputs.columns(self._improved)[0]
        return StepSums(
            totals.view(2, -1), counts.view(2, -1), totals.new_empty(2, 0), watch_no_pairs(signal)
        )

    def known_counts(
        self,
        targets: Tensor,
        entry_weight: Tensor | None = None,
        sample: LabelSample | None = None,
    ) -> Tensor:
        """What targets tell of the counts, which is all; see :meth:`Objective.known_counts`."""
        inputs = StepInputs.of_targets(targets, entry_weight, sample)
        return inputs.entry_counts(self._columns).view(2, -1)

    def output(self, part: StepSums, whole: StepSums) -> ObjectiveOutput:
        """What a part adds to the loss of its step; see :meth:`Objective.output`."""
        weighted = GroupSums(part.totals[0, -1:], whole.counts[0, -1:])
        plain = GroupSums(part.totals[1, :-1].detach(), whole.counts[1, :-1])
        shares = whole.counts[0, :-1]
        shares = shares / shares.sum().clamp_min(torch.finfo(shares.dtype).tiny)
        loss = weighted.mean().squeeze(0)
        return ObjectiveOutput(loss, plain.mean(), shares, diagnose(whole.watched))
