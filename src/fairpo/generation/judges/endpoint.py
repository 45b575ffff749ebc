"""An OpenAI-compatible endpoint: its URL and key from the environment, and one request over HTTP.

The key travels in one header to one host. It is in no error, log, cache or repr, and a reply that
repeats it is read without it.
"""

from __future__ import annotations

import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from fairpo._checks import value_error

URL, KEY = "FAIRPO_JUDGE_URL", "FAIRPO_JUDGE_KEY"
OPENAI_URL, OPENAI_KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"

_PATH = "/chat/completions"
_LARGEST = 2**22  # bytes of a reply: an answer has a few hundred
_BLOCK = 2**16
_HIDDEN = "***"
_SHORTEST_SECRET = 8  # letters: local servers take any key, and "x" is in every reply


class Reply(NamedTuple):
    """What came back.

    Attributes
    ----------
    status : int
        Of HTTP.
    text : str
        The body.
    retry_after : float or None
        Seconds that the server asks to wait before the next request.
    """

    status: int
    text: str
    retry_after: float | None


@dataclass(frozen=True)
class Endpoint:
    """Where requests go.

    Parameters
    ----------
    url : str
        Base URL such as ``http://localhost:8000/v1``, or the whole of it with
        ``/chat/completions``.
    key : str
        Sent as a bearer token; none is sent where it is empty.

    Raises
    ------
    FairPOValueError
        No http or https URL, a password in it, or a key that no header can hold.
    """

    url: str
    key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Check both, without repeating the key."""
        object.__setattr__(self, "url", _chat_url(self.url))
        key = self.key.strip()
        if not (key.isascii() and key.isprintable()):
            raise value_error(
                "the key of the judge", must="be printable ASCII", got="other characters"
            )
        object.__setattr__(self, "key", key)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read ``FAIRPO_JUDGE_URL`` and ``FAIRPO_JUDGE_KEY``.

        Where the first is unset, ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY``. The two pairs are
        never mixed, so that no key reaches a host it was not made for.

        Raises
        ------
        FairPOValueError
            Neither URL is set.
        """
        for url, key in ((URL, KEY), (OPENAI_URL, OPENAI_KEY)):
            if environment.get(url):
                return cls(environment[url], environment.get(key, ""))
        raise value_error(
            "the URL of the judge's endpoint",
            must=f"be in {URL} or {OPENAI_URL}",
            got="neither",
            do=f"Such as {URL}=http://localhost:8000/v1; a key goes into {KEY} or {OPENAI_KEY}.",
        )

    @property
    def shown(self) -> str:
        """The URL for errors: without what stands after a question mark."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}{parts.path}"

    def post(self, body: bytes, timeout: float) -> Reply:
        """Send one request.

        Parameters
        ----------
        body : bytes
            JSON.
        timeout : float
            Seconds until the reply must be here, whole.

        Returns
        -------
        Reply
            Whatever its status; a redirect is not followed.

        Raises
        ------
        OSError
            No whole reply: no connection, a dropped one, too slow, too long.
        """
        request = urllib.request.Request(self.url, data=body, method="POST")
        request.add_header("Content-Type", "application/json")
        if self.key:
            request.add_header("Authorization", f"Bearer {self.key}")
        deadline = time.monotonic() + timeout
        try:
            with _opened(request, timeout) as response:
                text = _read(response, deadline).decode("utf-8", errors="replace")
                retry_after = _seconds(response.headers.get("Retry-After"))
                status = int(response.status)
        except (http.client.HTTPException, ValueError) as error:
            raise OSError(f"no whole reply ({type(error).__name__})") from error
        if len(self.key) >= _SHORTEST_SECRET:
            text = text.replace(self.key, _HIDDEN)
        return Reply(status, text, retry_after)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would carry the key to another host."""

    def redirect_request(self, *_: Any) -> None:
        """Take the redirect as the reply."""


_OPENER = urllib.request.build_opener(_NoRedirect)


def _opened(request: urllib.request.Request, timeout: float) -> Any:
    """Send a request; a reply with an error's status is a reply."""
    try:
        return _OPENER.open(request, timeout=timeout)
    except urllib.error.HTTPError as response:
        return response


def _read(response: Any, deadline: float) -> bytes:
    """Read a body; the timeout of a socket alone would wait for ever on one that drips."""
    blocks, size = [], 0
    while block := response.read1(_BLOCK):
        blocks.append(block)
        size += len(block)
        if size > _LARGEST:
            raise OSError(f"the reply is longer than {_LARGEST} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError("the reply took too long")
    return b"".join(blocks)


def _seconds(retry_after: str | None) -> float | None:
    """Read ``Retry-After``: seconds or a date; None where it is neither."""
    if not retry_after:
        return None
    with suppress(ValueError):
        seconds = float(retry_after)
        return seconds if seconds >= 0 else None
    with suppress(ValueError, OverflowError):
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    return None


def _is_plain(url: str) -> bool:
    return url.isascii() and url.isprintable() and " " not in url.strip()


def _chat_url(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in ("http", "https") or port == 0 or not _is_plain(url):
        raise value_error(
            "the URL of the judge's endpoint",
            must="be http:// or https://, a host, and a path, in ASCII without blanks",
            got="another text",  # which is not shown: it may be a key in the wrong place
        )
    if parts.username or parts.password:
        raise value_error(
            "the URL of the judge's endpoint",
            must="hold no user or password",
            got="one",
            do=f"Put the key into {KEY}.",
        )
    path = parts.path.rstrip("/")
    return parts._replace(path=path if path.endswith(_PATH) else path + _PATH).geturl()
