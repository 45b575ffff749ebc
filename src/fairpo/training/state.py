"""A training under way on disk: one file, written atomically, that a resume takes up bit by bit."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from fairpo._checks import file_error
from fairpo.models.checkpoint import write_weights
from fairpo.training.distributed import is_main

_TENSOR = "$tensor"
_ITEMS = "$items"
_SHARE_OF_TIME = 0.05


class Checkpoint:
    """The state of one training in one file: the old content or the new, never a part.

    All processes hold the same state, so the first one writes for all, and a training may go on
    with another number of processes.

    Parameters
    ----------
    path : Path
    seconds : float
        At least this long between two writes; more where a write takes long, so that writing
        takes at most 5% of the time. 0 writes after every step.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.path = path
        self.seconds = seconds
        self._wait = seconds
        self._last = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """Return the state as it was written; None where there is none.

        Raises
        ------
        FairPOFileError
            The file is not a whole checkpoint.
        """
        if not self.path.is_file():
            return None
        with self._stored() as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            structure = json.loads(stored.metadata()["state"])
        state: dict[str, Any] = _unpack(structure, tensors)
        return state

    @contextmanager
    def _stored(self) -> Iterator[Any]:
        try:
            with safe_open(self.path, framework="pt") as stored:
                yield stored
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise file_error(
                self.path, f"is not a whole checkpoint ({error})", "Train again with --overwrite."
            ) from error

    def progress(self) -> tuple[int, int]:
        """Epochs and steps that are done, read without the tensors; 0 where there is no file."""
        if not self.path.is_file():
            return 0, 0
        with self._stored() as stored:
            state = json.loads(stored.metadata()["state"])
            return len(state["epochs"]), int(state["n_steps"])

    def is_due(self) -> bool:
        """Whether it is time to write."""
        return is_main() and time.monotonic() - self._last >= self._wait

    def write(self, state: Mapping[str, Any]) -> None:
        """Replace the file; only the first process does.

        Parameters
        ----------
        state : mapping
            Of tensors, numbers, strings, lists and mappings of them.

        Raises
        ------
        FairPOFileError
            It cannot be written; the last checkpoint is whole.
        """
        if not is_main():
            return
        start = time.monotonic()
        tensors: dict[str, Tensor] = {}
        structure = json.dumps(_pack(state, "", tensors))
        write_weights(self.path, tensors, {"state": structure})
        self._last = time.monotonic()
        self._wait = (
            0.0 if not self.seconds else self.seconds + (self._last - start) / _SHARE_OF_TIME
        )


def _pack(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """JSON in which a tensor stands as its name in ``tensors``."""
    if isinstance(value, Tensor):
        tensors[path] = value
        return {_TENSOR: path}
    if isinstance(value, Mapping):
        items = [(key, _pack(part, f"{path}/{key}", tensors)) for key, part in value.items()]
        return dict(items) if all(isinstance(key, str) for key in value) else {_ITEMS: items}
    if isinstance(value, list | tuple):
        return [_pack(part, f"{path}/{place}", tensors) for place, part in enumerate(value)]
    return value


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return tensors[value[_TENSOR]]
    if _ITEMS in value:
        return {key: _unpack(part, tensors) for key, part in value[_ITEMS]}
    return {key: _unpack(part, tensors) for key, part in value.items()}
