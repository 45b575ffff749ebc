"""What a reference says of every example of a dataset: computed once, kept, never stale.

A file is named by a digest of the reference and one of the inputs as they come out of the collator,
so that another weight, example, order, processor or precision means another file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairpo._checks import value_error
from fairpo.training.distributed import is_main, sum_over_processes, wait_for_all, world_size
from fairpo.training.in_order import InOrder

_LANES = 8
"""Numbers of 32 bits that a digest of inputs is made of: as many as SHA-256 has."""


def cached_answers(
    folder: Path,
    reference: str,
    examples: InOrder,
    inputs_of: Callable[[Any], dict[str, Any]],
    forward: Callable[[dict[str, Any]], Tensor],
    n_columns: int,
    device: torch.device,
) -> NDArray[np.float32]:
    """Answers (examples, columns) of a reference, memory-mapped; computed if they are not there.

    Parameters
    ----------
    folder : Path
        Made where it is not there. ``push_to_hub`` leaves out what begins with an underscore.
    reference : str
        Digest of the reference and of how it is run.
    examples : InOrder
    inputs_of : callable
        From a batch to what the reference is given of it.
    forward : callable
        From those inputs to answers (batch, columns), such as logits.
    n_columns : int
    device : torch.device
        Where processes exchange.

    Raises
    ------
    FairPOValueError
        An example is not the same each time it is asked for.
    """
    if _lanes(0, inputs_of(examples.first())) != _lanes(0, inputs_of(examples.first())):
        raise value_error(
            "an example",
            must="be the same each time, for what the reference says of it to be kept",
            got="two different ones for the first example",
            do="Take random augmentation out, or do not run the reference ahead of training.",
        )
    hashes = torch.zeros(_LANES, dtype=torch.int64)
    name = f"{reference[:20]}-{examples.n_examples}x{n_columns}"

    def inputs() -> Iterator[tuple[slice, dict[str, Any]]]:
        hashes.zero_()
        for rows, batch in examples:
            of_batch = inputs_of(batch)
            hashes.add_(torch.tensor(_lanes(rows.start, of_batch)))
            yield rows, of_batch

    def path() -> Path:
        """Name after a pass over the inputs."""
        return folder / f"{name}-{_joined(hashes.to(device))[:20]}.npy"

    if _everywhere(any(folder.glob(f"{name}-*.npy")), device):  # of these inputs, or of others?
        for _ in inputs():
            pass
        known = _open(path(), (examples.n_examples, n_columns))
        if _everywhere(known is not None, device) and known is not None:
            return known
    pieces = ((rows, forward(of_batch)) for rows, of_batch in inputs())
    answers = examples.put_together(pieces, n_columns, device)
    wanted = path()
    if is_main():
        _write(wanted, answers)
    wait_for_all()
    written = _open(wanted, answers.shape)
    return answers if written is None else written  # another machine's disk may not hold it


def _lanes(start: int, inputs: Mapping[str, Any]) -> list[int]:
    """Hash of a batch and its place, as numbers whose sum does not depend on who adds them."""
    digest = hashlib.sha256(str(start).encode())
    for key, value in sorted(inputs.items()):
        if isinstance(value, Tensor):
            array = value.detach().cpu().contiguous()
            digest.update(f"{key} {array.dtype} {tuple(array.shape)}".encode())
            digest.update(array.flatten().view(torch.uint8).numpy().data)
        else:
            digest.update(f"{key} {value!r}".encode())
    lanes: list[int] = np.frombuffer(digest.digest(), dtype=np.uint32).astype(np.int64).tolist()
    return lanes


def _joined(hashes: Tensor) -> str:
    """One digest of the hashes of all processes."""
    whole = sum_over_processes(hashes).cpu().numpy()
    return hashlib.sha256(whole.tobytes()).hexdigest()


def _everywhere(true_here: bool, device: torch.device) -> bool:
    """Whether something holds on every process: all of them must take the same turn."""
    return int(sum_over_processes(torch.tensor(int(true_here), device=device))) == world_size()


def _open(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    try:
        answers: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return answers if answers.shape == shape and answers.dtype == np.float32 else None


def _write(path: Path, answers: NDArray[np.float32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.npy")
    try:
        np.save(temporary, answers, allow_pickle=False)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
