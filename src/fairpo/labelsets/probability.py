"""Log-probabilities of sets: summed over all orders exactly, or estimated from drawn orders.

A set of s labels can be said in s! orders, all of which pass through its 2^s subsets. With f(T)
the probability of having chosen exactly T after some steps, f(empty) = 1 and

    f(T) = sum over l in T of f(T without l) p(l | T without l),    P(S) = f(S) p(end | S),

a recursion over subsets. Beyond :data:`EXACT_LABELS` labels orders are drawn instead, each next
label in proportion to the model's own probabilities of the labels that are left. An order then
weighs the product over its steps of what all labels left had together, times p(end | S); the mean
weight is an unbiased estimate of P(S), and it does not vary at all where the model is the process
that says labels in uniformly random order.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from fairpo._random import SETS, random_uniform
from fairpo.labelsets.constraints import SetConstraints
from fairpo.labelsets.generator import LabelSetGenerator
from fairpo.labelsets.sets import ESTIMATES, ORDERS, block_size, draw

EXACT_LABELS = 8
"""Sets up to this size are summed over all orders: 256 states; a label more doubles them."""

N_ORDERS = 64
"""Orders drawn for a larger set; its standard error falls with their square root."""


class SetLogProbs(NamedTuple):
    """Log-probabilities of sets, and what is known about their error."""

    values: Tensor
    """(n,); -inf where the constraints do not allow the set."""
    standard_errors: Tensor
    """(n,) of the values, without a graph; 0 where they are exact."""


class _Lattice(NamedTuple):
    """The subsets of s labels, numbered by their bits, and how each level follows from the last.

    ``bits`` (2^s, s). For each size t from 1: ``before`` (subsets of size t, t), positions in
    level t - 1 of the subset without each of its labels; ``state`` the same as numbers of
    subsets; ``label`` the label left out.
    """

    bits: Tensor
    before: list[Tensor]
    state: list[Tensor]
    label: list[Tensor]


@functools.lru_cache(maxsize=32)
def _lattice(size: int) -> _Lattice:
    numbers = torch.arange(2**size)
    bits = (numbers[:, None] >> torch.arange(size)) & 1
    lattice = _Lattice(bits.bool(), [], [], [])
    place = {0: 0}
    for level in range(1, size + 1):
        subsets = list(combinations(range(size), level))
        codes = [sum(1 << label for label in subset) for subset in subsets]
        rests = [
            [code - (1 << label) for label in subset]
            for code, subset in zip(codes, subsets, strict=True)
        ]
        lattice.before.append(torch.tensor([[place[rest] for rest in row] for row in rests]))
        lattice.state.append(torch.tensor(rests))
        lattice.label.append(torch.tensor(subsets))
        place = {code: position for position, code in enumerate(codes)}
    return lattice


def set_log_probs(
    generator: LabelSetGenerator,
    context: Tensor,
    sets: Tensor,
    *,
    constraints: SetConstraints | None = None,
    exact_labels: int = EXACT_LABELS,
    n_orders: int = N_ORDERS,
    seed: int = 0,
    numbers: Tensor | None = None,
) -> SetLogProbs:
    """Log-probability of each set, summed over orders.

    Parameters
    ----------
    generator : LabelSetGenerator
    context : float tensor, shape (n, width)
        Of the row each set belongs to; see :meth:`LabelSetGenerator.context`.
    sets : bool tensor, shape (n, labels)
        The empty set is allowed.
    constraints : SetConstraints, optional
        Of the walk whose probabilities these are.
    exact_labels : int
        Largest set that is summed over all orders.
    n_orders : int
        Orders drawn for each larger set.
    seed : int
        Of those draws.
    numbers : int64 tensor, shape (n,), optional
        What sets are called in the draws, so that these do not depend on how sets are split;
        their places here when not given.

    Returns
    -------
    SetLogProbs
        With a graph where gradients are on. That of an estimate is the gradient of the logarithm
        of the mean weight, with the drawn orders held.
    """
    rules = constraints or SetConstraints(generator.n_labels)
    called = torch.arange(len(sets)) if numbers is None else numbers.cpu()
    allowed = rules.allows(sets)
    never = (~allowed).nonzero()[:, 0]
    values = context.new_full((len(never),), -torch.inf, dtype=_full(context.dtype))
    parts, places = [SetLogProbs(values, torch.zeros_like(values))], [never]
    for size, at in _by_size(sets, allowed):
        exact = size <= exact_labels
        states = 2**size if exact else n_orders
        for block in torch.split(at, block_size(states * (generator.n_labels + 1))):
            labels = sets[block].nonzero()[:, 1].view(len(block), size)
            where = (generator, context[block], labels, rules)
            if exact:
                values = _summed(*where)
                parts.append(SetLogProbs(values, torch.zeros_like(values)))
            else:
                parts.append(_estimated(*where, n_orders, seed, called[block.cpu()]))
            places.append(block)
    order = torch.cat(places).argsort()
    values, errors = (torch.cat(part)[order] for part in zip(*parts, strict=True))
    return SetLogProbs(values, errors.detach())


def order_bound(
    generator: LabelSetGenerator, context: Tensor, sets: Tensor, numbers: Tensor, *keys: int
) -> Tensor:
    """Lower bound of each set's log-probability from one uniformly random order, (n,).

    ``log P(S) >= log s! + E log p(an order of S)``. Each state of the order is scored with the
    mean over all labels left, not with the one that happened to come next: the expectation is
    the same, the variance smaller. s + 1 states a set of any size.

    Parameters
    ----------
    generator : LabelSetGenerator
    context : float tensor, shape (n, width)
    sets : bool tensor, shape (n, labels)
    numbers : int64 tensor, shape (n,)
        What sets are called in the random numbers. Sets of the same number meet their common
        labels in the same order, so that their difference varies less.
    *keys : int
        What the orders depend on besides, such as seed and step.
    """
    sizes = sets.sum(1)
    longest = int(sizes.max()) if len(sets) else 0
    n_rows, n_labels = sets.shape
    of_labels = torch.arange(n_labels)
    ranks = random_uniform(SETS, ORDERS, *keys, numbers.cpu()[:, None], of_labels).to(sets.device)
    order = ranks.masked_fill(~sets, 2.0).argsort(1)[:, :longest]  # the set's labels come first
    # State t of a row holds its first t labels; states beyond its size are left out.
    row, step = (torch.arange(longest + 1, device=sets.device) <= sizes[:, None]).nonzero().T
    embedded = generator.chosen[order]
    added = torch.cat([embedded.new_zeros(n_rows, 1, embedded.shape[2]), embedded.cumsum(1)], 1)
    position = (
        torch.zeros_like(sizes)[:, None]
        .expand(-1, n_labels)
        .scatter(1, order, torch.arange(longest, device=sets.device).expand(n_rows, -1))
    )
    left = sets[row] & (position[row] >= step[:, None])
    log_probs = generator.log_probs(context[row], added[row, step], _or_end(sets[row] & ~left))
    n_left = left.sum(1)
    mean = log_probs[:, :-1].masked_fill(~left, 0.0).sum(1) / n_left.clamp_min(1)
    steps = torch.where(n_left > 0, mean, log_probs[:, -1])
    total = steps.new_zeros(n_rows).index_add(0, row, steps)
    return total + torch.lgamma(sizes.to(total.dtype) + 1)


def _or_end(chosen: Tensor) -> Tensor:
    """Blocked choices where nothing but chosen labels is: the end is always allowed."""
    return torch.cat([chosen, chosen.new_zeros(len(chosen), 1)], 1)


def _by_size(sets: Tensor, allowed: Tensor) -> Iterator[tuple[int, Tensor]]:
    sizes = sets.sum(1)
    for size in sizes[allowed].bincount().nonzero()[:, 0].tolist():
        yield size, (allowed & (sizes == size)).nonzero()[:, 0]


def _full(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _summed(
    generator: LabelSetGenerator, context: Tensor, labels: Tensor, rules: SetConstraints
) -> Tensor:
    """Sum over all orders of sets (n, s) of one size, by the recursion over subsets: (n,)."""
    n_rows, size = labels.shape
    lattice = _lattice(size)
    bits = lattice.bits.to(labels.device)
    n_states = len(bits)
    added = torch.einsum("ms,nsw->nmw", bits.to(context.dtype), generator.chosen[labels])
    chosen = torch.zeros(n_rows, n_states, generator.n_labels, dtype=torch.bool)
    chosen = chosen.to(labels.device).scatter(
        2, labels[:, None].expand(-1, n_states, -1), bits.expand(n_rows, -1, -1)
    )
    log_probs = generator.log_probs(
        context[:, None].expand(-1, n_states, -1).flatten(0, 1),
        added.flatten(0, 1),
        rules.blocked(chosen.flatten(0, 1)),
    ).view(n_rows, n_states, -1)
    steps = log_probs.gather(2, labels[:, None].expand(-1, n_states, -1))
    reached = log_probs.new_zeros(n_rows, 1)
    levels = zip(lattice.before, lattice.state, lattice.label, strict=True)
    for before, state, label in levels:
        reached = (reached[:, before] + steps[:, state, label]).logsumexp(2)
    return reached[:, 0] + log_probs[:, -1, -1]


def _estimated(
    generator: LabelSetGenerator,
    context: Tensor,
    labels: Tensor,
    rules: SetConstraints,
    n_orders: int,
    seed: int,
    numbers: Tensor,
) -> SetLogProbs:
    """Estimate the sum over orders of sets (n, s) of one size from drawn orders."""
    n_rows, size = labels.shape
    row = torch.arange(n_rows, device=labels.device).repeat_interleave(n_orders)
    number = numbers.repeat_interleave(n_orders)
    order = torch.arange(n_orders).repeat(n_rows)
    embedded = generator.chosen[labels]
    left = torch.ones(len(row), size, dtype=torch.bool, device=labels.device)
    chosen = torch.zeros(len(row), generator.n_labels, dtype=torch.bool, device=labels.device)
    added = torch.zeros(len(row), context.shape[1], dtype=context.dtype, device=context.device)
    weight: Tensor = torch.zeros((), device=context.device)
    every = torch.arange(len(row), device=labels.device)
    for step in range(size):
        log_probs = generator.log_probs(context[row], added, rules.blocked(chosen))
        of_left = log_probs.gather(1, labels[row]).masked_fill(~left, -torch.inf)
        mass = of_left.detach().logsumexp(1)
        shares = (of_left.detach() - mass[:, None]).exp()
        uniform = random_uniform(SETS, ESTIMATES, seed, number, order, step).to(labels.device)
        taken = draw(shares, uniform)
        said = of_left[every, taken]
        # What the draw itself depends on is held: the gradient is that of what was said.
        weight = weight + said - (said.detach() - mass)
        left = left.scatter(1, taken[:, None], False)
        chosen = chosen.scatter(1, labels[row, taken][:, None], True)
        added = added + embedded[row, taken]
    log_probs = generator.log_probs(context[row], added, rules.blocked(chosen))
    weights = (weight + log_probs[:, -1]).view(n_rows, n_orders)
    values = weights.logsumexp(1) - math.log(n_orders)
    relative = (weights.detach() - values.detach()[:, None]).exp()
    return SetLogProbs(values, relative.std(1) / math.sqrt(n_orders))
