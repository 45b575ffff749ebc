"""Tables: numeric and categorical columns as features, label columns as targets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import file_error
from fairpo.data.base import FeatureName, MultiLabelData
from fairpo.data.frames import (
    PATH_COLUMNS,
    SUFFIXES,
    TEXT_COLUMNS,
    Frame,
    read_frame,
    read_ids,
    read_labels_of,
    read_slices,
    read_split,
    shown_value,
)
from fairpo.data.image_folder import IMAGE_SUFFIXES, image_data
from fairpo.data.items import Texts
from fairpo.data.listing import SafeFolder
from fairpo.data.options import DataOptions

_MOST_CATEGORIES = 50
_UNNAMED = "Unnamed: "  # pandas' own name for a column without one, such as a written index
_LISTS = ("metadata", "labels", "images", "data")


def recognises(path: Path) -> bool:
    """Whether a path is a table by name."""
    return path.is_file() and path.suffix.lower() in SUFFIXES


def recognises_folder(path: Path) -> bool:
    """Whether a folder holds images, or a table that lists them."""
    return path.is_dir() and (_list_of(path) is not None or any(_images_in(path)))


def read(path: Path, options: DataOptions) -> MultiLabelData:
    """Read a table of features, of texts, or of image paths; its columns say which.

    Parameters
    ----------
    path : Path
        ``.csv``, ``.tsv``, ``.parquet`` or ``.jsonl``.
    options : DataOptions
        ``text`` or ``path`` names the column of texts or image paths; one called ``text``, or
        ``path``, ``image_path``, ``file_name``, ``filename``, ``image`` or ``file``, is found
        without. So are ``labels``, ``split`` and ``id``.

    Raises
    ------
    FairPOFileError
        Names the file and the line or column.
    """
    frame = read_frame(path, options)
    text = frame.column(options.text, TEXT_COLUMNS if options.path is None else ())
    if text is not None:
        return _texts(frame, text, options)
    images = frame.column(options.path, PATH_COLUMNS)
    if images is not None and (options.path is not None or _are_names(frame, images)):
        return _images(frame, images, options)
    return _features(frame, options)


def read_folder(path: Path, options: DataOptions) -> MultiLabelData:
    """Read a folder of images and the table in it that lists them."""
    if not path.is_dir():
        raise file_error(path, "is not a folder")
    found = _list_of(path)
    if found is None and options.unlabelled:
        return _unlabelled(path)
    tables = _tables(path)
    if found is None and len(tables) > 1:
        raise file_error(
            path,
            f"holds several tables: {', '.join(table.name for table in tables[:5])}",
            "Put their rows into one, with a split column, or give one of them.",
        )
    if found is None:
        raise file_error(
            path,
            "holds no table that lists its images",
            f"Put a metadata{SUFFIXES[0]} beside them, with a path column and labels.",
        )
    return read(found, options)


def _unlabelled(path: Path) -> MultiLabelData:
    """Every image below a folder, without labels."""
    safe = SafeFolder(path, path)
    names = [safe.name(file.relative_to(path).as_posix()) for file in sorted(_images_in(path))]
    if not names:
        raise file_error(path, "holds no image")
    return image_data(
        path,
        names,
        np.empty((len(names), 0), dtype=np.int8),
        (),
        {},
        name=path.name,
        kind=f"folder of {len(names)} images without labels",
    )


def _images_in(path: Path) -> Iterator[Path]:
    for file in path.rglob("*"):
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith("."):
            yield file


def _tables(path: Path) -> list[Path]:
    return [file for file in sorted(path.iterdir()) if file.suffix.lower() in SUFFIXES]


def _list_of(path: Path) -> Path | None:
    """The table that lists the images of a folder: by its usual name, or the only one."""
    tables = _tables(path)
    named = [file for name in _LISTS for file in tables if file.stem == name]
    return named[0] if named else tables[0] if len(tables) == 1 else None


def _are_names(frame: Frame, column: str) -> bool:
    return all(isinstance(value, str) for value in frame.table[column].head(20))


def _texts(frame: Frame, column: str, options: DataOptions) -> MultiLabelData:
    labels = read_labels_of(frame, options)
    split, _ = read_split(frame, options)
    ids, _ = read_ids(frame, options)
    return MultiLabelData(
        features=np.empty((len(frame.table), 0), dtype=np.float32),
        targets=labels.targets,
        label_names=labels.names,
        split=split,
        ids=ids,
        name=frame.path.stem,
        items=Texts(frame.texts(column)),
        slices=read_slices(frame, options),
        kind=f"table of texts in column {column}; labels from {labels.form}",
        notes=frame.notes,
    )


def _images(frame: Frame, column: str, options: DataOptions) -> MultiLabelData:
    labels = read_labels_of(frame, options)
    split, _ = read_split(frame, options)
    ids, _ = read_ids(frame, options)
    root = options.image_folder(frame.path.parent)
    safe = SafeFolder(root, frame.path)
    names = [
        safe.name(name, f"{frame.word} {frame.lines[row]}")
        for row, name in enumerate(frame.texts(column))
    ]
    return image_data(
        root,
        names,
        labels.targets,
        labels.names,
        split,
        name=frame.path.parent.name or frame.path.stem,
        kind=f"images listed in {frame.path.name}, column {column}; labels from {labels.form}",
        ids=ids,
        notes=frame.notes,
        slices=read_slices(frame, options),
    )


def _features(frame: Frame, options: DataOptions) -> MultiLabelData:
    labels = read_labels_of(frame, options)
    split, split_column = read_split(frame, options)
    ids, id_column = read_ids(frame, options)
    slices = read_slices(frame, options)
    taken = {*labels.columns, split_column, id_column, *slices}
    if options.ignore is not None:
        taken |= set(frame.columns(options.ignore, required=not options.unlabelled))
    columns = [str(name) for name in frame.table.columns if str(name) not in taken]
    unnamed = [name for name in columns if name.startswith(_UNNAMED)]
    columns = [name for name in columns if name not in unnamed]
    if not columns:
        raise file_error(frame.path, "has no column left for features besides labels and names")
    notes = [*frame.notes, *(["the column without a name is left out"] if unnamed else [])]
    blocks, names = [], list[FeatureName]()
    for column in columns:
        block, categories = _feature(frame, column)
        blocks.append(block)
        names += _names(column, block.shape[1], categories)
        if categories:
            notes.append(f"column {column} has {len(categories)} categories, one feature each")
    return MultiLabelData(
        features=np.concatenate(blocks, axis=1),
        targets=labels.targets,
        label_names=labels.names,
        split=split,
        ids=ids,
        name=frame.path.stem,
        kind=f"table of {len(columns)} feature columns; labels from {labels.form}",
        notes=tuple(notes),
        feature_names=tuple(names),
        slices=slices,
    )


def _names(column: str, width: int, categories: list[str]) -> list[FeatureName]:
    """Names of the features of one column, by which other tables are brought into this order."""
    if categories:
        return [FeatureName(column, category) for category in categories]
    if width == 1:
        return [FeatureName(column)]
    return [FeatureName(f"{column}[{place}]") for place in range(width)]


def _feature(frame: Frame, column: str) -> tuple[NDArray[np.float32], list[str]]:
    """One column as float32 (n, 1), or as one column a category."""
    values = frame.table[column]
    if values.dtype.kind in "biuf":
        return _numbers(frame, column, values.to_numpy(dtype=np.float64)), []
    cells = values.tolist()
    if any(_is_vector(cell) for cell in cells):
        return _vectors(frame, column, cells), []
    if all(_is_number(str(cell)) for cell in cells):
        return _numbers(frame, column, np.array([float(str(cell)) for cell in cells])), []
    return _categories(frame, column, cells)


def _numbers(frame: Frame, column: str, numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        block = numbers.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(block))
    if len(bad):
        what = "missing" if np.isnan(block[bad[0]]) else "infinite"
        problem = f"{column} is {what}, as in {len(bad)} rows of this column"
        raise frame.at(int(bad[0]), problem, "Impute it, drop the rows, or ignore the column.")
    return block[:, None]


def _is_vector(cell: Any) -> bool:
    return isinstance(cell, np.ndarray | list)


def _vectors(frame: Frame, column: str, cells: list[Any]) -> NDArray[np.float32]:
    """A column of embeddings: lists of numbers, all of one length."""
    width = None
    for row, cell in enumerate(cells):
        if not _is_vector(cell):
            raise frame.at(row, f"{column} must be a list of numbers, got {shown_value(cell)}")
        width = len(cell) if width is None else width
        if len(cell) != width:
            raise frame.at(row, f"{column} has {len(cell)} numbers, and {width} in the first row")
    try:
        with np.errstate(over="ignore"):
            block = np.array(cells, dtype=np.float64).astype(np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise file_error(frame.path, f"column {column!r} must hold lists of numbers") from error
    if block.ndim != 2:
        raise file_error(frame.path, f"column {column!r} must hold lists of numbers, not of lists")
    bad = ~np.isfinite(block).all(axis=1)
    if bad.any():
        raise frame.at(int(np.flatnonzero(bad)[0]), f"{column} holds NaN or infinity")
    return block


def _categories(
    frame: Frame, column: str, cells: list[Any]
) -> tuple[NDArray[np.float32], list[str]]:
    for row, cell in enumerate(cells):
        if not isinstance(cell, str | bool):
            problem = f"{column} must be a number or a category, got {shown_value(cell)}"
            raise frame.at(row, problem, "Impute it, drop the rows, or ignore the column.")
    numeric = [_is_number(str(cell)) for cell in cells]
    if any(numeric):
        row = numeric.index(False)
        raise frame.at(row, f"{column} is {cells[row]!r}, but holds numbers in other rows")
    names = sorted({str(cell) for cell in cells})
    if len(names) > _MOST_CATEGORIES:
        raise file_error(
            frame.path,
            f"column {column!r} holds {len(names)} different texts; up to {_MOST_CATEGORIES} can "
            "be categories",
            f"Leave it out with --data-option ignore={column}, or say text={column}.",
        )
    position = {name: place for place, name in enumerate(names)}
    codes = np.array([position[str(cell)] for cell in cells])
    return (codes[:, None] == np.arange(len(names))).astype(np.float32), names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # Python reads 1_0 as 10
