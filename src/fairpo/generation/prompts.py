"""Prompts to be completed: the embedded task's, or rows of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fairpo._checks import file_error
from fairpo.generation.readers import EMBEDDED
from fairpo.generation.texts import is_empty, is_text

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
        The file cannot be read, holds no prompt, or lines that are none: named, the first five.
    """
    if source == EMBEDDED:
        from fairpo.generation.verses import make_verses

        return [{"prompt": prompt} for prompt in make_verses().prompts["test"]]
    path = Path(source)
    if path.suffix != ".jsonl":
        raise file_error(source, "is no .jsonl file", _LINE)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise file_error(path, f"cannot be read ({error})") from error
    rows, faults = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        row = _row(line)
        rows.append(row)
        if row is None:
            faults.append(number)
    if faults:
        named = ", ".join(map(str, faults[:_MOST_FAULTS]))
        raise file_error(
            path,
            f"{len(faults)} lines hold no prompt, among them {named}",
            _LINE,
        )
    if not rows:
        raise file_error(path, "holds no prompt")
    return [row for row in rows if row is not None]


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    prompt = row.get("prompt") if isinstance(row, dict) else None
    return row if is_text(prompt) and not is_empty(prompt) else None
