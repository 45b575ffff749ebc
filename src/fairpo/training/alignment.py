"""Other data in the order of features and labels that a run was trained with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse

from fairpo._checks import unknown_name, value_error
from fairpo.data.base import MultiLabelData, feature_rows
from fairpo.training.run import Run


def align_features(data: MultiLabelData, run: Run) -> MultiLabelData:
    """Bring the features of a data set into the order of a run, by name where both have names.

    A category that does not occur in ``data`` is a feature of zeros; columns that the run does
    not know, such as labels, are left out.

    Raises
    ------
    FairPOValueError
        A column of the run is not there, a category is new, or the numbers of features differ.
    """
    data.require_features()
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
    extra = sorted({*map(_column, data.feature_names)} - {*map(_column, known)})
    for name in data.feature_names:
        if name not in known and _column(name) not in extra:
            raise unknown_name(f"{data.name}: feature", name, run.feature_names, of="features")
    position = {name: place for place, name in enumerate(data.feature_names)}
    columns = {*map(_column, data.feature_names)}
    features = np.zeros((data.n_rows, len(run.feature_names)), dtype=np.float32)
    values = feature_rows(data.features, slice(None))
    for place, name in enumerate(run.feature_names):
        if name in position:
            features[:, place] = values[:, position[name]]
        elif _column(name) not in columns:
            raise value_error(
                f"DATA ({data.name})", must=f"have the column {_column(name)!r}", got="none"
            )
    notes = data.notes
    if extra:
        notes = (*notes, f"columns that the run does not know are left out: {', '.join(extra)}")
    return replace(data, features=features, feature_names=run.feature_names, notes=notes)


def _column(feature: str) -> str:
    """Column of the table that a feature came from: ``city`` for ``city=Lima``."""
    return feature.partition("=")[0]


def align_labels(data: MultiLabelData, run: Run) -> MultiLabelData:
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
