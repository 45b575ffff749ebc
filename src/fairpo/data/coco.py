"""MS-COCO 2014 and 2017 from the official ``instances_*.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairpo._checks import FairPOFileError, file_error
from fairpo.data.base import MultiLabelData, compact_targets
from fairpo.data.image_folder import image_data
from fairpo.data.listing import SafeFolder
from fairpo.data.options import DataOptions

_NAME = re.compile(r"^instances_(?P<part>train|val)(?P<year>\d{4})\.json$")
_KEPT = (
    "id",
    "file_name",
    "image_id",
    "category_id",
    "name",
    "images",
    "annotations",
    "categories",
)
_SPLIT = {"train": "train", "val": "test"}


@dataclass(frozen=True)
class _Annotations:
    """One ``instances_*.json``: file names, category names by identity, and positives."""

    path: Path
    names: list[str]
    categories: dict[int, str]
    positives: list[tuple[int, int]]


def recognises(path: Path) -> bool:
    """Whether a folder holds ``instances_*.json``, or ``annotations/instances_*.json``."""
    return path.is_dir() and bool(_files(path))


def read(path: Path, options: DataOptions) -> MultiLabelData:
    """Read the official annotations.

    Parameters
    ----------
    path : Path
        Folder with ``annotations/instances_train2017.json`` and ``instances_val2017.json`` (or
        2014), and the images in ``train2017/`` and ``val2017/`` beside ``annotations``, or in
        those folders below ``images/``.
    options : DataOptions
        ``year`` chooses where both years lie there; ``images`` says where the image folders are.

    Returns
    -------
    MultiLabelData
        Labels are the categories in the order of their numbers. The official validation part is
        the test split, as papers use it; the validation split is taken from the training part.
        Images without annotations are kept, with no positive.

    Raises
    ------
    FairPOFileError
        Broken JSON (by line and column), a missing key or unknown number (by its place in the
        file), or a file name that leads out of the folder.
    """
    year, files = _of_one_year(path, _files(path), options)
    parts = {name: read_instances(file) for name, file in files.items()}
    first = next(iter(parts.values()))
    for part in parts.values():
        if part.categories != first.categories:
            raise file_error(part.path, f"has other categories than {first.path.name}")
    numbers = sorted(first.categories)
    column = {number: place for place, number in enumerate(numbers)}
    root = options.image_folder(path)
    names: list[str] = []
    split: dict[str, NDArray[np.int64]] = {}
    rows, columns = [], []
    for name, part in parts.items():
        folder = _image_folder(path, f"{name}{year}", options)
        safe = SafeFolder(root, part.path)
        for place, listed in enumerate(part.names):
            names.append(safe.name(listed, f"images[{place}]", below=folder))
        start = len(names) - len(part.names)
        split[_SPLIT[name]] = np.arange(start, len(names))
        rows += [start + image for image, _ in part.positives]
        columns += [column[category] for _, category in part.positives]
    targets = sparse.csr_array(
        (np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(len(names), len(numbers))
    )
    empty = int((np.diff(targets.indptr) == 0).sum())
    return image_data(
        root,
        names,
        compact_targets(targets),
        tuple(first.categories[number] for number in numbers),
        split,
        name=f"coco{year}",
        kind=f"MS-COCO, {' and '.join(file.name for file in files.values())}",
        notes=[f"{empty} of {len(names)} images have no annotation and are kept"] if empty else [],
    )


def _files(path: Path) -> dict[tuple[str, str], Path]:
    """Annotation files by part and year."""
    found = {}
    for folder in (path, path / "annotations"):
        for file in sorted(folder.glob("instances_*.json")) if folder.is_dir() else ():
            match = _NAME.match(file.name)
            if match:
                found[match["part"], match["year"]] = file
    return found


def _of_one_year(
    path: Path, files: dict[tuple[str, str], Path], options: DataOptions
) -> tuple[str, dict[str, Path]]:
    """The year to read, and its annotation files by part."""
    years = sorted({year for _, year in files})
    if options.year is None and len(years) > 1:
        raise file_error(
            path,
            f"holds the annotations of {' and '.join(years)}",
            f"Choose one: --data-option year={years[0]}.",
        )
    year = options.year or (years[0] if years else "")
    chosen = {part: files[part, year] for part in ("train", "val") if (part, year) in files}
    if not chosen:
        known = f"it has {' and '.join(years)}" if years else "it has none"
        raise file_error(path, f"has no instances_*{year}.json ({known})")
    return year, chosen


def _image_folder(path: Path, name: str, options: DataOptions) -> str:
    """Folder of a part's images, below the root: ``train2017`` or ``images/train2017``."""
    nested = options.images is None and (path / "images" / name).is_dir()
    return f"images/{name}" if nested else name


def read_instances(path: Path) -> _Annotations:
    """Read one file of annotations; polygons are dropped as they are parsed, which saves memory.

    Raises
    ------
    FairPOFileError
    """
    try:
        content = json.loads(path.read_bytes(), object_hook=_keep)
    except OSError as error:
        raise file_error(path, f"cannot be read ({error.strerror})") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise file_error(path, f"{where}: not valid JSON ({error.msg})", "Is it whole?") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, or a number of 5,000 digits
        raise file_error(path, f"is not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise file_error(path, f"must hold an object, got {type(content).__name__}")
    categories: dict[int, str] = {}
    for place, entry in _entries(path, content, "categories"):
        number = _number(path, "categories", place, entry, "id")
        if number in categories:
            raise _at(path, "categories", place, f"repeats id {number}")
        categories[number] = _text(path, "categories", place, entry, "name")
    if len(set(categories.values())) < len(categories):
        raise file_error(path, "categories: two have the same name")
    position: dict[int, int] = {}
    names: list[str] = []
    for place, entry in _entries(path, content, "images"):
        number = _number(path, "images", place, entry, "id")
        if number in position:
            raise _at(path, "images", place, f"repeats id {number}")
        position[number] = place
        names.append(_text(path, "images", place, entry, "file_name"))
    positives = set()  # several objects of one category are one positive
    for place, entry in _entries(path, content, "annotations"):
        image = _number(path, "annotations", place, entry, "image_id")
        category = _number(path, "annotations", place, entry, "category_id")
        if image not in position:
            raise _at(path, "annotations", place, f"image_id {image} is not among the images")
        if category not in categories:
            raise _at(path, "annotations", place, f"category_id {category} is unknown")
        positives.add((position[image], category))
    if not names or not categories:
        raise file_error(path, f"lists no {'categories' if names else 'images'}")
    return _Annotations(path, names, categories, sorted(positives))


def _keep(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in _KEPT if key in entry}


def _at(path: Path, key: str, place: int, problem: str) -> FairPOFileError:
    return file_error(path, f"{key}[{place}] {problem}")


def _entries(path: Path, content: dict[str, Any], key: str) -> Iterable[tuple[int, dict[str, Any]]]:
    if key not in content:
        raise file_error(path, f"has no key {key!r}")
    if not isinstance(content[key], list):
        raise file_error(path, f"{key} must be a list, got {type(content[key]).__name__}")
    for place, entry in enumerate(content[key]):
        if not isinstance(entry, dict):
            raise _at(path, key, place, f"must be an object, got {type(entry).__name__}")
        yield place, entry


def _number(path: Path, key: str, place: int, entry: dict[str, Any], field: str) -> int:
    value = entry.get(field)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _at(path, key, place, f"{field} must be an integer, but {_got(entry, field)}")
    return value


def _text(path: Path, key: str, place: int, entry: dict[str, Any], field: str) -> str:
    value = entry.get(field)
    if not isinstance(value, str) or not value.strip():
        raise _at(path, key, place, f"{field} must be text, but {_got(entry, field)}")
    return value


def _got(entry: dict[str, Any], field: str) -> str:
    return f"is {entry[field]!r}"[:80] if field in entry else "is not there"
