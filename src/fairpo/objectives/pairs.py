"""Objectives over pairs of completions, each pair driven by one attribute (Eq. 20-21).

A completion is any sequence that a model gives a log-probability: a text, or a set of labels. The
groups are over attributes, as those of :mod:`~fairpo.objectives.fairpo` are over labels.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from fairpo._checks import value_error
from fairpo.group_weights import GainRule, GroupWeights, WeightRule
from fairpo.groups import LabelGroups
from fairpo.losses.constraint import slack_hinge
from fairpo.losses.preference import dpo_loss, simpo_loss
from fairpo.losses.reduction import GroupSums, mean_of_terms
from fairpo.objectives.group_objective import GroupObjective, ObjectiveOutput, StepSums
from fairpo.objectives.pair_settings import PairSettings

PairPreference = Literal["dpo", "simpo", "cpo"]

REWARD_KEYS = (
    "rewards/chosen",
    "rewards/rejected",
    "rewards/accuracies",
    "rewards/margins",
    "logps/chosen",
    "logps/rejected",
)
"""What is watched, in TRL's words: of all pairs, of each group, of each attribute."""


class CompletionScores(NamedTuple):
    """What a model says of one completion of each pair.

    Parameters
    ----------
    log_probs : float tensor, shape (batch,)
        Sums of the log-probabilities of its tokens.
    lengths : tensor, shape (batch,)
        Numbers of its tokens, at least 1.
    """

    log_probs: Tensor
    lengths: Tensor


class ScoredPairs(NamedTuple):
    """Pairs of a part of a step, in full precision."""

    chosen: CompletionScores
    rejected: CompletionScores | None
    attributes: Tensor
    reference: tuple[Tensor, Tensor] | None

    def dpo_losses(self, beta: float) -> Tensor:
        """DPO loss of each pair (Eq. 9), (batch,)."""
        assert self.rejected is not None
        assert self.reference is not None
        return dpo_loss(self.chosen.log_probs, self.rejected.log_probs, *self.reference, beta=beta)

    def simpo_losses(self, beta: float, margin: float) -> Tensor:
        """SimPO loss of each pair, per token and without a reference, (batch,)."""
        assert self.rejected is not None
        won, lost = (s.log_probs / s.lengths for s in (self.chosen, self.rejected))
        return simpo_loss(won, lost, beta=beta, margin=margin)

    def cpo_losses(self, beta: float) -> Tensor:
        """Preference part of the CPO loss of each pair, without a reference, (batch,)."""
        assert self.rejected is not None
        return simpo_loss(self.chosen.log_probs, self.rejected.log_probs, beta=beta)


class PairTerm(NamedTuple):
    """One term of the group losses, with a denominator of its own."""

    values: Tensor
    """(batch,), with a graph."""
    weights: Tensor
    """(batch,): what each value adds to the denominator."""
    membership: Tensor
    """(columns, attributes): which groups it belongs to."""


class PairObjective(GroupObjective):
    """What is minimised over one batch of pairs.

    Parameters
    ----------
    groups : LabelGroups
        Over attributes, such as ``LabelPartition.from_names(["harmless"], attribute_names)``.
    settings : PairSettings, optional
    attribute_names : sequence of str, optional
        What the logs call the attributes; their numbers when not given.
    """

    needs_rejected = True
    """Whether it reads the rejected completions at all."""

    def __init__(
        self,
        groups: LabelGroups,
        settings: PairSettings | None = None,
        attribute_names: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(groups)
        self.settings = settings or PairSettings()
        names = attribute_names or tuple(map(str, range(groups.n_labels)))
        self._watched_names = ("", *groups.names, *(f"attributes/{name}" for name in names))
        membership = torch.from_numpy(groups.membership).double()
        everything = torch.ones(1, groups.n_labels, dtype=torch.float64)
        each = torch.eye(groups.n_labels, dtype=torch.float64)
        self.register_buffer("_membership", membership, persistent=False)
        watched = torch.cat([everything, membership, each])
        self.register_buffer("_watched_membership", watched, persistent=False)

    _membership: Tensor
    _watched_membership: Tensor

    @property
    def diagnostic_keys(self) -> tuple[str, ...]:
        """``rewards/margins``, then ``rewards/margins/<group>``, ..., of all that is watched."""
        return tuple(
            f"{key}/{name}" if name else key for key in REWARD_KEYS for name in self._watched_names
        )

    def forward(
        self,
        chosen: CompletionScores,
        rejected: CompletionScores | None,
        attributes: Tensor,
        reference: tuple[Tensor, Tensor] | None = None,
    ) -> ObjectiveOutput:
        """Return the loss of a batch, which is a whole step; arguments as in :meth:`sums`."""
        return self.whole_step(self.sums(chosen, rejected, attributes, reference))

    def sums(
        self,
        chosen: CompletionScores,
        rejected: CompletionScores | None,
        attributes: Tensor,
        reference: tuple[Tensor, Tensor] | None = None,
    ) -> StepSums:
        """Sums of a part of a step, with a graph; nothing changes.

        Parameters
        ----------
        chosen, rejected : CompletionScores
            Of the policy; ``rejected`` may be None where the objective does not read it.
        attributes : int tensor, shape (batch,)
            The attribute that drives each pair.
        reference : (chosen, rejected) float tensors, shape (batch,), optional
            The reference's sums of log-probabilities.

        Raises
        ------
        FairPOValueError
            The reference or the rejected completions are needed and missing.
        """
        if reference is None and self.needs_reference:
            raise value_error(
                "reference log-probabilities",
                must="be given: this objective compares with the reference",
                got="None",
            )
        if rejected is None and self.needs_rejected:
            raise value_error("rejected", must="be given: this objective reads it", got="None")
        rejected = None if rejected is None else _in_full(rejected)
        pairs = ScoredPairs(_in_full(chosen), rejected, attributes, reference)
        terms = self.terms(pairs)
        columns = [term.membership.to(term.values.dtype)[:, attributes] for term in terms]
        return StepSums(
            torch.stack([c @ term.values for c, term in zip(columns, terms, strict=True)]),
            torch.stack([c @ term.weights for c, term in zip(columns, terms, strict=True)]),
            self._excess(pairs),
            self._watch(pairs),
        )

    @abstractmethod
    def terms(self, pairs: ScoredPairs) -> list[PairTerm]:
        """What the group losses are made of."""

    def known_counts(self, lengths: Tensor, attributes: Tensor) -> Tensor:
        """``StepSums.counts`` of pairs that no model has seen yet.

        Parameters
        ----------
        lengths : tensor, shape (batch,)
            Tokens of the chosen completions.
        attributes : int tensor, shape (batch,)

        Returns
        -------
        float tensor, shape (terms, columns)
        """
        nothing = torch.zeros(lengths.shape, device=lengths.device)
        scores = CompletionScores(nothing, lengths)
        return self.sums(scores, scores, attributes, (nothing, nothing)).counts

    def _excess(self, pairs: ScoredPairs) -> Tensor:
        return pairs.chosen.log_probs.new_empty(2, 0)

    @torch.no_grad()
    def _watch(self, pairs: ScoredPairs) -> Tensor:
        """Sums of what :data:`REWARD_KEYS` names, and a count, of all that is watched."""
        won = pairs.chosen.log_probs
        missing = torch.full_like(won, torch.nan)
        lost = missing if pairs.rejected is None else pairs.rejected.log_probs
        won_before, lost_before = pairs.reference or (missing, missing)
        rewards = self.settings.reward_beta * torch.stack([won - won_before, lost - lost_before])
        margins = rewards[0] - rewards[1]
        accuracies = (margins > 0).to(won.dtype).where(~margins.isnan(), missing)
        columns = [*rewards, accuracies, margins, won, lost, torch.ones_like(won)]
        values = torch.stack(columns, dim=1).double()
        return (self._watched_membership[:, pairs.attributes] @ values).T.flatten()

    def _diagnose(self, watched: Tensor) -> tuple[Tensor, ...]:
        sums = watched.view(len(REWARD_KEYS) + 1, -1)
        return (sums[:-1] / sums[-1]).flatten().unbind()


class MeanPairObjective(PairObjective):
    """One mean over all pairs, whatever drives them: the baselines that know no groups.

    Parameters
    ----------
    groups : LabelGroups
        For the logs alone.
    loss : "dpo" or "sft"
        ``dpo``: its loss over pairs (Eq. 9). ``sft``: the negative log-likelihood of the chosen
        completions, a mean over tokens.
    settings, attribute_names
        See :class:`PairObjective`.
    """

    def __init__(
        self,
        groups: LabelGroups,
        loss: Literal["dpo", "sft"],
        settings: PairSettings | None = None,
        attribute_names: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(groups, settings, attribute_names)
        if loss not in ("dpo", "sft"):
            raise value_error("loss", must="be 'dpo' or 'sft'", got=repr(loss))
        self._loss = loss
        self.needs_reference = self.needs_rejected = loss == "dpo"
        columns = torch.cat([self._membership, torch.ones_like(self._membership[:1])])
        self.register_buffer("_columns", columns, persistent=False)

    _columns: Tensor

    def terms(self, pairs: ScoredPairs) -> list[PairTerm]:
        """One term, of each group and in a last column of all pairs."""
        if self._loss == "sft":
            return [PairTerm(-pairs.chosen.log_probs, pairs.chosen.lengths, self._columns)]
        losses = pairs.dpo_losses(self.settings.beta)
        return [PairTerm(losses, torch.ones_like(losses), self._columns)]

    def output(self, part: StepSums, whole: StepSums) -> ObjectiveOutput:
        """What a part adds to the loss of its step; see :meth:`GroupObjective.output`.

        Group weights are the shares of the pairs, or tokens, that lie in each group.
        """
        means, _ = mean_of_terms(part.totals, whole.counts)
        shares = whole.counts[0, :-1]
        shares = shares / shares.sum().clamp_min(torch.finfo(shares.dtype).tiny)
        return ObjectiveOutput(
            means[-1], means[:-1].detach(), shares, self._diagnose(whole.watched)
        )


class FairPOPairObjective(PairObjective):
    """Group-robust preference objective over pairs driven by attributes (Eq. 20-21).

    ``loss = sum_g a_g L_g``: for groups to improve ``L_g`` is the mean preference loss of their
    pairs, for groups to protect the mean of what the DPO loss of a pair exceeds log 2, its value
    under the reference, by more than the slack; ``a`` are group weights moved by mirror ascent.

    Parameters
    ----------
    groups : LabelGroups
        Over attributes. A group without attributes takes no part.
    preference : "dpo", "simpo" or "cpo"
        ``dpo`` Eq. 20; ``simpo`` compares log-probabilities per token, with a margin and without
        a reference; ``cpo`` compares log-probabilities without a reference and adds the negative
        log-likelihood of chosen tokens.
    constraint : "hinge" or "dpo"
        ``hinge`` Eq. 21; ``dpo`` the plain DPO loss (group-robust DPO, without a constraint).
    weight_rule : callable, optional
        From group losses to gains, in place of the settings' rule.
    settings, attribute_names
        See :class:`PairObjective`.

    Notes
    -----
    At the reference the loss and the gradient of protected groups are exactly 0: they guard, they
    do not teach. With every attribute privileged the loss is that of DPO, SimPO or CPO.

    Examples
    --------
    >>> import torch
    >>> from fairpo.groups import LabelPartition
    >>> groups = LabelPartition.from_names(["harmless"], ["helpful", "harmless"])
    >>> objective = FairPOPairObjective(groups, "dpo")
    >>> chosen = CompletionScores(torch.tensor([-9.0, -7.0]), torch.tensor([5, 4]))
    >>> rejected = CompletionScores(torch.tensor([-8.0, -9.0]), torch.tensor([5, 4]))
    >>> reference = (chosen.log_probs, rejected.log_probs)
    >>> output = objective(chosen, rejected, torch.tensor([0, 1]), reference)
    >>> [round(value, 4) for value in output.group_losses.tolist()]  # log 2: nothing learnt yet
    [0.6931, 0.0]
    """

    def __init__(
        self,
        groups: LabelGroups,
        preference: PairPreference = "dpo",
        *,
        constraint: Literal["hinge", "dpo"] = "hinge",
        weight_rule: WeightRule | GainRule | None = None,
        settings: PairSettings | None = None,
        attribute_names: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(groups, settings, attribute_names)
        if preference not in ("dpo", "simpo", "cpo"):
            raise value_error("preference", must="be 'dpo', 'simpo' or 'cpo'", got=repr(preference))
        if constraint not in ("hinge", "dpo"):
            raise value_error("constraint", must="be 'hinge' or 'dpo'", got=repr(constraint))
        self.preference, self.constraint = preference, constraint
        has_members = [bool(labels.any()) for labels in groups.membership]
        self.group_weights = GroupWeights(
            len(groups.groups),
            rule=weight_rule or self.settings.weight_rule,
            step_size=self.settings.step_size,
            floor=self.settings.floor,
            has_members=has_members,
            names=groups.names,
        )
        improve = torch.tensor([[role == "improve"] for role in groups.roles])
        self.register_buffer("_improved", self._membership * improve, persistent=False)
        self.register_buffer("_protected", self._membership * ~improve, persistent=False)
        targets = torch.tensor([self._target(role) for role in groups.roles], dtype=torch.float64)
        self.register_buffer("_excess_targets", targets, persistent=False)
        self._protects = bool(self._protected.any())
        self.needs_reference = (
            preference == "dpo" or self._protects or self.group_weights.rule == "excess"
        )

    _improved: Tensor
    _protected: Tensor
    _excess_targets: Tensor

    def terms(self, pairs: ScoredPairs) -> list[PairTerm]:
        """Preference, likelihood (CPO) and constraint, each for the groups it belongs to."""
        one = torch.ones_like(pairs.chosen.log_probs)
        found = [PairTerm(self._preference(pairs), one, self._improved)]
        if self.preference == "cpo":
            nll = self.settings.nll_weight * -pairs.chosen.log_probs
            found.append(PairTerm(nll, pairs.chosen.lengths, self._improved))
        if self._protects:
            losses = pairs.dpo_losses(self.settings.reward_beta)
            if self.constraint == "hinge":
                bound = torch.full_like(losses, math.log(2))
                losses = slack_hinge(losses, bound, slack=self.settings.slack)
            found.append(PairTerm(losses, one, self._protected))
        return found

    def step_weights(self, whole: StepSums) -> None:
        """Move the group weights by one step; see :meth:`GroupObjective.step_weights`."""
        group_losses, present = mean_of_terms(whole.totals.detach(), whole.counts)
        excess = None
        if self.group_weights.rule == "excess":
            totals, counts = whole.excess
            excess = GroupSums(totals, counts).mean() - self._excess_targets
        self.group_weights.step(group_losses, present, excess)

    def output(self, part: StepSums, whole: StepSums) -> ObjectiveOutput:
        """What a part adds to the loss of its step; see :meth:`GroupObjective.output`."""
        group_losses, _ = mean_of_terms(part.totals, whole.counts)
        weights = self.group_weights().to(group_losses.dtype)
        loss = torch.dot(weights, group_losses)
        return ObjectiveOutput(loss, group_losses, weights, self._diagnose(whole.watched))

    def _preference(self, pairs: ScoredPairs) -> Tensor:
        settings = self.settings
        if self.preference == "dpo":
            return pairs.dpo_losses(settings.beta)
        if self.preference == "simpo":
            return pairs.simpo_losses(settings.beta, settings.margin)
        return pairs.cpo_losses(settings.beta)

    @torch.no_grad()
    def _excess(self, pairs: ScoredPairs) -> Tensor:
        if self.group_weights.rule != "excess":
            return super()._excess(pairs)
        losses = pairs.dpo_losses(self.settings.reward_beta)
        columns = self._membership.to(losses.dtype)[:, pairs.attributes]
        return torch.stack([columns @ (losses - math.log(2)), columns.sum(1)])

    def _target(self, role: str) -> float:
        return -self.settings.target_gain if role == "improve" else self.settings.slack


def _in_full(scores: CompletionScores) -> CompletionScores:
    """In float32 at least: sums over tokens need more than the 8 bits of half precision."""
    dtype = torch.promote_types(scores.log_probs.dtype, torch.float32)
    return CompletionScores(scores.log_probs.to(dtype), scores.lengths.to(dtype))
