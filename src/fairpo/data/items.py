"""Images and texts as they lie: what a backbone embeds, one item at a time."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import file_error
from fairpo._optional import require

Kind = Literal["image", "text"]

_GONE = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)


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

    def fingerprint(self) -> str:
        """Digest of what these items are, found without reading every file."""


@dataclass(frozen=True)
class ImageFiles:
    """Image files below one folder.

    Parameters
    ----------
    root : Path
    names : tuple of str
        Paths relative to ``root`` that :class:`~fairpo.data.listing.SafeFolder` has let in.
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

    def fingerprint(self) -> str:
        """Digest of names and sizes."""
        digest = hashlib.sha256()
        for name in self.names:
            try:
                size = os.stat(os.path.join(self.root, name)).st_size
            except OSError:
                size = -1
            digest.update(os.fsencode(f"{name}\0{size}\0"))
        return digest.hexdigest()


@dataclass(frozen=True)
class _NumberedImages:
    """Images that have no name but their row number in some source."""

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


@dataclass(frozen=True)
class EncodedImages(_NumberedImages):
    """Images as the bytes of their files, such as an image column of Parquet holds.

    Parameters
    ----------
    length : int
    source : str
        What messages call the column.
    read : callable
        Row number to bytes; may read from disk.
    known_as : str
        Digest of the table they come from.
    """

    read: Callable[[int], bytes]
    known_as: str

    def load(self, row: int) -> Any:
        """Decode the bytes of a row."""
        return _decode(io.BytesIO(self._bytes(row)), self.name(row))

    def digest(self, row: int) -> bytes:
        """SHA-256 of the bytes."""
        return hashlib.sha256(self._bytes(row)).digest()

    def fingerprint(self) -> str:
        """Digest of the table they come from."""
        return self.known_as

    def _bytes(self, row: int) -> bytes:
        content = self.read(row)
        if not content:
            raise file_error(self.name(row), "holds no image")
        return content


@dataclass(frozen=True)
class ImageArrays(_NumberedImages):
    """Images that are arrays already, drawn or loaded when first asked for.

    Parameters
    ----------
    length : int
    source : str
    arrays : callable
        Gives the uint8 array (n, height, width, 3).
    """

    arrays: Callable[[], NDArray[np.uint8]]

    def load(self, row: int) -> Any:
        """Turn a row into an image."""
        image = require("PIL.Image", extra="vision", purpose="reading images")
        return image.fromarray(self.arrays()[row])

    def digest(self, row: int) -> bytes:
        """SHA-256 of the pixels."""
        return hashlib.sha256(self.arrays()[row].tobytes()).digest()

    def fingerprint(self) -> str:
        """Digest of all pixels."""
        return hashlib.sha256(np.ascontiguousarray(self.arrays()).data).hexdigest()


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

    def fingerprint(self) -> str:
        """Digest of all texts."""
        digest = hashlib.sha256()
        for text in self.values:
            digest.update(hashlib.sha256(text.encode()).digest())
        return digest.hexdigest()


def _rgb(opened: Any) -> Any:
    """RGB, upright as the camera says, 16-bit grey scaled to 8 bits, transparency left out."""
    image = require("PIL.Image", extra="vision", purpose="reading images")
    operations = require("PIL.ImageOps", extra="vision", purpose="reading images")
    upright = operations.exif_transpose(opened)
    if upright.mode.startswith("I;16"):
        grey = (np.asarray(upright, dtype=np.uint16) >> 8).astype(np.uint8)
        return image.fromarray(grey).convert("RGB")
    if upright.mode in ("I", "F"):
        raise ValueError(f"mode {upright.mode}: 32-bit grey, whose range is not known")
    return upright.convert("RGB")


def _decode(source: Any, name: object) -> Any:
    image = require("PIL.Image", extra="vision", purpose="reading images")
    try:
        with image.open(source) as opened:
            return _rgb(opened)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise errors of every kind on broken files
        if getattr(error, "errno", None) not in (None, *_GONE):
            raise  # out of file handles, a network folder that is away: the next try may succeed
        raise file_error(str(name), f"is not a readable image ({error})") from error
