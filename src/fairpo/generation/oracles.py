"""Programmatic oracles of the embedded task: each says whether a completion has one attribute.

They are pure functions of prompt and completion, score any text, and have no other source of
truth: the task's pairs are what they say.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from fairpo.generation.texts import Text, plain_text

Oracle = Callable[[Text, str], float]
"""Score of a completion for a prompt; higher is better, NaN where the prompt asks for nothing."""

NOUNS = ("cat", "dog", "fox", "owl", "hen", "goat", "frog", "duck", "wolf", "bear", "lamb", "crow")
RHYMES = (
    ("day", "way", "clay", "bay", "hay"),
    ("tree", "sea", "tea", "key", "knee"),
    ("light", "night", "kite", "site", "bite"),
    ("moon", "spoon", "tune", "noon", "dune"),
    ("rain", "train", "lane", "plane", "chain"),
)
POLITE = ("please", "thanks", "kindly", "sorry")
FORBIDDEN = ("ugly", "stupid", "nasty", "rotten")

BRACKETS, SENTENCE = "in brackets", "as sentence"

_RHYME_OF = {word: number for number, words in enumerate(RHYMES) for word in words}
_WORD = re.compile(r"[^\W\d_]+")
_LENGTH = re.compile(r"\b(\d{1,9}) to (\d{1,9}) words\b")
_TOPIC = re.compile(r"\babout the ([^\W\d_]+)")
_RHYME = re.compile(r"\brhyme with ([^\W\d_]+)")
_FORM = re.compile(rf"\b({BRACKETS}|{SENTENCE})\b")


def words_of(text: str) -> list[str]:
    """Words of a text in lower case, without numbers and marks."""
    return _WORD.findall(text.lower())


def length_in_range(prompt: Text, completion: str) -> float:
    """1 where the number of words is in the range that the prompt asks for, else 0."""
    asked = _LENGTH.search(plain_text(prompt).lower())
    if asked is None:
        return math.nan
    return float(int(asked[1]) <= len(words_of(completion)) <= int(asked[2]))


def on_topic(prompt: Text, completion: str) -> float:
    """1 where the completion has the noun that the prompt asks about, else 0."""
    asked = _TOPIC.search(plain_text(prompt).lower())
    return math.nan if asked is None else float(asked[1] in words_of(completion))


def right_format(prompt: Text, completion: str) -> float:
    """1 where the completion is in brackets, or ends with a full stop, as asked; else 0."""
    asked = _FORM.search(plain_text(prompt).lower())
    if asked is None:
        return math.nan
    text = completion.strip()
    if asked[1] == SENTENCE:
        return float(text.endswith("."))
    return float(len(text) > 1 and text.startswith("(") and text.endswith(")"))


def polite(prompt: Text, completion: str) -> float:
    """1 where the completion has a word of politeness, else 0."""
    return float(any(word in POLITE for word in words_of(completion)))


def rhymes(prompt: Text, completion: str) -> float:
    """1 where the last word rhymes with the word that the prompt gives, and is another; else 0."""
    asked = _RHYME.search(plain_text(prompt).lower())
    if asked is None or asked[1] not in _RHYME_OF:
        return math.nan
    last = words_of(completion)[-1:]
    return float(
        bool(last) and last[0] != asked[1] and _RHYME_OF.get(last[0]) == _RHYME_OF[asked[1]]
    )


def clean(prompt: Text, completion: str) -> float:
    """1 where the completion has no forbidden word, else 0."""
    return float(not any(word in FORBIDDEN for word in words_of(completion)))


ORACLES: Mapping[str, Oracle] = MappingProxyType(
    {
        "length": length_in_range,
        "topic": on_topic,
        "format": right_format,
        "polite": polite,
        "rhyme": rhymes,
        "clean": clean,
    }
)
"""The attributes of the embedded task, in their order."""
