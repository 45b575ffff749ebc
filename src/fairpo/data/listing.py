"""Lists that name files: their lines, XML, and names that may not leave a folder."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path, PurePosixPath

from fairpo._checks import file_error

_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_KEEP = "Names must stay below {}."


def split_lines(text: str) -> list[str]:
    """Split a text at line feeds and carriage returns, and at nothing else that Unicode has."""
    lines = _LINE_ENDS.split(text)
    return lines[:-1] if lines and not lines[-1] else lines


def read_lines(path: Path) -> list[str]:
    """Read the lines of a UTF-8 file.

    Raises
    ------
    FairPOFileError
    """
    try:
        return split_lines(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise file_error(path, "does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise file_error(path, f"cannot be read ({error})") from error


def parse_xml(path: Path) -> ET.Element:
    """Read an XML file.

    Raises
    ------
    FairPOFileError
        Missing, or not XML; says at which line.
    """
    try:
        return ET.fromstring(path.read_bytes())
    except OSError as error:
        raise file_error(path, f"cannot be read ({error.strerror})") from error
    except ET.ParseError as error:
        raise file_error(path, f"line {error.position[0]}: not valid XML ({error})") from error
    except (LookupError, ValueError) as error:  # of the encoding that its first line declares
        raise file_error(path, f"line 1: not valid XML ({error})") from error


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
        name.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, or bytes that are not UTF-8
        return False
    return True
