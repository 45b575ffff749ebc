"""The figures that a report is made of, as they are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import UndefinedError

from fairpo._checks import FairPOFileError, file_error

METRICS = "metrics.json"
COMPARISON, LOGS, SAMPLES = "comparison.json", "logs.jsonl", "samples.jsonl"
"""Of a comparison of language models."""

Made = TypeVar("Made")

_FAULTS = (ValueError, LookupError, TypeError, AttributeError, UndefinedError)
"""What figures that are not those of a report raise where they are used."""


def make_from(folder: Path, make: Callable[[dict[str, Any]], Made]) -> Made:
    """Make something of the figures of a folder.

    Those of a run or study are in ``metrics.json``; those of a comparison of language models in
    ``comparison.json``, to which the lines of ``logs.jsonl`` and ``samples.jsonl`` are added as
    ``logs`` and ``samples``.

    Raises
    ------
    FairPOFileError
        A file is missing or broken, or does not hold what is needed.
    """
    compared = (folder / COMPARISON).is_file()
    source = folder / (COMPARISON if compared else METRICS)
    figures = _read(source, json.loads)
    if compared:
        added = {name: _read(folder / name, _lines) for name in (LOGS, SAMPLES)}
        figures = {**figures, "logs": added[LOGS], "samples": added[SAMPLES]}
    try:
        return make(figures)
    except _FAULTS as error:
        raise _foreign(source, error) from error


def is_language_models(figures: dict[str, Any]) -> bool:
    """Whether these are the figures of a comparison of language models."""
    return "samples" in figures


def _read(source: Path, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise file_error(source, f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise file_error(source, f"cannot be read ({error.reason})") from error
    except ValueError as error:
        raise _foreign(source, error) from error


def _lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def _foreign(source: Path, error: Exception) -> FairPOFileError:
    return file_error(source, f"does not hold the figures of a report ({error!r})")
