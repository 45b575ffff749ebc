"""Rating sets as they are published: UltraFeedback, and tables such as HelpSteer2's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairpo.generation.ratings import RatedCompletions
from fairpo.generation.readers.options import PairOptions
from fairpo.generation.readers.rows import Table, read_splits

ULTRAFEEDBACK_ASPECTS = ("instruction_following", "honesty", "truthfulness", "helpfulness")
HELPSTEER_ASPECTS = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")


def is_ultrafeedback(columns: Sequence[str]) -> bool:
    """Whether columns are UltraFeedback's: an instruction, and its completions in a list."""
    return {"instruction", "completions"} <= set(columns)


def is_helpsteer(columns: Sequence[str]) -> bool:
    """Whether columns are HelpSteer2's: a prompt, a response and five ratings."""
    return {"prompt", "response", *HELPSTEER_ASPECTS} <= set(columns)


def ultrafeedback(table: Table, options: PairOptions) -> RatedCompletions:
    """Read UltraFeedback: a row for each instruction, with its four completions and ratings [1]_.

    An aspect without a number ("N/A") was not rated. Places are "12.3": completion 3 of row 12.

    Parameters
    ----------
    table : Table
        Columns ``instruction`` and ``completions``, a list of ``{"response": ..., "annotations":
        {aspect: {"Rating": ...}}}``.
    options : PairOptions

    References
    ----------
    .. [1] Cui et al., "UltraFeedback: Boosting Language Models with Scaled AI Feedback", 2024.
    """
    splits = read_splits(table, options)
    prompts, completions, ratings, places, split_of = [], [], [], [], []
    for row, (instruction, answers) in enumerate(
        zip(table.column("instruction"), table.column("completions"), strict=True)
    ):
        if not isinstance(answers, list) or not all(isinstance(one, Mapping) for one in answers):
            raise table.at(row, f"completions must be a list of objects, got {answers!r:.60}")
        for number, answer in enumerate(answers):
            given = answer.get("annotations") or {}
            prompts.append(instruction)
            completions.append(answer.get("response"))
            ratings.append([_number(_rating(given.get(name))) for name in ULTRAFEEDBACK_ASPECTS])
            places.append(f"{table.places[row]}.{number}")
            split_of.append(splits[row] if splits else "train")
    return RatedCompletions(
        prompts,
        completions,
        np.array(ratings, dtype=np.float64).reshape(-1, len(ULTRAFEEDBACK_ASPECTS)),
        ULTRAFEEDBACK_ASPECTS,
        places,
        split_of if splits else None,
    )


def rated_table(
    table: Table,
    options: PairOptions,
    *,
    aspects: Sequence[str] = HELPSTEER_ASPECTS,
    completion: str = "response",
) -> RatedCompletions:
    """Read a table with a row for each completion and a column for each aspect.

    The defaults are HelpSteer2's [1]_, whose two responses to a prompt are two rows. Its longer
    dialogues stay the plain text they are.

    Parameters
    ----------
    table : Table
    options : PairOptions
        ``prompt`` and ``split`` name columns.
    aspects : sequence of str
        Columns of ratings; a cell that is no number was not rated.
    completion : str
        Column of completions.

    References
    ----------
    .. [1] Wang et al., "HelpSteer2: Open-source dataset for training top-performing reward
       models", 2024.
    """
    do = "A rating set has columns of prompts, completions and ratings."
    columns = [table.require_column(name, do) for name in aspects]
    return RatedCompletions(
        table.require_column(options.prompt, do),
        table.require_column(completion, do),
        _numbers(columns),
        tuple(aspects),
        table.places,
        read_splits(table, options),
    )


def _numbers(columns: Sequence[Sequence[Any]]) -> NDArray[np.float64]:
    return np.array([[_number(value) for value in column] for column in columns]).T


def _rating(annotation: Any) -> Any:
    return annotation.get("Rating") if isinstance(annotation, Mapping) else None


def _number(value: Any) -> float:
    """A rating as a number, NaN where it is none: "N/A", nothing, infinity."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return np.nan
    return number if np.isfinite(number) else np.nan
