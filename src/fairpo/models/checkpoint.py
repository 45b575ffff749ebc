"""Weights and text files on disk: safetensors and JSON, written atomically, checked when read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save_file as save_tensors
from torch import Tensor

from fairpo._checks import file_error
from fairpo._files import replacing, write_atomic

CHECKSUMS = "checksums.json"
_REPORTS = ("report.html", "report.md")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    write_atomic(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read JSON; a missing or broken file is refused by name."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise file_error(path, f"cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise file_error(path, f"is not valid JSON ({error})") from error


def write_weights(
    path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as safetensors, atomically; no copy of them is made in memory."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    with replacing(path) as temporary:
        try:
            save_tensors(tensors, temporary, metadata=None if metadata is None else dict(metadata))
        except SafetensorError as error:
            raise file_error(path, f"cannot be written ({error})") from error
        temporary.chmod(0o666 & ~_umask())  # safetensors makes its files for their owner alone


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read safetensors; a missing, truncated or altered file is refused by name."""
    try:
        return load_tensors(path.read_bytes())
    except OSError as error:
        raise file_error(path, f"cannot be read ({error.strerror})") from error
    except SafetensorError as error:
        raise file_error(path, f"is not a whole safetensors file ({error})") from error


def read_metadata(path: Path) -> dict[str, str]:
    """Read what :func:`write_weights` was given beside the tensors."""
    try:
        with safe_open(path, framework="pt") as stored:
            return dict(stored.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise file_error(path, f"is not a whole safetensors file ({error})") from error


def load_weights(module: torch.nn.Module, path: Path) -> None:
    """Load a file of weights into a module of the same shape."""
    try:
        module.load_state_dict(read_weights(path))
    except RuntimeError as error:
        raise file_error(path, f"does not fit the model its run describes ({error})") from error


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold a lock file; a second process is refused, not joined. The lock dies with its process.

    Raises
    ------
    FairPOFileError
        Another process holds it.
    """
    with path.open("w") as stream:
        with suppress(ImportError):  # Windows has no such locks
            import fcntl

            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise file_error(
                    path.parent, "is being written by another process", "Wait for it, or stop it."
                ) from error
        yield


def write_checksums(folder: Path, names: Iterable[str] | None = None) -> None:
    """Seal a folder: the SHA-256 of its files, in one file, written last.

    Parameters
    ----------
    folder : Path
    names : iterable of str, optional
        Of the files to seal, as far as they are there. All files of a folder that nobody else
        writes to when not given, but for reports: they can be made again from the others.
    """
    if names is None:
        files = (path.name for path in folder.iterdir() if path.is_file())
        names = (name for name in files if name not in (CHECKSUMS, *_REPORTS))
    paths = [folder / name for name in sorted(names)]
    write_json(folder / CHECKSUMS, {path.name: sha256(path) for path in paths if path.is_file()})


def verify_checksums(folder: Path) -> None:
    """Refuse a folder whose files are missing, truncated or altered, naming the first one."""
    for name, expected in read_json(folder / CHECKSUMS).items():
        path = folder / Path(name).name
        if path.name in _REPORTS:  # sealed by an earlier version
            continue
        if not path.is_file():
            raise file_error(path, "is missing from the run", "Train it again.")
        if sha256(path) != expected:
            raise file_error(
                path, "is truncated or was altered since the run was written", "Train it again."
            )


def sha256(path: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
