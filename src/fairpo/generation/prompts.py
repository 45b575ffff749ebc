"""Prompts to be completed: the embedded task's, or rows of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fairpo._checks import file_error
from fairpo.data.json_lines import read_json_lines
from fairpo.generation.readers import EMBEDDED
from fairpo.generation.texts import is_empty, is_text

COMPLETION = "completion"
"""Column that is added to the rows."""

_MOST_FAULTS = 5

_LINE = 'A line is {"prompt": "..."}, with text or messages that say something.'


def read_prompts(source: str) -> list[dict[str, Any]]:
    """Read rows with a prompt.

    Parameters
    ----------
    source : str
        ``verses``, its test prompts; or a ``.jsonl`` file, one object a line with a ``prompt``
        that is text or messages. Other columns stay in the rows.

    Raises
    ------
    FairPOFileError
        The file cannot be read, by line where it is not JSON; holds no prompt, or lines without
        one: named, the first five; or has a column ``completion`` already, which would be lost.
    """
    if source == EMBEDDED:
        from fairpo.generation.verses import make_verses

        return [{"prompt": prompt} for prompt in make_verses().prompts["test"]]
    path = Path(source)
    if path.suffix != ".jsonl":
        raise file_error(source, "is no .jsonl file", _LINE)
    rows, lines = read_json_lines(path)
    if not rows:
        raise file_error(path, "holds no prompt")
    faulty = [line for row, line in zip(rows, lines, strict=True) if not _has_prompt(row)]
    if faulty:
        named = ", ".join(map(str, faulty[:_MOST_FAULTS]))
        raise file_error(
            path,
            f"{len(faulty)} lines hold no prompt, among them {named}",
            _LINE,
        )
    if any(COMPLETION in row for row in rows):
        raise file_error(
            path, f"has a column {COMPLETION!r}, which is to be written", "Rename the column."
        )
    return rows


def _has_prompt(row: dict[str, Any]) -> bool:
    prompt = row.get("prompt")
    return is_text(prompt) and not is_empty(prompt)
