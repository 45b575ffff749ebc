"""Pascal VOC 2007 and 2012 from Annotations and ImageSets/Main."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from scipy import sparse

from fairpo._checks import file_error
from fairpo.data.base import MultiLabelData, compact_targets
from fairpo.data.image_folder import image_data
from fairpo.data.listing import SafeFolder, parse_xml, read_lines
from fairpo.data.options import DataOptions

CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
"""The twenty classes, in the official order."""


def recognises(path: Path) -> bool:
    """Whether a folder is one year of VOC, or holds some (``VOCdevkit``)."""
    return path.is_dir() and bool(_years(path))


def read(path: Path, options: DataOptions) -> MultiLabelData:
    """Read one year of VOC.

    Parameters
    ----------
    path : Path
        ``VOC2007`` or the like, with ``Annotations/``, ``ImageSets/Main/`` and ``JPEGImages/``, or
        the ``VOCdevkit`` or folder above it.
    options : DataOptions
        ``year`` chooses where several lie there; ``images`` says where the images are.
        ``difficult`` says what a label counts as whose
        objects are all marked difficult: by default "missing", as in VOC's own evaluation, which
        neither rewards nor punishes them.

    Returns
    -------
    MultiLabelData
        Where ``test.txt`` is there with its annotations (2007), train, val and test are the
        splits. Elsewhere (2012) val is the test split and the validation split is taken from
        train.

    Raises
    ------
    FairPOFileError
        A list, an annotation or a key in it is missing or broken; says where.
    """
    folder = _of_one_year(path, options)
    lists = {
        part: folder / "ImageSets" / "Main" / f"{part}.txt" for part in ("train", "val", "test")
    }
    there = [part for part, file in lists.items() if file.is_file()]
    if "train" not in there:
        raise file_error(lists["train"], "does not exist")
    images = {part: _listed(lists[part]) for part in there}
    if "test" in images:
        annotated = (folder / "Annotations" / f"{name}.xml" for _, name in images["test"])
        if not any(os.path.isfile(file) for file in annotated):
            del images["test"]  # 2012's test annotations are not public
    official = {"train": "train", "val": "validation", "test": "test"}
    if "test" not in images:
        official["val"] = "test"
    column = {name: place for place, name in enumerate(CLASSES)}
    root = options.image_folder(folder)
    below = "JPEGImages" if options.images is None else ""
    names: list[str] = []
    ids: list[str] = []
    split = {}
    rows, columns, values = [], [], []
    for part, listed in images.items():
        safe = SafeFolder(folder, lists[part])
        safe_image = SafeFolder(root, lists[part])
        start = len(names)
        for number, identity in listed:
            place = f"line {number}"
            file = folder / safe.name(f"{identity}.xml", place, below="Annotations")
            for label, value in _objects(file, options.difficult).items():
                rows.append(len(names))
                columns.append(column[label])
                values.append(value)
            names.append(safe_image.name(f"{identity}.jpg", place, below=below))
            ids.append(identity)
        split[official[part]] = np.arange(start, len(names))
    targets = sparse.csr_array(
        (np.array(values, dtype=np.int8), (rows, columns)), shape=(len(names), len(CLASSES))
    )
    unknown = values.count(-1)
    return image_data(
        root,
        names,
        compact_targets(targets),
        CLASSES,
        split,
        name=folder.name.lower(),
        kind=f"Pascal VOC, {folder.name}, splits {', '.join(images)}",
        notes=[f"{unknown} entries have difficult objects only and count as missing"]
        if unknown
        else [],
        ids=ids,
    )


def _years(path: Path) -> list[Path]:
    """Folders of single years, at this path or up to two below it."""
    candidates = [path, *path.glob("VOC*"), *path.glob("VOCdevkit/VOC*")]
    return sorted(
        {
            folder
            for folder in candidates
            if (folder / "Annotations").is_dir() and (folder / "ImageSets" / "Main").is_dir()
        }
    )


def _of_one_year(path: Path, options: DataOptions) -> Path:
    folders = _years(path)
    if options.year is not None:
        folders = [folder for folder in folders if folder.name == f"VOC{options.year}"]
    if not folders:
        raise file_error(
            path, f"has no VOC{options.year or ''} with Annotations and ImageSets/Main"
        )
    if len(folders) > 1:
        years = [folder.name.removeprefix("VOC") for folder in folders]
        raise file_error(
            path, f"holds {' and '.join(years)}", f"Choose one: --data-option year={years[0]}."
        )
    return folders[0]


def _listed(path: Path) -> list[tuple[int, str]]:
    """Line number and name of every image of a list."""
    names = [
        (number, line.split()[0]) for number, line in enumerate(read_lines(path), 1) if line.strip()
    ]
    if not names:
        raise file_error(path, "lists no image")
    return names


def _objects(path: Path, difficult: str) -> dict[str, int]:
    """Labels of one image: 1, or for labels that are difficult throughout what the option says."""
    root = parse_xml(path)
    values: dict[str, int] = {}
    hard = {"missing": -1, "positive": 1, "negative": 0}[difficult]
    for place, element in enumerate(root.findall("object")):
        name = (element.findtext("name") or "").strip()
        if name not in CLASSES:
            raise file_error(path, f"object {place + 1}: name {name!r} is not a class of VOC")
        is_hard = (element.findtext("difficult") or "0").strip() == "1"
        if not is_hard or name not in values:
            values[name] = hard if is_hard else 1
    return {name: value for name, value in values.items() if value}
