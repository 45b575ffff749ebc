r"""NUS-WIDE from its official lists.

``ImageList/TrainImagelist.txt`` and ``TestImagelist.txt`` name the images, with ``\`` between
folder and file; ``Groundtruth/TrainTestLabels/Labels_CONCEPT_Train.txt`` and ``_Test.txt`` hold a
0 or 1 for each, and ``ConceptsList/Concepts81.txt`` the concepts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairpo._checks import check_unique, file_error
from fairpo.data.base import MultiLabelData, compact_targets
from fairpo.data.image_folder import image_data
from fairpo.data.listing import SafeFolder, read_lines
from fairpo.data.options import DataOptions

_CONCEPTS = ("ConceptsList/Concepts81.txt", "Concepts81.txt")
_IMAGES = ("Flickr", "images", "Images")
_SPLIT = {"Train": "train", "Test": "test"}


def recognises(path: Path) -> bool:
    """Whether a folder holds ``Concepts81.txt`` in one of its usual places."""
    return path.is_dir() and any((path / name).is_file() for name in _CONCEPTS)


def read(path: Path, options: DataOptions) -> MultiLabelData:
    """Read the official lists of NUS-WIDE.

    Parameters
    ----------
    path : Path
        With ``ImageList/``, ``Groundtruth/TrainTestLabels/`` (or ``TrainTestLabels/``),
        ``Concepts81.txt`` and the images in ``Flickr/`` or ``images/``.
    options : DataOptions
        ``images`` says where the images are.

    Returns
    -------
    MultiLabelData
        Listed images that are not there, as many are no longer to be had, are skipped and
        counted. The official test part is the test split.

    Raises
    ------
    FairPOFileError
        A list is missing, of another length than its labels, or holds something else; says at
        which line.
    """
    there = (path / name for name in _CONCEPTS if (path / name).is_file())
    concepts_file = next(there, path / _CONCEPTS[0])
    concepts = [line.strip() for line in read_lines(concepts_file) if line.strip()]
    if not concepts:
        raise file_error(concepts_file, "lists no concept")
    check_unique(concepts, f"the concepts in {concepts_file}")
    usual = (path / name for name in _IMAGES if (path / name).is_dir())
    root = options.image_folder(next(usual, path / _IMAGES[0]))
    labels = next(
        (
            folder
            for folder in (path / "Groundtruth" / "TrainTestLabels", path / "TrainTestLabels")
            if folder.is_dir()
        ),
        None,
    )
    if labels is None:
        raise file_error(path, "has no folder Groundtruth/TrainTestLabels")
    names: list[str] = []
    blocks: list[NDArray[np.int8]] = []
    split = {}
    for part, name in _SPLIT.items():
        listed = path / "ImageList" / f"{part}Imagelist.txt"
        safe = SafeFolder(root, listed)
        start = len(names)
        for number, line in enumerate(read_lines(listed), 1):
            if line.strip():
                names.append(safe.name(line, f"line {number}"))
        if len(names) == start:
            raise file_error(listed, "lists no image")
        split[name] = np.arange(start, len(names))
        inside = SafeFolder(labels, concepts_file)
        columns = [
            _column(labels / inside.name(f"Labels_{concept}_{part}.txt"), len(split[name]))
            for concept in concepts
        ]
        blocks.append(np.stack(columns, axis=1))
    return image_data(
        root,
        names,
        compact_targets(sparse.csr_array(np.concatenate(blocks))),
        concepts,
        split,
        name="nuswide",
        kind=f"NUS-WIDE, official lists, {len(concepts)} concepts",
    )


def _column(path: Path, n_images: int) -> NDArray[np.int8]:
    values = [line.strip() for line in read_lines(path)]
    while values and not values[-1]:
        values.pop()
    for number, value in enumerate(values, 1):
        if value not in ("0", "1"):
            raise file_error(path, f"line {number}: {value!r} is not 0 or 1")
    if len(values) != n_images:
        raise file_error(path, f"has {len(values)} lines for {n_images} listed images")
    return np.array(values, dtype=np.int8)
