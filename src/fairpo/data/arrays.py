"""Data sets as arrays: one ``.npz`` file, or a folder of ``.npy`` files; no pickle."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairpo._checks import FairPOFileError, file_error, unknown_name
from fairpo.data.base import (
    MultiLabelData,
    Targets,
    as_targets,
    check_negatives,
    compact_features,
    compact_targets,
    default_label_names,
    sparse_matrix,
)
from fairpo.data.listing import read_lines
from fairpo.data.options import DataOptions

_ENDS = (".npy", ".npz")
_DAMAGED = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    NotImplementedError,  # a method of compression that a flipped bit names
    zipfile.BadZipFile,
    zlib.error,
)


def recognises(path: Path) -> bool:
    """Whether a path is an ``.npz`` file, or a folder with X."""
    if path.is_dir():
        return any((path / f"X{end}").is_file() for end in _ENDS)
    return path.suffix == ".npz"


def read(path: Path, options: DataOptions) -> MultiLabelData:
    """Read a data set of arrays.

    Parameters
    ----------
    path : Path
        An ``.npz`` file, or a folder of the same arrays in a file each: ``X.npy``, which stays on
        disk, or ``X.npz`` as ``scipy.sparse.save_npz`` writes it, ``Y.npy`` or ``Y.npz``,
        ``train_idx.npy``, ..., and ``label_names.txt`` and ``ids.txt`` with one name a line.

        Holds ``X`` (n, d), or CSR as ``X_data, X_indices, X_indptr, X_shape``; ``Y`` (n, L) with
        0, 1 and -1 (not known), or CSR likewise; and, optionally, ``label_names``, ``ids``,
        ``clusters``, ``train_idx``, ``val_idx`` and ``test_idx``. Where there are indices, rows in
        none of them are the validation split.

    Raises
    ------
    FairPOFileError
        The file is missing, truncated, or not such an archive.
    FairPOValueError
        An array is missing or its content is not allowed.
    """
    arrays = _read_arrays(path)
    features = _matrix(arrays, "X", path)
    n_rows = features.shape[0]
    targets: Targets = np.empty((n_rows, 0), dtype=np.int8)
    if not options.unlabelled or any(name in arrays for name in ("Y", "Y_data")):
        targets = compact_targets(as_targets(_matrix(arrays, "Y", path), missing=-1))
    if isinstance(targets, np.ndarray):
        check_negatives(targets, f"Y of {path}")
    names = _vector(arrays, "label_names", path, "SU")
    ids = _vector(arrays, "ids", path, "SUiu")
    return MultiLabelData(
        features=compact_features(features),
        targets=targets,
        label_names=default_label_names(targets.shape[1])
        if names is None or not targets.shape[1]
        else tuple(names.tolist()),
        split=_split(arrays, n_rows, path),
        ids=None if ids is None else tuple(str(name) for name in ids.tolist()),
        clusters=_vector(arrays, "clusters", path, "iu"),
        name=path.stem,
        kind="arrays in a folder" if path.is_dir() else "arrays in an .npz file",
    )


def _read_arrays(path: Path) -> dict[str, Any]:
    if path.is_dir():
        return _read_folder(path)
    try:
        with path.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise file_error(path, "is a single array, not an .npz archive with X and Y")
            return {name: archive[name] for name in archive.files}
    except FairPOFileError:
        raise
    except FileNotFoundError as error:
        raise file_error(path, "does not exist") from error
    except _DAMAGED as error:
        raise file_error(path, f"is truncated or not an .npz file ({error})") from error


def _read_folder(path: Path) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for file in sorted(path.iterdir()):
        if file.name in ("label_names.txt", "ids.txt"):
            arrays[file.stem] = np.array(read_lines(file))
        elif file.suffix in _ENDS:
            try:
                arrays[file.stem] = (
                    np.load(file, mmap_mode="r", allow_pickle=False)
                    if file.suffix == ".npy"
                    else sparse.load_npz(file)
                )
            except _DAMAGED as error:
                raise file_error(file, f"is not a whole array ({error})") from error
    return arrays


def _matrix(arrays: dict[str, Any], name: str, path: Path) -> Any:
    """A two-dimensional array of numbers, or CSR, whole as given or from its four parts."""
    parts = [f"{name}_{part}" for part in ("data", "indices", "indptr", "shape")]
    found = arrays.get(name)
    if found is None and all(part in arrays for part in parts):
        found = sparse_matrix(path, *(arrays[part] for part in parts))
    elif found is None:
        raise unknown_name(f"{path}: array", name, arrays, of="arrays in the file")
    elif sparse.issparse(found):
        csr = sparse.csr_array(found)
        found = sparse_matrix(path, csr.data, csr.indices, csr.indptr, csr.shape)
    if found.ndim != 2 or found.dtype.kind not in "biuf":
        raise file_error(
            path,
            f"{name} must hold numbers in two dimensions, got {found.dtype} of shape {found.shape}",
        )
    return found


def _vector(arrays: dict[str, Any], name: str, path: Path, kinds: str) -> NDArray[Any] | None:
    """An optional array of one dimension, of some kinds of NumPy's dtypes."""
    found = arrays.get(name)
    if found is None:
        return None
    if found.ndim != 1 or found.dtype.kind not in kinds:
        what = "whole numbers" if kinds.startswith("iu") else "names"
        raise file_error(
            path, f"{name} must be a list of {what}, got {found.dtype} of shape {found.shape}"
        )
    return np.asarray(found)


def _split(arrays: dict[str, Any], n_rows: int, path: Path) -> dict[str, NDArray[np.int64]]:
    keys = {"train": "train_idx", "validation": "val_idx", "test": "test_idx"}
    split = {}
    for name, key in keys.items():
        rows = _vector(arrays, key, path, "iub")
        if rows is not None:
            split[name] = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
    if "train" in split and "validation" not in split:
        used = np.concatenate(list(split.values()))
        rest = np.setdiff1d(np.arange(n_rows), used)
        if len(rest):
            split["validation"] = rest
    return split
