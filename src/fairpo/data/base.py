"""What every reader returns: features or items, targets, names and splits of one data set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairpo._checks import (
    check_finite,
    check_same_length,
    check_unique,
    file_error,
    value_error,
)
from fairpo.data.items import Items

Missing: TypeAlias = Literal[-1, "nan"] | None
Targets: TypeAlias = "NDArray[np.int8] | sparse.csr_array[Any]"


Progress: TypeAlias = "Callable[[int], None]"
"""Receives the number of rows or items done since the last call."""


class FeatureName(NamedTuple):
    """A feature of a table: its column and, of a column of categories, the category."""

    column: str
    category: str | None = None


class Features(Protocol):
    """Features (n, d) from which rows are cut: an array, a memmap, CSR, or a store on disk."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""

    @property
    def ndim(self) -> int:
        """Two."""

    def __getitem__(self, rows: Any, /) -> Any:
        """Some rows."""


SPLITS = ("train", "validation", "test")

_DENSE_TARGETS = 2**26
_DENSE_FEATURES = 2**28


@dataclass(frozen=True)
class MultiLabelData:
    """Features or items, and targets, of one data set, checked once at the door.

    Parameters
    ----------
    features : array, memmap, CSR or array on disk, shape (n, d)
        Floating point numbers without NaN or infinity. Kept as they are, never copied; read by
        :func:`feature_rows`. Items that wait for a backbone have d = 0.
    targets : int8 array or CSR, shape (n, L)
        1 the label applies, 0 it does not, -1 not known. In CSR a stored -1 is "not known",
        an entry that is not stored is 0.
    label_names : sequence of str, length L
        Unique.
    split : mapping from "train", "validation", "test" to row indices
        Rows in none of them are not used. A split may be absent.
    ids : sequence of str, length n, optional
        What the rows are called in predictions; row numbers when not given.
    items : Items, length n, optional
        The images or texts themselves, for a backbone to embed.
    clusters : int array, shape (n,), optional
        Rows that are not independent (scenes made of the same digit images) share a number;
        confidence intervals resample whole clusters.
    name : str
        What tables call the data set.
    kind : str
        What the reader recognised, in words.
    notes : tuple of str
        What the reader skipped, counted or decided.
    feature_names : tuple of FeatureName, length d, optional
        Of tables, whose columns may stand in another order elsewhere.
    backbone : mapping, optional
        What made the features, where they are embeddings.
    unreadable : int array
        Rows whose item could not be read; they are in no split.
    slices : mapping from name to str array, shape (n,)
        Attributes of the rows, such as the camera of an image or the dialect of a speaker, by
        which test metrics are told apart. No training sees them.

    Raises
    ------
    FairPOValueError
        Different numbers of rows, NaN or infinity, targets outside {0, 1, -1}, duplicate label
        names, an empty or overlapping split.
    """

    features: Features
    targets: Targets
    label_names: tuple[str, ...]
    split: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    ids: Sequence[str] | None = None
    clusters: NDArray[np.int64] | None = None
    name: str = "data"
    items: Items | None = None
    kind: str = ""
    notes: tuple[str, ...] = ()
    feature_names: tuple[FeatureName, ...] | None = None
    backbone: Mapping[str, Any] | None = None
    unreadable: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    slices: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check everything before any work is done on it."""
        object.__setattr__(self, "label_names", tuple(str(name) for name in self.label_names))
        counts = {"X": self.features.shape[0], "Y": self.targets.shape[0]}
        if self.ids is not None:
            counts["ids"] = len(self.ids)
        if self.clusters is not None:
            counts["clusters"] = len(self.clusters)
        if self.items is not None:
            counts["items"] = len(self.items)
        counts |= {f"slices[{name!r}]": len(values) for name, values in self.slices.items()}
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
        if self.feature_names is not None:
            check_unique([repr(name) for name in self.feature_names], "feature names")
            if len(self.feature_names) != self.n_features:
                raise value_error(
                    "feature_names",
                    must="name every column of X",
                    got=f"{len(self.feature_names)} names for {self.n_features} columns",
                )
        if sparse.issparse(self.features):
            check_finite(sparse.csr_array(self.features).data, "the stored entries of X")
        elif isinstance(self.features, np.ndarray):  # arrays on disk were checked when written
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

    def require_features(self) -> None:
        """Refuse items that no backbone has embedded yet.

        Raises
        ------
        FairPOValueError
            There are no feature columns.
        """
        if self.n_features == 0:
            what = f"{len(self.items)} {self.items.kind}s" if self.items else "labels alone"
            raise value_error(
                f"DATA ({self.name})",
                must="hold features",
                got=what,
                do="Embed them first, `fairpo embed DATA --out STORE`, and give STORE as DATA."
                if self.items
                else "",
            )

    def row_name(self, row: int) -> str:
        """Return what a row is called in predictions: its id, or its number where it has none."""
        return str(row) if self.ids is None else self.ids[row]

    def without_features(self) -> MultiLabelData:
        """Return the labels and splits alone: what scores are judged by, and small."""
        empty = np.empty((self.n_rows, 0), dtype=np.float32)
        return replace(self, features=empty, feature_names=None, items=None)

    def targets_of(self, rows: NDArray[np.int64]) -> NDArray[np.int8]:
        """Dense targets (len(rows), L) of the given rows."""
        return dense_targets(self.targets, rows)


def dense_targets(
    targets: Targets, rows: NDArray[np.int64] | slice = slice(None)
) -> NDArray[np.int8]:
    """Targets of some rows as a dense int8 array."""
    part = targets[rows]
    return part if isinstance(part, np.ndarray) else part.toarray()


def feature_rows(features: Features, rows: NDArray[np.int64] | slice) -> NDArray[Any]:
    """Features of some rows as a dense array, from memory, CSR or disk."""
    part = features[rows]
    return part.toarray() if sparse.issparse(part) else np.asarray(part)


def row_numbers(rows: Any, n_rows: int) -> NDArray[np.int64]:
    """Row numbers of an index: a slice, numbers, or a mask."""
    if isinstance(rows, slice):
        return np.arange(*rows.indices(n_rows))
    numbers = np.asarray(rows)
    if numbers.dtype == bool:
        return np.flatnonzero(numbers)
    if numbers.size and (numbers.min() < 0 or numbers.max() >= n_rows):
        raise IndexError(f"row numbers must be from 0 to {n_rows - 1}")
    return numbers.astype(np.int64, copy=False)


def block_rows(n_columns: int) -> int:
    """Rows of a dense block that takes at most 64 MB in float32, up to 4096."""
    return int(min(4096, max(1, 2**24 // max(n_columns, 1))))


def sparse_matrix(
    source: object, data: Any, indices: Any, indptr: Any, shape: Any
) -> sparse.csr_array[Any]:
    """Build CSR from its parts, as they lie in a file.

    Raises
    ------
    FairPOFileError
        The parts do not make a matrix: SciPy would read and write outside of it.
    """
    try:
        sizes = tuple(int(size) for size in np.asarray(shape).ravel())
        matrix = sparse.csr_array((data, indices, indptr), shape=sizes)
        matrix.check_format(full_check=True)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise file_error(str(source), f"holds no valid sparse matrix ({error})") from error
    return matrix


def compact_features(features: Any) -> Features:
    """Features as float32: dense, unless they are sparse and would fill a gigabyte.

    Heads multiply dense rows, so what fits is kept dense; a wide CSR is made dense batch by batch.
    """
    if sparse.issparse(features):
        matrix: Features = sparse.csr_array(features, dtype=np.float32)
        small = int(np.prod(matrix.shape)) <= _DENSE_FEATURES
        return feature_rows(matrix, slice(None)) if small else matrix
    return np.ascontiguousarray(features, dtype=np.float32)


def check_negatives(targets: NDArray[Any], what: str) -> None:
    """Refuse -1 and 1 without any 0: where -1 is meant as "does not apply".

    Raises
    ------
    FairPOValueError
    """
    if (targets == -1).any() and not (targets == 0).any():
        raise value_error(
            what,
            must="hold a 0 somewhere: -1 means not known here",
            got="-1 and 1 only",
            do="Write 0 for what does not apply.",
        )


def compact_targets(targets: Targets) -> Targets:
    """Targets as a dense int8 array where that takes less than 64 MB, as CSR otherwise.

    Batches are cut from either; from the dense array faster, and only CSR fits 100,000 labels.
    """
    small = int(np.prod(targets.shape)) <= _DENSE_TARGETS
    if isinstance(targets, np.ndarray) or not small:
        return targets
    dense: NDArray[np.int8] = targets.toarray()
    return dense


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
        if not matrix.has_canonical_format:  # an entry given twice would count twice
            matrix = matrix.copy()
            matrix.sum_duplicates()
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


def observed_counts(targets: Targets) -> NDArray[np.int64]:
    """Number of rows in which each label is known, shape (L,)."""
    if not isinstance(targets, np.ndarray):
        missing = targets.indices[np.asarray(targets.data) < 0]
        counts = np.bincount(missing, minlength=targets.shape[1]).astype(np.int64)
        return np.asarray(targets.shape[0] - counts, dtype=np.int64)
    return np.asarray((np.asarray(targets) >= 0).sum(axis=0), dtype=np.int64)


def fingerprint(data: MultiLabelData) -> str:
    """Short digest of a data set: names, splits, clusters, slices, targets and features.

    Features in memory, or mapped from a file, are read whole; a store is known by its manifest, in
    which is the digest of each of its files; of other features on disk a thousand rows are read.
    """
    digest = hashlib.sha256()
    digest.update(repr((data.features.shape, data.targets.shape, data.label_names)).encode())
    for name in sorted(data.split):
        digest.update(f"split {name}".encode())
        _add(digest, data.split[name])
    if data.clusters is not None:
        digest.update(b"clusters")
        _add(digest, data.clusters)
    for name in sorted(data.slices):
        digest.update(f"slice {name}".encode())
        _add(digest, data.slices[name])
    _add_features(digest, data.features)
    if data.items is not None and not data.n_features:
        digest.update(data.items.fingerprint().encode())
    _add(digest, data.targets)
    return digest.hexdigest()[:16]


def _add_features(digest: hashlib._Hash, features: Features) -> None:
    known = getattr(features, "fingerprint", None)
    if known is not None:  # of a store
        digest.update(known.encode())
    elif isinstance(features, np.ndarray | sparse.csr_array):
        _add(digest, features)
    else:
        n_rows, n_columns = features.shape
        n_sampled = min(n_rows, 1000, block_rows(n_columns))
        _add(digest, feature_rows(features, np.linspace(0, n_rows - 1, n_sampled).astype(np.int64)))


def _add(digest: hashlib._Hash, values: NDArray[Any] | sparse.csr_array[Any]) -> None:
    """Add the content of an array or of CSR, block by block."""
    if not isinstance(values, np.ndarray):
        for part in (values.indptr, values.indices, values.data):
            _add(digest, part)
        return
    digest.update(str(values.dtype).encode())
    size = block_rows(int(np.prod(values.shape[1:])))
    for start in range(0, len(values), size):
        digest.update(np.ascontiguousarray(values[start : start + size]).data)


def default_label_names(n_labels: int) -> tuple[str, ...]:
    """Names for labels that came without any: label_0, label_1, ..."""
    return tuple(f"label_{index}" for index in range(n_labels))
