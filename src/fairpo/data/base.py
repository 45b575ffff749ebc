"""What every reader returns: features, targets, names and splits of one multi-label data set."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairpo._checks import check_finite, check_same_length, check_unique, value_error

Missing: TypeAlias = Literal[-1, "nan"] | None
Targets: TypeAlias = "NDArray[np.int8] | sparse.csr_array[Any]"

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class MultiLabelData:
    """Features and targets of one data set, checked once at the door.

    Parameters
    ----------
    features : array or memmap, shape (n, d)
        Floating point numbers without NaN or infinity. Kept as they are, never copied.
    targets : int8 array or CSR, shape (n, L)
        1 the label applies, 0 it does not, -1 not known. In CSR a stored -1 is "not known",
        an entry that is not stored is 0.
    label_names : sequence of str, length L
        Unique.
    split : mapping from "train", "validation", "test" to row indices
        Rows in none of them are not used. A split may be absent.
    ids : sequence of str, length n, optional
        What the rows are called in predictions; row numbers when not given.
    clusters : int array, shape (n,), optional
        Rows that are not independent (scenes made of the same digit images) share a number;
        confidence intervals resample whole clusters.
    name : str
        What tables call the data set.

    Raises
    ------
    FairPOValueError
        Different numbers of rows, NaN or infinity, targets outside {0, 1, -1}, duplicate label
        names, an empty or overlapping split.
    """

    features: NDArray[Any]
    targets: Targets
    label_names: tuple[str, ...]
    split: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    ids: tuple[str, ...] | None = None
    clusters: NDArray[np.int64] | None = None
    name: str = "data"

    def __post_init__(self) -> None:
        """Check everything before any work is done on it."""
        object.__setattr__(self, "label_names", tuple(str(name) for name in self.label_names))
        counts = {"X": self.features.shape[0], "Y": self.targets.shape[0]}
        if self.ids is not None:
            counts["ids"] = len(self.ids)
        if self.clusters is not None:
            counts["clusters"] = len(self.clusters)
        check_same_length(counts)
        if self.features.ndim != 2:
            raise value_error(
                "X", must="have two dimensions (rows, features)", got=f"shape {self.features.shape}"
            )
        if self.targets.shape[1] != len(self.label_names):
            raise value_error(
                "label_names",
                must="name every column of Y",
                got=f"{len(self.label_names)} names for {self.targets.shape[1]} columns",
            )
        check_unique(self.label_names, "label names")
        check_finite(self.features, "X")
        object.__setattr__(self, "targets", as_targets(self.targets, missing=-1))
        self._check_split()

    def _check_split(self) -> None:
        used = np.zeros(self.n_rows, dtype=bool)
        for name, rows in self.split.items():
            if name not in SPLITS:
                raise value_error("a split", must=f"be one of {', '.join(SPLITS)}", got=repr(name))
            if len(rows) == 0:
                raise value_error(f"the {name} split", must="hold at least one row", got="none")
            if rows.min() < 0 or rows.max() >= self.n_rows:
                raise value_error(
                    f"the {name} split",
                    must=f"hold row numbers from 0 to {self.n_rows - 1}",
                    got=f"{rows.min()} to {rows.max()}",
                )
            if used[rows].any() or len(np.unique(rows)) < len(rows):
                raise value_error(
                    f"the {name} split",
                    must="hold each row once, in no other split",
                    got="repeated rows",
                )
            used[rows] = True

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.features.shape[0])

    @property
    def n_features(self) -> int:
        """Number of feature columns."""
        return int(self.features.shape[1])

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return len(self.label_names)

    def rows(self, split: str) -> NDArray[np.int64]:
        """Row indices of a split.

        Raises
        ------
        FairPOValueError
            The data set has no such split.
        """
        if split not in self.split:
            raise value_error(
                "split", must=f"be one of {', '.join(self.split) or '(none)'}", got=repr(split)
            )
        return self.split[split]

    def targets_of(self, rows: NDArray[np.int64]) -> NDArray[np.int8]:
        """Dense targets (len(rows), L) of the given rows."""
        return dense_targets(self.targets, rows)


def dense_targets(
    targets: Targets, rows: NDArray[np.int64] | slice = slice(None)
) -> NDArray[np.int8]:
    """Targets of some rows as a dense int8 array."""
    part = targets[rows]
    return part if isinstance(part, np.ndarray) else part.toarray()


def as_targets(values: Any, *, missing: Missing = None) -> Targets:
    """Check an indicator matrix and return it as int8, with -1 for "not known".

    Parameters
    ----------
    values : array or scipy sparse matrix, shape (n, L)
        Entries 0 and 1, or booleans.
    missing : -1, "nan" or None
        The mark for "not known" that dense ``values`` may hold. ``None`` allows none, because a
        forgotten mark must not become a silent negative. In sparse input a stored -1 is always
        the mark.

    Raises
    ------
    FairPOValueError
        Not two-dimensional, or entries outside {0, 1, missing}.
    """
    if sparse.issparse(values):
        matrix = sparse.csr_array(values)
        _check_entries(np.asarray(matrix.data), missing=-1)
        return sparse.csr_array(matrix.astype(np.int8)) if matrix.dtype != np.int8 else matrix
    array = np.asarray(values)
    if array.ndim != 2:
        raise value_error(
            "Y", must="have two dimensions (rows, labels)", got=f"shape {array.shape}"
        )
    _check_entries(array, missing)
    if array.dtype == np.int8:
        return array
    if missing == "nan" and array.dtype.kind == "f":
        return np.where(np.isnan(array), -1, array).astype(np.int8)
    return array.astype(np.int8)


def _check_entries(entries: NDArray[Any], missing: Missing) -> None:
    if entries.dtype.kind not in "biuf":
        raise value_error("Y", must="hold the numbers 0 and 1", got=f"dtype {entries.dtype}")
    good = (entries == 0) | (entries == 1)
    if missing == -1:
        good |= entries == -1
    elif missing == "nan" and entries.dtype.kind == "f":
        good |= np.isnan(entries)
    if not good.all():
        wrong = np.unique(entries[~good])[:5].tolist()
        allowed = {None: "0 and 1", -1: "0, 1 and -1 (missing)", "nan": "0, 1 and NaN (missing)"}[
            missing
        ]
        raise value_error(
            "Y",
            must=f"hold {allowed} only",
            got=f"{int((~good).sum())} other entries, such as {', '.join(map(str, wrong))}",
            do="Entries that are not known need missing=-1 or missing='nan'."
            if missing is None
            else "",
        )


def positive_counts(targets: Targets) -> NDArray[np.int64]:
    """Number of positives per label, shape (L,); missing entries do not count."""
    if not isinstance(targets, np.ndarray):
        ones = targets.indices[np.asarray(targets.data) == 1]
        return np.bincount(ones, minlength=targets.shape[1]).astype(np.int64)
    return np.asarray((np.asarray(targets) == 1).sum(axis=0), dtype=np.int64)


def fingerprint(data: MultiLabelData) -> str:
    """Short digest of a data set: shapes, names, splits, targets and a thousand feature rows."""
    digest = hashlib.sha256()
    digest.update(repr((data.features.shape, data.targets.shape, data.label_names)).encode())
    for name in sorted(data.split):
        digest.update(np.ascontiguousarray(data.split[name]).tobytes())
    rows = np.linspace(0, data.n_rows - 1, min(data.n_rows, 1000)).astype(np.int64)
    digest.update(np.ascontiguousarray(data.features[rows]).tobytes())
    stored = data.targets if isinstance(data.targets, np.ndarray) else data.targets.indices
    digest.update(np.ascontiguousarray(stored).tobytes())
    return digest.hexdigest()[:16]


def default_label_names(n_labels: int) -> tuple[str, ...]:
    """Names for labels that came without any: label_0, label_1, ..."""
    return tuple(f"label_{index}" for index in range(n_labels))
