"""Scores of a trial as a file, from which its evidence is computed at any later time."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import FairPOFileError, file_error
from fairpo._files import write_atomic
from fairpo.data.base import MultiLabelData
from fairpo.decisions import DecisionRule, DecisionSettings
from fairpo.experiments.runner import ModelScores, SplitScores
from fairpo.metrics import LabelBlockMetrics

_SPLITS = ("test", "validation")
_AP, _ROW, _VALUES, _RULE = "ap", "row.", "values", "rule."

Found = TypeVar("Found")


def write_scores(
    path: Path, models: Mapping[str, ModelScores], data: MultiLabelData, decisions: DecisionSettings
) -> None:
    """Write the scores of named models and their rules of decision, atomically; no pickle."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, scores in models.items():
        for split in _SPLITS:
            arrays |= _arrays(f"{name}.{split}.", getattr(scores, split))
        if not isinstance(scores.test, LabelBlockMetrics):
            rule = scores.rule(data, decisions).to_arrays()
            arrays |= {f"{name}.{_RULE}{key}": values for key, values in rule.items()}
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    write_atomic(path, stream.getvalue())


def read_scores(path: Path) -> dict[str, ModelScores]:
    """Read what :func:`write_scores` wrote: figures at once, logits when they are asked for.

    Raises
    ------
    FairPOFileError
        The file is missing or not whole.
    """
    keys = _stored(path, lambda stored: list(stored.files))
    return {
        name: StoredScores(path, name)
        if f"{name}.test." in keys
        else ModelScores(*(_read(path, name, split) for split in _SPLITS))
        for name in dict.fromkeys(key.split(".")[0] for key in keys)
    }


def holds_scores(path: Path) -> bool:
    """Whether there is a whole file of scores; where one is torn, its trial runs again."""
    try:
        return bool(_stored(path, lambda stored: stored.files))
    except FairPOFileError:
        return False


class StoredScores(ModelScores):
    """Scores of a model in a file, read each time they are asked for, and its rule of decision.

    A study has many models, and memory for one at a time. To another process go the path and the
    name.

    Parameters
    ----------
    path : Path
    name : str
        Of the model within the file.
    """

    path: Path
    name: str

    def __init__(self, path: Path, name: str) -> None:
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "name", name)

    @property
    def test(self) -> SplitScores:
        """Of the test rows."""
        return _read(self.path, self.name, "test")

    @property
    def validation(self) -> SplitScores:
        """Of the validation rows."""
        return _read(self.path, self.name, "validation")

    def rule(self, data: MultiLabelData, settings: DecisionSettings) -> DecisionRule:
        """Return the rule that was fitted when the scores were written.

        A trial is known by its settings of decisions, so these are the same.
        """
        prefix = f"{self.name}.{_RULE}"

        def read(stored: Any) -> DecisionRule:
            keys = [key for key in stored.files if key.startswith(prefix)]
            return DecisionRule.from_arrays({key.removeprefix(prefix): stored[key] for key in keys})

        return _stored(self.path, read)


def _arrays(prefix: str, scores: SplitScores) -> dict[str, NDArray[Any]]:
    if not isinstance(scores, LabelBlockMetrics):
        return {prefix: np.ascontiguousarray(scores)}
    text = json.dumps(dict(scores.values))
    rows = {f"{prefix}{_ROW}{key}": values for key, values in scores.by_row.items()}
    values = np.frombuffer(text.encode(), dtype=np.uint8)
    return {f"{prefix}{_VALUES}": values, f"{prefix}{_AP}": scores.average_precision, **rows}


def _read(path: Path, name: str, split: str) -> SplitScores:
    prefix = f"{name}.{split}."

    def read(stored: Any) -> SplitScores:
        if prefix in stored.files:
            logits: NDArray[np.float32] = stored[prefix]
            return logits
        row = f"{prefix}{_ROW}"
        return LabelBlockMetrics(
            json.loads(stored[f"{prefix}{_VALUES}"].tobytes()),
            stored[f"{prefix}{_AP}"],
            {key.removeprefix(row): stored[key] for key in stored.files if key.startswith(row)},
        )

    return _stored(path, read)


def _stored(path: Path, read: Callable[[Any], Found]) -> Found:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return read(stored)
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise file_error(
            path, f"is not a whole file of scores ({error})", "Delete it: its trial runs again."
        ) from error
