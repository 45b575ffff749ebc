"""Verses: the embedded task, small enough for a language model of 100,000 parameters.

A prompt asks for a line about an animal: so many words, in this form, to rhyme with that word. Six
attributes are judged by programs (:mod:`fairpo.generation.oracles`), so nothing about the outcome
is a matter of opinion. Demonstrations have each attribute only in part. Pairs are driven by one
attribute each, two of the six seldom; what the other attributes say of a pair goes against it more
often than with it, whichever attribute drives it. So a training on all pairs alike has something
to gain on the frequent attributes and something to lose on the rare ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fairpo.data.base import SPLITS
from fairpo.generation.oracles import (
    BRACKETS,
    FORBIDDEN,
    NOUNS,
    ORACLES,
    POLITE,
    RHYMES,
    SENTENCE,
    Oracle,
)
from fairpo.generation.preferences import PreferencePairs

Choice = TypeVar("Choice")

ATTRIBUTES = tuple(ORACLES)
LENGTHS = ((4, 6), (7, 9), (10, 12))

_VERBS = ("sings", "runs", "sleeps", "waits", "plays", "hides")
_ADVERBS = ("softly", "slowly", "quickly", "gladly", "often", "alone")
_JOINTS = ("and", "by")
_FORMS = {BRACKETS: "( {} )", SENTENCE: "{} ."}
_REQUEST = "write {} to {} words about the {} , rhyme with {} , {} :"
_N_PROMPTS = len(LENGTHS) * len(NOUNS) * sum(map(len, RHYMES)) * len(_FORMS)


class VersesSettings(BaseModel):
    """Every parameter of the generator."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train_prompts: int = Field(1300, gt=0, description="Prompts for training.")
    validation_prompts: int = Field(200, gt=0, description="Prompts for validation.")
    test_prompts: int = Field(300, gt=0, description="Prompts for testing.")
    train_pairs: int = Field(4000, gt=0, description="Training pairs, by the frequencies.")
    validation_pairs: int = Field(
        50, gt=0, description="Validation pairs of each attribute, as many of the rare ones."
    )
    test_pairs: int = Field(
        100, gt=0, description="Test pairs of each attribute, as many of the rare ones."
    )
    demonstrations: int = Field(
        2, gt=0, description="Demonstrations for each prompt of training and of validation."
    )
    demonstrated: float = Field(
        0.6, gt=0, lt=1, description="Chance that a demonstration has an attribute, each by itself."
    )
    frequencies: tuple[float, ...] = Field(
        (0.34, 0.28, 0.20, 0.11, 0.04, 0.03),
        min_length=len(ATTRIBUTES),
        max_length=len(ATTRIBUTES),
        description="Share of the training pairs that each attribute drives, in the order of "
        f"{', '.join(ATTRIBUTES)}; taken relative to their sum.",
    )
    conflict: float = Field(
        0.2, ge=0, le=1, description="Chance that another attribute prefers the rejected text."
    )
    concord: float = Field(
        0.1, ge=0, le=1, description="Chance that another attribute prefers the chosen text too."
    )

    @model_validator(mode="after")
    def _check_between_options(self) -> VersesSettings:
        used = self.train_prompts + self.validation_prompts + self.test_prompts
        if used > _N_PROMPTS:
            raise ValueError(f"there are {_N_PROMPTS} prompts, and the splits want {used}.")
        if min(self.frequencies) < 0 or sum(self.frequencies) <= 0:
            raise ValueError("frequencies must be 0 or more, and not all 0.")
        if self.conflict + self.concord > 1:
            raise ValueError(
                f"conflict and concord must not exceed 1 together, got {self.conflict} and "
                f"{self.concord}."
            )
        return self


class Demonstrations(NamedTuple):
    """Texts for supervised fine-tuning: prompts, and a completion of each."""

    prompts: tuple[str, ...]
    completions: tuple[str, ...]


class Request(NamedTuple):
    """What a prompt asks for."""

    length: tuple[int, int]
    noun: str
    rhyme: str
    form: str

    @property
    def prompt(self) -> str:
        """The request in words."""
        return _REQUEST.format(*self.length, self.noun, self.rhyme, self.form)


@dataclass(frozen=True)
class Verses:
    """The embedded task.

    Parameters
    ----------
    pairs : mapping from split to PreferencePairs
        With ``agreement``, which is what the oracles say.
    sft : mapping from "train" and "validation" to Demonstrations
    prompts : mapping from split to prompts
        All prompts of a split, each once; no prompt is in two.
    oracles : mapping from attribute to oracle
    vocabulary : tuple of str
        Every token of the task, which blanks separate.
    """

    pairs: Mapping[str, PreferencePairs]
    sft: Mapping[str, Demonstrations]
    prompts: Mapping[str, tuple[str, ...]]
    oracles: Mapping[str, Oracle]
    vocabulary: tuple[str, ...]


DEFAULT_SETTINGS = VersesSettings()


def make_verses(seed: int = 0, *, settings: VersesSettings = DEFAULT_SETTINGS) -> Verses:
    """Make the embedded task.

    Parameters
    ----------
    seed : int >= 0
        Draws which prompts are in which split, the pairs and the demonstrations.
    settings : VersesSettings
        The default is the task of the tables.

    Returns
    -------
    Verses
        The same for the same seed and settings, on every machine. Takes about a second.

    Examples
    --------
    >>> task = make_verses()
    >>> pairs = task.pairs["train"]
    >>> prompt, chosen = pairs.prompts[0], pairs.chosen[0]
    >>> attribute = pairs.attribute_names[pairs.attributes[0]]
    >>> task.oracles[attribute](prompt, chosen)
    1.0
    """
    requests = _split_requests(seed, settings)
    n_pairs = {
        "validation": settings.validation_pairs * len(ATTRIBUTES),
        "test": settings.test_pairs * len(ATTRIBUTES),
    }
    driven = {name: np.arange(n) % len(ATTRIBUTES) for name, n in n_pairs.items()}
    shares = np.array(settings.frequencies) / sum(settings.frequencies)
    driven["train"] = _stream(seed, 1).choice(len(ATTRIBUTES), settings.train_pairs, p=shares)
    return Verses(
        pairs={
            name: _draw_pairs(requests[name], driven[name], _stream(seed, 2 + place), settings)
            for place, name in enumerate(SPLITS)
        },
        sft={
            name: _draw_demonstrations(requests[name], _stream(seed, 5 + place), settings)
            for place, name in enumerate(("train", "validation"))
        },
        prompts={name: tuple(one.prompt for one in part) for name, part in requests.items()},
        oracles=ORACLES,
        vocabulary=VOCABULARY,
    )


class Draft(NamedTuple):
    """Every word that a completion may need, drawn before it is known which it has.

    Both texts of a pair are written from one draft, so that they differ in attributes and in
    nothing else.
    """

    polite: str
    forbidden: str
    other_noun: str
    rhyming: str
    not_rhyming: str
    inside: int
    """Number of words in the range that is asked for."""
    outside: int
    """Number of words out of it."""
    filling: tuple[str, ...]
    other_form: str


def draw_draft(request: Request, rng: np.random.Generator) -> Draft:
    """Draw the words for a request."""
    sizes = range(LENGTHS[0][0], LENGTHS[-1][1] + 1)
    inside = tuple(n for n in sizes if request.length[0] <= n <= request.length[1])
    outside = tuple(n for n in sizes if n not in inside)
    cycle = itertools.cycle((_VERBS, _ADVERBS, _JOINTS[:1]))
    forms = ("{}", *(form for name, form in _FORMS.items() if name != request.form))
    return Draft(
        polite=_pick(POLITE, rng),
        forbidden=_pick(FORBIDDEN, rng),
        other_noun=_pick(tuple(noun for noun in NOUNS if noun != request.noun), rng),
        rhyming=_pick(_ends(request.rhyme, rhyming=True), rng),
        not_rhyming=_pick(_ends(request.rhyme, rhyming=False), rng),
        inside=_pick(inside, rng),
        outside=_pick(outside, rng),
        filling=tuple(_pick(kind, rng) for kind in itertools.islice(cycle, sizes[-1])),
        other_form=_pick(forms, rng),
    )


def write_verse(request: Request, has: NDArray[np.bool_], draft: Draft) -> str:
    """Write a completion that has exactly the wanted attributes.

    Parameters
    ----------
    request : Request
    has : bool array, shape (attributes,)
        Which of :data:`ATTRIBUTES` the oracles are to find.
    draft : Draft
        Of the request.

    Returns
    -------
    str
        Begins with a blank, as a completion that follows its prompt.
    """
    wanted = dict(zip(ATTRIBUTES, has.tolist(), strict=True))
    start = [draft.polite] if wanted["polite"] else []
    start += [] if wanted["clean"] else [draft.forbidden]
    start += [request.noun if wanted["topic"] else draft.other_noun]
    end = draft.rhyming if wanted["rhyme"] else draft.not_rhyming
    size = (draft.inside if wanted["length"] else draft.outside) - len(start) - 1
    middle = [*draft.filling[: size - 1], "by"] if size > 1 else draft.filling[:size]
    form = _FORMS[request.form] if wanted["format"] else draft.other_form
    return " " + form.format(" ".join([*start, *middle, end]))


def _ends(key: str, *, rhyming: bool) -> tuple[str, ...]:
    rhyme = next(words for words in RHYMES if key in words)
    if rhyming:
        return tuple(word for word in rhyme if word != key)
    return tuple(word for words in RHYMES if words is not rhyme for word in words)


def _draw_pairs(
    requests: list[Request],
    driven: NDArray[np.int64],
    rng: np.random.Generator,
    settings: VersesSettings,
) -> PreferencePairs:
    shape = (len(driven), len(ATTRIBUTES))
    chance = rng.random(shape)
    preferred = np.where(chance < settings.conflict, -1, 0)
    preferred[(chance >= settings.conflict) & (chance < settings.conflict + settings.concord)] = 1
    preferred[np.arange(len(driven)), driven] = 1
    alike = rng.random(shape) < settings.demonstrated
    chosen_has = (preferred > 0) | ((preferred == 0) & alike)
    rejected_has = (preferred < 0) | ((preferred == 0) & alike)
    asked = [requests[number] for number in rng.integers(0, len(requests), len(driven))]
    chosen, rejected = [], []
    for request, *has in zip(asked, chosen_has, rejected_has, strict=True):
        draft = draw_draft(request, rng)
        texts = [write_verse(request, wanted, draft) for wanted in has]
        chosen.append(texts[0])
        rejected.append(texts[1])
    return PreferencePairs(
        prompts=tuple(request.prompt for request in asked),
        chosen=tuple(chosen),
        rejected=tuple(rejected),
        attributes=driven,
        attribute_names=ATTRIBUTES,
        agreement=preferred.astype(np.int8),
        name="verses",
    )


def _draw_demonstrations(
    requests: list[Request], rng: np.random.Generator, settings: VersesSettings
) -> Demonstrations:
    asked = [request for request in requests for _ in range(settings.demonstrations)]
    has = rng.random((len(asked), len(ATTRIBUTES))) < settings.demonstrated
    drawn = zip(asked, has, strict=True)
    return Demonstrations(
        tuple(request.prompt for request in asked),
        tuple(write_verse(request, row, draw_draft(request, rng)) for request, row in drawn),
    )


def _split_requests(seed: int, settings: VersesSettings) -> dict[str, list[Request]]:
    keys = tuple(word for words in RHYMES for word in words)
    every = [Request(*parts) for parts in itertools.product(LENGTHS, NOUNS, keys, _FORMS)]
    order = _stream(seed, 0).permutation(len(every))
    sizes = (settings.train_prompts, settings.validation_prompts, settings.test_prompts)
    parts = np.split(order, np.cumsum(sizes))
    return {
        name: [every[number] for number in part] for name, part in zip(SPLITS, parts, strict=False)
    }


def _pick(choices: Sequence[Choice], rng: np.random.Generator) -> Choice:
    return choices[int(rng.integers(len(choices)))]


def _stream(seed: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, purpose])


VOCABULARY = tuple(
    sorted(
        {
            *(word for words in (NOUNS, *RHYMES, POLITE, FORBIDDEN) for word in words),
            *(word for words in (_VERBS, _ADVERBS, _JOINTS) for word in words),
            *(str(bound) for length in LENGTHS for bound in length),
            *" ".join((_REQUEST.replace("{}", ""), *_FORMS)).split(),
            *("(", ")", "."),
        }
    )
)
"""Every token of prompts and completions."""
