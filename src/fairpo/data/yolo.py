"""Label folders in YOLO's layout, as FairPO's authors use them for COCO.

``coco.names`` (any ``*.names``) lists the labels; ``images/train2014/x.jpg`` has its objects in
``labels/train2014/x.txt``, one a line: class number and box.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import sparse

from fairpo._checks import check_unique, file_error
from fairpo.data.base import MultiLabelData, compact_targets
from fairpo.data.image_folder import IMAGE_SUFFIXES, image_data
from fairpo.data.listing import SafeFolder, read_lines
from fairpo.data.options import DataOptions

_DIGITS = 18  # of a class number; int() refuses 5,000


def recognises(path: Path) -> bool:
    """Whether a folder has ``labels/``, ``images/`` and a ``*.names`` file."""
    return (
        path.is_dir()
        and (path / "labels").is_dir()
        and (path / "images").is_dir()
        and any(path.glob("*.names"))
    )


def read(path: Path, options: DataOptions) -> MultiLabelData:
    """Read a YOLO folder.

    Parameters
    ----------
    path : Path
        With ``*.names``, ``images/PART/`` and ``labels/PART/``. Parts whose name begins with
        train, val or test are the splits; without a test part, val is the test split and the
        validation split is taken from train.
    options : DataOptions

    Raises
    ------
    FairPOFileError
        A line that is not a class number and a box, a class without a name, or a link that leads
        out of the folder.
    """
    names_file = min(path.glob("*.names"), default=None)
    if names_file is None:
        raise file_error(path, "holds no *.names file")
    label_names = _label_names(names_file)
    check_unique(label_names, f"the names in {names_file}")
    parts = _parts(path)
    safe = SafeFolder(path, path)
    names: list[str] = []
    rows: list[int] = []
    columns: list[int] = []
    split = {}
    without = 0
    for part, folder in parts.items():
        start = len(names)
        for image in sorted(_images(path / "images" / folder)):
            relative = image.relative_to(path / "images" / folder)
            name = safe.name(f"images/{folder}/{relative.as_posix()}")
            below = relative.with_suffix(".txt").as_posix()
            label = path / safe.name(f"labels/{folder}/{below}")
            classes = _classes(label, len(label_names)) if label.is_file() else set()
            without += not label.is_file()
            rows += [len(names)] * len(classes)
            columns += sorted(classes)
            names.append(name)
        split[part] = np.arange(start, len(names))
    targets = sparse.csr_array(
        (np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(len(names), len(label_names))
    )
    return image_data(
        path,
        names,
        compact_targets(targets),
        label_names,
        split,
        name=path.name,
        kind=f"YOLO label folders with {names_file.name}",
        notes=[f"{without} of {len(names)} images have no label file and are kept, without a label"]
        if without
        else [],
    )


def _label_names(path: Path) -> list[str]:
    names = [line.strip() for line in read_lines(path)]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise file_error(path, "lists no name")
    if "" in names:  # skipping it would give every later class the name of another
        raise file_error(path, f"line {names.index('') + 1}: holds no name")
    return names


def _parts(path: Path) -> dict[str, str]:
    """Folder of each split."""
    if not (path / "images").is_dir():
        raise file_error(path, "has no folder images")
    folders = sorted(entry.name for entry in (path / "images").iterdir() if entry.is_dir())
    found: dict[str, str] = {}
    for prefix in ("train", "val", "test"):
        named = [folder for folder in folders if folder.startswith(prefix)]
        if len(named) > 1:
            raise file_error(path / "images", f"has several {prefix} folders: {', '.join(named)}")
        if named:
            found[prefix] = named[0]
    if "train" not in found:
        raise file_error(path / "images", "has no folder whose name begins with train")
    if "test" not in found and "val" in found:
        found["test"] = found.pop("val")
    if "val" in found:
        found["validation"] = found.pop("val")
    return found


def _images(folder: Path) -> list[Path]:
    images = [file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise file_error(folder, "holds no image")
    return images


def _classes(path: Path, n_labels: int) -> set[int]:
    found = set()
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        word, *box = line.split()
        if not word.isdecimal():
            raise file_error(path, f"line {number}: {word!r} is not a class number")
        if len(word) > _DIGITS or int(word) >= n_labels:
            raise file_error(
                path, f"line {number}: class {word[:_DIGITS]} is beyond the {n_labels} names"
            )
        if len(box) < 4:  # polygons have more
            raise file_error(
                path, f"line {number}: {line.strip()!r} is not a class number and a box"
            )
        found.add(int(word))
    return found
