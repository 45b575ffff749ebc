"""What every objective over groups takes and returns: sums of parts, then one step of weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fairpo.groups import LabelGroups


class ObjectiveOutput(NamedTuple):
    """Result of one call: what to minimise and what it is made of."""

    loss: Tensor
    """Scalar with a graph: ``(group_weights * group_losses).sum()``."""
    group_losses: Tensor
    """(groups,) in the order of the groups; 0 where a group has no entry."""
    group_weights: Tensor
    """(groups,), after this call's step, no graph; they sum to 1."""
    diagnostics: tuple[Tensor, ...]
    """What to watch besides the loss: scalars without a graph, NaN where undefined, under
    :attr:`GroupObjective.diagnostic_keys`."""


@dataclass(frozen=True)
class StepSums:
    """What a part of a step adds to it: sums and counts, so that parts can be added.

    Parts are micro-batches, or the shares of several processes. Dividing is done once, by the
    counts of the whole step.

    Parameters
    ----------
    totals : float tensor, shape (terms, columns)
        With a graph. What the columns are (usually the groups) is the objective's affair.
    counts : float tensor, shape (terms, columns)
        What to divide by; 0 where there is no entry.
    excess : float tensor, shape (2, groups) or (2, 0)
        Totals and counts of cross-entropy above the reference's, for the weight rule "excess".
    watched : float tensor, shape (n,)
        Sums for the diagnostics.
    """

    totals: Tensor
    counts: Tensor
    excess: Tensor
    watched: Tensor

    def __add__(self, other: StepSums) -> StepSums:
        """Add two parts of one step."""
        return StepSums(*(a + b for a, b in zip(self._parts(), other._parts(), strict=True)))

    def detach(self) -> StepSums:
        """Return the same numbers without a graph."""
        return StepSums(*(part.detach() for part in self._parts()))

    def as_vector(self) -> Tensor:
        """All numbers in one float64 vector, for one exchange between processes."""
        return torch.cat([part.detach().double().flatten() for part in self._parts()])

    def from_vector(self, vector: Tensor) -> StepSums:
        """Take numbers in the shapes of this one from :meth:`as_vector`."""
        pieces = torch.split(vector, [part.numel() for part in self._parts()])
        pairs = zip(pieces, self._parts(), strict=True)
        return StepSums(*(piece.view_as(part).to(part.dtype) for piece, part in pairs))

    def with_known(self, here: Tensor, whole: Tensor) -> StepSums:
        """Guess the counts of a whole step from this part and from what its targets tell.

        Exact where counts follow from the targets. Pairs are guessed to be as many for each entry
        searched as in this part, which weighs each part's mean by its entries.

        Parameters
        ----------
        here, whole : float tensor, shape (terms, columns)
            :meth:`Objective.known_counts` of this part, and added over all parts.
        """
        share = torch.where(here > 0, whole / here, 0.0).to(self.counts.dtype)
        return StepSums(self.totals, self.counts * share, self.excess, self.watched)

    def _parts(self) -> tuple[Tensor, ...]:
        return self.totals, self.counts, self.excess, self.watched


class GroupObjective(nn.Module, ABC):
    """What is minimised over groups: a loss each, and the weights between them.

    A step of several parts (micro-batches, processes) takes three things one by one: the sums of
    each part, :meth:`step_weights` once with the added sums, and :meth:`output` of each part,
    whose losses add up to the loss of the whole. All state is in ``state_dict()``.

    Parameters
    ----------
    groups : LabelGroups
        Over labels, or over the attributes that drive pairs.
    """

    needs_reference: bool
    """Whether it compares with a reference, whose scores must then be given."""

    def __init__(self, groups: LabelGroups) -> None:
        super().__init__()
        self.groups = groups

    @property
    @abstractmethod
    def diagnostic_keys(self) -> tuple[str, ...]:
        """What the diagnostics of its output are called in logs, in their order."""

    def whole_step(self, sums: StepSums) -> ObjectiveOutput:
        """Take a step of one part; the weights move in train mode with gradients enabled."""
        if self.training and torch.is_grad_enabled():
            self.step_weights(sums)
        return self.output(sums, sums)

    def step_weights(self, whole: StepSums) -> None:
        """Move the group weights by one step.

        Parameters
        ----------
        whole : StepSums
            Added over all parts of the step.
        """

    @abstractmethod
    def output(self, part: StepSums, whole: StepSums) -> ObjectiveOutput:
        """What a part adds to the loss of its step, under the present group weights.

        Parameters
        ----------
        part : StepSums
            Its ``totals`` carry the graph of ``loss``.
        whole : StepSums
            Added over all parts; its ``counts`` divide. ``output(whole, whole)`` is the report of
            a step.
        """
