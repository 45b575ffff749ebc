"""The figures that a report is made of, as they are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import UndefinedError

from fairpo._checks import file_error

METRICS = "metrics.json"

_BEGUN = {"study.yaml": "`fairpo study run {}`", "sweep.yaml": "The same `fairpo sweep`"}
"""What a study or sweep writes first, and what goes on with it."""

Made = TypeVar("Made")

_FAULTS = (ValueError, LookupError, TypeError, AttributeError, UndefinedError)
"""What figures that are not those of a report raise where they are used."""


def make_from(folder: Path, make: Callable[[dict[str, Any]], Made]) -> Made:
    """Make something of the figures of a folder.

    Raises
    ------
    FairPOFileError
        ``metrics.json`` is missing or broken, or does not hold what is needed.
    """
    source = folder / METRICS
    try:
        text = source.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        begun = next((again for name, again in _BEGUN.items() if (folder / name).is_file()), None)
        if begun is None:
            do = "Give the folder of a run or study."
            raise file_error(folder, "does not hold a run or study", do) from error
        do = f"{begun.format(folder)} goes on with it, and makes the report."
        raise file_error(folder, "holds a study that has not ended", do) from error
    except OSError as error:
        raise file_error(source, f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise file_error(source, f"cannot be read ({error.reason})") from error
    try:
        return make(json.loads(text))
    except _FAULTS as error:
        raise file_error(source, f"does not hold the figures of a report ({error!r})") from error
