"""Predictions as files: CSV, JSON lines, Parquet, written block by block."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from fairpo._checks import file_error, value_error
from fairpo._files import replacing
from fairpo._optional import require
from fairpo.data.base import MultiLabelData
from fairpo.metrics.decisions import decide
from fairpo.metrics.top_k import TopK
from fairpo.training.run import Run


def check_predictions_path(path: Path, *, overwrite: bool) -> None:
    """Refuse, before any work, a kind of file that cannot be written or a file that exists."""
    if path.suffix not in _FORMS:
        raise value_error("--out", must=f"end in {', '.join(_FORMS)}", got=repr(path.name))
    if path.suffix == ".parquet":
        require("pyarrow", extra="table", purpose="writing Parquet")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise file_error(path, f"cannot be written ({error.strerror})") from error
    if path.exists() and not overwrite:
        raise file_error(path, "already exists", "Choose another file, or say --overwrite.")


def check_top(top: int | None, n_labels: int) -> None:
    """Refuse more places than there are labels."""
    if top is not None and top > n_labels:
        raise value_error(
            "--top",
            must=f"be at most {n_labels:,}, the labels of the run",
            got=f"{top:,}",
            do="Without it every label is written.",
        )


def write_predictions(
    path: Path,
    run: Run,
    data: MultiLabelData,
    reference_logits: ArrayLike | None = None,
    *,
    top: int | None = None,
) -> int:
    """Write the probabilities of a run for every row that could be read.

    Memory is that of a block of rows and all labels, whatever the number of rows. The file is
    there whole or not at all.

    Parameters
    ----------
    path : Path
        Its suffix names the form. CSV and Parquet have a column ``id`` and one column a label;
        JSON lines have ``id``, ``labels`` (those decided for) and ``probs`` by label.
    run : Run
    data : MultiLabelData
        With the run's features: :func:`~fairpo.training.alignment.align_features`.
    reference_logits : array, shape (n, L), optional
        Where the run is a residual on scores of another model.
    top : int, optional
        Write only so many labels of each row, the most probable first: ``label_1``,
        ``probability_1``, ``label_2``, ... instead of a column a label, and ``probs`` of these
        alone. Labels that are equally probable stand in the order of the run. ``labels`` are
        those decided for all the same: thresholds differ between labels, so that one of them may
        be less probable than those written.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    FairPOFileError
        The file cannot be written.
    FairPOValueError
        As for :meth:`~fairpo.training.run.Run.predict_logits`; ``top`` is above the labels.
    """
    check_top(top, len(run.label_names))
    blocks = _predicted(run, data, reference_logits)
    n_rows = 0
    with (
        replacing(path) as temporary,
        _FORMS[path.suffix](temporary, run.label_names, top) as write,
    ):
        for block in blocks:
            write(block)
            n_rows += len(block.ids)
    return n_rows


class _Predicted(NamedTuple):
    """Some rows: names, recalibrated probabilities and decisions (rows, labels)."""

    ids: list[str]
    probabilities: NDArray[np.float64]
    decisions: NDArray[np.bool_]


class _Best(NamedTuple):
    """The most probable labels of some rows, (rows, places): numbers and probabilities."""

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]


def _predicted(
    run: Run, data: MultiLabelData, reference_logits: ArrayLike | None
) -> Iterator[_Predicted]:
    """Blocks of the rows that could be read."""
    readable = np.setdiff1d(np.arange(data.n_rows), data.unreadable)
    thresholds = run.decisions.model.threshold_logits
    for rows, logits in run.logit_blocks(data.features, reference_logits, rows=readable):
        names = [data.row_name(row) for row in rows.tolist()]
        judged = run.decisions.model.apply(logits)
        yield _Predicted(names, expit(judged), decide(judged, thresholds))


def _best(block: _Predicted, top: int) -> _Best:
    n_rows, n_labels = block.probabilities.shape
    ranked = TopK(n_rows, top)
    ranked.update(block.probabilities, np.arange(n_labels))
    return _Best(ranked.labels, ranked.scores)


Pairs = Iterator[tuple[str, float]]
"""Labels of a row and their probabilities."""


def _every(block: _Predicted, label_names: Sequence[str]) -> Iterator[Pairs]:
    for values in block.probabilities:
        yield zip(label_names, values.tolist(), strict=True)


def _ranked(block: _Predicted, label_names: Sequence[str], top: int) -> Iterator[Pairs]:
    for labels, values in zip(*_best(block, top), strict=True):
        names = [label_names[k] for k in labels.tolist()]
        yield zip(names, values.tolist(), strict=True)


Write = Callable[[_Predicted], None]


@contextmanager
def _csv(path: Path, label_names: Sequence[str], top: int | None) -> Iterator[Write]:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["id", *(label_names if top is None else _columns(top))])

        def write(block: _Predicted) -> None:
            if top is None:
                for name, values in zip(block.ids, block.probabilities, strict=True):
                    writer.writerow([name, *values.tolist()])
                return
            for name, pairs in zip(block.ids, _ranked(block, label_names, top), strict=True):
                writer.writerow([name, *chain.from_iterable(pairs)])

        yield write


@contextmanager
def _jsonl(path: Path, label_names: Sequence[str], top: int | None) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as stream:

        def write(block: _Predicted) -> None:
            rows = _every(block, label_names) if top is None else _ranked(block, label_names, top)
            for name, decided, probs in zip(block.ids, block.decisions, rows, strict=True):
                labels = [label_names[k] for k in np.flatnonzero(decided).tolist()]
                line = {"id": name, "labels": labels, "probs": dict(probs)}
                stream.write(json.dumps(line) + "\n")

        yield write


@contextmanager
def _parquet(path: Path, label_names: Sequence[str], top: int | None) -> Iterator[Write]:
    arrow = require("pyarrow", extra="table", purpose="writing Parquet")
    parquet = require("pyarrow.parquet", extra="table", purpose="writing Parquet")
    text, number = arrow.string(), arrow.float64()
    kinds = [number] * len(label_names) if top is None else [text, number] * top
    columns = label_names if top is None else _columns(top)
    schema = arrow.schema([("id", text), *zip(columns, kinds, strict=True)])
    names = np.array(label_names, dtype=object)

    def cells(block: _Predicted) -> Iterator[NDArray[Any]]:
        if top is None:
            yield from block.probabilities.T
            return
        best = _best(block, top)
        for place in range(top):
            yield names[best.labels[:, place]]
            yield best.probabilities[:, place]

    with parquet.ParquetWriter(path, schema) as writer:

        def write(block: _Predicted) -> None:
            arrays = [arrow.array(block.ids, text)]
            arrays += [arrow.array(c, k) for c, k in zip(cells(block), kinds, strict=True)]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))

        yield write


def _columns(top: int) -> list[str]:
    return [f"{what}_{place}" for place in range(1, top + 1) for what in ("label", "probability")]


_FORMS: dict[str, Callable[[Path, Sequence[str], int | None], AbstractContextManager[Write]]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
