"""Sampling: walks from the empty set to the end, and different sets from them."""

from __future__ import annotations

import torch
from torch import Tensor

from fairpo._random import SETS, random_uniform
from fairpo.labelsets.beam import beam_search
from fairpo.labelsets.constraints import SetConstraints
from fairpo.labelsets.generator import LabelSetGenerator
from fairpo.labelsets.sets import DRAWS, block_size, draw, first_different

ROUNDS = 5
"""Rounds of draws for different sets: k in the first, each later one as many as all before."""


@torch.no_grad()
def draw_sets(
    generator: LabelSetGenerator,
    context: Tensor,
    numbers: Tensor,
    *,
    n_draws: int,
    first_draw: int = 0,
    seed: int = 0,
    temperature: float = 1.0,
    constraints: SetConstraints | None = None,
) -> Tensor:
    """Draw sets independently, repetitions included.

    Parameters
    ----------
    generator : LabelSetGenerator
    context : float tensor, shape (n, width)
    numbers : int64 tensor, shape (n,)
        What rows are called in the random numbers: a row's draws depend on its number, the draw's
        and the seed, not on the rows beside it.
    n_draws, first_draw : int
        How many a row, and the number of the first one.
    seed : int
    temperature : float > 0
        See :meth:`LabelSetGenerator.log_probs`.
    constraints : SetConstraints, optional

    Returns
    -------
    bool tensor, shape (n, n_draws, labels)
    """
    rules = constraints or SetConstraints(generator.n_labels)
    size = block_size(n_draws * (generator.n_labels + 1))
    parts = zip(torch.split(context, size), torch.split(numbers, size), strict=True)
    blocks = [
        _walk(generator, *part, n_draws, first_draw, seed, temperature, rules) for part in parts
    ]
    return torch.cat(blocks)


def sample_different(
    generator: LabelSetGenerator,
    context: Tensor,
    numbers: Tensor,
    k: int,
    *,
    seed: int = 0,
    temperature: float = 1.0,
    constraints: SetConstraints | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw until k different sets are found in each row.

    Repetitions are thrown away, which is sampling without replacement. A row that is so sure that
    16 k draws do not hold k different sets is filled up with the most probable ones that are left.

    Parameters
    ----------
    generator, context, numbers, seed, temperature, constraints
        As for :func:`draw_sets`.
    k : int

    Returns
    -------
    sets : bool tensor, shape (n, k, labels)
        In the order of drawing: the first is a fair draw.
    present : bool tensor, shape (n, k)
        False where there are fewer than k sets.
    """
    sets = torch.zeros(len(context), k, generator.n_labels, dtype=torch.bool, device=context.device)
    present = torch.zeros(len(context), k, dtype=torch.bool, device=context.device)
    drawn = 0
    for _ in range(ROUNDS):
        short = (~present.all(1)).nonzero()[:, 0]
        if not len(short):
            return sets, present
        n_draws = max(k, drawn)
        new = draw_sets(
            generator,
            context[short],
            numbers[short.cpu()],
            n_draws=n_draws,
            first_draw=drawn,
            seed=seed,
            temperature=temperature,
            constraints=constraints,
        )
        sets[short], present[short] = _add(sets[short], present[short], new, None, k)
        drawn += n_draws
    short = (~present.all(1)).nonzero()[:, 0]
    if len(short):
        likely = beam_search(generator, context[short], 2 * k, width=2 * k, constraints=constraints)
        sets[short], present[short] = _add(
            sets[short], present[short], likely.sets, likely.present, k
        )
    return sets, present


def _add(
    sets: Tensor, present: Tensor, new: Tensor, new_present: Tensor | None, k: int
) -> tuple[Tensor, Tensor]:
    there = new.new_ones(new.shape[:2]) if new_present is None else new_present
    return first_different(torch.cat([sets, new], 1), torch.cat([present, there], 1), k)


def _walk(
    generator: LabelSetGenerator,
    context: Tensor,
    numbers: Tensor,
    n_draws: int,
    first_draw: int,
    seed: int,
    temperature: float,
    rules: SetConstraints,
) -> Tensor:
    device = context.device
    row = torch.arange(len(context), device=device).repeat_interleave(n_draws)
    number = numbers.repeat_interleave(n_draws)
    attempt = (torch.arange(n_draws) + first_draw).repeat(len(context))
    chosen = torch.zeros(len(row), generator.n_labels, dtype=torch.bool, device=device)
    added = torch.zeros(len(row), context.shape[1], dtype=context.dtype, device=device)
    walking = torch.arange(len(row), device=device)
    for step in range(generator.n_labels + 1):
        log_probs = generator.log_probs(
            context[row[walking]], added[walking], rules.blocked(chosen[walking]), temperature
        )
        here = walking.cpu()
        uniform = random_uniform(SETS, DRAWS, seed, number[here], attempt[here], step)
        taken = draw(log_probs.exp(), uniform.to(device))
        goes_on = taken != generator.end
        walking, taken = walking[goes_on], taken[goes_on]
        if not len(walking):
            break
        chosen[walking, taken] = True
        added[walking] += generator.chosen[taken]
    return chosen.view(len(context), n_draws, -1)
