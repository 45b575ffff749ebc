"""Images and texts as they lie: what a backbone embeds, one item at a time."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import FairPOFileError, file_error
from fairpo._optional import require

Kind = Literal["image", "text"]


class Items(Protocol):
    """Items by row number; nothing is read before it is asked for."""

    @property
    def kind(self) -> Kind:
        """Whether these are images or texts."""

    def __len__(self) -> int:
        """Number of items."""

    def name(self, row: int) -> str:
        """What messages call an item."""

    def load(self, row: int) -> Any:
        """Read an item: an RGB image of Pillow, or a str.

        Raises
        ------
        FairPOFileError
            It cannot be read.
        """

    def digest(self, row: int) -> bytes:
        """Digest of an item's content; equal content has equal digests."""


@dataclass(frozen=True)
class ImageFiles:
    """Image files below one folder.

    Parameters
    ----------
    root : Path
    names : tuple of str
        Paths relative to ``root`` that :class:`SafeFolder` has let in.
    """

    root: Path
    names: tuple[str, ...]

    @property
    def kind(self) -> Kind:
        """Images."""
        return "image"

    def __len__(self) -> int:
        return len(self.names)

    def name(self, row: int) -> str:
        """Path below the folder."""
        return self.names[row]

    def load(self, row: int) -> Any:
        """Read and decode a file."""
        return _decode(self.root / self.names[row], self.root / self.names[row])

    def digest(self, row: int) -> bytes:
        """SHA-256 of the file."""
        try:
            return hashlib.sha256((self.root / self.names[row]).read_bytes()).digest()
        except OSError as error:
            raise file_error(self.root / self.names[row], f"cannot be read ({error})") from error


@dataclass(frozen=True)
class EncodedImages:
    """Images as the bytes of their files, such as an image column of Parquet holds.

    Parameters
    ----------
    read : callable
        Row number to bytes; may read from disk.
    length : int
    source : str
        What messages call the column.
    """

    read: Callable[[int], bytes]
    length: int
    source: str

    @property
    def kind(self) -> Kind:
        """Images."""
        return "image"

    def __len__(self) -> int:
        return self.length

    def name(self, row: int) -> str:
        """Source and row number."""
        return f"{self.source}[{row}]"

    def load(self, row: int) -> Any:
        """Decode the bytes of a row."""
        return _decode(io.BytesIO(self._bytes(row)), self.name(row))

    def digest(self, row: int) -> bytes:
        """SHA-256 of the bytes."""
        return hashlib.sha256(self._bytes(row)).digest()

    def _bytes(self, row: int) -> bytes:
        content = self.read(row)
        if not content:
            raise file_error(self.name(row), "holds no image")
        return content


@dataclass(frozen=True)
class ImageArrays:
    """Images that are arrays already, drawn or loaded when first asked for.

    Parameters
    ----------
    arrays : callable
        Gives the uint8 array (n, height, width, 3).
    length : int
    source : str
    """

    arrays: Callable[[], NDArray[np.uint8]]
    length: int
    source: str

    @property
    def kind(self) -> Kind:
        """Images."""
        return "image"

    def __len__(self) -> int:
        return self.length

    def name(self, row: int) -> str:
        """Source and row number."""
        return f"{self.source}[{row}]"

    def load(self, row: int) -> Any:
        """Turn a row into an image."""
        image = require("PIL.Image", extra="vision", purpose="reading images")
        return image.fromarray(self.arrays()[row])

    def digest(self, row: int) -> bytes:
        """SHA-256 of the pixels."""
        return hashlib.sha256(self.arrays()[row].tobytes()).digest()


@dataclass(frozen=True)
class Texts:
    """Texts in memory.

    Parameters
    ----------
    values : sequence of str
    """

    values: Sequence[str]

    @property
    def kind(self) -> Kind:
        """Texts."""
        return "text"

    def __len__(self) -> int:
        return len(self.values)

    def name(self, row: int) -> str:
        """Row number and how the text begins."""
        text = self.values[row]
        return f"text[{row}] {text[:30]!r}" + ("..." if len(text) > 30 else "")

    def load(self, row: int) -> str:
        """Return the text."""
        return self.values[row]

    def digest(self, row: int) -> bytes:
        """SHA-256 of the text."""
        return hashlib.sha256(self.values[row].encode()).digest()


class SafeFolder:
    """Lets in names from a list only where they stay below one folder.

    Parameters
    ----------
    root : path
        Where the files lie.
    listed_in : path
        The list that names them, for messages.

    Notes
    -----
    Folders are resolved once each, and of a file only whether it is a link is asked, so that
    100,000 names take seconds.
    """

    def __init__(self, root: Path, listed_in: Path) -> None:
        self.root = root
        self.listed_in = listed_in
        self._resolved = root.resolve()
        self._folders: dict[str, bool] = {}

    def name(self, listed: str, place: str = "", *, below: str = "") -> str:
        r"""Return a listed name, with forward slashes, as a path below the root.

        Parameters
        ----------
        listed : str
            May be separated by ``\``, as lists written on Windows are.
        place : str
            Line or key, for messages.
        below : str
            Folder below the root that listed names start from.

        Raises
        ------
        FairPOFileError
            The name is absolute, climbs out of the folder, or leads out of it by a link.
        """
        name = listed.strip().replace("\\", "/")
        path = PurePosixPath(name)
        where = f"{place}: " if place else ""
        if not name or "\0" in name or not _can_name_a_file(name):
            raise file_error(self.listed_in, f"{where}{listed!r} is not a file name")
        if path.is_absolute() or (len(name) > 1 and name[1] == ":"):
            raise file_error(
                self.listed_in, f"{where}{listed!r} is an absolute path", _KEEP.format(self.root)
            )
        if ".." in path.parts:
            raise file_error(
                self.listed_in, f"{where}{listed!r} climbs out", _KEEP.format(self.root)
            )
        path = PurePosixPath(below) / path
        if self._leads_out(path):
            raise file_error(
                self.listed_in, f"{where}{listed!r} is a link out", _KEEP.format(self.root)
            )
        return str(path)

    def _leads_out(self, path: PurePosixPath) -> bool:
        folder = str(path.parent)
        if folder not in self._folders:
            self._folders[folder] = self._is_outside(self.root / folder)
        if self._folders[folder]:
            return True
        file = self.root / path
        return os.path.islink(file) and self._is_outside(file)

    def _is_outside(self, path: Path) -> bool:
        # realpath also answers for circles of links and for names that are too long
        return not Path(os.path.realpath(path)).is_relative_to(self._resolved)


def _can_name_a_file(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can hold
        return False
    return True


_KEEP = "Names must stay below {}."


def _decode(source: Any, name: object) -> Any:
    image = require("PIL.Image", extra="vision", purpose="reading images")
    try:
        with image.open(source) as opened:
            return opened.convert("RGB")
    except FairPOFileError:
        raise
    except Exception as error:  # Pillow's decoders raise errors of every kind on broken files
        raise file_error(str(name), f"is not a readable image ({error})") from error
