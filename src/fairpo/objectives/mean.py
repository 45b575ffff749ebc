"""What the baselines share: one loss of entries, and its mean over all of them."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from pydantic import BaseModel
from torch import Tensor

from fairpo.groups import LabelGroups
from fairpo.losses.reduction import GroupSums
from fairpo.objectives.base import Objective, StepInputs
from fairpo.objectives.group_objective import ObjectiveOutput, StepSums
from fairpo.objectives.membership import Membership
from fairpo.objectives.preference import diagnose, watch_no_pairs


class MeanObjective(Objective):
    """Mean of a loss of entries over all observed entries, each label with its weight.

    Weights are divided by their mean, so that the loss keeps its scale and a learning rate its
    meaning.

    Parameters
    ----------
    groups : LabelGroups
    label_weights : float tensor, shape (labels,), optional
        How much each label counts; 1 each when not given.

    Notes
    -----
    ``group_losses`` are the weighted means over each group's entries; ``group_weights`` the share
    of the total weight that lies on each group, which is what this objective amounts to (all 0 for
    a batch without any observed entry).

    Sums over entries have unbiased estimates from sampled labels, and the weight of all labels is
    known: nothing is refused there.
    """

    needs_reference = False
    settings_model: ClassVar[type[BaseModel]]
    """Its options."""

    def __init__(self, groups: LabelGroups, label_weights: Tensor | None = None) -> None:
        super().__init__(groups)
        self._improved = Membership(improved_labels(groups).unsqueeze(0))
        columns = torch.cat(
            [torch.from_numpy(groups.membership).float(), torch.ones(1, groups.n_labels)]
        )
        self._columns = Membership(columns if label_weights is None else columns * label_weights)

    @abstractmethod
    def entry_losses(self, inputs: StepInputs) -> Tensor:
        """Loss of each entry, (batch, labels), with a graph; finite where a target is missing."""

    def sums_of(self, inputs: StepInputs) -> StepSums:
        """Sums of a part of a step; see :meth:`Objective.sums`.

        One term; a column for each group and a last one for all labels.
        """
        totals, counts = inputs.group_sums(self.entry_losses(inputs), self._columns)
        signal = inputs.weights @ inputs.columns(self._improved)[0]
        return StepSums(
            totals.unsqueeze(0), counts.unsqueeze(0), totals.new_empty(2, 0), watch_no_pairs(signal)
        )

    def counts_of(self, inputs: StepInputs) -> Tensor:
        """What targets tell of the counts, which is all; see :meth:`Objective.known_counts`."""
        return inputs.entry_counts(self._columns).unsqueeze(0)

    def output(self, part: StepSums, whole: StepSums) -> ObjectiveOutput:
        """What a part adds to the loss of its step; see :meth:`Objective.output`."""
        means = GroupSums(part.totals[0], whole.counts[0]).mean()
        shares = whole.counts[0, :-1]
        shares = shares / shares.sum().clamp_min(torch.finfo(shares.dtype).tiny)
        return ObjectiveOutput(means[-1], means[:-1].detach(), shares, diagnose(whole.watched))


def improved_labels(groups: LabelGroups) -> Tensor:
    """1 for a label of a group to improve, else 0; float (labels,)."""
    improved = torch.zeros(groups.n_labels)
    improved[torch.from_numpy(groups.privileged)] = 1
    return improved
