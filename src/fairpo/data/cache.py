"""The cache folder: arrays that are dear to make and cheap to read, never trusted blindly.

A cached file is an ``.npz`` without pickle that carries a digest of its own contents and of the
key it was made for. A file that is absent, damaged or made for another key is made again; a
folder that cannot be written costs a warning and the time, nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import uuid
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import FairPOWarning

Arrays: TypeAlias = "dict[str, NDArray[Any]]"

_DIGEST = "sha256"


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """Name the folder of cached files; it need not exist yet.

    Parameters
    ----------
    cache_dir : path, optional
        Taken as it is. ``None`` means the folder named by the environment variable
        ``FAIRPO_CACHE`` or, where that is unset or empty, the user's own cache folder
        (``~/.cache/fairpo``; on macOS ``~/Library/Caches/fairpo``).
    """
    named = cache_dir or os.environ.get("FAIRPO_CACHE")
    return Path(named).expanduser() if named else _user_cache_folder()


def _user_cache_folder() -> Path:
    home = Path(os.path.expanduser("~"))
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "fairpo"
    if sys.platform == "win32":
        return (
            Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "fairpo" / "Cache"
        )
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "fairpo"


def fingerprint(parts: Mapping[str, Any]) -> str:
    """Condense everything a cached file depends on into 16 hexadecimal digits.

    Parameters
    ----------
    parts : mapping
        Whatever ``json`` can write; the order of the keys does not matter.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def cached_arrays(
    name: str,
    key: str,
    build: Callable[[], Arrays],
    cache_dir: str | Path | None = None,
) -> Arrays:
    """Read arrays from the cache, or build them and keep them there.

    Parameters
    ----------
    name : str
        First part of the file's name, for people who look into the folder.
    key : str
        :func:`fingerprint` of everything ``build`` depends on.
    build : callable without parameters
        Returns a dict of arrays; called only where no trustworthy file is found.
    cache_dir : path, optional
        See :func:`cache_folder`.

    Returns
    -------
    dict of arrays, the same whether read or built.

    Warns
    -----
    FairPOWarning
        The folder cannot be written: the arrays are right, but will be built again next time.
    """
    path = cache_folder(cache_dir) / f"{name}-{key}.npz"
    arrays = load_arrays(path, key)
    if arrays is not None:
        return arrays
    arrays = build()
    try:
        save_arrays(path, key, arrays)
    except OSError as error:
        warnings.warn(
            f"{path.parent}: the cache cannot be written ({error.strerror or error}), so {name} "
            "will be made again each time. Set FAIRPO_CACHE to a folder that can be written.",
            FairPOWarning,
            stacklevel=3,
        )
    return arrays


def save_arrays(path: Path, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays to one ``.npz`` that appears whole or not at all.

    Raises
    ------
    OSError
        The folder cannot be made or written; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    digest = np.frombuffer(_digest(key, arrays), dtype=np.uint8)
    contents: dict[str, Any] = {**arrays, _DIGEST: digest}
    try:
        with partial.open("xb") as file:
            np.savez(file, **contents)
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def load_arrays(path: Path, key: str) -> Arrays | None:
    """Read the arrays of a cached file, or return None where it cannot be trusted.

    Notes
    -----
    A damaged archive can fail in any layer (zip, zlib, the array header, memory), hence the wide
    ``except``: whatever went wrong, the answer is to make the file again.
    """
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        stored = arrays.pop(_DIGEST).tobytes()
    except Exception:
        return None
    return arrays if stored == _digest(key, arrays) else None


def _digest(key: str, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    digest = hashlib.sha256(key.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"|{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.digest()
