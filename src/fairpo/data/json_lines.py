"""JSON lines: one object a line, also in gzip."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from fairpo._checks import FairPOFileError, file_error


def read_json_lines(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """Read a file of JSON lines; one whose name ends in ``.gz`` is unpacked.

    Returns
    -------
    (rows, lines) : the objects, and the line each stands in, counted from 1
        Blank lines are left out.

    Raises
    ------
    FairPOFileError
        Missing, not UTF-8, or a line that is not an object; names the line.
    """
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    packed = path.suffix.lower() == ".gz"
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8-sig")
            if packed
            else path.open(encoding="utf-8-sig") as stream
        ):
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                rows.append(_parsed(path, number, line))
                lines.append(number)
    except FairPOFileError:  # which is an OSError
        raise
    except UnicodeDecodeError as error:
        raise file_error(path, f"is not UTF-8 ({error})", "Save it as UTF-8.") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise file_error(path, f"is not a readable gzip file ({error})") from error
    except FileNotFoundError as error:
        raise file_error(path, "does not exist") from error
    except OSError as error:
        raise file_error(path, f"cannot be read ({error.strerror or error})") from error
    return rows, lines


def _parsed(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if "\\u" in line:  # half a character can be written so, and not be encoded
            json.dumps(row, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise file_error(path, f"line {number}: not valid JSON ({error})") from error
    if not isinstance(row, dict):
        raise file_error(path, f"line {number}: must be an object, got {line[:30]!r}")
    return row
