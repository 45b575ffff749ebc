"""Data sets in one ``.npz`` file: arrays and names, no pickle."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairpo._checks import FairPOFileError, file_error, unknown_name
from fairpo.data.base import MultiLabelData, Targets, as_targets, default_label_names


def load_npz(path: str | Path) -> MultiLabelData:
    """Read a data set from an ``.npz`` file.

    Parameters
    ----------
    path : path
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
    path = Path(path)
    arrays = _read_arrays(path)
    features = _matrix(arrays, "X", path)
    targets: Targets = as_targets(_matrix(arrays, "Y", path), missing=-1)
    names = arrays.get("label_names")
    return MultiLabelData(
        features=_dense_float32(features),
        targets=targets,
        label_names=default_label_names(targets.shape[1])
        if names is None
        else tuple(names.tolist()),
        split=_split(arrays, features.shape[0]),
        ids=tuple(str(item) for item in arrays["ids"]) if "ids" in arrays else None,
        clusters=arrays.get("clusters"),
        name=path.stem,
    )


def load_features(path: str | Path) -> tuple[NDArray[np.float32], tuple[str, ...] | None]:
    """Read only ``X`` and, where there are any, ``ids``: what a prediction needs.

    Raises
    ------
    FairPOFileError
        As :func:`load_npz`.
    """
    arrays = _read_arrays(Path(path))
    ids = tuple(str(item) for item in arrays["ids"]) if "ids" in arrays else None
    return _dense_float32(_matrix(arrays, "X", Path(path))), ids


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
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
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise file_error(path, f"is truncated or not an .npz file ({error})") from error


def _matrix(arrays: dict[str, NDArray[Any]], name: str, path: Path) -> Any:
    if name in arrays:
        return arrays[name]
    parts = [f"{name}_{part}" for part in ("data", "indices", "indptr", "shape")]
    if all(part in arrays for part in parts):
        data, indices, indptr, shape = (arrays[part] for part in parts)
        return sparse.csr_array((data, indices, indptr), shape=tuple(int(size) for size in shape))
    raise unknown_name(f"{path}: array", name, arrays, of="arrays in the file")


def _dense_float32(features: Any) -> NDArray[np.float32]:
    # Heads multiply dense rows; at float32 a CSR of moderate width is smaller than its gradients.
    dense = features.toarray() if sparse.issparse(features) else np.asarray(features)
    return np.ascontiguousarray(dense, dtype=np.float32)


def _split(arrays: dict[str, NDArray[Any]], n_rows: int) -> dict[str, NDArray[np.int64]]:
    keys = {"train": "train_idx", "validation": "val_idx", "test": "test_idx"}
    split = {name: arrays[key].astype(np.int64) for name, key in keys.items() if key in arrays}
    if "train" in split and "validation" not in split:
        used = np.concatenate(list(split.values()))
        rest = np.setdiff1d(np.arange(n_rows), used)
        if len(rest):
            split["validation"] = rest
    return split
