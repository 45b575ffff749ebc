"""The term of the groups to improve: preference pairs over confusing labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairpo._checks import value_error
from fairpo._random import Draw
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
from fairpo.objectives.membership import Membership
from fairpo.objectives.settings import FairPOSettings

PairLoss = Callable[[Tensor, Tensor, Tensor | None, Tensor | None], Tensor]
"""``(chosen, rejected, reference_chosen, reference_rejected) -> loss``, each of shape (pairs,):
scores in the objective's score space; the reference's are None if it was called without one."""

PreferenceName = Literal["dpo", "simpo", "cpo", "bce"]


class PreferenceOutput(NamedTuple):
    """Terms to divide and add up, and what to watch."""

    terms: tuple[GroupSums, ...]
    watched: Tensor


class BCETerm(nn.Module):
    """Plain cross-entropy over the entries of the groups to improve (the ablation)."""

    needs_reference = False

    def __init__(self, membership: Membership) -> None:
        super().__init__()
        self.membership = membership

    def forward(self, inputs: StepInputs, draw: Draw) -> PreferenceOutput:
        """Sum the cross-entropies per group."""
        sums = inputs.group_sums(inputs.bce, self.membership)
        with torch.no_grad():
            signal = inputs.weights @ inputs.columns(self.membership).amax(0)
        return PreferenceOutput((sums,), watch_no_pairs(signal))

    def known_counts(self, inputs: StepInputs) -> list[Tensor]:
        """Each term's counts, as far as targets tell."""
        return [inputs.entry_counts(self.membership)]

    def check_sampled(self) -> None:
        """Nothing to refuse: means over entries have unbiased sums."""


class PairTerm(nn.Module):
    """Preference pairs over confusing labels (Eq. 8-10 and 16-19).

    Parameters
    ----------
    preference : "dpo", "simpo", "cpo" or a pair loss
    settings : FairPOSettings
    membership : Membership
        Rows of groups to protect are 0.
    """

    privileged: Tensor

    def __init__(
        self,
        preference: PreferenceName | PairLoss,
        settings: FairPOSettings,
        membership: Membership,
    ) -> None:
        super().__init__()
        self.pair_loss = _pair_loss(preference, settings)
        self.needs_reference = preference == "dpo"
        self.reference_free = preference in ("simpo", "cpo")
        self.with_likelihood = preference == "cpo"
        self.settings = settings
        self.membership = membership
        privileged = membership.matrix.amax(0).nonzero().squeeze(1)
        self.register_buffer("privileged", privileged, persistent=False)

    def forward(self, inputs: StepInputs, draw: Draw) -> PreferenceOutput:
        """Find the pairs, price them, and sum them per group."""
        if inputs.sample is not None:
            self.check_sampled()
        membership = inputs.columns(self.membership)
        rows, labels, pairs = self._search(inputs, membership)
        n_confusing = pairs.rows.numel()
        if self.settings.sampling == "one":
            pairs = draw_one_pair(pairs, inputs.logits.shape, draw)
        # Both labels of the pairs in one gather: (2, pairs), preferred first.
        place = inputs.position(pairs.rows, torch.stack((pairs.preferred, pairs.rejected)))
        logits = inputs.logits.take(place)
        policy = scores(logits, self.settings.score_space)
        losses = self.pair_loss(*policy.unbind(), *self._reference_scores(inputs, place))
        terms = [self._pair_sums(inputs, pairs, losses, membership)]
        if self.with_likelihood:
            terms.append(self._likelihood_sums(inputs, rows, labels, membership))
        log_scores = scores(logits.detach(), "log-probability")
        counted, log_scores = self._pair_counts(inputs, pairs, n_confusing, log_scores)
        watched = watch(counted, log_scores, self._signal(inputs, pairs, rows))
        return PreferenceOutput(tuple(terms), watched)

    def known_counts(self, inputs: StepInputs) -> list[Tensor]:
        """Each term's counts, as far as targets tell."""
        reduction = self.settings.reduction
        if reduction == "pairs":  # found for each entry that is searched
            reduction = "entries" if self.settings.pairs == "both" else "positives"
        kinds = [reduction, self.settings.likelihood] if self.with_likelihood else [reduction]
        return [self._entry_counts(inputs, kind) for kind in kinds]

    def _search(
        self, inputs: StepInputs, membership: Tensor
    ) -> tuple[Tensor, Tensor, ConfusingPairs]:
        """Rows and labels of the privileged positives, and all confusing pairs."""
        privileged = self.privileged
        if inputs.sample is not None:
            privileged = membership.amax(0).nonzero().squeeze(1)
        rows, labels = privileged_positives(inputs.targets, privileged)
        pairs = confusing_negatives(inputs.logits, inputs.targets, rows, labels)
        if self.settings.pairs == "both":
            others = confusing_positives(inputs.logits, inputs.targets, privileged)
            pairs = join_pairs(pairs, others)
        if inputs.sample is not None:
            n_possible = self._n_possible(inputs, rows, privileged)
            pairs = pairs._replace(n_possible=n_possible)
        if inputs.weighted:  # an entry without weight takes no part: neither do its pairs
            pairs = keep_pairs(pairs, self._pair_weights(inputs, pairs) > 0)
        return rows, labels, pairs

    def _pair_sums(
        self, inputs: StepInputs, pairs: ConfusingPairs, losses: Tensor, membership: Tensor
    ) -> GroupSums:
        owners = membership.index_select(1, pairs.owner)
        if inputs.weighted:  # otherwise every owner is observed and weighs 1
            owners = owners * self._pair_weights(inputs, pairs)
        totals, counts = owners @ losses, owners.sum(1)
        if self.settings.fallback == "bce":
            alone = self._entries_without_pair(inputs, pairs) * inputs.weights
            fallen = group_sums(inputs.bce, alone, membership)
            totals, counts = totals + fallen.totals, counts + fallen.counts
        if self.settings.reduction != "pairs":
            counts = self._entry_counts(inputs, self.settings.reduction)
        return GroupSums(totals, counts)

    def _entry_counts(self, inputs: StepInputs, kind: Literal["entries", "positives"]) -> Tensor:
        """Weight of each group's observed entries, or of its positives."""
        if kind == "entries":
            return inputs.entry_counts(self.membership)
        positives = inputs.weights * (inputs.targets == 1)
        return inputs.columns(self.membership) @ positives.sum(0)

    def _pair_weights(self, inputs: StepInputs, pairs: ConfusingPairs) -> Tensor:
        """Weight of the entry each pair was found for; on a sample, of its rejected label.

        The preferred label is in every sample surely, so that its column weighs 1.
        """
        label = pairs.owner if inputs.sample is None else pairs.rejected
        return inputs.weights.take(inputs.position(pairs.rows, label))

    def _pair_counts(
        self, inputs: StepInputs, pairs: ConfusingPairs, n_confusing: int, log_scores: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Numbers of pairs used, found and possible, and sums of log-scores over those used."""
        if inputs.sample is None:
            counted = log_scores.new_tensor([pairs.rows.numel(), n_confusing, 0])
            log_scores = log_scores.sum(1)
        else:  # the preferred label stands for itself, the rejected one for several
            stands_for = inputs.sample.weights[pairs.rejected]
            counted = stands_for.sum().repeat(3)
            log_scores = log_scores @ stands_for
        counted[2] = pairs.n_possible
        return counted, log_scores

    def _n_possible(self, inputs: StepInputs, rows: Tensor, privileged: Tensor) -> Tensor:
        """Count the (true, false) pairs among all labels: what is not 0 is in the sample."""
        nonzero = inputs.targets != 0
        n_labels = self.membership.matrix.shape[1]
        possible = (n_labels - nonzero.sum(1)).index_select(0, rows).sum()
        if self.settings.pairs == "both":
            false = len(self.privileged) - nonzero.index_select(1, privileged).sum(1)
            possible = possible + ((inputs.targets == 1).sum(1) * false).sum()
        return possible

    def check_sampled(self) -> None:
        """Refuse what has no unbiased sum over sampled labels."""
        for option, allowed, why in (
            ("reduction", ("positives", "entries"), "How many pairs there are"),
            ("sampling", ("all",), "Which confusing label would be drawn"),
            ("fallback", ("none",), "Which entries have no confusing label"),
        ):
            if getattr(self.settings, option) not in allowed:
                raise value_error(
                    option,
                    must=f"be {' or '.join(map(repr, allowed))} where labels are sampled",
                    got=repr(getattr(self.settings, option)),
                    do=f"{why} among all labels is not known from a sample.",
                )

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
            sums = inputs.group_sums(inputs.bce, self.membership)
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
            return inputs.weights @ inputs.columns(self.membership).amax(0)
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


def watch(pairs: Tensor, log_scores: Tensor, signal: Tensor) -> Tensor:
    """Sums to watch, in the order of :data:`~fairpo.objectives.base.WATCHED`.

    Parameters
    ----------
    pairs : float tensor, shape (3,)
        How many were used, found, and possible.
    log_scores : float tensor, shape (2,)
        Sums over the pairs used: chosen, rejected.
    signal : float tensor, shape (batch,)
        0 for an example that adds nothing to the loss of any group to improve.
    """
    silent = (signal == 0).sum().to(pairs.dtype)
    return torch.cat([pairs, log_scores, torch.stack([silent, pairs.new_tensor(len(signal))])])


def watch_no_pairs(signal: Tensor) -> Tensor:
    """Sums to watch for a term without pairs."""
    return watch(signal.new_zeros(3), signal.new_zeros(2), signal)


def diagnose(watched: Tensor) -> Diagnostics:
    """Means of what was watched; NaN where there is nothing to average."""
    n_pairs, n_confusing, n_possible, chosen, rejected, silent, examples = watched.unbind()
    return Diagnostics(
        n_pairs,
        n_confusing / n_possible,
        chosen / n_pairs,
        rejected / n_pairs,
        silent / examples.clamp_min(1),
    )
