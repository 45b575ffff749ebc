"""Features that processes share: a file that each of them maps, in place of a copy for each."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import file_error
from fairpo.data.base import MultiLabelData
from fairpo.data.store import open_array

_FOLDER = ".features.tmp"


class MappedFeatures:
    """Features (n, d) in an ``.npy`` file, read from disk row by row.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FairPOFileError
        It is not a whole ``.npy`` file.
    """

    ndim = 2

    def __init__(self, path: Path) -> None:
        self.path = path
        self._array = open_array(path)
        self.shape = self._array.shape

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process as a file to open there, not as its content."""
        return type(self), (self.path,)

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """Some rows."""
        return np.asarray(self._array[rows])


@contextmanager
def shared_features(data: MultiLabelData, folder: Path) -> Iterator[MultiLabelData]:
    """Yield the data with features that go to another process as a path.

    A dense array in memory is written into the folder, and deleted at the end; one that is mapped
    from a file is mapped from there again. CSR is sent as it is, and a store is a path already.

    Parameters
    ----------
    data : MultiLabelData
    folder : Path
        That exists, of one study at a time.

    Raises
    ------
    FairPOFileError
        It cannot be written there.
    """
    if not isinstance(data.features, np.ndarray):
        yield data
        return
    known = _file_of(data.features)
    if known is not None:
        yield replace(data, features=MappedFeatures(known))
        return
    temporary = folder / _FOLDER
    try:
        yield replace(data, features=MappedFeatures(_written(data.features, temporary)))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _written(array: NDArray[Any], folder: Path) -> Path:
    path = folder / "X.npy"
    try:
        shutil.rmtree(folder, ignore_errors=True)  # of one that was killed
        folder.mkdir()
        np.save(path, array)
    except OSError as error:
        raise file_error(folder, f"cannot be written ({error.strerror or error})") from error
    return path


def _file_of(array: NDArray[Any]) -> Path | None:
    """The ``.npy`` file that an array is mapped from, where it is all of it."""
    mapped = array if isinstance(array, np.memmap) else array.base
    if not isinstance(mapped, np.memmap) or not isinstance(mapped.filename, str | Path):
        return None
    path = Path(mapped.filename)
    if path.suffix != ".npy":
        return None
    whole = open_array(path)
    same = (whole.shape, whole.dtype, whole.strides) == (array.shape, array.dtype, array.strides)
    return path if same and array.ctypes.data == mapped.ctypes.data else None
