"""Predictions as files: CSV, JSON lines, Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import file_error, value_error
from fairpo._optional import require
from fairpo.models.checkpoint import write_atomic


def check_predictions_path(path: Path, *, overwrite: bool) -> None:
    """Refuse, before any work, a kind of file that cannot be written or a file that exists."""
    if path.suffix not in _SUFFIXES:
        raise value_error("--out", must=f"end in {', '.join(_SUFFIXES)}", got=repr(path.name))
    if path.suffix == ".parquet":
        require("pyarrow", extra="table", purpose="writing Parquet")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise file_error(path, f"cannot be written ({error.strerror})") from error
    if path.exists() and not overwrite:
        raise file_error(path, "already exists", "Choose another file, or say --overwrite.")


def write_predictions(
    path: Path,
    probabilities: NDArray[np.float64],
    decisions: NDArray[np.bool_],
    label_names: Sequence[str],
    ids: Sequence[str] | None,
) -> None:
    """Write probabilities (rows, labels) with the rows' ids, in the form the suffix names.

    CSV and Parquet have an ``id`` column and one column a label. JSON lines have ``id``,
    ``labels`` (those decided for) and ``probs``.
    """
    names = [str(number) for number in range(len(probabilities))] if ids is None else list(ids)
    if path.suffix == ".jsonl":
        _write_jsonl(path, probabilities, decisions, label_names, names)
    else:
        _TABLES[path.suffix](path, probabilities, label_names, names)


def _write_csv(
    path: Path, probabilities: NDArray[np.float64], label_names: Sequence[str], ids: Sequence[str]
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", *label_names])
    for name, row in zip(ids, probabilities.tolist(), strict=True):
        writer.writerow([name, *row])
    write_atomic(path, text.getvalue().encode())


def _write_jsonl(
    path: Path,
    probabilities: NDArray[np.float64],
    decisions: NDArray[np.bool_],
    label_names: Sequence[str],
    ids: Sequence[str],
) -> None:
    lines = []
    for name, row, decided in zip(ids, probabilities.tolist(), decisions, strict=True):
        probs = dict(zip(label_names, row, strict=True))
        labels = [label_names[index] for index in np.flatnonzero(decided).tolist()]
        lines.append(json.dumps({"id": name, "labels": labels, "probs": probs}) + "\n")
    write_atomic(path, "".join(lines).encode())


def _write_parquet(
    path: Path, probabilities: NDArray[np.float64], label_names: Sequence[str], ids: Sequence[str]
) -> None:
    arrow = require("pyarrow", extra="table", purpose="writing Parquet")
    parquet = require("pyarrow.parquet", extra="table", purpose="writing Parquet")
    columns: dict[str, Any] = {"id": list(ids)}
    columns |= {name: probabilities[:, index] for index, name in enumerate(label_names)}
    sink = io.BytesIO()
    parquet.write_table(arrow.table(columns), sink)
    write_atomic(path, sink.getvalue())


_TABLES: dict[str, Callable[..., None]] = {".csv": _write_csv, ".parquet": _write_parquet}
_SUFFIXES = (".csv", ".jsonl", ".parquet")
