"""Beam search over sets: beams that reach the same set are one beam, and add up."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fairpo.labelsets.constraints import SetConstraints
from fairpo.labelsets.generator import LabelSetGenerator
from fairpo.labelsets.probability import EXACT_LABELS, set_log_probs
from fairpo.labelsets.sets import block_size, label_codes

WIDTH = 16
"""Sets kept at each size. On the ambiguous digit scenes 64 find the same five sets in all 2,000
rows; 8 miss one of them in 0.2% of the places."""


class FoundSets(NamedTuple):
    """Different sets of each row with their log-probabilities, the most probable first.

    ``sets`` bool (n, k, labels); ``log_probs`` and ``standard_errors`` (n, k), see
    :class:`~fairpo.labelsets.sets.GeneratedSets`.
    """

    sets: Tensor
    log_probs: Tensor
    standard_errors: Tensor

    @property
    def present(self) -> Tensor:
        """Places that hold a set, (n, k)."""
        return self.log_probs > -torch.inf


class _Beams(NamedTuple):
    """Sets of one size, several a row: (beams,), (beams, labels), (beams, width), (beams,)."""

    row: Tensor
    chosen: Tensor
    added: Tensor
    score: Tensor


@torch.no_grad()
def beam_search(
    generator: LabelSetGenerator,
    context: Tensor,
    k: int,
    *,
    width: int = WIDTH,
    constraints: SetConstraints | None = None,
    exact_labels: int = EXACT_LABELS,
) -> FoundSets:
    """Find the most probable sets of each row.

    Sets grow by one label a step. A beam's score is the probability summed over the orders that
    the search has seen, a lower bound of the whole sum; those of all beams bound everything that
    can still be found, so that a row stops when that is less than its k-th best. The best 2 k
    finished sets are then scored over all orders (:func:`set_log_probs`).

    Parameters
    ----------
    generator : LabelSetGenerator
    context : float tensor, shape (n, width of the network)
    k : int
    width : int
        Sets kept at each size; at least k are.
    constraints : SetConstraints, optional
    exact_labels : int
        See :func:`set_log_probs`.
    """
    rules = constraints or SetConstraints(generator.n_labels)
    width = max(width, k)
    parts = [
        _search(generator, block, k, width, rules, exact_labels)
        for block in torch.split(context, block_size(width * (generator.n_labels + 1) * 4))
    ]
    return FoundSets(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _search(
    generator: LabelSetGenerator,
    context: Tensor,
    k: int,
    width: int,
    rules: SetConstraints,
    exact_labels: int,
) -> FoundSets:
    n_rows, n_labels = len(context), generator.n_labels
    beams = _Beams(
        torch.arange(n_rows, device=context.device),
        torch.zeros(n_rows, n_labels, dtype=torch.bool, device=context.device),
        torch.zeros_like(context),
        context.new_zeros(n_rows, dtype=torch.promote_types(context.dtype, torch.float32)),
    )
    found = beams.chosen.new_zeros(n_rows, width, n_labels)
    scores = beams.score.new_full((n_rows, width), -torch.inf)
    for _ in range(n_labels + 1):
        log_probs = generator.log_probs(
            context[beams.row], beams.added, rules.blocked(beams.chosen)
        )
        found, scores = _finish(found, scores, beams, log_probs[:, -1])
        grown = _grow(generator, beams, log_probs[:, :-1], width)
        beams = _hopeful(grown, scores[:, k - 1])
        if not len(beams.row):
            break
    few = min(2 * k, width)
    found, scores = found[:, :few], scores[:, :few]
    known = set_log_probs(
        generator,
        context.repeat_interleave(few, 0),
        found.flatten(0, 1),
        constraints=rules,
        exact_labels=exact_labels,
    )
    there = scores > -torch.inf
    exact = known.values.view(n_rows, few).masked_fill(~there, -torch.inf)
    best = exact.sort(dim=1, descending=True, stable=True).indices[:, :k]
    rows = torch.arange(n_rows, device=context.device)[:, None]
    errors = known.standard_errors.view(n_rows, few) * there
    return FoundSets(found[rows, best], exact[rows, best], errors[rows, best])


def _finish(found: Tensor, scores: Tensor, beams: _Beams, end: Tensor) -> tuple[Tensor, Tensor]:
    """Put the beams that end here among the best finished sets of their rows."""
    n_rows, width = scores.shape
    place = _rank_in_row(beams.row)
    new_scores = scores.new_full((n_rows, width), -torch.inf)
    new_scores[beams.row, place] = beams.score + end
    new = torch.zeros_like(found)
    new[beams.row, place] = beams.chosen
    both = torch.cat([scores, new_scores], 1)
    best = both.sort(dim=1, descending=True, stable=True).indices[:, :width]
    rows = torch.arange(n_rows, device=scores.device)[:, None]
    return torch.cat([found, new], 1)[rows, best], both[rows, best]


def _grow(generator: LabelSetGenerator, beams: _Beams, log_probs: Tensor, width: int) -> _Beams:
    """Add a label to each beam, join beams of the same set, keep the best of each row."""
    scores = beams.score[:, None] + log_probs
    parent, label = (scores > -torch.inf).nonzero().T
    if not len(parent):
        return _Beams(*(part[:0] for part in beams))
    codes = torch.where(beams.chosen, label_codes(generator.n_labels).to(label.device), 0).sum(1)
    codes = codes[parent] + label_codes(generator.n_labels).to(label.device)[label]
    # A set is the same one only within its row.
    row = beams.row[parent]
    order = codes.argsort(stable=True)
    order = order[row[order].argsort(stable=True)]
    codes, row = codes[order], row[order]
    new = torch.ones_like(row, dtype=torch.bool)
    new[1:] = (codes[1:] != codes[:-1]) | (row[1:] != row[:-1])
    group = new.cumsum(0) - 1
    joined = _group_logsumexp(scores[parent, label][order], group, int(group[-1]) + 1)
    first, row = order[new], row[new]
    best = joined.argsort(descending=True, stable=True)
    best = best[row[best].argsort(stable=True)]
    best = best[_rank_in_row(row[best]) < width]
    source, added_label = parent[first[best]], label[first[best]]
    chosen = beams.chosen[source]
    chosen[torch.arange(len(source), device=label.device), added_label] = True
    added = beams.added[source] + generator.chosen[added_label]
    return _Beams(row[best], chosen, added, joined[best])


def _hopeful(beams: _Beams, kth_best: Tensor) -> _Beams:
    """Drop the beams of rows in which nothing that is left can become one of the k best."""
    mass = _group_logsumexp(beams.score, beams.row, len(kth_best))
    alive = (mass > kth_best)[beams.row]
    return _Beams(*(part[alive] for part in beams))


def _rank_in_row(row: Tensor) -> Tensor:
    """Count up within runs of equal numbers."""
    start = torch.ones_like(row, dtype=torch.bool)
    start[1:] = row[1:] != row[:-1]
    places = torch.arange(len(row), device=row.device)
    return places - places[start][start.cumsum(0) - 1]


def _group_logsumexp(values: Tensor, group: Tensor, n_groups: int) -> Tensor:
    """Log of the sum of exponentials of each group (n_groups,); -inf for an empty one."""
    highest = values.new_full((n_groups,), -torch.inf).scatter_reduce(0, group, values, "amax")
    base = highest.clamp_min(torch.finfo(values.dtype).min)
    sums = values.new_zeros(n_groups).index_add(0, group, (values - base[group]).exp())
    return sums.log() + base
