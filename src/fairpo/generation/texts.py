"""Prompts and completions: plain text, or a conversation as a list of messages.

Both are the formats of TRL's data sets.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

Message = dict[str, str]
"""One turn: ``{"role": ..., "content": ...}``."""

Text = str | list[Message]
"""Plain text, or a conversation."""


def is_text(value: Any) -> TypeGuard[Text]:
    """Whether a value is a prompt or a completion: text, or messages with a role and a content."""
    if isinstance(value, str):
        return True
    return isinstance(value, list) and all(
        isinstance(turn, dict)
        and {"role", "content"} <= set(turn)
        and all(isinstance(part, str) for part in turn.values())
        for turn in value
    )


def is_empty(text: Text) -> bool:
    """Whether a text says nothing: blank, no message, or a message that is blank."""
    if isinstance(text, str):
        return not text.strip()
    return not text or any(not turn["content"].strip() for turn in text)


def plain_text(text: Text) -> str:
    """What a text says, without roles: the contents of its messages, a blank line between.

    Examples
    --------
    >>> plain_text([{"role": "user", "content": "Hello"}])
    'Hello'
    """
    return text if isinstance(text, str) else "\n\n".join(turn["content"] for turn in text)


def text_key(text: Text) -> Hashable:
    """A key that equal texts share, and no others."""
    return text if isinstance(text, str) else (json.dumps(text, sort_keys=True),)


def text_numbers(texts: Iterable[Text]) -> NDArray[np.int64]:
    """Number texts, equal ones alike, from 0 in the order in which they first stand: shape (n,)."""
    numbers: dict[Hashable, int] = {}
    return np.array(
        [numbers.setdefault(text_key(text), len(numbers)) for text in texts], dtype=np.int64
    )
