"""What there is to know about a data set before anything is trained on it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import FairPOFileError, value_error
from fairpo.data.base import (
    MultiLabelData,
    Progress,
    block_rows,
    feature_rows,
    positive_counts,
)
from fairpo.data.items import Items
from fairpo.data.store import StoredFeatures, verify_store
from fairpo.groups import parse_privileged


@dataclass(frozen=True)
class LabelSummary:
    """One label: positives in each split, its share of observed rows, and whether it is rare."""

    name: str
    positives: dict[str, int]
    share: float
    suggested: bool


@dataclass(frozen=True)
class Inspection:
    """What :func:`inspect_data` found.

    Parameters
    ----------
    name, kind : str
    n_rows, n_features, n_labels : int
    feature_columns : tuple of str
        Of a table.
    item_kind : str or None
        "image" or "text" where the rows are items.
    rows : mapping from split to number of rows
    cardinality : float
        Mean number of positives a row.
    density : float
        The same, as a share of the labels.
    rows_without_labels, missing_entries : int
    labels : tuple of LabelSummary
        From the rarest in training up.
    without_positives : mapping from split to names
        Labels without a positive there.
    duplicates : tuple of (name, name)
        Rows of different splits with the same content.
    unreadable : tuple of str
        Items that cannot be read, with the reason.
    suggested : tuple of str
        The rarest fifth of the labels that have a positive in every split.
    slices : mapping from column to mapping from category to number of test rows
        Where columns were named by which test metrics are told apart.
    notes : tuple of str
        What the reader said.
    """

    name: str
    kind: str
    n_rows: int
    n_features: int
    n_labels: int
    feature_columns: tuple[str, ...]
    item_kind: str | None
    rows: dict[str, int]
    cardinality: float
    density: float
    rows_without_labels: int
    missing_entries: int
    labels: tuple[LabelSummary, ...]
    without_positives: dict[str, tuple[str, ...]]
    duplicates: tuple[tuple[str, str], ...]
    unreadable: tuple[str, ...]
    suggested: tuple[str, ...]
    slices: dict[str, dict[str, int]]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON."""
        return asdict(self)


def inspect_data(data: MultiLabelData, *, progress: Progress = lambda n_rows: None) -> Inspection:
    """Count, and look for what spoils an evaluation.

    Parameters
    ----------
    data : MultiLabelData
        With its splits. Every item is read, and every checksum of a store compared.
    progress : callable
        Receives the number of rows looked at since the last call.
    """
    if isinstance(data.features, StoredFeatures):
        verify_store(data.features.folder)
    if not data.n_labels or not data.split:
        raise value_error(f"DATA ({data.name})", must="have labels and splits", got="none")
    counts = {name: positive_counts(data.targets[rows]) for name, rows in data.split.items()}
    used = np.sort(np.concatenate(list(data.split.values())))
    of_used = data.targets[used]
    dense = isinstance(of_used, np.ndarray)
    per_row = (of_used == 1).sum(axis=1)
    stored = of_used if dense else of_used.data
    digests, unreadable = _digests(data, used, progress)
    suggested = _suggested(data, counts)
    chosen = frozenset(suggested)
    order = np.argsort(counts["train"], kind="stable")
    totals = np.sum(list(counts.values()), axis=0)
    labels = tuple(
        LabelSummary(
            data.label_names[label],
            {name: int(values[label]) for name, values in counts.items()},
            float(totals[label] / len(used)),
            data.label_names[label] in chosen,
        )
        for label in order
    )
    return Inspection(
        name=data.name,
        kind=data.kind,
        n_rows=data.n_rows,
        n_features=data.n_features,
        n_labels=data.n_labels,
        feature_columns=tuple(dict.fromkeys(name.column for name in data.feature_names or ())),
        item_kind=None if data.items is None or data.n_features else data.items.kind,
        rows={name: len(rows) for name, rows in data.split.items()},
        cardinality=float(np.mean(per_row)),
        density=float(np.mean(per_row) / data.n_labels),
        rows_without_labels=int((np.asarray(per_row) == 0).sum()),
        missing_entries=int((stored == -1).sum()),
        labels=labels,
        without_positives={
            name: tuple(data.label_names[label] for label in np.flatnonzero(values == 0))
            for name, values in counts.items()
        },
        duplicates=_duplicates(data, digests),
        unreadable=unreadable,
        suggested=suggested,
        slices={column: _test_rows(data, values) for column, values in data.slices.items()},
        notes=data.notes,
    )


def _suggested(data: MultiLabelData, counts: dict[str, Any]) -> tuple[str, ...]:
    """The rarest fifth of the labels that can be learnt and measured."""
    measurable = np.flatnonzero(np.min(list(counts.values()), axis=0) > 0)
    if len(measurable) < 2:
        return ()
    names = tuple(data.label_names[label] for label in measurable)
    train = data.targets[data.rows("train")][:, measurable]
    partition = parse_privileged("rarest:20%").resolve(train, names, None)
    return tuple(names[label] for label in partition.privileged)


def _test_rows(data: MultiLabelData, values: NDArray[np.str_]) -> dict[str, int]:
    """Test rows of each category that any row has."""
    tested = values[data.split.get("test", [])]
    return {str(each): int(np.count_nonzero(tested == each)) for each in np.unique(values)}


def _digests(
    data: MultiLabelData, rows: Any, progress: Progress
) -> tuple[dict[int, bytes], tuple[str, ...]]:
    """Digest of the content of every row, and the items that cannot be read."""
    if data.n_features or data.items is None:
        return _feature_digests(data, rows, progress), ()
    digests: dict[int, bytes] = {}
    unreadable = []
    for row in rows.tolist():
        fault = _fault(data.items, row)
        if fault is None:
            digests[row] = data.items.digest(row)
        else:
            unreadable.append(fault)
        progress(1)
    return digests, tuple(unreadable)


def _fault(items: Items, row: int) -> str | None:
    try:
        items.load(row)
    except FairPOFileError as error:
        return str(error)
    return None


def _feature_digests(data: MultiLabelData, rows: Any, progress: Progress) -> dict[int, bytes]:
    if not data.n_features:
        progress(len(rows))
        return {}
    digests: dict[int, bytes] = {}
    size = block_rows(data.n_features)
    for start in range(0, len(rows), size):
        numbers = rows[start : start + size]
        block = np.ascontiguousarray(feature_rows(data.features, numbers))
        for row, values in zip(numbers.tolist(), block, strict=True):
            digests[row] = hashlib.blake2b(values.data, digest_size=16).digest()
        progress(len(numbers))
    return digests


def _duplicates(data: MultiLabelData, digests: dict[int, bytes]) -> tuple[tuple[str, str], ...]:
    """Pairs of rows of different splits with the same content: what leaks into an evaluation."""
    first: dict[bytes, tuple[int, str]] = {}
    pairs = []
    for name in data.split:
        for row in data.split[name].tolist():
            digest = digests.get(row)
            if digest is None:
                continue
            other, place = first.setdefault(digest, (row, name))
            if place != name:
                pairs.append((f"{place} {_called(data, other)}", f"{name} {_called(data, row)}"))
    return tuple(pairs)


def _called(data: MultiLabelData, row: int) -> str:
    if data.ids is not None:
        return data.ids[row]
    return data.items.name(row) if data.items is not None else str(row)
