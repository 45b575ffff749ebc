"""Embed every item of a data set once, into a store; killed at any moment, it goes on."""

from __future__ import annotations

import hashlib
import io
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from fairpo._checks import FairPOError, FairPOFileError, file_error, value_error
from fairpo._files import write_atomic
from fairpo.data.base import MultiLabelData, Progress
from fairpo.data.items import Items
from fairpo.data.store import (
    MANIFEST,
    STATE,
    GrowingArray,
    Manifest,
    StoredFile,
    StoreState,
    UnreadableItem,
    is_store,
    read_manifest,
    read_state,
)
from fairpo.models.backbone import Backbone
from fairpo.models.checkpoint import hold, read_json, sha256, write_json

_MOST_SHARDS = 64
_FEWEST_SHARD_ROWS = 1024
_POLL_SECONDS = 0.2


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
    state: StoreState
    workers: int

    @property
    def dtype(self) -> Any:
        return np.uint16 if self.state.dtype == "bf16" else np.float32

    @property
    def n_shards(self) -> int:
        return math.ceil(self.data.n_rows / self.state.shard_rows)

    def rows(self, shard: int) -> range:
        size = self.state.shard_rows
        return range(shard * size, min((shard + 1) * size, self.data.n_rows))

    def shape(self, shard: int) -> tuple[int, int]:
        return len(self.rows(shard)), self.state.n_features

    def shard(self, number: int) -> Path:
        return self.folder / f"shard-{number:05d}.npy"

    def seal(self, number: int) -> Path:
        return self.folder / f"shard-{number:05d}.json"

    def partial(self, number: int) -> Path:
        return self.folder / f"partial-{number:05d}.npy"

    def done(self, number: int) -> Path:
        return self.folder / f"partial-{number:05d}.json"

    def is_finished(self, shard: int) -> bool:
        return self.seal(shard).is_file() or (self.folder / MANIFEST).is_file()


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
    else:
        progress(data.n_rows)
    if rank == 0:
        _clean(job)
    manifest = read_manifest(folder)
    return Embedded(
        folder,
        data.n_rows,
        manifest.n_features,
        n_done,
        tuple(item.name for item in manifest.unreadable),
        time.perf_counter() - start,
    )


def check_embedding(data: MultiLabelData, folder: Path) -> Items:
    """Refuse, before a backbone is loaded, data without items and a folder of something else.

    Returns
    -------
    Items

    Raises
    ------
    FairPOFileError, FairPOValueError
    """
    items = require_items(data)
    try:
        left_over = folder.exists() and [
            entry.name for entry in folder.iterdir() if not entry.name.endswith(".tmp")
        ]
    except OSError as error:
        raise file_error(folder, f"is not a folder that can be read ({error.strerror})") from error
    if left_over and not is_store(folder):
        raise file_error(folder, "is not empty and not a store", "Choose another folder.")
    return items


def require_items(data: MultiLabelData) -> Items:
    """Return the images or texts of a data set; features alone are refused.

    Raises
    ------
    FairPOValueError
    """
    if data.items is None or len(data.items) == 0:
        raise value_error(
            f"DATA ({data.name})",
            must="hold images or texts",
            got=f"{data.n_features} features",
            do="They need no embedding.",
        )
    return data.items


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
    items = check_embedding(data, folder)
    if items.kind != backbone.kind:
        raise value_error(
            "the backbone",
            must=f"read {items.kind}s, which DATA holds",
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
    rows = shard_rows
    if rows is None:
        fewest = max(_FEWEST_SHARD_ROWS, math.ceil(data.n_rows / _MOST_SHARDS))
        rows = math.ceil(fewest / batch_size) * batch_size
    state = StoreState(
        name=data.name,
        source=data.kind or data.name,
        source_digest=source_digest(data, items),
        backbone=backbone.identity,
        dtype="bf16" if backbone.identity["dtype"] == "bf16" else "fp32",
        n_rows=data.n_rows,
        n_features=backbone.n_features,
        shard_rows=rows,
        batch_size=batch_size,
        label_names=data.label_names,
        notes=data.notes,
    )
    if rank == 0 and not is_store(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise file_error(folder, f"cannot be written ({error.strerror})") from error
        write_json(folder / STATE, state.model_dump(mode="json"))
    _wait_for(folder / STATE, folder)
    _check_same(folder, state)
    return _Job(folder, data, items, backbone, state, workers)


def _check_same(folder: Path, state: StoreState) -> None:
    """Refuse to go on with a store of something else, naming what differs."""
    finished = (folder / MANIFEST).is_file()
    there = read_manifest(folder) if finished else read_state(folder / STATE)
    before, now = there.backbone, state.backbone
    same_weights = before.get("revision") == now["revision"]  # the model in another folder
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
    if (there.source_digest, there.label_names) != (state.source_digest, state.label_names):
        raise file_error(
            folder,
            f"is a store of other data: {there.n_rows} rows of {there.name}, whose items, labels "
            f"or splits differ from those of {state.name}",
            "Choose another folder.",
        )
    for key in ("batch_size", "shard_rows"):
        begun = getattr(there, key)
        if not finished and begun != getattr(state, key):
            raise file_error(
                folder,
                f"was begun with {key} {begun}, not {getattr(state, key)}",
                f"Say --{key.replace('_', '-')} {begun} to go on.",
            )


def source_digest(data: MultiLabelData, items: Items) -> str:
    """Digest of the items, the targets, the splits and all names of rows."""
    digest = hashlib.sha256(items.fingerprint().encode())
    targets = sparse.csr_array(data.targets)
    parts = [targets.indptr, targets.indices, targets.data]
    parts += [rows for _, rows in sorted(data.split.items())]
    if data.clusters is not None:
        parts.append(data.clusters)
    for part in parts:
        digest.update(np.ascontiguousarray(part, dtype=np.int64).tobytes())
    for name in (*(data.ids or ()), *_slice_texts(data).ravel()):
        digest.update(name.encode() + b"\0")
    return digest.hexdigest()[:32]


def _embed_shard(job: _Job, number: int, progress: Progress) -> int:
    """Embed one shard, from where it stopped; return how many items that took."""
    rows = job.rows(number)
    with hold(job.partial(number).with_suffix(".lock")):
        if job.is_finished(number):
            progress(len(rows))
            return 0
        start, unreadable = _resume(job, number)
        progress(start)
        size = job.state.batch_size
        batches = [rows[at : at + size] for at in range(start, len(rows), size)]
        done = start
        with _writing(job):
            array = GrowingArray(job.partial(number), job.dtype, job.shape(number), start)
        with closing(array):
            for batch, inputs, readable, faults in _prepared(job, batches):
                block = _embed_batch(job, inputs, batch, readable)
                with _writing(job):
                    array.append(block)
                done += len(batch)
                unreadable += faults
                write_json(job.done(number), {"rows": done, "unreadable": unreadable})
                progress(len(batch))
        with _writing(job):
            job.partial(number).replace(job.shard(number))
        seal = {"sha256": sha256(job.shard(number)), "unreadable": unreadable}
        write_json(job.seal(number), seal)
        job.done(number).unlink(missing_ok=True)
    return len(rows) - start


@contextmanager
def _writing(job: _Job) -> Iterator[None]:
    """Say of a store that cannot be written that what was done is kept."""
    try:
        yield
    except OSError as error:
        raise file_error(
            job.folder,
            f"cannot be written ({error.strerror or error})",
            "What was done is kept: run it again to go on.",
        ) from error


def _resume(job: _Job, number: int) -> tuple[int, list[dict[str, Any]]]:
    """Rows of a shard that are done, and the unreadable ones among them."""
    if not job.partial(number).is_file() and job.shard(number).is_file():
        # Killed between the shard's last name and its seal.
        job.shard(number).replace(job.partial(number))
    try:
        done = read_json(job.done(number))
        rows = int(done["rows"])
        unreadable = [UnreadableItem(**item).model_dump() for item in done["unreadable"]]
    except (FairPOFileError, KeyError, TypeError, ValueError):
        rows = 0
    at_batch = rows % job.state.batch_size == 0 or rows == len(job.rows(number))
    whole = GrowingArray.holds(job.partial(number), job.dtype, job.shape(number), rows)
    if rows <= 0 or not at_batch or not whole:
        job.done(number).unlink(missing_ok=True)
        return 0, []
    return rows, unreadable


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
    items: list[Any] = []
    readable: list[int] = []
    faults = []
    for row in batch:
        try:
            items.append(job.items.load(row))
            readable.append(row)
        except FairPOFileError as error:
            faults.append(_fault(job, row, error))
    try:
        inputs = job.backbone.prepare(items) if items else None
    except MemoryError:
        raise
    except Exception:
        refused = _refused(job, items, readable)
        if not refused:
            raise
        kept = [place for place, row in enumerate(readable) if row not in refused]
        faults += [_fault(job, row, error) for row, error in refused.items()]
        readable = [readable[place] for place in kept]
        inputs = job.backbone.prepare([items[place] for place in kept]) if kept else None
    return batch, inputs, readable, sorted(faults, key=lambda fault: int(fault["row"]))


def _refused(job: _Job, items: Sequence[Any], rows: Sequence[int]) -> dict[int, Exception]:
    """Items that the backbone cannot prepare by themselves, and why."""
    found: dict[int, Exception] = {}
    for item, row in zip(items, rows, strict=True):
        try:
            job.backbone.prepare([item])
        except Exception as error:  # of any processor or tokenizer
            found[row] = error
    return found


def _fault(job: _Job, row: int, error: Exception) -> dict[str, Any]:
    problem = str(error) or repr(error)
    return UnreadableItem(row=row, name=job.items.name(row), problem=problem).model_dump()


def _embed_batch(job: _Job, inputs: Any, batch: range, readable: list[int]) -> NDArray[Any]:
    """Embeddings of a batch, zeros where an item could not be read."""
    block = np.zeros((len(batch), job.state.n_features), dtype=job.dtype)
    if not readable:
        return block
    output = job.backbone.embed(inputs)
    if output.shape != (len(readable), job.state.n_features):
        raise value_error(
            f"the embeddings of {job.backbone.identity['name']}",
            must=f"have shape {(len(readable), job.state.n_features)}",
            got=tuple(output.shape),
        )
    if not bool(torch.isfinite(output).all()):
        bad = readable[int((~torch.isfinite(output)).any(1).nonzero()[0])]
        raise FairPOError(
            f"the embedding of {job.items.name(bad)} (row {bad}) is not finite. Try dtype fp32; "
            "what was done so far is kept."
        )
    values = _bits(output) if job.dtype == np.uint16 else output.float().numpy()
    block[np.asarray(readable) - batch.start] = values
    return block


def _bits(values: Tensor) -> NDArray[np.uint16]:
    return values.bfloat16().contiguous().view(torch.int16).numpy().view(np.uint16)


def _wait_for_shards(job: _Job) -> None:
    for number in range(job.n_shards):
        _wait_for(job.seal(number), job.folder)


def _wait_for(path: Path, folder: Path) -> None:
    """Wait for another process; the launcher ends all where one dies."""
    while not path.is_file():
        if (folder / MANIFEST).is_file():
            return
        time.sleep(_POLL_SECONDS)


def _seal_store(job: _Job) -> None:
    """Write the rows' arrays and, last of all, the manifest."""
    if (job.folder / MANIFEST).is_file():  # by another process, meanwhile
        return
    seals = [read_json(job.seal(number)) for number in range(job.n_shards)]
    arrays = _row_arrays(job.data)
    for name, array in arrays.items():
        _write_array(job.folder / name, array)
    checksums = {job.shard(number).name: seal["sha256"] for number, seal in enumerate(seals)}
    checksums |= {name: sha256(job.folder / name) for name in arrays}
    files = {
        name: StoredFile(bytes=(job.folder / name).stat().st_size, sha256=checksum)
        for name, checksum in sorted(checksums.items())
    }
    unreadable = [item for seal in seals for item in seal["unreadable"]]
    manifest = Manifest(**job.state.model_dump(), unreadable=unreadable, files=files)
    write_json(job.folder / MANIFEST, manifest.model_dump(mode="json"))


def _clean(job: _Job) -> None:
    """Delete what a finished store has no use for, and what killed processes left half written."""
    for pattern in (".*.tmp", "partial-*"):
        for path in job.folder.glob(pattern):
            with suppress(OSError):  # another process may still hold a lock, on Windows
                path.unlink()
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
    if data.slices:
        arrays["slices.npy"] = _slice_texts(data)
    if data.ids is not None:
        encoded = [name.encode() for name in data.ids]
        arrays["ids.npy"] = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        arrays["ids_offsets.npy"] = np.cumsum([0, *map(len, encoded)])
    return arrays


def _slice_texts(data: MultiLabelData) -> NDArray[np.str_]:
    """Slices as one array: a row each, its name before its values."""
    return np.array([[name, *values] for name, values in data.slices.items()], dtype=np.str_)


def _write_array(path: Path, array: NDArray[Any]) -> None:
    content = io.BytesIO()
    np.save(content, np.ascontiguousarray(array), allow_pickle=False)
    write_atomic(path, content.getvalue())
