"""The svmlight (LIBSVM) format with several labels a row, read by scikit-learn."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from fairpo._checks import file_error
from fairpo.data.base import MultiLabelData, compact_features, compact_targets
from fairpo.data.options import DataOptions

SUFFIXES = (".svm", ".libsvm", ".svmlight")

_PARTS = {"train": "test", "trn": "tst"}
_LINE = re.compile(
    rb"^\s*([-+.\deE]+(,[-+.\deE]+)*)?(\s+(qid:\d+|\d+:[-+.\deE]+|\d+:(nan|[-+]?inf)))*\s*(#.*)?$",
    re.IGNORECASE,
)
_MOST_LABELS = 10**8
_HEADER = re.compile(rb"^\s*(\d+)\s+(\d+)\s+(\d+)\s*$")


def recognises(path: Path) -> bool:
    """Whether a path is an svmlight file by name."""
    return path.is_file() and path.suffix in SUFFIXES


def read(path: Path, options: DataOptions) -> MultiLabelData:
    """Read an svmlight file, and its test part where it lies beside it.

    Parameters
    ----------
    path : Path
        Lines such as ``3,17 1:0.5 9:1``. A first line of three numbers (rows, features, labels),
        as the extreme classification repository writes, is understood: features then count from
        0. ``train`` in the name becomes ``test`` (``trn`` becomes ``tst``) for the other part.
    options : DataOptions

    Returns
    -------
    MultiLabelData
        Labels are named by their numbers. Features stay CSR where they would fill a gigabyte.

    Raises
    ------
    FairPOFileError
    """
    files = [path, *([] if options.alone else _sibling(path))]
    headers = [_header(file) for file in files]
    header = headers[0]
    if any((other is None) != (header is None) for other in headers):
        problem = f"must begin as {path.name} does, with or without its counts"
        raise file_error(files[1], problem)
    loaded = _load(files, header, options.n_features)
    for file, counts, (matrix, _) in zip(files, headers, loaded, strict=True):
        if counts and counts[0] != matrix.shape[0]:
            problem = f"holds {matrix.shape[0]} rows, and its first line says {counts[0]}"
            raise file_error(file, problem, "Is it whole, and no row without features and labels?")
    found = {label for _, labels in loaded for label in chain.from_iterable(labels)}
    if not found and not options.unlabelled:
        raise file_error(path, "holds no label")
    for label in found:
        if not float(label).is_integer():
            raise file_error(path, f"label {label} is not a whole number")
    numbers = sorted(int(label) for label in found)
    n_labels = header[2] if header else 0
    if n_labels > _MOST_LABELS:
        raise file_error(path, f"line 1: {n_labels} labels are more than {_MOST_LABELS}")
    names = range(n_labels) if n_labels else numbers
    column = {number: place for place, number in enumerate(names)}
    for number in numbers:
        if number not in column:
            raise file_error(path, f"label {number} is beyond the {n_labels} of its first line")
    targets = sparse.vstack([_targets(labels, column) for _, labels in loaded], format="csr")
    features = sparse.vstack([matrix for matrix, _ in loaded], format="csr")
    split = {}
    if len(files) > 1:
        n_train = loaded[0][0].shape[0]
        split = {"train": np.arange(n_train), "test": np.arange(n_train, features.shape[0])}
    return MultiLabelData(
        features=compact_features(features),
        targets=compact_targets(targets),
        label_names=tuple(str(number) for number in names),
        split=split,
        name=path.stem,
        kind="svmlight" + (f"; test split from {files[1].name}" if len(files) > 1 else ""),
    )


def _sibling(path: Path) -> list[Path]:
    for word, other in _PARTS.items():
        beside = path.with_name(path.name.replace(word, other))
        if word in path.name and beside != path and beside.is_file():
            return [beside]
    return []


def _header(path: Path) -> tuple[int, int, int] | None:
    try:
        with path.open("rb") as stream:
            match = _HEADER.match(stream.readline(200))
    except OSError as error:
        raise file_error(path, f"cannot be read ({error.strerror})") from error
    return None if match is None else (int(match[1]), int(match[2]), int(match[3]))


def _load(
    files: list[Path], header: tuple[int, int, int] | None, n_features: int | None
) -> list[tuple[Any, Any]]:
    from sklearn.datasets import load_svmlight_files

    streams = [file.open("rb") for file in files]
    try:
        if header:
            for stream in streams:
                stream.readline()
        parts = load_svmlight_files(
            streams,
            multilabel=True,
            dtype=np.float32,
            n_features=header[1] if header else n_features,
            zero_based=True if header else "auto",
        )
    except (ValueError, OverflowError, OSError) as error:
        for file in files:
            _find_fault(file, skip=1 if header else 0)
        either = " or ".join(map(str, files))
        raise file_error(either, f"is not svmlight with several labels ({error})") from error
    finally:
        for stream in streams:
            stream.close()
    return list(zip(parts[::2], parts[1::2], strict=True))


def _find_fault(path: Path, skip: int) -> None:
    """Name the first line that is not svmlight: scikit-learn's errors do not."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if number > skip and not _LINE.match(line):
                shown = line[:40].decode("latin-1").strip()
                problem = f"line {number}: {shown!r} is not labels and index:value pairs"
                raise file_error(path, problem)


def _targets(labels: Any, column: dict[int, int]) -> sparse.csr_array:
    rows = [sorted({column[int(label)] for label in row}) for row in labels]
    lengths = np.array([len(row) for row in rows])
    columns = np.array(list(chain.from_iterable(rows)), dtype=np.int64)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    values = np.ones(len(columns), dtype=np.int8)
    return sparse.csr_array((values, columns, indptr), shape=(len(labels), len(column)))
