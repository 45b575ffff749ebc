"""Several processes at one training: what they share, over torch.distributed's default group.

Alone, every function here is the identity. Launched by torchrun or ``accelerate launch``, every
process holds the same weights, optimizer and group weights; each takes its share of a
step's rows, and sums are what they exchange.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from fairpo._checks import FairPOError

_PATIENCE = timedelta(hours=2)
"""Longest wait for a process that lives; the connections of one that died close at once."""


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if _many() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if _many() else 1


def is_main() -> bool:
    """Whether this process is the one that writes and prints."""
    return rank() == 0


@contextmanager
def processes(device: torch.device) -> Iterator[None]:
    """Join the processes a launcher started, if it did, until the block ends.

    Parameters
    ----------
    device : torch.device
        "cuda" joins over NCCL, everything else over gloo.

    Raises
    ------
    FairPOError
        Another process stopped meanwhile.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or dist.is_initialized():
        yield
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # Defaults in this module are the group of the moment it is imported. torch imports it with the
    # first optimizer step; it would then hold the group past its end, and threads of gloo that
    # live when Python stops abort the process.
    import_module("torch.distributed.nn.functional")
    dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def sum_over_processes(values: Tensor) -> Tensor:
    """Add a tensor up over all processes; the same bits on each of them."""
    if not _many():
        return values
    total = values.to(_exchange_device(), copy=True)
    with _together():
        dist.all_reduce(total)
    return total.to(values.device)


def same_weights(module: torch.nn.Module) -> None:
    """Give all processes the first one's parameters and buffers, in place."""
    if not _many():
        return
    with _together(), torch.no_grad():
        for value in module.state_dict().values():
            dist.broadcast(value, src=0)


def share(n: int) -> slice:
    """Rows of ``range(n)`` that this process takes: contiguous, all of them taken once."""
    edges = _edges(n)
    return slice(int(edges[rank()]), int(edges[rank() + 1]))


def _edges(n: int) -> NDArray[np.int64]:
    return np.linspace(0, n, world_size() + 1).astype(np.int64)


def gather_rows(values: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Put together the rows that each process computed for its :func:`share`.

    Parameters
    ----------
    values : float32 array, shape (rows of this process, columns)
    n : int
        Rows of all processes.

    Returns
    -------
    float32 array, shape (n, columns), on every process
    """
    if not _many():
        return values
    edges = _edges(n)
    sent = torch.zeros(int(np.diff(edges).max()), values.shape[1], device=_exchange_device())
    sent[: len(values)] = torch.from_numpy(values)
    received = [torch.empty_like(sent) for _ in range(world_size())]
    with _together():
        dist.all_gather(received, sent)
    parts = [part[:size].cpu() for part, size in zip(received, np.diff(edges), strict=True)]
    gathered: NDArray[np.float32] = torch.cat(parts).numpy()
    return gathered


def wait_for_all() -> None:
    """Go on when every process has come here."""
    sum_over_processes(torch.zeros(1))


def _many() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _exchange_device() -> torch.device:
    if not _many() or dist.get_backend() != "nccl":
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


@contextmanager
def _together() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        raise FairPOError(
            f"process {rank()} of this training was cut off from another one, which stopped. The "
            "one that stopped first says why; then go on from the last checkpoint."
        ) from error
