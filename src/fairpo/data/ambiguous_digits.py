"""Digit scenes with half-hidden digits: inputs that several label sets fit, with known chances.

The scenes are those of :mod:`fairpo.data.digits`, but of some digits one half alone is drawn: the
half in which two digits look alike, as the right halves of a 3 and an 8. Which of the two is said
to be there is drawn AFTER the picture and without looking at it, from a known distribution. So
the chances of the label sets of a scene are known exactly, by construction: whoever sees which
half is drawn knows as much as there is to know.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fairpo.data.base import SPLITS, MultiLabelData
from fairpo.data.cache import Arrays, cached_arrays, fingerprint
from fairpo.data.digits import (
    INKS,
    DigitScenesSettings,
    SceneContents,
    digit_pools,
    draw_scenes,
    render_scenes,
)

NAME = "ambiguous-digits"
LABEL_NAMES = tuple(str(digit) for digit in range(10))


class Reading(NamedTuple):
    """Two digits that look alike in one half: what a half-hidden digit may be read as."""

    first: int
    second: int
    half: str


READINGS = (
    Reading(3, 8, "right"),
    Reading(5, 9, "bottom"),
    Reading(2, 7, "top"),
    Reading(1, 6, "left"),
)
"""Of every half the pair that a linear classifier tells apart worst in scikit-learn's digits
(79% to 87% right), so that the drawn half also says which pair it is."""

_DRAWING = 2  # part of the cache key: raise it when the same settings draw other scenes
_NO_READING = -1


class AmbiguousScenesSettings(BaseModel):
    """Every parameter of the generator."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_train: int = Field(default=8000, gt=0, description="Training scenes.")
    n_validation: int = Field(default=1000, gt=0, description="Validation scenes.")
    n_test: int = Field(default=2000, gt=0, description="Test scenes.")
    max_digits: int = Field(default=3, ge=1, le=6, description="Most digits in a scene.")
    hidden_share: float = Field(
        default=0.6,
        ge=0,
        le=1,
        description="Share of the digits that have a reading which are half hidden.",
    )
    first_share: float = Field(
        default=0.65, gt=0, lt=1, description="Chance that a half-hidden digit is the lower one."
    )
    agreement: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="Chance that all half-hidden digits of a scene are read alike, all as the "
        "lower or all as the higher one; otherwise each is read alone.",
    )
    max_clutter: int = Field(default=0, ge=0, description="Most scraps of other digits.")
    tail_ratio: float = Field(
        default=12.0,
        ge=1,
        description="How often the commonest label is drawn per draw of the rarest.",
    )
    scenes: DigitScenesSettings = Field(
        default=DigitScenesSettings(noise=0.03, hue_spread=7.0, min_size=13),
        description="How scenes are drawn, and from which images: clear by default, as what is "
        "meant to be hard here is that several sets fit.",
    )

    @model_validator(mode="after")
    def _own_counts(self) -> AmbiguousScenesSettings:
        own = {"max_clutter", "max_digits", "min_digits", "n_test", "n_train", "n_validation"}
        told = sorted((own | {"tail_ratio"}) & self.scenes.model_fields_set)
        if told:
            raise ValueError(f"scenes must not say {', '.join(told)}: say it here.")
        return self

    def drawing(self) -> DigitScenesSettings:
        """Settings of the scenes themselves."""
        own = {
            "max_clutter": self.max_clutter,
            "tail_ratio": self.tail_ratio,
            "min_digits": 1,
            "max_digits": self.max_digits,
        }
        return self.scenes.model_copy(update=own)


@dataclass(frozen=True)
class SetDistributions:
    """The true distribution over label sets of each row.

    Parameters
    ----------
    sets : bool array, shape (n, m, L)
        The sets that can occur, each once; a place that is not used holds the empty set.
    probs : float64 array, shape (n, m)
        Their chances, which sum to 1 a row; 0 in a place that is not used.
    """

    sets: NDArray[np.bool_]
    probs: NDArray[np.float64]

    def rows(self, rows: NDArray[np.int64]) -> SetDistributions:
        """Return those of some rows."""
        return SetDistributions(self.sets[rows], self.probs[rows])

    def marginals(self) -> NDArray[np.float64]:
        """Chance of each label, (n, L)."""
        return np.asarray(np.einsum("nm,nml->nl", self.probs, self.sets))

    def project(self, labels: NDArray[np.int64]) -> SetDistributions:
        """Return the distributions of the sets cut down to some labels."""
        return merge_sets(self.sets[:, :, labels], self.probs)


class AmbiguousScenes(NamedTuple):
    """Scenes and what is true of them."""

    data: MultiLabelData
    """Targets are one set a row, drawn from its true distribution."""
    truth: SetDistributions
    """Of all rows of ``data``."""


DEFAULT_SETTINGS = AmbiguousScenesSettings()


def load_ambiguous_scenes(
    seed: int = 0,
    cache_dir: str | Path | None = None,
    *,
    settings: AmbiguousScenesSettings = DEFAULT_SETTINGS,
) -> AmbiguousScenes:
    """Make or load ambiguous digit scenes, embedded by the frozen backbone.

    Parameters
    ----------
    seed : int >= 0
        Draws the scenes, the readings, and which labels are rare.
    cache_dir : path, optional
        Where they are kept; see :func:`fairpo.data.cache.cache_folder`.
    settings : AmbiguousScenesSettings

    Returns
    -------
    AmbiguousScenes

    Notes
    -----
    About five seconds on one core from an empty cache. Also by name, ``load_data(
    "ambiguous-digits")``, which gives the data alone.
    """
    key = fingerprint(
        {"drawing": _DRAWING, "seed": seed, "settings": settings.model_dump(mode="json")}
    )
    arrays = cached_arrays(NAME, key, lambda: _made(seed, settings), cache_dir)
    sizes = [settings.n_train, settings.n_validation, settings.n_test]
    rows = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    split = dict(zip(SPLITS, rows, strict=True))
    data = MultiLabelData(
        features=arrays["features"],
        targets=arrays["targets"],
        label_names=LABEL_NAMES,
        split=split,
        ids=[f"{name}-{number:04d}" for name in SPLITS for number in range(len(split[name]))],
        name=NAME,
        kind="digit scenes with half-hidden digits (comes with fairpo)",
    )
    return AmbiguousScenes(data, SetDistributions(arrays["sets"], arrays["probs"]))


def hide_halves(
    contents: SceneContents, rng: np.random.Generator, settings: AmbiguousScenesSettings
) -> tuple[SceneContents, NDArray[np.int64]]:
    """Hide a half of some digits.

    Parameters
    ----------
    contents : SceneContents of n scenes with m marks
    rng : numpy Generator
    settings : AmbiguousScenesSettings

    Returns
    -------
    contents : SceneContents
        With smaller windows.
    readings : int64 array, shape (n, m)
        Number in :data:`READINGS` of what each mark may be read as; -1 where it is plain to see.
    """
    digit = np.where(contents.labels >= 0, contents.labels % 10, -1)
    reading = np.full(digit.shape, _NO_READING)
    for number, pair in enumerate(READINGS):
        reading[(digit == pair.first) | (digit == pair.second)] = number
    hidden = (reading >= 0) & (rng.random(reading.shape) < settings.hidden_share)
    reading = np.where(hidden, reading, _NO_READING)
    middle, end = contents.size // 2, contents.size
    nothing = np.zeros_like(middle)
    windows = {  # top, bottom, left, right
        "right": (nothing, end, middle, end),
        "bottom": (middle, end, nothing, end),
        "top": (nothing, middle, nothing, end),
        "left": (nothing, end, nothing, middle),
    }
    window = contents.window
    for number, pair in enumerate(READINGS):
        half = np.stack(windows[pair.half], axis=-1)
        window = np.where((reading == number)[..., None], half, window)
    return contents._replace(window=window), reading


def true_distributions(
    contents: SceneContents, readings: NDArray[np.int64], settings: AmbiguousScenesSettings
) -> SetDistributions:
    """Chances of the label sets of scenes, from which digits are half hidden.

    Parameters
    ----------
    contents : SceneContents
    readings : int64 array, shape (n, m)
        See :func:`hide_halves`.
    settings : AmbiguousScenesSettings
    """
    hidden = readings >= 0
    most = settings.max_digits
    order = (~hidden).argsort(axis=1, kind="stable")[:, :most]  # half-hidden marks first
    rows = np.arange(len(hidden))[:, None]
    there = hidden[rows, order]
    pair = np.array([(each.first, each.second) for each in READINGS])[readings[rows, order]]
    plain = np.zeros((len(hidden), len(LABEL_NAMES)), dtype=bool)
    scene, mark = np.nonzero((contents.labels >= 0) & ~hidden)
    plain[scene, contents.labels[scene, mark] % 10] = True
    sets, probs = [], []
    for choice in product((0, 1), repeat=most):
        read = np.array(choice)
        one = plain.copy()
        scene, mark = np.nonzero(there)
        one[scene, pair[scene, mark, read[mark]]] = True
        # A choice says something of marks that are there only: others must be read as 0.
        valid = ~((read == 1) & ~there).any(axis=1)
        sets.append(one)
        probs.append(np.where(valid, _chance(read, there, settings), 0.0))
    return merge_sets(np.stack(sets, axis=1), np.stack(probs, axis=1))


def _chance(
    read: NDArray[np.int64], there: NDArray[np.bool_], settings: AmbiguousScenesSettings
) -> NDArray[np.float64]:
    """Chance (n,) that the half-hidden digits of each scene are read so; 1 where none is."""
    of_mark = np.where(read == 0, settings.first_share, 1 - settings.first_share)
    alone = np.where(there, of_mark, 1.0).prod(axis=1)
    all_first = (~there | (read == 0)).all(axis=1)
    all_second = (~there | (read == 1)).all(axis=1)
    alike = settings.first_share * all_first + (1 - settings.first_share) * all_second
    alike = np.where(there.any(axis=1), alike, 1.0)
    return np.asarray(settings.agreement * alike + (1 - settings.agreement) * alone)


def merge_sets(sets: NDArray[np.bool_], probs: NDArray[np.float64]) -> SetDistributions:
    """Add up the chances of equal sets (n, m, L) of a row; the first place keeps them."""
    m = sets.shape[1]
    same = (sets[:, :, None] == sets[:, None]).all(axis=3)
    first = same.argmax(axis=2)  # place of the first equal set
    merged = np.zeros_like(probs)
    rows = np.arange(len(sets))
    for place in range(m):
        np.add.at(merged, (rows, first[:, place]), probs[:, place])
    return SetDistributions(sets & (merged > 0)[..., None], merged)


def draw_from(truth: SetDistributions, rng: np.random.Generator) -> NDArray[np.int8]:
    """Draw one set a row: int8 targets (n, L)."""
    reached = truth.probs.cumsum(axis=1)
    place = (reached / reached[:, -1:] <= rng.random((len(reached), 1))).sum(axis=1)
    return np.asarray(truth.sets[np.arange(len(reached)), place], dtype=np.int8)


def _frequencies(seed: int, settings: AmbiguousScenesSettings) -> NDArray[np.float64]:
    """Chance (30,) of each digit in each ink: a geometric tail over digits, inks alike."""
    ranks = np.random.default_rng([seed, 99]).permutation(10)
    weights = np.tile(settings.tail_ratio ** (-ranks / 9), len(INKS))
    return np.asarray(weights / weights.sum())


def _made(seed: int, settings: AmbiguousScenesSettings) -> Arrays:
    from fairpo.models.digits_backbone import (  # torch only where it is needed
        embed,
        load_digits_backbone,
    )

    backbone = load_digits_backbone()
    drawing = settings.drawing()
    pools = digit_pools(drawing)
    test = np.concatenate(list(pools.test), axis=1)
    frequencies = _frequencies(seed, settings)
    parts = (
        (settings.n_train, pools.train),
        (settings.n_validation, pools.validation),
        (settings.n_test, test),
    )
    made: dict[str, list[NDArray[np.generic]]] = {
        name: [] for name in ("features", "targets", "sets", "probs")
    }
    for number, (n_scenes, pool) in enumerate(parts):
        # Scenes, halves, noise and readings have streams of their own.
        streams = [np.random.default_rng([seed, 100 + number, use]) for use in range(4)]
        contents = draw_scenes(n_scenes, pool, frequencies, streams[0], drawing)
        contents, readings = hide_halves(contents, streams[1], settings)
        truth = true_distributions(contents, readings, settings)
        made["features"].append(embed(render_scenes(contents, streams[2], drawing), backbone))
        made["targets"].append(draw_from(truth, streams[3]))
        made["sets"].append(truth.sets)
        made["probs"].append(truth.probs)
    return {name: np.concatenate(parts) for name, parts in made.items()}
