"""Preferences between examples of one label, against what a reference says of rows left out."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fairpo._checks import build_settings, value_error
from fairpo.group_weights import GroupWeights
from fairpo.groups import LabelGroups
from fairpo.losses.reduction import mean_of_terms
from fairpo.objectives.base import Objective, StepInputs
from fairpo.objectives.baselines import BCESettings
from fairpo.objectives.competition import Competition
from fairpo.objectives.group_objective import ObjectiveOutput, StepSums
from fairpo.objectives.mean import improved_labels
from fairpo.objectives.membership import Membership
from fairpo.objectives.preference import diagnose, watch_no_pairs
from fairpo.objectives.settings import GroupWeightSettings

_LEAST_REST = 1e-3  # of the competition, where one row is nearly all of it


class AcrossExamplesSettings(GroupWeightSettings, BCESettings):
    """Options of preferences across examples; group weights start at ``privileged_weight``."""

    preference_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Part of the preferences in the loss of groups to improve; the rest is "
        "cross-entropy.",
    )


class AcrossExamplesObjective(Objective):
    """Group-robust objective whose preferences compare examples within a label.

    Average precision ranks examples within a label, so a positive ``i`` is preferred here to all
    negatives ``j`` of its label at once (Plackett-Luce, which is Bradley-Terry's and DPO's model
    for more than two): it costs ``-log(exp(z_i) / (exp(z_i) + sum_j exp(z_j)))``. Each row is
    compared with the others at the logits ``r`` that the reference gives them left out, so that
    with ``S = sum_j exp(r_j)``

    - a positive costs ``log(1 + S / exp(z_i))``, and
    - a negative adds ``log(1 + (exp(z_j) - exp(r_j)) / S)`` to what each positive costs,

    a sum over rows, however a step is split, in which a rare label meets all its negatives in every
    step, and the confusing ones most. Losses are divided by the reference's: 1 is as good as the
    reference, for every group. The weights start where cross-entropy with privileged entries
    weighted ``privileged_weight`` times would have them, and move towards the group that is worst
    against the reference.

    Parameters
    ----------
    groups : LabelGroups
    competition : Competition
    **options
        Fields of :class:`AcrossExamplesSettings`.
    """

    needs_reference = True
    needs_competition = True
    settings_model = AcrossExamplesSettings

    labels: Tensor
    log_partition: Tensor
    n_positives: Tensor

    def __init__(self, groups: LabelGroups, competition: Competition, **options: Any) -> None:
        super().__init__(groups)
        self.settings = build_settings(AcrossExamplesSettings, options)
        if competition.n_labels != groups.n_labels:
            raise value_error(
                "competition",
                must=f"be of the {groups.n_labels} labels of the groups",
                got=competition.n_labels,
            )
        membership = torch.from_numpy(groups.membership).double()
        improve = torch.tensor([role == "improve" for role in groups.roles])
        compared = (membership[improve].amax(0) if improve.any() else membership.amax(0) * 0) > 0
        labels = (compared & (competition.n_positives > 0)).nonzero().squeeze(1)
        n_positives = competition.n_positives[labels]
        self.register_buffer("labels", labels, persistent=False)
        self.register_buffer("log_partition", competition.log_partition[labels], persistent=False)
        self.register_buffer("n_positives", n_positives, persistent=False)
        share = torch.where(improve, self.settings.preference_share, 0.0).unsqueeze(1)
        pairs = membership[:, labels] * improve.unsqueeze(1)
        per_row = competition.preference_losses[labels] * n_positives / competition.n_rows
        self._pairs = Membership((share * _in_units(pairs, per_row)).float())
        share = torch.where(pairs.sum(1, keepdim=True) > 0, share, 0.0)
        sizes = membership.sum(1, keepdim=True)
        losses = competition.cross_entropies
        entries = (1 - share) * sizes * _in_units(membership, losses)
        self._entries = Membership(entries.float())
        self._members = Membership(membership.float())
        self._improved = Membership(improved_labels(groups).unsqueeze(0))
        self.group_weights = GroupWeights(
            len(groups.groups),
            rule="raw",  # losses are in units of the reference's: what they exceed 1 by
            step_size=self.settings.step_size,
            floor=self.settings.floor,
            initial=self._initial_weights(membership, improve, losses),
            has_members=(sizes.squeeze(1) > 0).tolist(),
            names=groups.names,
        )

    def sums_of(self, inputs: StepInputs) -> StepSums:
        """Sums of a part of a step; see :meth:`Objective.sums`. Terms: cross-entropy, pairs."""
        if inputs.sample is not None:
            self.check_sampled()
        columns = inputs.columns(self._entries)
        pairs = inputs.columns(self._pairs) @ self._pair_losses(inputs)
        signal = inputs.weights @ inputs.columns(self._improved)[0]
        return StepSums(
            torch.stack([columns @ (inputs.bce * inputs.weights).sum(0), pairs]),
            self.counts_of(inputs),
            inputs.logits.new_empty(2, 0),
            watch_no_pairs(signal),
        )

    def counts_of(self, inputs: StepInputs) -> Tensor:
        """What targets tell of the counts, which is all; see :meth:`Objective.known_counts`."""
        entries = inputs.entry_counts(self._members)
        rows = inputs.weights.amax(1).sum() * (inputs.columns(self._pairs).sum(1) > 0)
        return torch.stack([entries, rows.to(entries.dtype)])

    def check_sampled(self) -> None:
        """Refuse sampled labels: every privileged label is compared in every step.

        Raises
        ------
        FairPOValueError
        """
        raise value_error(
            "sampled_labels",
            must="be 0 for preferences across examples",
            got="a sample of the labels",
            do="Train a method that has a form for sampled labels, such as bce-reweighted.",
        )

    def step_weights(self, whole: StepSums) -> None:
        """Move the group weights by one step; see :meth:`Objective.step_weights`."""
        self.group_weights.step(*mean_of_terms(whole.totals.detach(), whole.counts))

    def output(self, part: StepSums, whole: StepSums) -> ObjectiveOutput:
        """What a part adds to the loss of its step; see :meth:`Objective.output`."""
        group_losses, _ = mean_of_terms(part.totals, whole.counts)
        weights = self.group_weights().to(group_losses.dtype)
        loss = torch.dot(weights, group_losses)
        return ObjectiveOutput(loss, group_losses, weights, diagnose(whole.watched))

    def _initial_weights(self, membership: Tensor, improve: Tensor, losses: Tensor) -> list[float]:
        """Those of cross-entropy, raised to the floor as a step of mirror ascent raises them."""
        boost = torch.where(improve, self.settings.privileged_weight, 1.0)
        total = boost * (membership @ losses.double()).clamp_min(torch.finfo(torch.float32).tiny)
        has_members = membership.sum(1) > 0
        share = total * has_members / (total * has_members).sum()
        floor = self.settings.floor
        raised = floor + (1 - has_members.sum() * floor) * share
        return torch.where(has_members, raised, 1.0).tolist()

    def _pair_losses(self, inputs: StepInputs) -> Tensor:
        """Sum over the rows here of what each compared label's pairs cost, (compared labels,)."""
        logits, weights, targets, reference = (
            part.index_select(1, self.labels)
            for part in (inputs.logits, inputs.weights, inputs.targets, inputs.required_reference)
        )
        partition = self.log_partition.to(logits)
        rest = 1 - (reference - partition).exp()  # the competition without this row
        rest = rest.clamp_min(_LEAST_REST).log()
        positive = F.softplus(partition - logits)
        negative = torch.logaddexp(logits - partition, rest) * self.n_positives.to(logits)
        return (torch.where(targets == 1, positive, negative) * weights).sum(0)


def _in_units(membership: Tensor, losses: Tensor) -> Tensor:
    """Weights (groups, labels) under which the reference's losses add up to 1 in each group.

    0 in a group where the reference has no loss: nothing of it is known, or there is none.
    """
    totals = (membership @ losses.double()).unsqueeze(1)
    return torch.where(totals > 0, membership / totals, 0.0)
