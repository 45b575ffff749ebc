"""What a judge is asked about: prompts of held-out pairs, and the attributes they are judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairpo.generation.judges.judge import Judge
from fairpo.generation.preferences import PreferencePairs
from fairpo.generation.texts import Text


@dataclass(frozen=True)
class Questions:
    """Prompts to be completed, and rows of a prompt and an attribute to be judged.

    Parameters
    ----------
    prompts : tuple of Text, length m
        Each once: what models complete.
    places : int64 array, shape (n,)
        Row to prompt.
    attributes : int64 array, shape (n,)
        What each row is judged by.
    attribute_names : tuple of str
    """

    prompts: tuple[Text, ...]
    places: NDArray[np.int64]
    attributes: NDArray[np.int64]
    attribute_names: tuple[str, ...]


def questions_of(
    pairs: PreferencePairs, *, every_attribute: bool, n_prompts: int | None = None
) -> Questions:
    """Take the prompts of pairs.

    Parameters
    ----------
    pairs : PreferencePairs
    every_attribute : bool
        Whether each prompt is judged by every attribute, as programs do at no cost; by those that
        drive its pairs otherwise.
    n_prompts : int, optional
        Most prompts: some from all places of the set, which may be in the order of attributes.

    Returns
    -------
    Questions
        Rows by prompt, in the order of the pairs.
    """
    number = pairs.prompt_numbers
    first = np.unique(number, return_index=True)[1]
    kept = np.arange(len(first))
    if n_prompts is not None and n_prompts < len(first):
        kept = np.unique(np.linspace(0, len(first) - 1, n_prompts).round().astype(np.int64))
    n_attributes = len(pairs.attribute_names)
    if every_attribute:
        places = np.repeat(np.arange(len(kept)), n_attributes)
        attributes = np.tile(np.arange(n_attributes), len(kept))
    else:
        rows = np.flatnonzero(np.isin(number, kept))
        asked = np.unique(np.stack([number[rows], pairs.attributes[rows]], axis=1), axis=0)
        places, attributes = np.searchsorted(kept, asked[:, 0]), asked[:, 1]
    return Questions(
        tuple(pairs.prompts[row] for row in first[kept]),
        places.astype(np.int64),
        attributes.astype(np.int64),
        pairs.attribute_names,
    )


def check_asked(judge: Judge, questions: Questions) -> None:
    """Refuse, before any work, a judge that knows nothing of an attribute it will be asked about.

    Raises
    ------
    FairPOValueError
        As the judge words it.
    """
    for place in np.unique(questions.attributes).tolist():
        judge.compare([], [], [], questions.attribute_names[place])


def ask(
    judge: Judge, questions: Questions, first: list[str], second: list[str]
) -> NDArray[np.float64]:
    """Ask a judge about two models' completions.

    Parameters
    ----------
    judge : Judge
    questions : Questions
        With n rows of m prompts.
    first, second : list of str, length m

    Returns
    -------
    float64 array, shape (n,)
        1 the first won, 0 the second, 0.5 a tie, NaN no verdict.
    """
    verdicts = np.full(len(questions.places), np.nan)
    for at, attribute in enumerate(questions.attribute_names):
        rows = np.flatnonzero(questions.attributes == at)
        if not len(rows):
            continue
        places = questions.places[rows].tolist()
        verdicts[rows] = judge.compare(
            [questions.prompts[place] for place in places],
            [first[place] for place in places],
            [second[place] for place in places],
            attribute,
        )
    return verdicts


def sample_lines(
    questions: Questions,
    written: Mapping[str, Sequence[str]],
    verdicts: Mapping[str, NDArray[np.float64]],
) -> list[dict[str, Any]]:
    """Write what models wrote, and what was said of it, as JSON can hold it.

    Parameters
    ----------
    questions : Questions
        With n rows of m prompts.
    written : mapping from model to completions, length m
    verdicts : mapping from model to float array, shape (n,)

    Returns
    -------
    list of dict, length m
        Each with ``prompt``, ``completions`` (model to text) and ``verdicts`` (model to attribute
        to verdict, None where there is none).
    """
    names = questions.attribute_names
    lines: list[dict[str, Any]] = [
        {
            "prompt": prompt,
            "completions": {name: texts[place] for name, texts in written.items()},
            "verdicts": {name: {} for name in verdicts},
        }
        for place, prompt in enumerate(questions.prompts)
    ]
    rows = zip(questions.places.tolist(), questions.attributes.tolist(), strict=True)
    for row, (place, attribute) in enumerate(rows):
        for name, own in verdicts.items():
            said = None if np.isnan(own[row]) else float(own[row])
            lines[place]["verdicts"][name][names[attribute]] = said
    return lines
