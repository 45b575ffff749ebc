"""Other data in the order of features and labels that a run was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from fairpo._checks import FairPOValueError, unknown_name, value_error
from fairpo.data.base import FeatureName, MultiLabelData, feature_rows


class HasFeatureCount(Protocol):
    """Settings of a run, as far as its features go."""

    @property
    def n_features(self) -> int:
        """Number of feature columns."""


class TrainedRun(Protocol):
    """What a run of any kind remembers of the data it was trained on."""

    @property
    def config(self) -> HasFeatureCount:
        """Its settings."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """Labels, in order."""

    @property
    def feature_names(self) -> tuple[FeatureName, ...] | None:
        """Columns, in order, of a table."""

    @property
    def backbone(self) -> dict[str, Any] | None:
        """What made the features, of a store."""


def align_features(data: MultiLabelData, run: TrainedRun) -> MultiLabelData:
    """Bring the features of a data set into the order of a run, by name where both have names.

    A category that does not occur in ``data`` is a feature of zeros; columns that the run does
    not know, such as labels, are left out.

    Raises
    ------
    FairPOValueError
        A column of the run is not there, a category is new, or the numbers of features differ.
    """
    data.require_features()
    if data.backbone is not None and run.backbone is not None:
        check_same_backbone(f"DATA ({data.name})", data.backbone, run.backbone)
    if data.feature_names is None or run.feature_names is None:
        if data.n_features != run.config.n_features:
            raise value_error(
                f"DATA ({data.name})",
                must=f"have the {run.config.n_features} features of the run",
                got=data.n_features,
            )
        return data
    if data.feature_names == run.feature_names:
        return data
    known = set(run.feature_names)
    columns = {name.column for name in run.feature_names}
    there = {name.column for name in data.feature_names}
    for name in data.feature_names:
        if name.column in columns and name not in known:
            raise _unlike(data, name, run.feature_names)
    position = {name: place for place, name in enumerate(data.feature_names)}
    features = np.zeros((data.n_rows, len(run.feature_names)), dtype=np.float32)
    values = feature_rows(data.features, slice(None))
    for place, name in enumerate(run.feature_names):
        if name in position:
            features[:, place] = values[:, position[name]]
        elif name.column not in there:
            raise value_error(
                f"DATA ({data.name})", must=f"have the column {name.column!r}", got="none"
            )
        elif FeatureName(name.column) in position:  # numbers where the run had categories
            raise _unlike(data, FeatureName(name.column), run.feature_names)
    notes, extra = data.notes, sorted(there - columns)
    if extra:
        notes = (*notes, f"columns that the run does not know are left out: {', '.join(extra)}")
    return replace(data, features=features, feature_names=run.feature_names, notes=notes)


def check_same_backbone(what: str, made: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse embeddings by another backbone: of the same width they would score nonsense.

    Parameters
    ----------
    what : str
        What was embedded, for the error.
    made, known : mapping
        What made these embeddings, and those of the training.

    Raises
    ------
    FairPOValueError
    """
    for key in ("revision", "pooling", "preprocessing"):
        if made.get(key) != known.get(key):
            raise value_error(
                what,
                must=f"be embedded as the run's, by {known.get('name')} ({key} {known.get(key)})",
                got=f"{made.get('name')} ({key} {made.get(key)})",
            )


def _unlike(
    data: MultiLabelData, name: FeatureName, known: tuple[FeatureName, ...]
) -> FairPOValueError:
    """Word the error for a column that is not what it was in training."""
    categories = [other.category for other in known if other.column == name.column]
    if categories == [None]:
        return value_error(
            f"{data.name}: column {name.column!r}", must="hold numbers", got=repr(name.category)
        )
    if name.category is None:
        return value_error(
            f"{data.name}: column {name.column!r}",
            must=f"hold {', '.join(map(str, categories[:5]))}",
            got="numbers",
        )
    kind = f"{data.name}: column {name.column!r}: category"
    return unknown_name(kind, name.category, map(str, categories), of="categories of the run")


def align_labels(data: MultiLabelData, run: TrainedRun) -> MultiLabelData:
    """Bring the labels of a data set into the order of a run.

    Labels of the run that ``data`` does not name are missing entries: in no metric.

    Raises
    ------
    FairPOValueError
        A label is not one of the run's.
    """
    if data.label_names == run.label_names:
        return data
    known = {name: place for place, name in enumerate(run.label_names)}
    for name in data.label_names:
        if name not in known:
            raise unknown_name(f"{data.name}: label", name, run.label_names, of="labels of the run")
    targets = np.full((data.n_rows, len(run.label_names)), -1, dtype=np.int8)
    targets[:, [known[name] for name in data.label_names]] = sparse.csr_array(
        data.targets
    ).toarray()
    absent = len(run.label_names) - len(data.label_names)
    note = f"{absent} labels of the run do not occur in {data.name} and are in no metric"
    notes = (*data.notes, note) if absent else data.notes
    return replace(data, targets=targets, label_names=run.label_names, notes=notes)
