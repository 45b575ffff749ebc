"""Weights and text files on disk: safetensors and JSON, written atomically, checked when read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save_file as save_tensors
from torch import Tensor

from fairpo._checks import FairPOError, file_error

CHECKSUMS = "checksums.json"
_REPORTS = ("report.html", "report.md")


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name to write to, which then takes the place of ``path``, whole and on the disk.

    Where the writing stops, for whatever reason, ``path`` is as it was and the other name is gone.

    Raises
    ------
    FairPOFileError
        The file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except FairPOError:  # of what was to be written
        raise
    except (OSError, SafetensorError) as error:
        problem = getattr(error, "strerror", None) or error
        raise file_error(path, f"cannot be written ({problem})") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


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
        save_tensors(tensors, temporary, metadata=None if metadata is None else dict(metadata))
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


def write_checksums(folder: Path) -> None:
    """Seal a folder: the SHA-256 of each of its files, in one file, written last.

    Reports are left out: they can be made again from the other files.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file())
    sealed = [path for path in files if path.name not in (CHECKSUMS, *_REPORTS)]
    write_json(folder / CHECKSUMS, {path.name: sha256(path) for path in sealed})


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
