"""A store of embeddings: memory-mapped ``.npy`` shards, and a manifest that says what they are.

``manifest.json`` is written last and seals the folder: backbone, revision, pooling,
preprocessing, dtype, counts, label names, unreadable items, and the SHA-256 of every other file.
``shard-00000.npy``, ... hold the embeddings, ``targets_*.npy`` the targets as CSR, ``split_*.npy``
row numbers, and ``ids*.npy`` what the rows are called.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fairpo._checks import FairPOFileError, file_error
from fairpo.data.base import (
    SPLITS,
    MultiLabelData,
    compact_targets,
    row_numbers,
    sparse_matrix,
)
from fairpo.data.options import DataOptions
from fairpo.models.checkpoint import read_json, sha256

MANIFEST = "manifest.json"
STATE = "embedding.json"
FORMAT: Literal["fairpo embeddings"] = "fairpo embeddings"
VERSION = 1

_REPAIR = "Make the store again, or copy it whole."


class StoreState(BaseModel):
    """What a store is going to hold: written before the first batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["fairpo embeddings"] = FORMAT
    version: int = Field(VERSION, ge=1)
    name: str
    source: str
    source_digest: str
    backbone: dict[str, Any]
    dtype: Literal["fp32", "bf16"]
    n_rows: int = Field(ge=1)
    n_features: int = Field(ge=1)
    shard_rows: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    label_names: tuple[str, ...]
    notes: tuple[str, ...]


class UnreadableItem(BaseModel):
    """An item whose row is zero and in no split, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: int = Field(ge=0)
    name: str
    problem: str


class StoredFile(BaseModel):
    """Size and checksum of a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int = Field(ge=0)
    sha256: str


class Manifest(StoreState):
    """What a finished store holds: written last."""

    unreadable: tuple[UnreadableItem, ...]
    files: dict[str, StoredFile]


State = TypeVar("State", bound=StoreState)


class StoredFeatures:
    """The embeddings of a store, (n, d), read from disk row by row.

    Looks like an array where rows are cut from it: ``features[rows]`` is a float32 array.

    Parameters
    ----------
    folder : Path
    manifest : Manifest
        As read from the folder.

    Raises
    ------
    FairPOFileError
        A shard is missing, truncated or of another shape than the manifest says.
    """

    ndim = 2
    dtype = np.dtype(np.float32)

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self._manifest = folder, manifest
        self.shape = (manifest.n_rows, manifest.n_features)
        checksums = sorted((name, file.sha256) for name, file in manifest.files.items())
        self.fingerprint = hashlib.sha256(repr(checksums).encode()).hexdigest()
        self._half = manifest.dtype == "bf16"
        self._shard_rows = manifest.shard_rows
        names = sorted(name for name in manifest.files if name.startswith("shard-"))
        self._shards = [open_array(folder / name) for name in names]
        lengths = [len(shard) for shard in self._shards]
        if sum(lengths) != self.shape[0] or any(
            shard.shape[1:] != self.shape[1:] for shard in self._shards
        ):
            raise file_error(folder, "its shards do not fit its manifest", _REPAIR)

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process as a folder to open there, not as its content."""
        return type(self), (self.folder, self._manifest)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        """Gather rows, shard by shard; a number gives one row, a pair rows and columns."""
        if isinstance(rows, tuple):
            return np.asarray(self[rows[0]][..., rows[1]], dtype=np.float32)
        if np.ndim(rows) == 0 and not isinstance(rows, slice):
            return np.asarray(self[np.asarray([rows])][0], dtype=np.float32)
        numbers = row_numbers(rows, self.shape[0])
        shard = numbers // self._shard_rows
        order = np.argsort(shard, kind="stable")
        gathered = np.empty((len(numbers), self.shape[1]), dtype=np.float32)
        used, starts = np.unique(shard[order], return_index=True)
        for number, start, end in zip(used, starts, [*starts[1:], len(order)], strict=True):
            places = order[start:end]
            found = self._shards[number][numbers[places] - number * self._shard_rows]
            gathered[places] = from_bf16(found) if self._half else found
        return gathered

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read everything into memory."""
        return self[:] if dtype is None else self[:].astype(dtype)


class StoredIds(Sequence[str]):
    """Row names in two memory-mapped arrays: all their bytes, and where each begins."""

    def __init__(self, content: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        self._content = content
        self._offsets = offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        """Name of a row, or names of some."""
        if isinstance(index, slice):
            return tuple(self[number] for number in range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        number = index % len(self)
        start, end = self._offsets[number], self._offsets[number + 1]
        return bytes(self._content[start:end]).decode()


def is_store(folder: Path) -> bool:
    """Whether a folder is a store, finished or not."""
    if (folder / STATE).is_file():
        return True
    try:
        return (folder / MANIFEST).is_file() and read_json(folder / MANIFEST)["format"] == FORMAT
    except FairPOFileError:  # a manifest that is damaged is still ours, beside shards
        return any(folder.glob("shard-*.npy"))
    except (KeyError, TypeError):
        return False


def read(folder: Path, options: DataOptions | None = None) -> MultiLabelData:
    """Open a store; the embeddings stay on disk.

    Parameters
    ----------
    folder : Path
    options : DataOptions, optional
        None concerns a store.

    Returns
    -------
    MultiLabelData
        ``features`` reads from disk. Rows whose item could not be read are in no split.

    Raises
    ------
    FairPOFileError
        The store is not complete, or a file is missing or damaged.
    """
    manifest = read_manifest(folder)

    def array(name: str) -> NDArray[Any] | None:
        return open_array(folder / name) if name in manifest.files else None

    unreadable = np.array([item.row for item in manifest.unreadable], dtype=np.int64)
    split = {}
    for name in SPLITS:
        rows = array(f"split_{name}.npy")
        if rows is not None and len(rows):
            split[name] = np.setdiff1d(rows, unreadable)
    targets = sparse_matrix(
        folder,
        open_array(folder / "targets_data.npy"),
        open_array(folder / "targets_indices.npy"),
        open_array(folder / "targets_indptr.npy"),
        (manifest.n_rows, len(manifest.label_names)),
    )
    notes = list(manifest.notes)
    if len(unreadable):
        notes.append(f"{len(unreadable)} items could not be read and are in no split")
    slices = array("slices.npy")
    ids, offsets = array("ids.npy"), array("ids_offsets.npy")
    return MultiLabelData(
        features=StoredFeatures(folder, manifest),
        targets=compact_targets(targets),
        label_names=manifest.label_names,
        split={name: rows for name, rows in split.items() if len(rows)},
        ids=None if ids is None or offsets is None else StoredIds(ids, offsets),
        clusters=array("clusters.npy"),
        slices={str(row[0]): row[1:] for row in (() if slices is None else slices)},
        name=manifest.name,
        kind=f"embeddings by {manifest.backbone.get('name')} of {manifest.source}",
        notes=tuple(notes),
        backbone=manifest.backbone,
        unreadable=unreadable,
    )


def read_state(path: Path) -> StoreState:
    """Read what a store is going to hold."""
    return _validated(StoreState, path)


def read_manifest(folder: Path) -> Manifest:
    """Read a manifest and check that the store is whole: every file there, of its size."""
    if not (folder / MANIFEST).is_file():
        if (folder / STATE).is_file():
            raise file_error(
                folder, "is a store that is not complete", "Run `fairpo embed` again: it goes on."
            )
        raise file_error(folder, f"is not a store of embeddings: it has no {MANIFEST}")
    manifest = _validated(Manifest, folder / MANIFEST)
    for name, file in manifest.files.items():
        path = folder / Path(name).name
        if not path.is_file():
            raise file_error(path, "is missing from the store", _REPAIR)
        if path.stat().st_size != file.bytes:
            raise file_error(path, "is truncated or was altered", _REPAIR)
    return manifest


def _validated(model: type[State], path: Path) -> State:
    content = read_json(path)
    if isinstance(content, dict) and isinstance(content.get("version"), int):
        version = content["version"]
        if version > VERSION:
            raise file_error(path, f"is of version {version}", "Install a newer fairpo.")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"])
        problem = f"does not describe a store of embeddings ({key}: {fault['msg']})"
        raise file_error(path, problem, _REPAIR) from error


def verify_store(folder: Path) -> None:
    """Compare every file of a store with its checksum; reads all of it.

    Raises
    ------
    FairPOFileError
        Names the first file that differs.
    """
    for name, file in read_manifest(folder).files.items():
        path = folder / Path(name).name
        if sha256(path) != file.sha256:
            raise file_error(path, "is damaged: its checksum differs", _REPAIR)


def open_array(path: Path) -> NDArray[Any]:
    """Memory-map an ``.npy`` file."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise file_error(path, f"is not a whole .npy file ({error})", _REPAIR) from error
    return np.asarray(array)


def from_bf16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Read bfloat16, which NumPy does not know, from its 16 bits: float32's upper half."""
    wide: NDArray[np.uint32] = np.left_shift(bits, 16, dtype=np.uint32)
    return wide.view(np.float32)


class GrowingArray:
    """An ``.npy`` file of known shape, written block by block.

    Written with plain writes and not through a memory map, so that a full disk is an error and
    not the end of the process, and what was written last time can be kept.

    Parameters
    ----------
    path : Path
    dtype : numpy dtype
    shape : (int, int)
        When all rows are there.
    done : int
        Rows that are there already.

    Raises
    ------
    OSError
    """

    def __init__(self, path: Path, dtype: Any, shape: tuple[int, int], done: int = 0) -> None:
        header = self.header(dtype, shape)
        self._stream = path.open("r+b" if done else "wb")
        if not done:
            self._stream.write(header)
        self._stream.truncate(len(header) + done * self.row_bytes(dtype, shape))
        self._stream.seek(0, os.SEEK_END)

    def append(self, block: NDArray[Any]) -> None:
        """Write rows, through to the disk."""
        self._stream.write(np.ascontiguousarray(block).tobytes())
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    @staticmethod
    def header(dtype: Any, shape: tuple[int, int]) -> bytes:
        """The bytes in front of the first row."""
        stream = io.BytesIO()
        descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
        entries = {"descr": descr, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, entries)
        return stream.getvalue()

    @staticmethod
    def row_bytes(dtype: Any, shape: tuple[int, int]) -> int:
        """Bytes of one row."""
        return int(np.dtype(dtype).itemsize) * shape[1]

    @classmethod
    def holds(cls, path: Path, dtype: Any, shape: tuple[int, int], done: int) -> bool:
        """Whether a file begins as this array and has at least so many rows."""
        header = cls.header(dtype, shape)
        try:
            with path.open("rb") as stream:
                begins = stream.read(len(header)) == header
            size = path.stat().st_size
        except OSError:
            return False
        return begins and size >= len(header) + done * cls.row_bytes(dtype, shape)
