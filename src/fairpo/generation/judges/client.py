"""Asking an endpoint until it answers: repetitions, what a failure means, and what it cost."""

from __future__ import annotations

import json
import threading
from collections import Counter
from typing import Any, NamedTuple

from fairpo._checks import FairPOValueError, value_error
from fairpo.generation.judges.endpoint import Endpoint, Reply
from fairpo.generation.judges.pace import Pace

_AGAIN = frozenset({408, 409, 425, 429})
"""Statuses under 500 that another try may change."""

_SETUP = frozenset({401, 403, 404, 405, 407, *range(300, 400)})
"""Statuses that every request would get: key, path or model name are wrong."""


class Answer(NamedTuple):
    """What a model answered.

    Attributes
    ----------
    text : str or None
        None where the model gave no text, such as a refusal.
    prompt_tokens, completion_tokens : int
        As the endpoint counts them; 0 where it does not.
    """

    text: str | None
    prompt_tokens: int
    completion_tokens: int


class ChatClient:
    """Send requests to an endpoint, again where that may help, and count.

    Parameters
    ----------
    endpoint : Endpoint
    pace : Pace
    timeout : float
        Seconds for one try.
    tries : int
        Of a request, 1 or more.
    longest_wait : float
        A server that asks to wait longer, in seconds, is not asked again.
    give_up_after : int
        After so many requests in a row without an answer, all tries spent, the endpoint counts as
        down and nothing more is sent.

    Attributes
    ----------
    counts : Counter
        ``requests`` that were sent, repetitions among them; ``retries``; ``answers``;
        ``unanswered``, all tries spent; ``refused`` by the server for what they hold;
        ``not_asked``, since the endpoint was down; ``prompt_tokens`` and ``completion_tokens``.
    last_failure : str
        Why the last request failed, in words.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        pace: Pace,
        *,
        timeout: float,
        tries: int,
        longest_wait: float,
        give_up_after: int,
    ) -> None:
        self.endpoint = endpoint
        self.counts: Counter[str] = Counter()
        self.last_failure = ""
        self._pace = pace
        self._timeout, self._tries, self._longest_wait = timeout, tries, longest_wait
        self._give_up_after = give_up_after
        self._in_a_row = 0
        self._lock = threading.Lock()

    @property
    def is_down(self) -> bool:
        """Whether the endpoint was given up."""
        return self._in_a_row >= self._give_up_after

    def ask(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Send a request until there is a response; None where there is none.

        Parameters
        ----------
        request : dict
            The body of a chat completion.

        Returns
        -------
        dict or None
            The response as it came, from which :func:`read_answer` reads.

        Raises
        ------
        FairPOValueError
            The endpoint refuses what every request has in common: its key, path or model.
        """
        body = json.dumps(request).encode()
        for repetition in range(self._tries):
            if self.is_down or not self._pace.wait_for_turn():
                self._count("not_asked")
                return None
            self._count("requests", "retries" if repetition else "")
            reply = self._post(body)
            response = _response(reply) if reply else None
            if response is not None:
                return self._answered(response)
            if reply and not self._is_worth_another(reply):
                self._count("refused")
                self._in_a_row = 0
                return None
            if reply and reply.retry_after is not None:
                if reply.retry_after > self._longest_wait:
                    break
                self._pace.hold(reply.retry_after)
            if repetition + 1 < self._tries:
                self._pace.back_off(repetition)
        self._count("unanswered")
        with self._lock:
            self._in_a_row += 1
        return None

    def _post(self, body: bytes) -> Reply | None:
        try:
            return self.endpoint.post(body, self._timeout)
        except OSError as error:
            self.last_failure = str(getattr(error, "reason", error)) or type(error).__name__
            return None

    def _answered(self, response: dict[str, Any]) -> dict[str, Any]:
        answer = read_answer(response)
        assert answer is not None
        with self._lock:
            self._in_a_row = 0
            self.counts["answers"] += 1
            self.counts["prompt_tokens"] += answer.prompt_tokens
            self.counts["completion_tokens"] += answer.completion_tokens
        return response

    def _is_worth_another(self, reply: Reply) -> bool:
        """Whether the same request may get another reply."""
        self.last_failure = f"status {reply.status}: {_shortened(reply.text)}"
        if reply.status in _SETUP:
            self._pace.stop()
            raise self._refusal(reply)
        return reply.status < 300 or reply.status >= 500 or reply.status in _AGAIN

    def _refusal(self, reply: Reply) -> FairPOValueError:
        return value_error(
            "the judge's endpoint",
            must="accept key, path and model",
            got=f"status {reply.status} from {self.endpoint.shown} ({_shortened(reply.text)})",
            do="Answers that came before are kept, and cost nothing when asked for again.",
        )

    def _count(self, *names: str) -> None:
        with self._lock:
            self.counts.update(name for name in names if name)


def read_answer(response: Any) -> Answer | None:
    """Read the answer and its cost from a response; None where it is no chat completion."""
    try:
        text = response["choices"][0]["message"]["content"]
    except (LookupError, TypeError):
        return None
    usage = response.get("usage")
    return Answer(
        text if isinstance(text, str) else None,
        _tokens(usage, "prompt_tokens"),
        _tokens(usage, "completion_tokens"),
    )


def _response(reply: Reply) -> dict[str, Any] | None:
    """The response in a reply; None where the reply is none, though its status may say so."""
    if reply.status != 200:
        return None
    try:
        response: Any = json.loads(reply.text)
        json.dumps(response, indent=1, allow_nan=False)  # Python reads more than it may write
    except (ValueError, RecursionError):
        return None
    return response if read_answer(response) is not None else None


def _tokens(usage: Any, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and value >= 0 else 0


def _shortened(text: str) -> str:
    """The beginning of what a server says, in one line and without control characters."""
    words = "".join(letter for letter in " ".join(text.split()) if letter.isprintable())
    return words[:200] or "no text"
