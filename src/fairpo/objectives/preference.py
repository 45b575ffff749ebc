"""The term of the groups to improve: preference pairs over confusing labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairpo._checks import value_error
from fairpo.losses.confusing import (
    ConfusingPairs,
    confusing_negatives,
    confusing_positives,
    draw_one_pair,
    join_pairs,
    keep_pairs,
    privileged_positives,
)
from fairpo.losses.preference import dpo_loss, scores, simpo_loss
from fairpo.losses.reduction import GroupSums, group_sums
from fairpo.objectives.base import Diagnostics, StepInputs
from fairpo.objectives.settings import FairPOSettings

PairLoss = Callable[[Tensor, Tensor, Tensor | None, Tensor | None], Tensor]
"""``(chosen, rejected, reference_chosen, reference_rejected) -> loss``, each of shape (pairs,):
scores in the objective's score space; the reference's are None if it was called without one."""

PreferenceName = Literal["dpo", "simpo", "cpo", "bce"]


class PreferenceOutput(NamedTuple):
    """Terms to divide and add up, and what to watch."""

    terms: tuple[GroupSums, ...]
    diagnostics: Diagnostics


class BCETerm(nn.Module):
    """Plain cross-entropy over the entries of the groups to improve (the ablation)."""

    needs_reference = False
    membership: Tensor

    def __init__(self, membership: Tensor) -> None:
        super().__init__()
        self.register_buffer("membership", membership, persistent=False)

    def forward(self, inputs: StepInputs) -> PreferenceOutput:
        """Sum the cross-entropies per group."""
        membership = self.membership.to(inputs.logits.dtype)
        sums = group_sums(inputs.bce, inputs.weights, membership)
        with torch.no_grad():
            signal = inputs.weights @ membership.amax(0)
        return PreferenceOutput((sums,), no_pairs(inputs, signal))


class PairTerm(nn.Module):
    """Preference pairs over confusing labels (Eq. 8-10 and 16-19).

    Parameters
    ----------
    preference : "dpo", "simpo", "cpo" or a pair loss
    settings : FairPOSettings
    membership : float tensor, shape (groups, labels)
        Rows of groups to protect are 0.
    """

    membership: Tensor
    privileged: Tensor

    def __init__(
        self, preference: PreferenceName | PairLoss, settings: FairPOSettings, membership: Tensor
    ) -> None:
        super().__init__()
        self.pair_loss = _pair_loss(preference, settings)
        self.needs_reference = preference == "dpo"
        self.reference_free = preference in ("simpo", "cpo")
        self.with_likelihood = preference == "cpo"
        self.settings = settings
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.register_buffer("membership", membership, persistent=False)
        privileged = membership.amax(0).nonzero().squeeze(1)
        self.register_buffer("privileged", privileged, persistent=False)

    def forward(self, inputs: StepInputs) -> PreferenceOutput:
        """Find the pairs, price them, and sum them per group."""
        membership = self.membership.to(inputs.logits.dtype)
        rows, labels = privileged_positives(inputs.targets, self.privileged)
        pairs = confusing_negatives(inputs.logits, inputs.targets, rows, labels)
        if self.settings.pairs == "both":
            others = confusing_positives(inputs.logits, inputs.targets, self.privileged)
            pairs = join_pairs(pairs, others)
        if inputs.weighted:  # an entry without weight takes no part: neither do its pairs
            pairs = keep_pairs(pairs, self._owner_weights(inputs, pairs) > 0)
        n_confusing = pairs.rows.numel()
        if self.settings.sampling == "one":
            pairs = draw_one_pair(pairs, inputs.logits.shape, self._generator())
        # Both labels of the pairs in one gather: (2, pairs), preferred first.
        place = inputs.position(pairs.rows, torch.stack((pairs.preferred, pairs.rejected)))
        logits = inputs.logits.take(place)
        policy = scores(logits, self.settings.score_space)
        losses = self.pair_loss(*policy.unbind(), *self._reference_scores(inputs, place))
        terms = [self._pair_sums(inputs, pairs, losses, membership)]
        if self.with_likelihood:
            terms.append(self._likelihood_sums(inputs, rows, labels, membership))
        chosen, rejected = scores(logits.detach(), "log-probability").mean(1).unbind()
        diagnostics = Diagnostics(
            torch.tensor(pairs.rows.numel(), device=losses.device),
            n_confusing / pairs.n_possible,
            chosen,
            rejected,
            share_without(self._signal(inputs, pairs, rows)),
        )
        return PreferenceOutput(tuple(terms), diagnostics)

    def get_extra_state(self) -> Tensor:
        """State of the generator that draws pairs."""
        return self.generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the generator that draws pairs."""
        self.generator.set_state(state)

    def _generator(self) -> torch.Generator:
        if self.training and torch.is_grad_enabled():
            return self.generator
        return torch.Generator().set_state(self.generator.get_state())

    def _pair_sums(
        self, inputs: StepInputs, pairs: ConfusingPairs, losses: Tensor, membership: Tensor
    ) -> GroupSums:
        owners = membership.index_select(1, pairs.owner)
        if inputs.weighted:  # otherwise every owner is observed and weighs 1
            owners = owners * self._owner_weights(inputs, pairs)
        totals, counts = owners @ losses, owners.sum(1)
        if self.settings.fallback == "bce":
            alone = self._entries_without_pair(inputs, pairs) * inputs.weights
            fallen = group_sums(inputs.bce, alone, membership)
            totals, counts = totals + fallen.totals, counts + fallen.counts
        if self.settings.reduction == "entries":
            counts = membership @ inputs.weights.sum(0)
        elif self.settings.reduction == "positives":
            counts = membership @ (inputs.weights * (inputs.targets == 1)).sum(0)
        return GroupSums(totals, counts)

    def _owner_weights(self, inputs: StepInputs, pairs: ConfusingPairs) -> Tensor:
        return inputs.weights.take(inputs.position(pairs.rows, pairs.owner))

    def _reference_scores(
        self, inputs: StepInputs, place: Tensor
    ) -> tuple[Tensor, ...] | tuple[None, None]:
        if self.reference_free or (inputs.reference is None and not self.needs_reference):
            return None, None
        reference = inputs.required_reference.take(place)
        return scores(reference, self.settings.score_space).unbind()

    def _entries_without_pair(self, inputs: StepInputs, pairs: ConfusingPairs) -> Tensor:
        """Mark the entries that were searched in vain; only these kinds of entries own pairs."""
        searched = inputs.targets == 1
        if self.settings.pairs == "both":
            searched = searched | (inputs.targets == 0)
        searched[pairs.rows, pairs.owner] = False
        return searched

    def _likelihood_sums(
        self, inputs: StepInputs, rows: Tensor, labels: Tensor, membership: Tensor
    ) -> GroupSums:
        if self.settings.likelihood == "entries":
            sums = group_sums(inputs.bce, inputs.weights, membership)
        else:
            place = inputs.position(rows, labels)
            weights = inputs.weights.take(place)
            owners = membership.index_select(1, labels)
            losses = -F.logsigmoid(inputs.logits.take(place))
            sums = GroupSums(owners @ (losses * weights), owners @ weights)
        return GroupSums(self.settings.nll_weight * sums.totals, sums.counts)

    def _signal(self, inputs: StepInputs, pairs: ConfusingPairs, rows: Tensor) -> Tensor:
        """Mark the examples that add to the loss, with 1 or above."""
        everything = self.with_likelihood and self.settings.likelihood == "entries"
        if everything or (self.settings.fallback == "bce" and self.settings.pairs == "both"):
            return inputs.weights @ self.membership.to(inputs.weights.dtype).amax(0)
        signal = torch.zeros(inputs.n_rows, device=rows.device).index_fill_(0, pairs.rows, 1)
        if self.with_likelihood or self.settings.fallback == "bce":
            signal.index_fill_(0, rows, 1)
        return signal


def _pair_loss(preference: PreferenceName | PairLoss, settings: FairPOSettings) -> PairLoss:
    if callable(preference):
        return preference
    if preference == "dpo":
        return lambda chosen, rejected, reference_chosen, reference_rejected: dpo_loss(
            chosen,
            rejected,
            reference_chosen,  # type: ignore[arg-type]
            reference_rejected,  # type: ignore[arg-type]
            beta=settings.beta,
        )
    if preference in ("simpo", "cpo"):
        margin = settings.margin if preference == "simpo" else 0.0
        return lambda chosen, rejected, _, __: simpo_loss(
            chosen, rejected, beta=settings.beta, margin=margin
        )
    raise value_error(
        "preference", must="be 'dpo', 'simpo', 'cpo', 'bce' or a pair loss", got=repr(preference)
    )


def share_without(signal: Tensor) -> Tensor:
    """Share of examples (batch,) whose signal is 0."""
    return (signal == 0).sum() / max(len(signal), 1)


def no_pairs(inputs: StepInputs, signal: Tensor) -> Diagnostics:
    """Diagnostics of a term without pairs; ``signal`` marks the examples that add to it."""
    nan = inputs.logits.new_full((), torch.nan)
    none = torch.zeros((), dtype=torch.int64, device=nan.device)
    return Diagnostics(none, nan, nan, nan, share_without(signal))
