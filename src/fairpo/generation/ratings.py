"""Pairs from ratings: of two completions of one prompt, the one that an aspect rates higher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairpo._checks import check_same_length, check_unique, value_error
from fairpo.generation.faults import Invalid, PairRows, find_faults, require_texts, settle_faults
from fairpo.generation.preferences import PreferencePairs
from fairpo.generation.texts import Text, is_empty, is_text, text_numbers

_SHOWN = 10


class RatedCompletions(NamedTuple):
    """Completions as a rating set holds them, one row each.

    ``prompts`` and ``completions`` have length n, ``ratings`` shape (n, aspects), NaN where an
    aspect was not rated, ``aspects`` their names. ``places`` is what messages call the rows, and
    ``splits`` the split of each row, where the source says it.
    """

    prompts: Sequence[Any]
    completions: Sequence[Any]
    ratings: NDArray[np.float64]
    aspects: tuple[str, ...]
    places: Sequence[str | int] | None = None
    splits: Sequence[str] | None = None


class RatedPairs(NamedTuple):
    """Pairs of rows, the higher rated first.

    All of length m: ``chosen`` and ``rejected`` are row numbers, ``attributes`` the aspect that
    drives the pair, ``agreement`` (m, aspects) the sign of every aspect's difference.
    """

    chosen: NDArray[np.int64]
    rejected: NDArray[np.int64]
    attributes: NDArray[np.int64]
    agreement: NDArray[np.int8]


def pairs_from_ratings(
    prompts: Sequence[Text],
    completions: Sequence[Text],
    ratings: ArrayLike,
    aspects: Sequence[str],
    *,
    margin: float = 1.0,
    pairs_per_prompt: int | None = 1,
    name: str = "ratings",
    invalid: Invalid = "error",
    places: Sequence[str | int] | None = None,
) -> PreferencePairs:
    """Make preference pairs of rated completions.

    Two completions of one prompt are a pair of every aspect whose ratings differ by ``margin`` or
    more; what the other aspects say of it stands in ``agreement``, so that conflicts are known.

    Parameters
    ----------
    prompts, completions : sequences of Text, length n
        A row for each completion. Rows of equal prompts belong together, wherever they stand.
    ratings : array, shape (n, aspects)
        Higher is better; NaN where an aspect was not rated.
    aspects : sequence of str
        Names of the columns; they become the attributes.
    margin : float > 0
        In the unit of the ratings; 1 is the smallest difference of ratings in whole points.
    pairs_per_prompt : int or None
        Most pairs of a prompt and aspect: those of the largest difference, among equals those
        that stand first. 1, so that a prompt of many completions counts no more than others;
        ``None`` keeps all.
    name : str
    invalid : "error" or "drop"
        What becomes of completions that are empty or no text, and of pairs of equal completions.
    places : sequence, length n, optional
        What messages call the rows; their numbers when not given.

    Returns
    -------
    PreferencePairs
        By prompt in the order of their first rows, then by aspect. No randomness.

    Raises
    ------
    FairPOValueError
        Different numbers of rows, infinite ratings, faulty rows, or no pair at all.

    Examples
    --------
    >>> ratings = [[5, 1], [2, 3]]
    >>> pairs = pairs_from_ratings(["Hi"] * 2, ["Hello!", "What?"], ratings, ["kind", "short"])
    >>> [(c, pairs.attribute_names[a]) for c, a in zip(pairs.chosen, pairs.attributes)]
    [('Hello!', 'kind'), ('What?', 'short')]
    >>> pairs.conflicts.tolist()
    [True, True]
    """
    require_texts(prompts, "prompts")
    require_texts(completions, "completions")
    table = _checked_ratings(ratings, aspects)
    check_same_length(
        {"prompts": len(prompts), "completions": len(completions), "ratings": len(table)}
    )
    if not margin > 0:
        raise value_error("margin", must="be greater than 0", got=margin)
    if pairs_per_prompt is not None and pairs_per_prompt < 1:
        raise value_error("pairs_per_prompt", must="be at least 1, or None", got=pairs_per_prompt)
    called = places if places is not None else range(len(prompts))
    sound, notes = _sound_rows(prompts, completions, called, name, invalid)
    groups = text_numbers([prompts[row] for row in sound])
    found = find_rated_pairs(groups, table[sound], margin, pairs_per_prompt)
    chosen, rejected = sound[found.chosen], sound[found.rejected]
    rows = PairRows(
        source=name,
        prompts=[prompts[row] for row in chosen],
        chosen=[completions[row] for row in chosen],
        rejected=[completions[row] for row in rejected],
        attributes=[str(aspects[index]) for index in found.attributes],
        places=[f"{called[a]} over {called[b]}" for a, b in zip(chosen, rejected, strict=True)],
        word="completion",
    )
    if not len(rows):
        raise value_error(
            f"the ratings of {name}",
            must=f"differ by {margin:g} or more within some prompt",
            got="no such pair",
            do="Rows of one prompt must hold equal prompts; margin is in the unit of the ratings.",
        )
    kept, dropped = settle_faults(rows, find_faults(rows), invalid)
    return PreferencePairs(
        prompts=tuple(rows.prompts[row] for row in kept),
        chosen=tuple(rows.chosen[row] for row in kept),
        rejected=tuple(rows.rejected[row] for row in kept),
        attributes=found.attributes[kept],
        attribute_names=tuple(map(str, aspects)),
        agreement=found.agreement[kept],
        name=name,
        notes=(*notes, *dropped),
    )


def find_rated_pairs(
    groups: NDArray[np.int64],
    ratings: NDArray[np.float64],
    margin: float,
    pairs_per_prompt: int | None,
) -> RatedPairs:
    """Find the pairs of rows within groups, by row number.

    Parameters
    ----------
    groups : int array, shape (n,)
        The prompt of each row, numbered from 0 in the order of their first rows.
    ratings : float array, shape (n, aspects)
        NaN where not rated.
    margin, pairs_per_prompt
        As in :func:`pairs_from_ratings`.
    """
    first, second = _pairs_within(groups)
    difference = ratings[first] - ratings[second]
    with np.errstate(invalid="ignore"):
        pair, aspect = np.nonzero(np.abs(difference) >= margin)  # NaN is not
    gap = difference[pair, aspect]
    order = np.lexsort((pair, -np.abs(gap), aspect, groups[first[pair]]))
    pair, aspect, gap = pair[order], aspect[order], gap[order]
    if pairs_per_prompt is not None:
        kept = _place_in_run(groups[first[pair]], aspect) < pairs_per_prompt
        pair, aspect, gap = pair[kept], aspect[kept], gap[kept]
    signs = np.sign(np.nan_to_num(difference[pair])) * np.sign(gap)[:, None]
    return RatedPairs(
        chosen=np.where(gap > 0, first[pair], second[pair]),
        rejected=np.where(gap > 0, second[pair], first[pair]),
        attributes=aspect.astype(np.int64),
        agreement=signs.astype(np.int8),
    )


def _pairs_within(groups: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs of rows (i, j), i < j, of one group: one step for each size of group."""
    by_group = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups)
    starts = np.cumsum(sizes) - sizes
    firsts, seconds = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for size in np.unique(sizes[sizes > 1]):
        left, right = np.triu_indices(size, k=1)
        start = starts[sizes == size][:, None]
        firsts.append(by_group[start + left].ravel())
        seconds.append(by_group[start + right].ravel())
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    order = np.lexsort((second, first))
    return first[order], second[order]


def _place_in_run(*keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of each entry in its run of equal keys, from 0; equal keys stand together."""
    places = np.arange(len(keys[0]))
    starts = np.ones(len(places), dtype=bool)
    starts[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    return np.asarray(places - np.maximum.accumulate(np.where(starts, places, 0)))


def _checked_ratings(ratings: ArrayLike, aspects: Sequence[str]) -> NDArray[np.float64]:
    require_texts(aspects, "aspects")
    check_unique([str(aspect) for aspect in aspects], "aspects")
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(aspects):
        raise value_error(
            "ratings",
            must=f"have a column for each of the {len(aspects)} aspects",
            got=f"shape {table.shape}",
        )
    if np.isinf(table).any():
        row = int(np.flatnonzero(np.isinf(table).any(axis=1))[0])
        raise value_error("ratings", must="be finite, or NaN", got=f"infinity in row {row}")
    return table


def _sound_rows(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    places: Sequence[str | int],
    name: str,
    invalid: Invalid,
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Rows that can be in a pair; the others are refused or dropped before any pair is made."""
    faulty = [
        row
        for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True))
        if not is_text(prompt) or not is_text(completion) or is_empty(completion)
    ]
    if not faulty:
        return np.arange(len(prompts)), ()
    more = f" and {len(faulty) - _SHOWN} more" if len(faulty) > _SHOWN else ""
    named = f"rows {', '.join(str(places[row]) for row in faulty[:_SHOWN])}{more}"
    if invalid == "error":
        raise value_error(
            f"the completions of {name}",
            must="all be text or messages, and not empty",
            got=f"{len(faulty)} of {len(prompts)} that are not ({named})",
            do="Mend them, or leave them out with invalid='drop' (--data-option invalid=drop).",
        )
    kept = np.setdiff1d(np.arange(len(prompts)), faulty)
    return kept, (f"dropped {len(faulty)} completions that are empty or no text ({named})",)
