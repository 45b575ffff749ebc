"""One door to preference pairs: files, Hugging Face data sets, rating sets, the embedded task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fairpo._checks import build_settings, unknown_name, value_error
from fairpo.data.base import SPLITS
from fairpo.generation.faults import PairRows, PromptLength, find_faults, settle_faults
from fairpo.generation.preferences import PreferencePairs
from fairpo.generation.ratings import RatedCompletions, pairs_from_ratings
from fairpo.generation.readers import hh_rlhf, rating_sets
from fairpo.generation.readers.options import PairOptions as PairOptions
from fairpo.generation.readers.rows import Table, read_splits, read_table
from fairpo.generation.readers.trl_formats import pair_rows
from fairpo.generation.texts import text_key

EMBEDDED = "verses"

_RATED: dict[str, Callable[[Table, PairOptions], RatedCompletions]] = {
    "ultrafeedback": rating_sets.ultrafeedback,
    "helpsteer": rating_sets.rated_table,
}

FORMATS = {
    "pairs": "JSONL, JSON, Parquet or a Hugging Face data set in TRL's preference formats",
    "hh-rlhf": "folder with Anthropic's helpful-* and harmless-*",
    "ultrafeedback": "table with columns instruction and completions",
    "helpsteer": "table with columns prompt, response and HelpSteer2's five ratings",
}
"""Kinds of preference data, and what each looks like."""


def load_pairs(
    source: Any,
    options: PairOptions | None = None,
    *,
    prompt_length: PromptLength | None = None,
    **changes: Any,
) -> dict[str, PreferencePairs]:
    """Load preference pairs with all three splits.

    Parameters
    ----------
    source : str, path, list of dict, or data set of Hugging Face
        ``verses``, the embedded task; a file or folder of one of :data:`FORMATS`; ``hf:NAME``.
    options : PairOptions, optional
        What the reader is told.
    prompt_length : callable, optional
        Length of a prompt, for ``max_prompt_length``.
    **changes
        Fields of :class:`PairOptions` over ``options``, such as ``invalid="drop"``.

    Returns
    -------
    dict from "train", "validation", "test" to PreferencePairs
        With the same ``attribute_names``. A split that the source lacks is taken from its training
        prompts, whole prompts at a time.

    Raises
    ------
    FairPOFileError
        The source is missing, damaged or not of a known kind; names file, line or column.
    FairPOValueError
        Pairs that are not sound, unless ``invalid="drop"``; no training pair.

    Examples
    --------
    >>> rows = [{"prompt": f"{n} + 1", "chosen": f" = {n + 1}", "rejected": "?"} for n in range(20)]
    >>> {name: len(part) for name, part in load_pairs(rows, constant_attribute="correct").items()}
    {'train': 16, 'validation': 2, 'test': 2}
    """
    told = _told(options, changes)
    parts = read_pairs(source, told, prompt_length=prompt_length)
    if "train" not in parts:
        got = f"only {', '.join(parts)}"
        raise value_error(f"{_name(source)}: the pairs", must="hold a train split", got=got)
    train = parts["train"]
    for name, fraction in (("test", told.test_fraction), ("validation", told.validation_fraction)):
        if name not in parts:
            train, parts[name] = train.split(fraction, seed=told.split_seed)
    parts["train"] = train
    return {name: parts[name] for name in SPLITS}


def read_pairs(
    source: Any,
    options: PairOptions | None = None,
    *,
    prompt_length: PromptLength | None = None,
    **changes: Any,
) -> dict[str, PreferencePairs]:
    """Read preference pairs with the splits the source has; "train" holds all where it has none.

    Parameters and errors are those of :func:`load_pairs`. Notes name what was dropped, attributes
    without a training pair, and prompts that are in two splits.
    """
    told = _told(options, changes)
    if (told.max_prompt_length is None) != (prompt_length is None):
        raise value_error(
            "max_prompt_length and prompt_length",
            must="be given together",
            got="one of them",
            do="The limit is in the unit of the function, such as lambda text: len(text.split()).",
        )
    return _noted(_read(source, told, prompt_length))


def _read(
    source: Any, told: PairOptions, prompt_length: PromptLength | None
) -> dict[str, PreferencePairs]:
    if told.format not in (None, *FORMATS):
        raise unknown_name("format", told.format, FORMATS, of="formats")
    if isinstance(source, str) and source == EMBEDDED:
        from fairpo.generation.verses import make_verses

        made = make_verses().pairs
        return {name: _within(part, told, prompt_length) for name, part in made.items()}
    if isinstance(source, str | Path):
        path = told.of_files().find(source)
        if told.format == "hh-rlhf" or (told.format is None and hh_rlhf.recognises(path)):
            return _checked(*hh_rlhf.read(path), told, prompt_length)
    table = read_table(source, told)
    kind = told.format or _recognised(table)
    if kind in _RATED:
        return _rated(_RATED[kind](table, told), table, told, prompt_length)
    rows, notes = pair_rows(table, told)
    splits = read_splits(table, told) or ["train"] * len(rows)
    return _checked(rows, splits, (*table.notes, *notes), told, prompt_length)


def _told(options: PairOptions | None, changes: dict[str, Any]) -> PairOptions:
    told = options or PairOptions()
    return build_settings(PairOptions, {**told.model_dump(), **changes}) if changes else told


def _name(source: Any) -> str:
    if isinstance(source, str | Path):
        return Path(str(source).removeprefix("hf:")).name.partition(".")[0]
    return "pairs"


def _recognised(table: Table) -> str:
    columns = table.columns
    if rating_sets.is_ultrafeedback(columns):
        return "ultrafeedback"
    return "helpsteer" if rating_sets.is_helpsteer(columns) else "pairs"


def _checked(
    rows: PairRows,
    splits: list[str],
    notes: tuple[str, ...],
    told: PairOptions,
    prompt_length: PromptLength | None,
) -> dict[str, PreferencePairs]:
    """Sound rows as pairs, one object for each split."""
    faults = find_faults(
        rows,
        attribute_names=told.attribute_names,
        max_prompt_length=told.max_prompt_length,
        prompt_length=prompt_length,
    )
    kept, dropped = settle_faults(rows, faults, told.invalid)
    found = [rows.attributes[row].strip() for row in kept]
    names = told.attribute_names or tuple(sorted(set(found)))
    place = {name: index for index, name in enumerate(names)}
    pairs = PreferencePairs(
        prompts=tuple(rows.prompts[row] for row in kept),
        chosen=tuple(rows.chosen[row] for row in kept),
        rejected=tuple(rows.rejected[row] for row in kept),
        attributes=np.array([place[name] for name in found], dtype=np.int64),
        attribute_names=names,
        name=_name(rows.source),
        notes=(*notes, *dropped),
    )
    split = np.array(splits)[kept]
    return {name: pairs.subset(split == name) for name in SPLITS if (split == name).any()}


def _rated(
    rated: RatedCompletions, table: Table, told: PairOptions, prompt_length: PromptLength | None
) -> dict[str, PreferencePairs]:
    """Pairs of a rating set, made within each split; ``attribute_names`` chooses its aspects."""
    for aspect in told.attribute_names or ():
        if aspect not in rated.aspects:
            raise unknown_name("attribute", aspect, rated.aspects, of="aspects that are rated")
    aspects = told.attribute_names or rated.aspects
    ratings = rated.ratings[:, [rated.aspects.index(aspect) for aspect in aspects]]
    splits = np.array(rated.splits or ["train"] * len(rated.prompts))
    places = rated.places or range(len(rated.prompts))
    parts = {}
    for name in [split for split in SPLITS if (splits == split).any()]:
        rows = np.flatnonzero(splits == name).tolist()
        pairs = pairs_from_ratings(
            [rated.prompts[row] for row in rows],
            [rated.completions[row] for row in rows],
            ratings[rows],
            aspects,
            margin=told.margin,
            pairs_per_prompt=told.pairs_per_prompt,
            name=_name(table.source),
            invalid=told.invalid,
            places=[places[row] for row in rows],
        )
        parts[name] = _within(pairs, told, prompt_length)
    return parts


def _within(
    pairs: PreferencePairs, told: PairOptions, prompt_length: PromptLength | None
) -> PreferencePairs:
    if told.max_prompt_length is None or prompt_length is None:
        return pairs
    return pairs.within(told.max_prompt_length, prompt_length, invalid=told.invalid)


def _noted(parts: dict[str, PreferencePairs]) -> dict[str, PreferencePairs]:
    """Parts with what their user should know: prompts in two splits, attributes not in training."""
    train = parts.get("train")
    if train is None:
        return parts
    seen = {text_key(prompt) for prompt in train.prompts}
    noted = {"train": replace(train, notes=(*train.notes, *_untrained(train)))}
    for name, part in parts.items():
        if name != "train":
            shared = len(seen & {text_key(prompt) for prompt in part.prompts})
            note = (f"{shared} prompts of {name} are in train too",) if shared else ()
            noted[name] = replace(part, notes=(*part.notes, *note))
    return noted


def _untrained(train: PreferencePairs) -> tuple[str, ...]:
    absent = [name for name, n in zip(train.attribute_names, train.counts, strict=True) if not n]
    return (f"attributes without a training pair: {', '.join(absent)}",) if absent else ()
