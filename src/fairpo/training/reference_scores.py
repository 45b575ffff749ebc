"""Logits of a reference head for every row: computed once and kept, under a byte budget."""

from __future__ import annotations

import copy
import hashlib
import os
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from fairpo.data.base import (
    Features,
    MultiLabelData,
    block_rows,
    feature_rows,
    row_numbers,
)
from fairpo.data.store import GrowingArray, StoredFeatures
from fairpo.models.head import Policy
from fairpo.training.distributed import gather_rows, is_main, share, wait_for_all

_BLOCK = 4096
_FOLDER = "reference"
_ABANDONED_SECONDS = 3600


class Scores(Protocol):
    """Logits by row number: an array, a memory-mapped file, or :class:`HeadScores`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and labels."""

    def __getitem__(self, rows: Any, /) -> Any:
        """Logits (len(rows), L) of some rows, float32."""


class HeadScores:
    """Logits of a frozen head, computed for the rows that are asked for.

    Parameters
    ----------
    policy : Policy
        Copied, so that training it on changes nothing here.
    features : array, memmap, CSR or store, shape (n, d)
    """

    def __init__(self, policy: Policy, features: Features) -> None:
        self.policy = copy.deepcopy(policy).requires_grad_(False).eval()
        self.features = features
        self.shape = (int(features.shape[0]), policy.n_labels)

    @torch.no_grad()
    def __getitem__(self, rows: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """Logits (len(rows), L), in blocks of rows."""
        numbers = row_numbers(rows, self.shape[0])
        size = block_rows(max(int(self.features.shape[1]), self.shape[1]))
        logits = np.empty((len(numbers), self.shape[1]), dtype=np.float32)
        for start in range(0, len(numbers), size):
            block = feature_rows(self.features, numbers[start : start + size])
            inputs = torch.from_numpy(np.asarray(block, dtype=np.float32))
            logits[start : start + size] = self.policy(inputs).numpy()
        return logits

    @torch.no_grad()
    def at(self, rows: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits (len(rows), len(labels)) of some labels only; see ``Policy.logits_at``."""
        block = feature_rows(self.features, row_numbers(rows, self.shape[0]))
        inputs = torch.from_numpy(np.asarray(block, dtype=np.float32))
        logits: NDArray[np.float32] = self.policy.logits_at(
            inputs, torch.from_numpy(labels)
        ).numpy()
        return logits


def scores_at(
    scores: Scores, rows: NDArray[np.int64], labels: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Logits (len(rows), len(labels)) of some rows and labels; nothing else is read or computed."""
    if isinstance(scores, HeadScores):
        return scores.at(rows, labels)
    return np.asarray(scores[rows[:, None], labels], dtype=np.float32)


def head_scores(policy: Policy, data: MultiLabelData, budget: int) -> Scores:
    """Logits (n, L) of a head for every row of a data set.

    Parameters
    ----------
    policy : Policy
        Without a reference of its own.
    data : MultiLabelData
    budget : int
        Bytes. Within it, logits of a store of embeddings are written beside the store, where the
        next training with the same reference finds them, and read memory-mapped; logits of other
        data are kept in memory. Beyond it, or where the store cannot be written, they are
        computed for each batch.
    """
    computed = HeadScores(policy, data.features)
    if computed.shape[0] * computed.shape[1] * 4 > budget:
        return computed
    if not isinstance(data.features, StoredFeatures):
        return gather_rows(computed[share(computed.shape[0])], computed.shape[0])
    path = data.features.folder / _FOLDER / f"{_digest(policy, data.features)}.npy"
    if is_main() and _open(path, computed.shape) is None:
        with suppress(OSError):  # a store that is read only, or a full disk
            _write(path, computed, budget)
    wait_for_all()
    known = _open(path, computed.shape)
    return computed if known is None else known


def _digest(policy: Policy, features: StoredFeatures) -> str:
    """Name of the logits of one head on one store: another weight or shard, another name."""
    digest = hashlib.sha256(features.fingerprint.encode())
    digest.update(policy.settings.model_dump_json().encode())
    for name, value in sorted(policy.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value.numpy()).tobytes())
    return digest.hexdigest()[:32]


def _open(path: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    try:
        logits: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if logits.shape != shape or logits.dtype != np.float32:
        return None
    with suppress(OSError):  # a store of somebody else's
        os.utime(path)  # the oldest make room first
    return logits


def _write(path: Path, scores: HeadScores, budget: int) -> None:
    path.parent.mkdir(exist_ok=True)
    _make_room(path.parent, budget - scores.shape[0] * scores.shape[1] * 4)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp")
    try:
        array = GrowingArray(temporary, np.float32, scores.shape)
        with closing(array):
            for start in range(0, scores.shape[0], _BLOCK):
                array.append(scores[slice(start, start + _BLOCK)])
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _make_room(folder: Path, left: int) -> None:
    """Delete the logits used longest ago until the others take at most ``left`` bytes.

    And what killed processes left: files that were begun and not touched for an hour.
    """
    for path in folder.glob(".*.tmp"):
        if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
            path.unlink(missing_ok=True)
    files = sorted(folder.glob("*.npy"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in files:
        left -= path.stat().st_size
        if left < 0:
            path.unlink(missing_ok=True)
