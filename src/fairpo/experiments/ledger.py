"""The folder of a study: a ledger of trials that only grows, and the scores beside it.

``study.yaml``, ``results.jsonl`` (a line for each trial, done or failed), ``scores/KEY.npz``,
``references/KEY.safetensors``; and, once it is written up, ``metrics.json``, ``report.html``,
``checksums.json``. A trial is known by the digest of everything it depends on, so that one that
was done is never run again, and one that was changed is.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from fairpo._checks import file_error

RESULTS = "results.jsonl"

_BLOCK = 2**16


class Ledger:
    """Records of trials.

    Parameters
    ----------
    folder : Path
        Of the study.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def done(self) -> dict[str, dict[str, Any]]:
        """Records of the trials that ended well, by key.

        Raises
        ------
        FairPOFileError
            A line in the middle is not a record: the file was altered.
        """
        return {r["key"]: r for r in self.records() if r["status"] == "done"}

    def records(self) -> list[dict[str, Any]]:
        """All records, in the order in which they came."""
        path = self.folder / RESULTS
        if not path.is_file():
            return []
        lines = path.read_text(encoding="utf-8").split("\n")
        records = []
        for number, line in enumerate(lines[:-1], 1):  # what has no end of line was cut off
            try:
                records.append(json.loads(line))
            except ValueError as error:
                raise file_error(path, f"line {number} is not a record ({error})") from error
        return records

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record, through to the disk; a part of one that a kill left is cut off first.

        Raises
        ------
        FairPOFileError
            It cannot be written.
        """
        path = self.folder / RESULTS
        line = json.dumps(record, allow_nan=False) + "\n"
        try:
            with path.open("a+b") as stream:
                stream.truncate(_whole_lines(stream))
                stream.write(line.encode())
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise file_error(path, f"cannot be written ({error.strerror or error})") from error

    def scores(self, key: str) -> Path:
        """Where the scores of a trial are."""
        return self.folder / "scores" / f"{key}.npz"

    def reference(self, key: str) -> Path:
        """Where the weights of a reference are."""
        return self.folder / "references" / f"{key}.safetensors"

    def make_folders(self) -> None:
        """Make the folder and those inside it."""
        for path in (self.scores(""), self.reference("")):
            path.parent.mkdir(parents=True, exist_ok=True)


def digest(identity: Mapping[str, Any]) -> str:
    """Key of what a trial depends on."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _whole_lines(stream: BinaryIO) -> int:
    """Where the last whole line ends, looked for from the end."""
    end = stream.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _BLOCK)
        stream.seek(start)
        found = stream.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
