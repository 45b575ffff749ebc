"""Preference pairs of sets: the true one, and one that a single confusing edit makes of it.

Of each row up to three pairs are drawn. *Swap*: a true label gives way to a false one; it is the
true label that drives the pair, as the true positive drives the pairs of Eq. 8. *Drop*: a true
label is left out; it drives the pair. *Add*: a false label comes in; it drives the pair. False
labels are drawn in proportion to the generator's own probability of choosing them in that place,
so that what confuses it most comes most often.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fairpo._random import SETS, random_uniform
from fairpo.labelsets.generator import LabelSetGenerator
from fairpo.labelsets.sets import EDITS, draw

SWAP, DROP, ADD = range(3)
KINDS = ("swap", "drop", "add")


class SetPairs(NamedTuple):
    """Pairs of sets, each driven by one label.

    ``row`` int64 (pairs,) is the row whose true set is preferred; ``rejected`` bool (pairs,
    labels) the other set; ``attributes`` int64 (pairs,) the label that drives the pair; ``kind``
    int64 (pairs,) a place in :data:`KINDS`.
    """

    row: Tensor
    rejected: Tensor
    attributes: Tensor
    kind: Tensor


@torch.no_grad()
def confusing_pairs(
    generator: LabelSetGenerator, context: Tensor, sets: Tensor, *keys: int
) -> SetPairs:
    """Draw the confusing sets of each row.

    Parameters
    ----------
    generator : LabelSetGenerator
    context : float tensor, shape (n, width)
    sets : bool tensor, shape (n, labels)
        True sets. An empty one has no swap and no drop, one of all labels no swap and no add.
    *keys : int
        What the draws depend on besides the row's place, such as seed and step.
    """
    n_rows = len(sets)
    place = torch.arange(n_rows)
    uniform = [
        random_uniform(SETS, EDITS, *keys, number, place).to(sets.device) for number in range(4)
    ]
    some, room = sets.any(1), ~sets.all(1)
    parts = []
    for kind, (at, leaving, coming) in enumerate(
        ((some & room, 0, 1), (some, 2, None), (room, None, 3))
    ):
        row = at.nonzero()[:, 0]
        edited = sets[row].clone()
        every = torch.arange(len(row), device=sets.device)
        driving = torch.zeros_like(row)
        if leaving is not None:
            driving = draw(sets[row].double(), uniform[leaving][row])
            edited[every, driving] = False
        if coming is not None:
            # A label that has just left may not come back.
            blocked = torch.cat([sets[row], torch.ones_like(row, dtype=torch.bool)[:, None]], 1)
            added = edited.to(generator.chosen.dtype) @ generator.chosen
            log_probs = generator.log_probs(context[row], added, blocked)
            false = draw(log_probs.exp(), uniform[coming][row])
            edited[every, false] = True
            driving = false if leaving is None else driving
        parts.append(SetPairs(row, edited, driving, torch.full_like(row, kind)))
    return SetPairs(*(torch.cat(part) for part in zip(*parts, strict=True)))
