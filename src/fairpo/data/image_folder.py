"""Images in a folder and the rows that list them: shared by every reader of image sets."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import file_error
from fairpo.data.base import MultiLabelData, Targets
from fairpo.data.items import ImageFiles

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")


def image_data(
    root: Path,
    names: Sequence[str],
    targets: Targets,
    label_names: Sequence[str],
    split: Mapping[str, NDArray[np.int64]],
    *,
    name: str,
    kind: str,
    notes: Sequence[str] = (),
    ids: Sequence[str] | None = None,
    slices: Mapping[str, NDArray[np.str_]] = MappingProxyType({}),
) -> MultiLabelData:
    """Keep the listed images that are there, and count the others.

    Parameters
    ----------
    root : Path
    names : sequence of str, length n
        Paths below ``root`` that :class:`~fairpo.data.listing.SafeFolder` has let in.
    targets, label_names, split
        Of all listed images, as for :class:`~fairpo.data.base.MultiLabelData`.
    name, kind : str
    notes : sequence of str
    ids : sequence of str, optional
        The paths when not given.
    slices : mapping from name to str array, shape (n,)
        Of all listed images.

    Returns
    -------
    MultiLabelData
        With the images as items. Where no image at all is there but the labels are, the rows are
        kept without items, so that they can be inspected.

    Raises
    ------
    FairPOFileError
        A split has no image left.
    """
    there = np.array([_exists(root, item) for item in names], dtype=bool)
    said = list(notes)
    if not there.any():
        said.append(f"none of the {len(names)} listed images lies below {root}: labels only")
        return MultiLabelData(
            features=np.empty((len(names), 0), dtype=np.float32),
            targets=targets,
            label_names=tuple(label_names),
            split=split,
            ids=tuple(ids or names),
            name=name,
            kind=kind,
            notes=tuple(said),
            slices=slices,
        )
    rows = np.flatnonzero(there).tolist()
    if len(rows) < len(names):
        first = names[int(np.flatnonzero(~there)[0])]
        said.append(
            f"{len(names) - len(rows)} of {len(names)} listed images are missing and skipped, the "
            f"first {first}"
        )
    renumbered = np.cumsum(there) - 1
    kept = {part: renumbered[numbers[there[numbers]]] for part, numbers in split.items()}
    for part, numbers in kept.items():
        if not len(numbers):
            raise file_error(root, f"holds no image of the {part} split")
    return MultiLabelData(
        features=np.empty((len(rows), 0), dtype=np.float32),
        targets=targets[rows],
        label_names=tuple(label_names),
        split=kept,
        ids=tuple((ids or names)[row] for row in rows),
        name=name,
        items=ImageFiles(root, tuple(names[row] for row in rows)),
        kind=kind,
        notes=tuple(said),
        slices={column: values[rows] for column, values in slices.items()},
    )


def _exists(root: Path, name: str) -> bool:
    return os.path.isfile(os.path.join(root, name))
