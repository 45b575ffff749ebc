"""Embed every item of a data set once, into a store; killed at any moment, it goes on."""

from __future__ import annotations

import hashlib
import io
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from fairpo._checks import FairPOError, FairPOFileError, file_error, value_error
from fairpo.data.base import MultiLabelData
from fairpo.data.items import Items
from fairpo.data.store import FORMAT, MANIFEST, STATE, VERSION, is_store, sha256
from fairpo.models.backbone import Backbone
from fairpo.models.checkpoint import read_json, write_atomic, write_json

_MOST_SHARDS = 64
_FEWEST_SHARD_ROWS = 1024
_POLL_SECONDS = 0.2

Progress = Callable[[int], None]
"""Receives the number of items done since the last call."""


@dataclass(frozen=True)
class Embedded:
    """What an embedding left behind.

    Parameters
    ----------
    folder : Path
    n_rows, n_features : int
    n_done : int
        Items embedded by this call; fewer than ``n_rows`` where it went on or had help.
    unreadable : tuple of str
        Names of items that could not be read.
    seconds : float
    """

    folder: Path
    n_rows: int
    n_features: int
    n_done: int
    unreadable: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class _Job:
    """One embedding: what is written where, and how the rows are cut."""

    folder: Path
    data: MultiLabelData
    items: Items
    backbone: Backbone
    state: dict[str, Any]
    workers: int

    @property
    def half(self) -> bool:
        return bool(self.state["dtype"] == "bf16")

    @property
    def n_shards(self) -> int:
        return math.ceil(self.data.n_rows / int(self.state["shard_rows"]))

    def rows(self, shard: int) -> range:
        size = self.state["shard_rows"]
        return range(shard * size, min((shard + 1) * size, self.data.n_rows))

    def shard(self, number: int) -> Path:
        return self.folder / f"shard-{number:05d}.npy"

    def seal(self, number: int) -> Path:
        return self.folder / f"shard-{number:05d}.json"

    def partial(self, number: int) -> Path:
        return self.folder / f"partial-{number:05d}.npy"

    def done(self, number: int) -> Path:
        return self.folder / f"partial-{number:05d}.json"


def embed_data(
    data: MultiLabelData,
    backbone: Backbone,
    folder: str | Path,
    *,
    batch_size: int = 32,
    shard_rows: int | None = None,
    workers: int = 2,
    rank: int = 0,
    world_size: int = 1,
    progress: Progress = lambda n_items: None,
) -> Embedded:
    """Embed the items of a data set into a store.

    Parameters
    ----------
    data : MultiLabelData
        With items.
    backbone : Backbone
        See :func:`fairpo.models.backbones.load_backbone`.
    folder : path
        New or empty, or a store of the same data and backbone that goes on where it stopped.
    batch_size : int
        Items a forward pass. Batches are cut within a shard, so that the result does not depend
        on where a run was killed.
    shard_rows : int, optional
        Rows a file; by default at most 64 files, of 1,024 rows or more.
    workers : int
        Threads that read, decode and resize ahead of the model.
    rank, world_size : int
        Of several processes on one folder, each embeds its shards; the first writes the manifest.
    progress : callable

    Raises
    ------
    FairPOFileError
        The folder holds something else, or a store of other data or another backbone.
    FairPOValueError
        The data have no items, or not of the kind the backbone reads.

    Notes
    -----
    An item that cannot be read is listed in the manifest, its row is zero and in no split.
    """
    start = time.perf_counter()
    folder = Path(folder)
    job = _prepare(data, backbone, folder, batch_size, shard_rows, workers, rank, world_size)
    n_done = 0
    if not (folder / MANIFEST).is_file():
        for number in range(rank, job.n_shards, world_size):
            n_done += _embed_shard(job, number, progress)
        if rank == 0:
            _wait_for_shards(job)
            _seal_store(job)
        else:
            _wait_for(folder / MANIFEST, folder)
    if rank == 0:
        _clean(job)
    manifest = read_json(folder / MANIFEST)
    return Embedded(
        folder,
        data.n_rows,
        int(manifest["n_features"]),
        n_done,
        tuple(item["name"] for item in manifest["unreadable"]),
        time.perf_counter() - start,
    )


def _prepare(
    data: MultiLabelData,
    backbone: Backbone,
    folder: Path,
    batch_size: int,
    shard_rows: int | None,
    workers: int,
    rank: int,
    world_size: int,
) -> _Job:
    if data.items is None or len(data.items) == 0:
        raise value_error(
            "DATA",
            must="hold images or texts",
            got=f"{data.n_features} features",
            do="They need no embedding.",
        )
    if data.items.kind != backbone.kind:
        raise value_error(
            "the backbone",
            must=f"read {data.items.kind}s, which DATA holds",
            got=f"{backbone.identity['name']}, which reads {backbone.kind}s",
        )
    for name, value in (
        ("batch_size", batch_size),
        ("workers", workers),
        ("shard_rows", shard_rows),
    ):
        if value is not None and value < 1:
            raise value_error(name, must="be an int > 0", got=value)
    if not 0 <= rank < world_size:
        raise value_error("rank", must=f"be from 0 to {world_size - 1}", got=rank)
    rows = shard_rows or max(_FEWEST_SHARD_ROWS, math.ceil(data.n_rows / _MOST_SHARDS))
    state = {
        "format": FORMAT,
        "version": VERSION,
        "name": data.name,
        "source": data.kind or data.name,
        "source_digest": _source_digest(data),
        "backbone": backbone.identity,
        "dtype": "bf16" if backbone.identity["dtype"] == "bf16" else "fp32",
        "n_rows": data.n_rows,
        "n_features": backbone.n_features,
        "shard_rows": math.ceil(rows / batch_size) * batch_size if shard_rows is None else rows,
        "batch_size": batch_size,
        "label_names": list(data.label_names),
        "notes": list(data.notes),
    }
    if rank == 0:
        _open_folder(folder, state)
    else:
        _wait_for(folder / STATE, folder)
    _check_same(folder, state)
    return _Job(folder, data, data.items, backbone, state, workers)


def _open_folder(folder: Path, state: dict[str, Any]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if is_store(folder):
            return
        if any(folder.iterdir()):
            raise file_error(folder, "is not empty and not a store", "Choose another folder.")
    except FairPOFileError:
        raise
    except OSError as error:
        raise file_error(folder, f"cannot be written ({error.strerror})") from error
    write_json(folder / STATE, state)


def _check_same(folder: Path, state: dict[str, Any]) -> None:
    """Refuse to go on with a store of something else, naming what differs."""
    finished = (folder / MANIFEST).is_file()
    there = read_json(folder / (MANIFEST if finished else STATE))
    before, now = there["backbone"], state["backbone"]
    same_weights = before["revision"] == now["revision"]  # the same model in another folder
    differs = [
        f"{key}: {before.get(key)!r} there, {value!r} now"
        for key, value in now.items()
        if before.get(key) != value and not (key == "name" and same_weights)
    ]
    if differs:
        raise file_error(
            folder,
            f"is a store made with another backbone or preprocessing ({'; '.join(differs)})",
            "Choose another folder.",
        )
    for key in ("source_digest", "label_names"):
        if there[key] != state[key]:
            raise file_error(
                folder,
                f"is a store of other data: {there['n_rows']} rows of {there['name']}, "
                f"whose names, labels or splits differ from those of {state['name']}",
                "Choose another folder.",
            )
    for key in ("batch_size", "shard_rows"):
        if not finished and there[key] != state[key]:
            raise file_error(
                folder,
                f"was begun with {key} {there[key]}, not {state[key]}",
                f"Say --{key.replace('_', '-')} {there[key]} to go on.",
            )


def _source_digest(data: MultiLabelData) -> str:
    """Digest of the names of all items, the targets and the splits; contents are not read."""
    digest = hashlib.sha256()
    items = data.items
    assert items is not None
    for row in range(data.n_rows):
        digest.update(items.name(row).encode() + b"\0")
    targets = sparse.csr_array(data.targets)
    parts = [targets.indptr, targets.indices, targets.data]
    for part in parts + [rows for _, rows in sorted(data.split.items())]:
        digest.update(np.ascontiguousarray(part, dtype=np.int64).tobytes())
    return digest.hexdigest()[:32]


def _embed_shard(job: _Job, number: int, progress: Progress) -> int:
    """Embed one shard, from where it stopped; return how many items that took."""
    rows = job.rows(number)
    if job.seal(number).is_file():
        progress(len(rows))
        return 0
    with _own(job.partial(number)):
        start, unreadable = _resume(job, number)
        progress(start)
        shape = (len(rows), job.backbone.n_features)
        dtype = np.uint16 if job.half else np.float32
        if start == 0:
            np.lib.format.open_memmap(job.partial(number), mode="w+", dtype=dtype, shape=shape)
        array = np.load(job.partial(number), mmap_mode="r+", allow_pickle=False)
        size = job.state["batch_size"]
        batches = [rows[at : at + size] for at in range(start, len(rows), size)]
        done = start
        for batch, inputs, readable, faults in _prepared(job, batches):
            if len(readable):
                block = _embed_batch(job, inputs, batch, readable)
                array[np.asarray(readable) - rows.start] = block
            array.flush()
            done += len(batch)
            unreadable += faults
            write_json(job.done(number), {"rows": done, "unreadable": unreadable})
            progress(len(batch))
        del array
        job.partial(number).replace(job.shard(number))
        seal = {"sha256": sha256(job.shard(number)), "unreadable": unreadable}
        write_json(job.seal(number), seal)
        job.done(number).unlink(missing_ok=True)
    return len(rows) - start


def _resume(job: _Job, number: int) -> tuple[int, list[dict[str, Any]]]:
    """Rows of a shard that are done, and the unreadable ones among them."""
    if not job.partial(number).is_file() and job.shard(number).is_file():
        # Killed between the shard's last name and its seal.
        job.shard(number).replace(job.partial(number))
    if not job.done(number).is_file() or not job.partial(number).is_file():
        return 0, []
    done = read_json(job.done(number))
    return int(done["rows"]), list(done["unreadable"])


@contextmanager
def _own(path: Path) -> Iterator[None]:
    """Hold a shard's lock; another process at work on the same shard is refused, not joined."""
    lock = path.with_suffix(".lock")
    with lock.open("w") as stream:
        with suppress(ImportError):  # Windows has no such locks
            import fcntl

            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise file_error(
                    path.parent, "is being written by another process", "Wait for it, or stop it."
                ) from error
        yield
        lock.unlink(missing_ok=True)


_Prepared = tuple[range, Any, list[int], list[dict[str, Any]]]


def _prepared(job: _Job, batches: list[range]) -> Iterator[_Prepared]:
    """Batches in order, read and preprocessed ahead on other threads."""
    with ThreadPoolExecutor(job.workers, thread_name_prefix="fairpo-read") as pool:
        ahead: deque[Future[_Prepared]] = deque()
        waiting = iter(batches)
        for batch in waiting:
            ahead.append(pool.submit(_read_batch, job, batch))
            if len(ahead) > job.workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _read_batch(job: _Job, batch: range) -> _Prepared:
    items, readable, faults = [], [], []
    for row in batch:
        try:
            items.append(job.items.load(row))
            readable.append(row)
        except FairPOFileError as error:
            faults.append({"row": row, "name": job.items.name(row), "problem": str(error)})
    return batch, job.backbone.prepare(items) if items else None, readable, faults


def _embed_batch(job: _Job, inputs: Any, batch: range, readable: list[int]) -> NDArray[Any]:
    output = job.backbone.embed(inputs)
    if output.shape != (len(readable), job.backbone.n_features):
        raise value_error(
            f"the embeddings of {job.backbone.identity['name']}",
            must=f"have shape {(len(readable), job.backbone.n_features)}",
            got=tuple(output.shape),
        )
    if not bool(torch.isfinite(output).all()):
        bad = readable[int((~torch.isfinite(output)).any(1).nonzero()[0])]
        raise FairPOError(
            f"the embedding of {job.items.name(bad)} (row {bad}) is not finite. Try dtype fp32; "
            "what was done so far is kept."
        )
    return _bits(output) if job.half else output.float().numpy()


def _bits(values: Tensor) -> NDArray[np.uint16]:
    return values.bfloat16().contiguous().view(torch.int16).numpy().view(np.uint16)


def _wait_for_shards(job: _Job) -> None:
    for number in range(job.n_shards):
        _wait_for(job.seal(number), job.folder)


def _wait_for(path: Path, folder: Path) -> None:
    """Wait for another process; the launcher ends all where one dies."""
    while not path.is_file():
        if folder.is_dir() and (folder / MANIFEST).is_file():
            return
        time.sleep(_POLL_SECONDS)


def _seal_store(job: _Job) -> None:
    """Write the rows' arrays and, last of all, the manifest."""
    seals = [read_json(job.seal(number)) for number in range(job.n_shards)]
    arrays = _row_arrays(job.data)
    for name, array in arrays.items():
        _write_array(job.folder / name, array)
    checksums = {job.shard(number).name: seal["sha256"] for number, seal in enumerate(seals)}
    checksums |= {name: sha256(job.folder / name) for name in arrays}
    files = {
        name: {"bytes": (job.folder / name).stat().st_size, "sha256": checksum}
        for name, checksum in sorted(checksums.items())
    }
    unreadable = [item for seal in seals for item in seal["unreadable"]]
    write_json(job.folder / MANIFEST, {**job.state, "unreadable": unreadable, "files": files})


def _clean(job: _Job) -> None:
    """Delete what a finished store has no use for, and what killed processes left half written."""
    for pattern in (".*.tmp", "partial-*"):
        for path in job.folder.glob(pattern):
            path.unlink(missing_ok=True)
    (job.folder / STATE).unlink(missing_ok=True)
    for number in range(job.n_shards):
        job.seal(number).unlink(missing_ok=True)


def _row_arrays(data: MultiLabelData) -> dict[str, NDArray[Any]]:
    targets = sparse.csr_array(data.targets)
    targets.sort_indices()
    arrays: dict[str, NDArray[Any]] = {
        "targets_data.npy": targets.data.astype(np.int8),
        "targets_indices.npy": targets.indices,
        "targets_indptr.npy": targets.indptr,
    }
    arrays |= {f"split_{name}.npy": rows for name, rows in data.split.items()}
    if data.clusters is not None:
        arrays["clusters.npy"] = data.clusters
    if data.ids is not None:
        encoded = [name.encode() for name in data.ids]
        arrays["ids.npy"] = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        arrays["ids_offsets.npy"] = np.cumsum([0, *map(len, encoded)])
    return arrays


def _write_array(path: Path, array: NDArray[Any]) -> None:
    content = io.BytesIO()
    np.save(content, np.ascontiguousarray(array), allow_pickle=False)
    write_atomic(path, content.getvalue())
