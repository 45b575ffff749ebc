"""Scores of a trial as a file, from which its evidence is computed at any later time."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import file_error
from fairpo.experiments.runner import ModelScores, SplitScores
from fairpo.metrics import LabelBlockMetrics
from fairpo.models.checkpoint import write_atomic

_SPLITS = ("test", "validation")
_AP, _ROW, _VALUES = "ap", "row.", "values"


def write_scores(path: Path, models: Mapping[str, ModelScores]) -> None:
    """Write the scores of named models, atomically; no pickle."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, scores in models.items():
        for split in _SPLITS:
            arrays |= _arrays(f"{name}.{split}.", getattr(scores, split))
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    write_atomic(path, stream.getvalue())


def read_scores(path: Path) -> dict[str, ModelScores]:
    """Read what :func:`write_scores` wrote.

    Raises
    ------
    FairPOFileError
        The file is missing or not whole.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise file_error(
            path, f"is not a whole file of scores ({error})", "Delete it: its trial runs again."
        ) from error
    names = dict.fromkeys(key.split(".")[0] for key in arrays)
    return {
        name: ModelScores(*(_scores(f"{name}.{split}.", arrays) for split in _SPLITS))
        for name in names
    }


def _arrays(prefix: str, scores: SplitScores) -> dict[str, NDArray[Any]]:
    if not isinstance(scores, LabelBlockMetrics):
        return {prefix: np.ascontiguousarray(scores)}
    text = json.dumps(dict(scores.values))
    rows = {f"{prefix}{_ROW}{key}": values for key, values in scores.by_row.items()}
    values = np.frombuffer(text.encode(), dtype=np.uint8)
    return {f"{prefix}{_VALUES}": values, f"{prefix}{_AP}": scores.average_precision, **rows}


def _scores(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> SplitScores:
    if prefix in arrays:
        return arrays[prefix]
    row = f"{prefix}{_ROW}"
    return LabelBlockMetrics(
        json.loads(arrays[f"{prefix}{_VALUES}"].tobytes()),
        arrays[f"{prefix}{_AP}"],
        {key.removeprefix(row): values for key, values in arrays.items() if key.startswith(row)},
    )
