"""FairPO: improve some label groups, hold the others to the reference, weigh them robustly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from fairpo._checks import build_settings, value_error
from fairpo._random import Draw
from fairpo.group_weights import GainRule, GroupWeights, WeightRule
from fairpo.groups import LabelGroups
from fairpo.losses.constraint import slack_hinge
from fairpo.losses.reduction import GroupSums, mean_of_terms
from fairpo.objectives.base import Objective, StepInputs
from fairpo.objectives.group_objective import ObjectiveOutput, StepSums
from fairpo.objectives.membership import Membership
from fairpo.objectives.preference import (
    BCETerm,
    PairLoss,
    PairTerm,
    PreferenceName,
    diagnose,
)
from fairpo.objectives.settings import FairPOSettings

ConstraintLoss = Callable[[Tensor, Tensor | None, Tensor], Tensor]
"""``(logits, reference_logits, targets) -> loss``, all (batch, labels); missing targets may give
any finite value, they are masked."""


class FairPOObjective(Objective):
    """Group-robust preference objective over labels (Eq. 15), built of exchangeable parts.

    ``loss = sum_g a_g L_g``: for groups to improve ``L_g`` is the preference term over confusing
    labels, for groups to protect the constraint against the reference; ``a`` are group weights
    moved by mirror ascent.

    Parameters
    ----------
    groups : LabelGroups
        Two groups or more; they may overlap. A group without labels takes no part.
    preference : "dpo", "simpo", "cpo", "bce" or pair loss
        ``dpo`` Eq. 10, ``simpo`` Eq. 16, ``cpo`` Eq. 19, ``bce`` plain cross-entropy (the
        ablation), or a function ``(chosen, rejected, reference_chosen, reference_rejected)``.
    constraint : "hinge", "bce" or callable
        ``hinge`` Eq. 14, ``bce`` plain cross-entropy (the ablation), or a function ``(logits,
        reference_logits, targets)`` giving (batch, labels).
    weight_rule : str or callable, optional
        Overrides ``settings``' rule; a callable maps group losses to gains.
    settings : FairPOSettings, optional
        Or give its fields as keywords.

    Examples
    --------
    >>> import torch
    >>> from fairpo.groups import LabelPartition
    >>> groups = LabelPartition.from_indices([0], n_labels=3)
    >>> objective = FairPOObjective(groups, preference="dpo", beta=1.0)
    >>> logits = torch.tensor([[0.0, 1.0, -1.0]], requires_grad=True)  # (batch, labels)
    >>> output = objective(logits, torch.tensor([[1, 0, 0]]), logits.detach())
    >>> [round(value, 4) for value in output.group_losses.tolist()]  # log 2: nothing learnt yet
    [0.6931, 0.0]
    """

    settings_model = FairPOSettings

    def __init__(
        self,
        groups: LabelGroups,
        *,
        preference: PreferenceName | PairLoss = "dpo",
        constraint: Literal["hinge", "bce"] | ConstraintLoss = "hinge",
        weight_rule: WeightRule | GainRule | None = None,
        settings: FairPOSettings | None = None,
        **options: Any,
    ) -> None:
        super().__init__(groups)
        if settings is not None and options:
            raise value_error(
                "settings", must="be given whole or as keywords, not both", got=", ".join(options)
            )
        if isinstance(weight_rule, str):
            options = {
                **(settings.model_dump() if settings else options),
                "weight_rule": weight_rule,
            }
            settings = None
        self.settings = settings or build_settings(FairPOSettings, options)
        membership = torch.from_numpy(groups.membership).float()
        improve = torch.tensor([[role == "improve"] for role in groups.roles]).float()
        self.preference = (
            BCETerm(Membership(membership * improve))
            if preference == "bce"
            else PairTerm(preference, self.settings, Membership(membership * improve))
        )
        if not (callable(constraint) or constraint in ("hinge", "bce")):
            raise value_error(
                "constraint", must="be 'hinge', 'bce' or a function", got=repr(constraint)
            )
        self.constraint = constraint
        self.group_weights = GroupWeights(
            len(groups.groups),
            rule=weight_rule if callable(weight_rule) else self.settings.weight_rule,
            step_size=self.settings.step_size,
            floor=self.settings.floor,
            has_members=membership.any(1).tolist(),
            names=groups.names,
        )
        self._membership = Membership(membership)
        self._protected = Membership(membership * (1 - improve))
        self._protects = bool(self._protected.matrix.any())
        targets = torch.tensor([self._target(role) for role in groups.roles], dtype=torch.float64)
        self.register_buffer("_excess_targets", targets, persistent=False)
        self.needs_reference = (
            self.preference.needs_reference
            or (constraint == "hinge" and self._protects)
            or self.group_weights.rule == "excess"
        )

    _excess_targets: Tensor

    def sums_of(self, inputs: StepInputs) -> StepSums:
        """Sums of a part of a step; see :meth:`Objective.sums`."""
        step = self.group_weights.steps if inputs.step is None else inputs.step
        draw = Draw(self.settings.seed, step, inputs.first_row)
        preference = self.preference(inputs, draw)
        terms = [*preference.terms, self._constraint_sums(inputs)]
        return StepSums(
            torch.stack([term.totals for term in terms]),
            torch.stack([term.counts for term in terms]),
            self._excess(inputs),
            preference.watched,
        )

    def counts_of(self, inputs: StepInputs) -> Tensor:
        """What targets tell of the counts; see :meth:`Objective.known_counts`."""
        protected = inputs.entry_counts(self._protected)
        return torch.stack([*self.preference.known_counts(inputs), protected])

    def check_sampled(self) -> None:
        """Refuse settings that need all labels; see :meth:`Objective.check_sampled`."""
        self.preference.check_sampled()

    def step_weights(self, whole: StepSums) -> None:
        """Move the group weights by one step; see :meth:`Objective.step_weights`."""
        group_losses, present = mean_of_terms(whole.totals.detach(), whole.counts)
        excess = None
        if self.group_weights.rule == "excess":
            totals, counts = whole.excess
            present = counts > 0
            excess = GroupSums(totals, counts).mean() - self._excess_targets
        self.group_weights.step(group_losses, present, excess)

    def output(self, part: StepSums, whole: StepSums) -> ObjectiveOutput:
        """What a part adds to the loss of its step; see :meth:`Objective.output`."""
        group_losses, _ = mean_of_terms(part.totals, whole.counts)
        weights = self.group_weights().to(group_losses.dtype)
        loss = torch.dot(weights, group_losses)
        return ObjectiveOutput(loss, group_losses, weights, diagnose(whole.watched))

    def _constraint_sums(self, inputs: StepInputs) -> GroupSums:
        if self.constraint == "bce":
            values = inputs.bce
        elif self.constraint == "hinge":
            if not self._protects:  # nothing to hold to the reference, which may be absent
                none = inputs.logits.new_zeros(len(self.groups.groups))
                return GroupSums(none, none)
            values = slack_hinge(inputs.bce, inputs.reference_bce, slack=self.settings.slack)
        else:
            values = self.constraint(inputs.logits, inputs.reference, inputs.targets)
        return inputs.group_sums(values, self._protected)

    def _excess(self, inputs: StepInputs) -> Tensor:
        if self.group_weights.rule != "excess":
            return inputs.logits.new_empty(2, 0)
        difference = inputs.bce.detach() - inputs.reference_bce
        return torch.stack(inputs.group_sums(difference, self._membership))

    def _target(self, role: str) -> float:
        return -self.settings.target_gain if role == "improve" else self.settings.slack
