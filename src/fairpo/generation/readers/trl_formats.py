"""TRL's preference formats: explicit or implicit prompt, plain or conversational."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from fairpo._checks import file_error
from fairpo.generation.faults import PairRows
from fairpo.generation.readers.options import ATTRIBUTE_COLUMN, PairOptions
from fairpo.generation.readers.rows import Table
from fairpo.generation.texts import is_text


def pair_rows(table: Table, options: PairOptions) -> tuple[PairRows, tuple[str, ...]]:
    """Bring the rows of a table into one form: prompt, completions alone, attribute.

    Parameters
    ----------
    table : Table
        With the columns that ``options`` name. Without a column of prompts, or in a row whose
        prompt is plain and whose completions are conversations, the prompt is what chosen and
        rejected share, as in TRL.
    options : PairOptions

    Returns
    -------
    (rows, notes)
        Completions that begin with their prompt all the same lose it: conversations row by row,
        plain texts where every row of the source is so.

    Raises
    ------
    FairPOFileError
        A column that is not there, with those that are.
    """
    named = "The options chosen, rejected and prompt name columns."
    chosen = [_as_text(value) for value in table.require_column(options.chosen, named)]
    rejected = [_as_text(value) for value in table.require_column(options.rejected, named)]
    if options.prompt in table.columns:
        prompts = [_as_text(value) for value in table.column(options.prompt)]
    elif options.prompt == PairOptions.model_fields["prompt"].default:
        prompts = [None] * len(table.rows)
    else:
        raise file_error(table.source, f"has no column {options.prompt!r}", named)
    implicit = options.prompt not in table.columns
    notes = ["the prompt is what chosen and rejected share"] if implicit else []
    parts = [
        _parted(*texts, implicit=implicit) for texts in zip(prompts, chosen, rejected, strict=True)
    ]
    if not implicit and all(_repeats_prompt(*texts) for texts in parts):
        parts = [(p, c[len(p) :], r[len(p) :]) for p, c, r in parts]
        notes.append("chosen and rejected begin with the prompt, which they lose")
    attributes, attribute_notes = _attributes(table, options)
    rows = PairRows(
        source=table.source,
        prompts=[part[0] for part in parts],
        chosen=[part[1] for part in parts],
        rejected=[part[2] for part in parts],
        attributes=attributes,
        places=table.places,
        word=table.word,
    )
    return rows, (*notes, *attribute_notes)


def split_shared(chosen: Any, rejected: Any) -> tuple[Any, Any, Any]:
    """Split what two texts begin with from where they part: TRL's rule for implicit prompts.

    A blank before the place where plain texts part goes to the completions. Equal texts are not
    split.

    Examples
    --------
    >>> split_shared("The sky is blue.", "The sky is green.")
    ('The sky is', ' blue.', ' green.')
    """
    if chosen == rejected:
        return chosen[:0], chosen, rejected
    pairs = zip(chosen, rejected, strict=False)
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    plain = isinstance(chosen, str)
    if plain and shared and chosen[shared - 1] == " ":
        shared -= 1
    return chosen[:shared], chosen[shared:], rejected[shared:]


def _parted(prompt: Any, chosen: Any, rejected: Any, *, implicit: bool) -> tuple[Any, Any, Any]:
    if not (is_text(chosen) and is_text(rejected)) or type(chosen) is not type(rejected):
        return prompt, chosen, rejected  # a fault, to be found and named with the others
    if implicit:
        return split_shared(chosen, rejected)
    if isinstance(chosen, str):
        return prompt, chosen, rejected
    if isinstance(prompt, str):
        shared, chosen, rejected = split_shared(chosen, rejected)
        return shared or [{"role": "user", "content": prompt}], chosen, rejected
    if isinstance(prompt, list) and chosen[: len(prompt)] == rejected[: len(prompt)] == prompt:
        return prompt, chosen[len(prompt) :], rejected[len(prompt) :]
    return prompt, chosen, rejected


def _repeats_prompt(prompt: Any, chosen: Any, rejected: Any) -> bool:
    texts = (prompt, chosen, rejected)
    return (
        all(isinstance(text, str) for text in texts)
        and bool(prompt)
        and all(text.startswith(prompt) for text in texts)
    )


def _attributes(table: Table, options: PairOptions) -> tuple[list[Any], tuple[str, ...]]:
    constant = options.constant_attribute
    if constant is not None:
        unread = ATTRIBUTE_COLUMN in table.columns
        note = f"the column {ATTRIBUTE_COLUMN} is not read: constant_attribute is given"
        return [constant] * len(table.rows), (note,) if unread else ()
    column = options.attribute or ATTRIBUTE_COLUMN
    do = (
        "Name it by the option attribute (--data-option attribute=COLUMN), or say "
        "constant_attribute where one drives every pair."
    )
    return table.require_column(column, do), ()


def _as_text(value: Any) -> Any:
    """A cell as text or messages, as far as it is; what Parquet fills up with nothing is left out.

    Of a message, Parquet writes every key that any message has, as None where it has none.
    """
    if not isinstance(value, list):
        return value
    return [
        {key: part for key, part in turn.items() if part is not None}
        if isinstance(turn, dict)
        else turn
        for turn in value
    ]
