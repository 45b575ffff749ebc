"""The sets of the suite: which labels can be judged, and which rows choose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fairpo._checks import file_error, unknown_name
from fairpo.data import load_data
from fairpo.data.base import MultiLabelData, positive_counts
from fairpo.data.splits import stratified_folds, stratified_split
from fairpo.groups import LabelGroups, parse_privileged
from fairpo.training.fit import choose_groups

SOURCES = {
    "scene": "arff/scene-train.arff",
    "yeast": "arff/yeast-train.arff",
    "digits": "digits",
    "corel5k": "arff/Corel5k-train-sparse.arff",
    "bibtex": "arff/bibtex-train.arff",
    "tmc2007": "tmc2007_500.npz",
    "goemotions": "goemotions_minilm.npz",
    "delicious": "delicious.npz",
}
"""Files below the data root, the sets that train fastest first; digit scenes come with fairpo."""

PRIVILEGED = "rarest:20%"
_LEAST_TRAINING, _LEAST_TEST, _LEAST_VALIDATION = 5, 3, 5
_FOLDS, _ROTATED = 5, 3
_HELD_OUT = 0.2


@dataclass(frozen=True)
class RareLabelSet:
    """A set of the suite.

    Parameters
    ----------
    name : str
    folds : tuple of MultiLabelData
        The set, and where privileged labels have too few validation positives to choose by, the
        same with other rows for validation: scores of them all choose together.
    groups : LabelGroups
    notes : tuple of str
    """

    name: str
    folds: tuple[MultiLabelData, ...]
    groups: LabelGroups
    notes: tuple[str, ...]

    @property
    def data(self) -> MultiLabelData:
        """The set as it is split."""
        return self.folds[0]


def known_set(name: str) -> str:
    """Return the file of a set; an unknown name is refused."""
    if name not in SOURCES:
        raise unknown_name("set", name, tuple(SOURCES), of="sets of the suite")
    return SOURCES[name]


def read_set(name: str, root: Path, *, design: bool) -> RareLabelSet:
    """Read a set, and keep the labels that can be trained and judged.

    Parameters
    ----------
    name : str
        Of :data:`SOURCES`.
    root : Path
        Where the files lie.
    design : bool
        Whether a fifth of the other rows takes the place of the test rows, for decisions about the
        method itself.

    Raises
    ------
    FairPOError
        No such set, or its file is not there.
    """
    source = known_set(name)
    if source != "digits" and not root.is_dir():
        raise file_error(root, "is not a folder", f"Give the one that holds {source}.")
    data = load_data(source if source == "digits" else str(root / source))
    if design:
        data = _held_out(data)
    train, test = (positive_counts(data.targets[data.rows(s)]) for s in ("train", "test"))
    kept = np.flatnonzero((train >= _LEAST_TRAINING) & (test >= _LEAST_TEST))
    notes = [f"{data.n_labels} labels, {len(kept)} of them with enough positives"]
    data = replace(
        data,
        targets=data.targets[:, kept],
        label_names=tuple(data.label_names[label] for label in kept),
        name=name,
        items=None,
        slices={},
    )
    groups = choose_groups(parse_privileged(PRIVILEGED), data, None)
    counts = positive_counts(data.targets[data.rows("validation")])[groups.privileged]
    few = int((counts < _LEAST_VALIDATION).sum())
    folds = [data]
    if few:
        notes.append(f"{few} of {len(counts)} privileged labels below 5 validation positives")
    if few > len(counts) / 10:
        folds += _rotated(data)
    return RareLabelSet(name, tuple(folds), groups, tuple(notes))


def _held_out(data: MultiLabelData) -> MultiLabelData:
    """The set without its test rows; a fifth of the others are judged by instead."""
    rows = np.union1d(data.rows("train"), data.rows("validation"))
    rest, test = stratified_split(data.targets, rows, _HELD_OUT, seed=1)
    train, validation = stratified_split(data.targets, rest, _HELD_OUT, seed=2)
    split = {"train": train, "validation": validation, "test": test}
    return replace(data, split=split, clusters=None)  # those are of the test rows


def _rotated(data: MultiLabelData) -> list[MultiLabelData]:
    """The set with other rows for validation, disjoint from each other."""
    rows = np.union1d(data.rows("train"), data.rows("validation"))
    parts = stratified_folds(data.targets, rows, _FOLDS, seed=3)[: _ROTATED - 1]
    return [
        replace(
            data,
            split={**data.split, "train": np.setdiff1d(rows, part), "validation": np.sort(part)},
        )
        for part in parts
    ]
