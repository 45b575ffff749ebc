"""From entries to groups: sums and counts per group, and the mean they make.

Sums and counts, not means, so that micro-batches and processes can be added before dividing.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class GroupSums(NamedTuple):
    """One term of the group losses before its division."""

    totals: Tensor
    """Sums, (groups,), with a graph."""
    counts: Tensor
    """What to divide by, (groups,); 0 means the group has no entry here."""

    def mean(self) -> Tensor:
        """Totals over counts; exactly 0, with a graph, where the count is 0."""
        return mean_of_terms(self.totals.unsqueeze(0), self.counts.unsqueeze(0))[0]


def mean_of_terms(totals: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Group losses made of several terms, each with its own denominator.

    Parameters
    ----------
    totals, counts : float tensor, shape (terms, groups)

    Returns
    -------
    (losses, present) : (groups,) each; a group is present if any of its terms has an entry
    """
    present = counts > 0
    return (totals.where(present, 0) / counts.where(present, 1)).sum(0), present.any(0)


def group_sums(values: Tensor, weights: Tensor, membership: Tensor) -> GroupSums:
    """Add entries up per group.

    Parameters
    ----------
    values, weights : float tensor, shape (rows, labels)
        ``weights`` is 1 for an entry that counts, 0 for one that does not (missing), or a
        sample weight.
    membership : float tensor, shape (groups, labels)

    Returns
    -------
    GroupSums with totals ``sum weights * values`` and counts ``sum weights`` per group
    """
    return GroupSums(membership @ (values * weights).sum(0), membership @ weights.sum(0))
