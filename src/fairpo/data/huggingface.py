"""Data sets of Hugging Face ``datasets``: from a local folder, or from the hub when told to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import file_error
from fairpo._optional import require
from fairpo.data.base import MultiLabelData, Targets, compact_targets, default_label_names
from fairpo.data.frames import LABEL_COLUMNS, SPLIT_NAMES, TEXT_COLUMNS
from fairpo.data.items import EncodedImages, Items, Texts
from fairpo.data.labels import multi_hot, names_to_targets
from fairpo.data.listing import SafeFolder
from fairpo.data.options import DataOptions

PREFIX = "hf:"


def recognises(path: Path) -> bool:
    """Whether a folder was written by ``save_to_disk``."""
    return path.is_dir() and any(
        (path / name).is_file() for name in ("dataset_dict.json", "dataset_info.json")
    )


def read(source: str | Path, options: DataOptions) -> MultiLabelData:
    """Read a data set of Hugging Face.

    Parameters
    ----------
    source : str or Path
        A folder written by ``save_to_disk``, or, as ``hf:PATH``, one of Parquet files; on the
        hub ``hf:NAME`` or ``hf:NAME:CONFIG``, which needs ``fetch``.
    options : DataOptions
        ``labels``, ``text`` and ``path`` name columns; a column of names, or of class numbers
        whose names the data set knows, called labels, label or tags is found without, and so are
        text and any image column. Splits are the data set's own.

    Raises
    ------
    FairPOFileError
    """
    datasets = require("datasets", extra="text", purpose="reading Hugging Face data sets")
    parts = open_parts(str(source), options)
    known = {name: part for name, part in parts.items() if name in SPLIT_NAMES}
    if not known:
        raise file_error(source, f"has the splits {', '.join(parts)}; none is train")
    try:
        table = datasets.concatenate_datasets(list(known.values()))
    except ValueError as error:
        raise file_error(source, f"has splits that do not fit together ({error})") from error
    ends = np.cumsum([0, *(len(part) for part in known.values())])
    split: dict[str, NDArray[np.int64]] = {}
    for place, name in enumerate(known):  # dev and validation may both be there
        rows = np.arange(ends[place], ends[place + 1])
        split[SPLIT_NAMES[name]] = np.concatenate([split.get(SPLIT_NAMES[name], rows[:0]), rows])
    left_out = [name for name in parts if name not in known]
    label_column = _label_column(source, table, options)
    targets, names = (
        _targets(source, datasets, table, label_column)
        if label_column
        else (np.empty((len(table), 0), dtype=np.int8), ())
    )
    items, words = _items(source, datasets, table, options)
    return MultiLabelData(
        features=np.empty((len(table), 0), dtype=np.float32),
        targets=targets,
        label_names=names,
        split={} if set(split) == {"train"} else split,
        name=Path(str(source).removeprefix(PREFIX)).name,
        items=items,
        kind=f"Hugging Face data set of {words}; labels from "
        + (f"column {label_column}" if label_column else "nowhere"),
        notes=(f"the splits {', '.join(left_out)} are left out",) if left_out else (),
    )


def open_parts(source: str, options: DataOptions) -> dict[str, Any]:
    """Open the parts of a data set by name: the splits it has, or all of it as "train".

    Raises
    ------
    FairPOFileError
        It is not there, not a data set, or on the network without ``fetch``.
    """
    datasets = require("datasets", extra="text", purpose="reading Hugging Face data sets")
    loaded = _open(datasets, source, options)
    return dict(loaded) if isinstance(loaded, Mapping) else {"train": loaded}


def _open(datasets: Any, source: str, options: DataOptions) -> Any:
    name = source.removeprefix(PREFIX)
    path = options.find(name)
    try:
        if path.is_dir():
            if recognises(path):
                return datasets.load_from_disk(str(path))
            return datasets.load_dataset("parquet", data_files=_parquet_files(path))
        if path.exists():
            raise file_error(path, "is not a folder")
        options.require_fetch(source)
        repository, _, config = name.partition(":")
        return datasets.load_dataset(repository, config or None)
    except Exception as error:  # datasets raises errors of many kinds
        if type(error).__module__.startswith("fairpo"):
            raise
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)
        raise file_error(source, f"is not a data set that can be loaded ({reason})") from error


def _parquet_files(path: Path) -> dict[str, list[str]]:
    """Parquet files of a folder by split, as a clone of a hub's data set holds them.

    The folder's own description is not asked: it may name files elsewhere, and addresses.
    """
    safe = SafeFolder(path, path)
    files: dict[str, list[str]] = {}
    for file in sorted(path.rglob("*.parquet")):
        name = safe.name(file.relative_to(path).as_posix())
        words = re.findall("|".join(SPLIT_NAMES), name.lower())
        files.setdefault(SPLIT_NAMES[words[-1]] if words else "train", []).append(str(path / name))
    if not files:
        raise file_error(
            path,
            "holds neither a data set of save_to_disk nor Parquet files",
            "CSV and JSONL are read as a table: give the file.",
        )
    return files


def _label_column(source: str | Path, table: Any, options: DataOptions) -> str | None:
    wanted = (options.labels,) if options.labels else LABEL_COLUMNS
    for name in wanted:
        if name in table.column_names:
            return name
    if options.unlabelled:
        return None
    raise file_error(
        source,
        f"has no column {' or '.join(wanted)}; its columns are {', '.join(table.column_names)}",
        "Name it: --data-option labels=COLUMN.",
    )


def _targets(
    source: str | Path, datasets: Any, table: Any, column: str
) -> tuple[Targets, tuple[str, ...]]:
    feature = table.features[column]
    inner = getattr(feature, "feature", feature)
    classes = tuple(inner.names) if isinstance(inner, datasets.ClassLabel) else ()
    values = list(table[column])
    hot = multi_hot(values)
    if hot is not None:
        return hot, default_label_names(hot.shape[1])
    rows = []
    for row, value in enumerate(values):
        codes = _listed(value)
        found = [classes[code] if classes and _is_class(code, classes) else code for code in codes]
        for name in found:
            if not isinstance(name, str) or not name.strip():
                what = "a class" if classes else "a label name"
                raise file_error(source, f"row {row}: {column} holds {name!r}, which is not {what}")
        rows.append(found)
    names = classes or tuple(sorted({name for row in rows for name in row}))
    if not names:
        raise file_error(source, f"column {column!r} holds no label")
    return compact_targets(names_to_targets(rows, names)), names


def _is_class(code: Any, classes: tuple[str, ...]) -> bool:
    """Whether a code is one; Hugging Face writes -1, the last in Python, for "not known"."""
    return isinstance(code, int) and 0 <= code < len(classes)


def _listed(row: Any) -> list[Any]:
    if row is None or row == "":
        return []
    return list(row) if isinstance(row, list | tuple) else [row]


def _items(
    source: str | Path, datasets: Any, table: Any, options: DataOptions
) -> tuple[Items, str]:
    for name in (options.text,) if options.text else TEXT_COLUMNS:
        if name in table.column_names:
            texts = list(table[name])
            for row, text in enumerate(texts):
                if not isinstance(text, str):
                    raise file_error(source, f"row {row}: {name} must be text, got {text!r}")
            return Texts(texts), "texts"
    images = [name for name, kind in table.features.items() if isinstance(kind, datasets.Image)]
    if options.path in images or (images and options.path is None):
        column = options.path or images[0]
        encoded = table.cast_column(column, datasets.Image(decode=False))

        def read_bytes(row: int) -> bytes:
            cell = encoded[row][column] or {}
            content = cell.get("bytes")
            if content:
                return bytes(content)
            name = f"{column}[{row}]"
            raise file_error(
                name, f"holds the path {cell.get('path')!r} and no image", "Embed its files."
            )

        known_as = f"{source}, column {column}, {table._fingerprint}"
        return EncodedImages(len(table), column, read_bytes, known_as), "images"
    raise file_error(
        source,
        f"has no column of texts or images; its columns are {', '.join(table.column_names)}",
        "Name the texts' column: --data-option text=COLUMN.",
    )
