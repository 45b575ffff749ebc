"""Responses on disk, one JSON file a request, so that a rerun costs nothing.

A file is named by a digest of the whole request and of the URL it went to. It holds request and
response, never the key.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from fairpo._checks import file_error
from fairpo.models.checkpoint import write_json


class StoredResponses:
    """A folder of responses.

    Parameters
    ----------
    folder : Path
        Made when the first response is looked up.
    url : str
        Part of every name: the same model behind another URL may be another model.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self._url = url

    def prepare(self) -> None:
        """Make the folder.

        Raises
        ------
        FairPOFileError
            It cannot be made: said before an answer is paid for that could not be kept.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise file_error(
                self.folder, f"cannot hold the judge's responses ({error.strerror})"
            ) from error

    def name(self, request: dict[str, Any]) -> str:
        """Digest of a request, equal for equal requests."""
        text = json.dumps({"url": self._url, "request": request}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self, request: dict[str, Any]) -> Any:
        """Read the response to a request; None where there is none, or the file is damaged."""
        try:
            stored = json.loads(self._path(request).read_text(encoding="utf-8"))
            return stored["response"] if stored["request"] == request else None
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None

    def write(self, request: dict[str, Any], response: dict[str, Any]) -> None:
        """Keep a response; the file appears whole or not at all."""
        write_json(self._path(request), {"request": request, "response": response})

    def _path(self, request: dict[str, Any]) -> Path:
        return self.folder / f"{self.name(request)}.json"
