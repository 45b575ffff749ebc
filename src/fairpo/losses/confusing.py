"""Who is ranked wrongly: pairs of a label that applies and one that does not but scores as high.

Membership is judged on the current logits, without a gradient (Eq. 8). The sigmoid is monotone,
so comparing logits is comparing the paper's probabilities, without the ties that saturated
probabilities would make.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fairpo._random import PAIRS, Draw, random_bits


class ConfusingPairs(NamedTuple):
    """A flat list of pairs of one batch, each found for one privileged entry.

    Only the pairs themselves carry numbers; the search holds (true positives, labels) at a time,
    never (batch, labels, labels).
    """

    rows: Tensor
    """Example of each pair, int64 (pairs,)."""
    preferred: Tensor
    """The label that applies, int64 (pairs,)."""
    rejected: Tensor
    """The label that does not apply and scores at least as high, int64 (pairs,)."""
    owner: Tensor
    """The privileged one of the two for whose entry the pair was found, int64 (pairs,)."""
    n_possible: Tensor
    """How many (true, false) pairs were compared, scalar."""


def privileged_positives(targets: Tensor, privileged: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and labels of the true positives of privileged labels, int64 (positives,) each."""
    rows, position = (targets.index_select(1, privileged) == 1).nonzero(as_tuple=True)
    return rows, privileged[position]


def confusing_negatives(
    logits: Tensor, targets: Tensor, rows: Tensor, labels: Tensor
) -> ConfusingPairs:
    """Pair each given true positive with its confusing negatives.

    ``S_il = {k : y_ik = 0 and m_ik >= m_il}`` (Eq. 8): ties count, ``k`` runs over all labels.

    Parameters
    ----------
    logits, targets : tensor, shape (batch, labels)
        Targets 1, 0, or missing (negative or NaN); a missing entry is in no pair.
    rows, labels : int64 tensor, shape (positives,)
        See :func:`privileged_positives`.

    Returns
    -------
    ConfusingPairs, owned by the label that applies
    """
    logits = logits.detach()
    negative = targets.index_select(0, rows) == 0
    at_least = logits.index_select(0, rows) >= logits[rows, labels].unsqueeze(1)
    anchor, rejected = (negative & at_least).nonzero(as_tuple=True)
    preferred = labels[anchor]
    return ConfusingPairs(rows[anchor], preferred, rejected, preferred, negative.sum())


def confusing_positives(logits: Tensor, targets: Tensor, privileged: Tensor) -> ConfusingPairs:
    """Pair each privileged label that does not apply with its confusing positives.

    ``{k : y_ik = 1 and m_ik <= m_il}`` for ``l`` in P with ``y_il = 0`` (the authors' later
    code); ``k`` runs over all labels. Searched from the true positives, which are few.

    Parameters
    ----------
    logits, targets : tensor, shape (batch, labels)
    privileged : int64 tensor, shape (privileged labels,)

    Returns
    -------
    ConfusingPairs, owned by the label that does not apply
    """
    logits = logits.detach()
    rows, labels = (targets == 1).nonzero(as_tuple=True)
    negative = targets.index_select(1, privileged).index_select(0, rows) == 0
    candidates = logits.index_select(1, privileged).index_select(0, rows)
    at_least = candidates >= logits[rows, labels].unsqueeze(1)
    anchor, column = (negative & at_least).nonzero(as_tuple=True)
    rejected = privileged[column]
    return ConfusingPairs(rows[anchor], labels[anchor], rejected, rejected, negative.sum())


def join_pairs(first: ConfusingPairs, second: ConfusingPairs) -> ConfusingPairs:
    """Put two lists of pairs into one."""
    joined = [torch.cat(parts) for parts in zip(first[:4], second[:4], strict=True)]
    rows, preferred, rejected, owner = joined
    n_possible = first.n_possible + second.n_possible
    return ConfusingPairs(rows, preferred, rejected, owner, n_possible)


def keep_pairs(pairs: ConfusingPairs, kept: Tensor) -> ConfusingPairs:
    """Keep the pairs that ``kept`` (bool, (pairs,)) marks."""
    rows, preferred, rejected, owner = (part[kept] for part in pairs[:4])
    return ConfusingPairs(rows, preferred, rejected, owner, pairs.n_possible)


def draw_one_pair(pairs: ConfusingPairs, shape: torch.Size, draw: Draw) -> ConfusingPairs:
    """Keep one pair of each owning entry, drawn uniformly.

    Parameters
    ----------
    pairs : ConfusingPairs
    shape : (batch, labels)
    draw : Draw
        An example draws the same wherever its step is split.
    """
    other = pairs.preferred + pairs.rejected - pairs.owner
    rows = pairs.rows + draw.first_row
    ranks = random_bits(draw.seed, PAIRS, draw.step, rows, pairs.owner, other)
    entry = pairs.rows * shape[1] + pairs.owner
    highest = ranks.new_full((shape.numel(),), -1).scatter_reduce(0, entry, ranks, "amax")
    return keep_pairs(pairs, ranks == highest[entry])
