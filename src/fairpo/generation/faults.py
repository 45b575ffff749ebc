"""What can be wrong with a preference pair: found, counted, named by row, refused or dropped."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import FairPOValueError, type_error, value_error
from fairpo.generation.texts import Text, is_empty, is_text, plain_text, text_key

Invalid = Literal["error", "drop"]

PromptLength = Callable[[Text], int]
"""Length of a prompt, in whatever unit the limit has: tokens are the trainer's business."""

NOT_TEXT = "with a prompt or completion that is neither text nor messages"
MIXED = "with plain text and messages mixed"
NO_PROMPT = "without a prompt"
EMPTY = "with an empty completion"
EQUAL = "with chosen equal to rejected"
NO_ATTRIBUTE = "without an attribute"
UNKNOWN_ATTRIBUTE = "with an unknown attribute"
LONG_PROMPT = "with a prompt over the limit"
DUPLICATE = "that repeat another"

_SHOWN = 20


@dataclass(frozen=True)
class PairRows:
    """Pairs as they were read, before any check.

    Parameters
    ----------
    source : str
        File or data set, for messages.
    prompts, chosen, rejected : sequences, length n
        Of texts, if all is well.
    attributes : sequence, length n
        Names, if all is well.
    places : sequence of str or int, length n
        What messages call the rows.
    word : str
        What a place is: "line" or "row".
    unreadable : mapping from row to str, optional
        Rows that the reader could not read, and what is wrong with them, in the words of a list:
        "with a transcript that ...".
    """

    source: str
    prompts: Sequence[Any]
    chosen: Sequence[Any]
    rejected: Sequence[Any]
    attributes: Sequence[Any]
    places: Sequence[str | int]
    word: str = "row"
    unreadable: dict[int, str] | None = None

    def __len__(self) -> int:
        return len(self.prompts)

    def named(self, rows: Iterable[int]) -> str:
        """Name rows in a message, the first ones of many."""
        places = [str(self.places[row]) for row in rows]
        word = self.word if len(places) == 1 else f"{self.word}s"
        more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
        return f"{word} {', '.join(places[:_SHOWN])}{more}"


def find_text_faults(
    prompts: Sequence[Any], chosen: Sequence[Any], rejected: Sequence[Any]
) -> dict[str, list[int]]:
    """Rows whose texts cannot be a pair, by what is wrong with them; a row is named once."""
    faults: dict[str, list[int]] = {}
    for row, texts in enumerate(zip(prompts, chosen, rejected, strict=True)):
        fault = _text_fault(*texts)
        if fault:
            faults.setdefault(fault, []).append(row)
    return faults


def _text_fault(prompt: Any, chosen: Any, rejected: Any) -> str | None:
    if not (is_text(prompt) and is_text(chosen) and is_text(rejected)):
        return NOT_TEXT
    if not isinstance(prompt, str) == isinstance(chosen, str) == isinstance(rejected, str):
        return MIXED
    if is_empty(chosen) or is_empty(rejected):
        return EMPTY
    if chosen == rejected:
        return EQUAL
    return NO_PROMPT if not prompt or not plain_text(prompt).strip() else None


def find_faults(
    rows: PairRows,
    *,
    attribute_names: Collection[str] | None = None,
    max_prompt_length: int | None = None,
    prompt_length: PromptLength | None = None,
) -> dict[str, list[int]]:
    """Find every row that is not a sound pair.

    Parameters
    ----------
    rows : PairRows
    attribute_names : collection of str, optional
        The attributes there are; any name will do when not given.
    max_prompt_length : int, optional
        Longest prompt, in the unit of ``prompt_length``; no limit when not given.
    prompt_length : callable, optional
        Needed with a limit.

    Returns
    -------
    dict from what is wrong to the rows, ascending
        A row stands under the first thing that is wrong with it, so that the lists together hold
        each faulty row once. Of rows that repeat each other the first is sound.

    Raises
    ------
    FairPOValueError
        A limit without a length, or the other way round.
    """
    if (max_prompt_length is None) != (prompt_length is None):
        raise value_error(
            "max_prompt_length and prompt_length",
            must="be given together",
            got="one of them",
            do="A limit is in the unit of a function, such as lambda text: len(text.split()).",
        )
    faults: dict[str, list[int]] = {}
    for row, words in (rows.unreadable or {}).items():
        faults.setdefault(words, []).append(row)
    texts = find_text_faults(rows.prompts, rows.chosen, rows.rejected)
    found = {row: fault for fault, numbers in texts.items() for row in numbers}
    seen: set[Any] = set()
    for row, attribute in enumerate(rows.attributes):
        if rows.unreadable and row in rows.unreadable:
            continue
        fault = found.get(row) or _attribute_fault(attribute, attribute_names)
        if fault is None and max_prompt_length is not None and prompt_length is not None:
            fault = LONG_PROMPT if prompt_length(rows.prompts[row]) > max_prompt_length else None
        if fault is None:
            texts_of = (rows.prompts[row], rows.chosen[row], rows.rejected[row])
            key = (attribute.strip(), *map(text_key, texts_of))
            fault = DUPLICATE if key in seen else None
            seen.add(key)
        if fault is not None:
            faults.setdefault(fault, []).append(row)
    return faults


def _attribute_fault(attribute: Any, known: Collection[str] | None) -> str | None:
    if not isinstance(attribute, str) or not attribute.strip():
        return NO_ATTRIBUTE
    return UNKNOWN_ATTRIBUTE if known is not None and attribute.strip() not in known else None


def settle_faults(
    rows: PairRows, faults: dict[str, list[int]], invalid: Invalid
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Refuse faulty rows, or drop them and say so.

    Parameters
    ----------
    rows : PairRows
    faults : dict
        Of :func:`find_faults`.
    invalid : "error" or "drop"

    Returns
    -------
    (kept, notes) : rows that are sound, and a note for each kind of fault that was dropped

    Raises
    ------
    FairPOValueError
        There are faults and ``invalid`` is "error", or nothing is left.
    """
    if invalid not in ("error", "drop"):
        raise value_error("invalid", must="be 'error' or 'drop'", got=repr(invalid))
    named = [f"{len(numbers)} {fault} ({rows.named(numbers)})" for fault, numbers in faults.items()]
    n_faulty = sum(map(len, faults.values()))
    if faults and invalid == "error":
        raise FairPOValueError(
            f"{rows.source}: the pairs must all be sound, got {n_faulty} of {len(rows)} that are "
            f"not: {'; '.join(named)}.{_advice(rows, faults)} Mend them, or leave them out with "
            "invalid='drop' (--data-option invalid=drop)."
        )
    if n_faulty == len(rows):
        got = "; ".join(named) or "no rows"
        raise value_error(f"{rows.source}: the pairs", must="hold a sound one", got=got)
    faulty = {row for numbers in faults.values() for row in numbers}
    kept = np.array([row for row in range(len(rows)) if row not in faulty], dtype=np.int64)
    return kept, tuple(f"dropped {words}" for words in named)


def _advice(rows: PairRows, faults: dict[str, list[int]]) -> str:
    unknown = {str(rows.attributes[row]) for row in faults.get(UNKNOWN_ATTRIBUTE, ())}
    return f" Unknown: {', '.join(map(repr, sorted(unknown)[:5]))}." if unknown else ""


def require_texts(values: Any, what: str) -> None:
    """Refuse a single text where a sequence of texts belongs: its letters would be taken.

    Raises
    ------
    FairPOTypeError
    """
    if isinstance(values, str):
        raise type_error(what, must="be a sequence of texts", got="one text")
