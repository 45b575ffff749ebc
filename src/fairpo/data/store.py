"""A store of embeddings: memory-mapped ``.npy`` shards, and a manifest that says what they are.

``manifest.json`` is written last and seals the folder: backbone, revision, pooling,
preprocessing, dtype, counts, label names, unreadable items, and the SHA-256 of every other file.
``shard-00000.npy``, ... hold the embeddings, ``targets_*.npy`` the targets as CSR, ``split_*.npy``
row numbers, and ``ids*.npy`` what the rows are called.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairpo._checks import file_error
from fairpo.data.base import SPLITS, MultiLabelData, compact_targets
from fairpo.data.options import DataOptions
from fairpo.models.checkpoint import read_json

MANIFEST = "manifest.json"
STATE = "embedding.json"
FORMAT = "fairpo embeddings"
VERSION = 1

_REPAIR = "Make the store again, or copy it whole."


class StoredFeatures:
    """The embeddings of a store, (n, d), read from disk row by row.

    Looks like an array where rows are cut from it: ``features[rows]`` is a float32 array.

    Parameters
    ----------
    folder : Path
    manifest : dict
        As read from the folder.

    Raises
    ------
    FairPOFileError
        A shard is missing, truncated or of another shape than the manifest says.
    """

    ndim = 2
    dtype = np.dtype(np.float32)

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.shape = (int(manifest["n_rows"]), int(manifest["n_features"]))
        checksums = sorted((name, file["sha256"]) for name, file in manifest["files"].items())
        self.fingerprint = hashlib.sha256(repr(checksums).encode()).hexdigest()
        self._half = manifest["dtype"] == "bf16"
        self._shard_rows = int(manifest["shard_rows"])
        names = sorted(name for name in manifest["files"] if name.startswith("shard-"))
        self._shards = [open_array(folder / name) for name in names]
        lengths = [len(shard) for shard in self._shards]
        if sum(lengths) != self.shape[0] or any(
            shard.shape[1] != self.shape[1] for shard in self._shards
        ):
            raise file_error(folder, "its shards do not fit its manifest", _REPAIR)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: NDArray[Any] | slice) -> NDArray[np.float32]:
        """Gather rows, shard by shard."""
        numbers = np.arange(self.shape[0])[rows]
        shard = numbers // self._shard_rows
        order = np.argsort(shard, kind="stable")
        gathered = np.empty((len(numbers), self.shape[1]), dtype=np.float32)
        used, starts = np.unique(shard[order], return_index=True)
        for number, start, end in zip(used, starts, [*starts[1:], len(order)], strict=True):
            places = order[start:end]
            part = self._shards[number][numbers[places] - number * self._shard_rows]
            gathered[places] = from_bf16(part) if self._half else part
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
    return (folder / MANIFEST).is_file() or (folder / STATE).is_file()


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
    unreadable = np.array([item["row"] for item in manifest["unreadable"]], dtype=np.int64)
    split = {}
    for name in SPLITS:
        if f"split_{name}.npy" in manifest["files"]:
            rows = np.setdiff1d(open_array(folder / f"split_{name}.npy"), unreadable)
            if len(rows):
                split[name] = rows
    targets = sparse.csr_array(
        tuple(open_array(folder / f"targets_{part}.npy") for part in ("data", "indices", "indptr")),
        shape=(manifest["n_rows"], len(manifest["label_names"])),
    )
    notes = list(manifest["notes"])
    if len(unreadable):
        notes.append(f"{len(unreadable)} items could not be read and are in no split")
    files = manifest["files"]
    return MultiLabelData(
        features=StoredFeatures(folder, manifest),
        targets=compact_targets(targets),
        label_names=tuple(manifest["label_names"]),
        split=split,
        ids=StoredIds(open_array(folder / "ids.npy"), open_array(folder / "ids_offsets.npy"))
        if "ids.npy" in files
        else None,
        clusters=open_array(folder / "clusters.npy") if "clusters.npy" in files else None,
        name=manifest["name"],
        kind=f"embeddings by {manifest['backbone']['name']} of {manifest['source']}",
        notes=tuple(notes),
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a manifest and check that the store is whole: every file there, of its size."""
    if not (folder / MANIFEST).is_file():
        if (folder / STATE).is_file():
            raise file_error(
                folder,
                "is a store that is not complete",
                "Run its `fairpo embed` again: it goes on.",
            )
        raise file_error(folder, f"is not a store of embeddings: it has no {MANIFEST}")
    manifest: dict[str, Any] = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise file_error(folder / MANIFEST, "does not describe a store of embeddings")
    if manifest["version"] > VERSION:
        raise file_error(
            folder / MANIFEST, f"is of version {manifest['version']}", "Install a newer fairpo."
        )
    for name, file in manifest["files"].items():
        path = folder / Path(name).name
        if not path.is_file():
            raise file_error(path, "is missing from the store", _REPAIR)
        if path.stat().st_size != file["bytes"]:
            raise file_error(path, "is truncated or was altered", _REPAIR)
    return manifest


def verify_store(folder: Path) -> None:
    """Compare every file of a store with its checksum; reads all of it.

    Raises
    ------
    FairPOFileError
        Names the first file that differs.
    """
    for name, file in read_manifest(folder)["files"].items():
        path = folder / Path(name).name
        if sha256(path) != file["sha256"]:
            raise file_error(path, "is damaged: its checksum differs", _REPAIR)


def sha256(path: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
