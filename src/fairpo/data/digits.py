"""Digit scenes: real handwriting, several coloured digits on one canvas, labels like "red 7".

The digits are scikit-learn's bundled 8 x 8 images; nothing is fetched. A scene holds a few of
them in three inks whose hues drift into each other, partly covering one another, among scraps of
other digits and under pixel noise. A label says that a digit is there in an ink. Labels follow a
long tail, and which label is frequent is drawn at random, so that rarity and not the shape of a
digit sets the rare ones apart. Training, validation and every test block have digit images of
their own.
"""

from __future__ import annotations

import functools
import hashlib
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fairpo._checks import value_error
from fairpo.data.base import SPLITS, MultiLabelData
from fairpo.data.cache import Arrays, cached_arrays, fingerprint
from fairpo.data.items import ImageArrays

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

INKS = ("red", "purple", "blue")
LABEL_NAMES = tuple(f"{ink} {digit}" for ink in INKS for digit in range(10))

_BACKBONE_FILE = "models/digits_backbone.safetensors"
_DRAWING = 1  # part of the cache key: raise it when the same settings draw other pixels
_CELLS = 3  # digits sit in different cells of a 3 x 3 grid, shifted by the jitter
_SMALLEST_CLASS = 174  # images of the digit with the fewest
_POOL_SEED = 20  # which images train, validate and test: fixed, as the backbone is
_CHUNK = 500  # scenes rendered at once, for memory only


class DigitScenesSettings(BaseModel):
    """Every parameter of the generator.

    The defaults are fixed: they were chosen from the figures of the cross-entropy reference
    alone (docs/LOG.md), before any other method ran on these data.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_train: int = Field(default=4000, gt=0, description="Training scenes.")
    n_validation: int = Field(default=2000, gt=0, description="Validation scenes.")
    n_test: int = Field(
        default=7500, gt=0, description="Test scenes, the same number in each block."
    )
    n_blocks: int = Field(
        default=30, gt=0, description="Test blocks, each with digit images of its own."
    )
    block_images: int = Field(default=2, gt=0, description="Images of each digit in a test block.")
    validation_images: int = Field(
        default=25, gt=0, description="Images of each digit for validation."
    )
    tail_ratio: float = Field(
        default=12.0,
        ge=1,
        description="How often the commonest label is drawn per draw of the rarest.",
    )
    min_digits: int = Field(default=2, ge=1, description="Fewest digits in a scene.")
    max_digits: int = Field(default=6, ge=1, le=_CELLS**2, description="Most digits in a scene.")
    canvas: int = Field(default=40, ge=20, description="Height and width of a scene, in pixels.")
    min_size: int = Field(
        default=11, ge=8, description="Smallest height of a digit's image, in pixels."
    )
    max_size: int = Field(
        default=14, ge=8, description="Largest height of a digit's image, in pixels."
    )
    jitter: int = Field(
        default=3, ge=0, description="Largest shift of a digit from its cell, in pixels."
    )
    hues: tuple[float, float, float] = Field(
        default=(355.0, 300.0, 245.0), description="Mean hue of each ink, in degrees."
    )
    hue_spread: float = Field(
        default=14.0, ge=0, description="Standard deviation of an ink's hue, in degrees."
    )
    max_clutter: int = Field(default=4, ge=0, description="Most scraps of other digits in a scene.")
    noise: float = Field(
        default=0.06, ge=0, description="Standard deviation of the pixel noise; white is 1."
    )
    min_brightness: float = Field(
        default=0.65, gt=0, le=1, description="Brightness of the darkest paper; white is 1."
    )

    @model_validator(mode="after")
    def _check_between_options(self) -> DigitScenesSettings:
        if self.n_test % self.n_blocks:
            raise ValueError(
                f"n_test must be a multiple of n_blocks, got {self.n_test} and {self.n_blocks}."
            )
        if self.min_digits > self.max_digits or self.min_size > self.max_size:
            raise ValueError("min_digits and min_size must not exceed max_digits and max_size.")
        if self.max_size > self.canvas:
            raise ValueError(
                f"max_size must be at most canvas, got {self.max_size} and {self.canvas}."
            )
        held_out = self.n_blocks * self.block_images + self.validation_images
        if held_out >= _SMALLEST_CLASS:
            raise ValueError(
                f"n_blocks * block_images + validation_images must be below {_SMALLEST_CLASS} to "
                f"leave training images, got {held_out}."
            )
        return self


class DigitPools(NamedTuple):
    """Row numbers in scikit-learn's digits of the images each part may use; no image is in two.

    ``train`` and ``validation`` have shape (10, images of each digit), ``test``
    (blocks, 10, images of each digit); the second last axis is the digit.
    """

    train: Ints
    validation: Ints
    test: Ints


class SceneContents(NamedTuple):
    """What is drawn on each of n scenes: m marks in drawing order, digits and scraps alike.

    ``labels`` (n, m) is the label of a mark, -1 for a scrap or an unused mark; ``images`` (n, m)
    its row in scikit-learn's digits, -1 for an unused mark; ``size``, ``top``, ``left`` (n, m)
    are in pixels; ``window`` (n, m, 4) is the part that is drawn: top, bottom, left, right;
    ``ink`` (n, m, 3) is its colour and ``paper`` (n, 3) the scene's, from 0 to 1.
    """

    labels: Ints
    images: Ints
    size: Ints
    top: Ints
    left: Ints
    window: Ints
    ink: Floats
    paper: Floats


class _Part(NamedTuple):
    """Scenes that share one pool and one random stream: train, validation or a test block."""

    split: str
    block: int
    n_scenes: int


DEFAULT_SETTINGS = DigitScenesSettings()


def load_digits_scenes(
    seed: int = 0,
    cache_dir: str | Path | None = None,
    *,
    settings: DigitScenesSettings = DEFAULT_SETTINGS,
) -> MultiLabelData:
    """Make or load the digit scenes, embedded by the frozen backbone.

    Parameters
    ----------
    seed : int >= 0
        Draws the scenes and which labels are rare. Which digit images train, validate and test is
        the same for every seed, because the backbone has seen the training images.
    cache_dir : path, optional
        Where the embeddings are kept; see :func:`fairpo.data.cache.cache_folder`.
    settings : DigitScenesSettings
        The default is the data set of the tables.

    Returns
    -------
    MultiLabelData
        ``features`` float32 (n, d), ``targets`` int8 (n, 30), the splits "train", "validation" and
        "test" in this order, and ids like "test-b03-0042". ``clusters`` is the block of a test row,
        the cluster of the bootstrap, and -1 for all other rows, which are not meant to be
        resampled.

    Notes
    -----
    About ten seconds on one core from an empty cache, a tenth of a second afterwards.
    """
    key = fingerprint({"scenes": _scenes_key(seed, settings), "backbone": _backbone_digest()})
    arrays = cached_arrays("digits-embeddings", key, lambda: _embedded(seed, settings), cache_dir)
    parts = _parts(settings)
    blocks = np.concatenate([np.full(part.n_scenes, part.block, dtype=np.int64) for part in parts])

    @functools.cache
    def images() -> NDArray[np.uint8]:
        drawn = [digit_scene_images(name, seed, cache_dir, settings=settings) for name in SPLITS]
        return np.concatenate(drawn)

    return MultiLabelData(
        features=arrays["features"],
        targets=arrays["targets"],
        label_names=LABEL_NAMES,
        split=_split_rows(settings),
        ids=tuple(name for part in parts for name in _ids(part)),
        clusters=blocks,
        name="digits",
        items=ImageArrays(len(blocks), "digits", images),
        kind="digit scenes (comes with fairpo)",
    )


def digit_scene_images(
    split: str,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    *,
    settings: DigitScenesSettings = DEFAULT_SETTINGS,
) -> NDArray[np.uint8]:
    """Make or load the images of a split, in the order of ``data.rows(split)``.

    Parameters
    ----------
    split : "train", "validation" or "test"
    seed, cache_dir, settings
        As for :func:`load_digits_scenes`.

    Returns
    -------
    uint8 array, shape (scenes, height, width, 3)
        The images the embeddings were made of; kept in the cache once asked for.

    Raises
    ------
    FairPOValueError
        No such split.
    """
    _check_split(split)

    def build() -> Arrays:
        return {"images": _render_split(split, seed, settings)}

    return cached_arrays(f"digits-{split}", _scenes_key(seed, settings), build, cache_dir)["images"]


def digit_scene_contents(
    split: str, seed: int = 0, *, settings: DigitScenesSettings = DEFAULT_SETTINGS
) -> SceneContents:
    """Tell what is on every scene of a split, digit images included, without drawing it.

    The scenes are in the order of ``data.rows(split)``. Takes milliseconds, nothing is cached.
    """
    _check_split(split)
    parts = _parts_of(split, settings)
    drawn = [_contents_of(number, part, seed, settings) for number, part in parts]
    return SceneContents._make(np.concatenate(column) for column in zip(*drawn, strict=True))


def scene_targets(contents: SceneContents) -> NDArray[np.int8]:
    """Targets (n, 30) of scenes: 1 where at least one digit of the label was drawn."""
    targets = np.zeros((len(contents.labels), len(LABEL_NAMES)), dtype=np.int8)
    scene, mark = np.nonzero(contents.labels >= 0)
    targets[scene, contents.labels[scene, mark]] = 1
    return targets


@functools.lru_cache(maxsize=4)
def digit_pools(settings: DigitScenesSettings = DEFAULT_SETTINGS) -> DigitPools:
    """Deal the images of every digit to training, validation and the test blocks.

    The pools hold equally many images of each digit; the few left over of the commoner digits
    are not used at all.
    """
    labels = _digits()[1]
    rng = np.random.default_rng(_POOL_SEED)
    shuffled = np.stack(
        [rng.permutation(np.flatnonzero(labels == digit))[:_SMALLEST_CLASS] for digit in range(10)]
    )
    n_test = settings.n_blocks * settings.block_images
    n_held_out = n_test + settings.validation_images
    test = shuffled[:, :n_test].reshape(10, settings.n_blocks, settings.block_images)
    return DigitPools(
        shuffled[:, n_held_out:], shuffled[:, n_test:n_held_out], test.transpose(1, 0, 2)
    )


def label_frequencies(
    seed: int, settings: DigitScenesSettings = DEFAULT_SETTINGS
) -> NDArray[np.float64]:
    """Chance (30,) of each label per digit of a scene: a geometric tail, dealt out by the seed."""
    ranks = _stream(seed, 0).permutation(len(LABEL_NAMES))
    weights = settings.tail_ratio ** (-ranks / (len(LABEL_NAMES) - 1))
    return np.asarray(weights / weights.sum())


def draw_scenes(
    n_scenes: int,
    pool: Ints,
    frequencies: NDArray[np.float64],
    rng: np.random.Generator,
    settings: DigitScenesSettings = DEFAULT_SETTINGS,
) -> SceneContents:
    """Draw what goes onto scenes: which digits, in which ink, where, among which scraps.

    Parameters
    ----------
    n_scenes : int > 0
    pool : int array, shape (10, images of each digit)
        The images that may be used, for digits and scraps alike.
    frequencies : float array, shape (30,)
        Chance of each label per digit; sums to 1.
    rng : numpy Generator
    settings : DigitScenesSettings
    """
    digits = _draw_digits(n_scenes, pool, frequencies, rng, settings)
    scraps = _draw_scraps(n_scenes, pool, rng, settings)
    both = zip(*[digits, scraps], strict=True)
    joined = SceneContents._make(np.concatenate(pair, axis=1) for pair in both)
    order = rng.random(joined.labels.shape).argsort(axis=1)  # who covers whom
    rows = np.arange(n_scenes)[:, None]
    shuffled = (column[rows, order] for column in joined[:-1])
    return SceneContents._make([*shuffled, joined.paper])


def _draw_digits(
    n_scenes: int,
    pool: Ints,
    frequencies: NDArray[np.float64],
    rng: np.random.Generator,
    settings: DigitScenesSettings,
) -> SceneContents:
    shape = (n_scenes, settings.max_digits)
    counts = rng.integers(settings.min_digits, settings.max_digits + 1, n_scenes)
    used = np.arange(settings.max_digits) < counts[:, None]
    labels = rng.choice(len(frequencies), size=shape, p=frequencies)
    images = pool[labels % 10, rng.integers(0, pool.shape[1], shape)]
    cells = rng.random((n_scenes, _CELLS**2)).argsort(axis=1)[:, : settings.max_digits]
    hue = rng.normal(np.asarray(settings.hues)[labels // 10], settings.hue_spread)
    paper = rng.uniform(settings.min_brightness, 1.0, (n_scenes, 1)) + rng.normal(
        0.0, 0.02, (n_scenes, 3)
    )
    return SceneContents(
        labels=np.where(used, labels, -1),
        images=np.where(used, images, -1),
        size=rng.integers(settings.min_size, settings.max_size + 1, shape),
        top=_positions(cells // _CELLS, rng, settings),
        left=_positions(cells % _CELLS, rng, settings),
        window=np.broadcast_to(np.array([0, settings.max_size] * 2), (*shape, 4)),
        ink=_rgb(hue, rng.uniform(0.6, 1.0, shape), rng.uniform(0.45, 0.9, shape)),
        paper=np.clip(paper, 0.0, 1.0).astype(np.float32),
    )


def _draw_scraps(
    n_scenes: int, pool: Ints, rng: np.random.Generator, settings: DigitScenesSettings
) -> SceneContents:
    shape = (n_scenes, settings.max_clutter)
    used = (
        np.arange(settings.max_clutter)
        < rng.integers(0, settings.max_clutter + 1, n_scenes)[:, None]
    )
    corner = rng.integers(1, settings.max_size - 5, (*shape, 2))
    extent = rng.integers(4, 7, (*shape, 2))
    ends = corner + extent
    room = settings.canvas - settings.max_size + 1
    return SceneContents(
        labels=np.full(shape, -1),
        images=np.where(
            used, pool[rng.integers(0, 10, shape), rng.integers(0, pool.shape[1], shape)], -1
        ),
        size=rng.integers(settings.min_size, settings.max_size + 1, shape),
        top=rng.integers(0, room, shape),
        left=rng.integers(0, room, shape),
        window=np.stack([corner[..., 0], ends[..., 0], corner[..., 1], ends[..., 1]], axis=-1),
        ink=_rgb(
            rng.uniform(0, 360, shape), rng.uniform(0.0, 0.7, shape), rng.uniform(0.3, 0.9, shape)
        ),
        paper=np.empty((n_scenes, 0), dtype=np.float32),
    )


def _positions(cell: Ints, rng: np.random.Generator, settings: DigitScenesSettings) -> Ints:
    room = settings.canvas - settings.max_size
    shift = rng.integers(-settings.jitter, settings.jitter + 1, cell.shape)
    return np.asarray(np.clip(cell * room // (_CELLS - 1) + shift, 0, room))


def _rgb(
    hue: NDArray[np.float64], saturation: NDArray[np.float64], value: NDArray[np.float64]
) -> Floats:
    """Colours (..., 3) of hues in degrees, after the usual hue, saturation, value model."""
    sector = (np.array([5.0, 3.0, 1.0]) + hue[..., None] / 60) % 6
    dip = np.clip(np.minimum(sector, 4 - sector), 0, 1)
    return np.asarray(value[..., None] * (1 - saturation[..., None] * dip), dtype=np.float32)


def render_scenes(
    contents: SceneContents,
    rng: np.random.Generator,
    settings: DigitScenesSettings = DEFAULT_SETTINGS,
) -> NDArray[np.uint8]:
    """Draw scenes: paper, then mark over mark in their order, then noise.

    Parameters
    ----------
    contents : SceneContents of n scenes
    rng : numpy Generator
        For the pixel noise only.
    settings : DigitScenesSettings

    Returns
    -------
    uint8 array, shape (n, canvas, canvas, 3)
    """
    images = np.empty((len(contents.labels), settings.canvas, settings.canvas, 3), dtype=np.uint8)
    for start in range(0, len(images), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        canvas = _draw_marks(SceneContents._make(column[chunk] for column in contents), settings)
        canvas += settings.noise * rng.standard_normal(canvas.shape, dtype=np.float32)
        images[chunk] = np.clip(np.rint(canvas * 255), 0, 255).astype(np.uint8)
    return images


def _draw_marks(contents: SceneContents, settings: DigitScenesSettings) -> Floats:
    n_scenes, n_marks = contents.labels.shape
    canvas = np.empty((n_scenes, settings.canvas, settings.canvas, 3), dtype=np.float32)
    canvas[:] = contents.paper[:, None, None, :]
    glyphs = _glyphs(settings.min_size, settings.max_size)
    span = np.arange(settings.max_size)
    for mark in range(n_marks):
        scene = np.flatnonzero(contents.images[:, mark] >= 0)
        first, last, west, east = contents.window[scene, mark].T[:, :, None]
        tall = (span >= first) & (span < last)
        wide = (span >= west) & (span < east)
        shade = glyphs[contents.size[scene, mark] - settings.min_size, contents.images[scene, mark]]
        shade = (shade * (tall[:, :, None] & wide[:, None, :]))[..., None]
        down = (contents.top[scene, mark, None] + span)[:, :, None]
        across = (contents.left[scene, mark, None] + span)[:, None, :]
        place = (scene[:, None, None], down, across)
        canvas[place] += shade * (contents.ink[scene, mark][:, None, None, :] - canvas[place])
    return canvas


@functools.lru_cache(maxsize=4)
def _glyphs(min_size: int, max_size: int) -> Floats:
    """All digits at all sizes (sizes, 1797, max_size, max_size), 0 to 1 ink, in the corner."""
    images = _digits()[0]
    glyphs = np.zeros((max_size - min_size + 1, len(images), max_size, max_size), dtype=np.float32)
    for index, size in enumerate(range(min_size, max_size + 1)):
        resize = _linear_resize(size)
        glyphs[index, :, :size, :size] = resize @ images @ resize.T
    return np.clip(glyphs, 0.0, 1.0)


def _linear_resize(size: int) -> Floats:
    """Matrix (size, 8) of linear interpolation from eight pixels to ``size``."""
    centres = np.clip((np.arange(size) + 0.5) * 8 / size - 0.5, 0, 7)
    weights = np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(8)))
    return np.asarray(weights, dtype=np.float32)


@functools.cache
def _digits() -> tuple[Floats, Ints]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return (bunch.images / 16).astype(np.float32), bunch.target.astype(np.int64)


def _parts(settings: DigitScenesSettings) -> list[_Part]:
    per_block = settings.n_test // settings.n_blocks
    return [
        _Part("train", -1, settings.n_train),
        _Part("validation", -1, settings.n_validation),
        *(_Part("test", block, per_block) for block in range(settings.n_blocks)),
    ]


def _pool(part: _Part, settings: DigitScenesSettings) -> Ints:
    pools = digit_pools(settings)
    if part.split == "test":
        return np.asarray(pools.test[part.block])
    return pools.train if part.split == "train" else pools.validation


def _parts_of(split: str, settings: DigitScenesSettings) -> list[tuple[int, _Part]]:
    """Parts of a split with their numbers, which choose their random streams."""
    return [(number, part) for number, part in enumerate(_parts(settings)) if part.split == split]


def _contents_of(
    number: int, part: _Part, seed: int, settings: DigitScenesSettings
) -> SceneContents:
    pool = _pool(part, settings)
    rng = _stream(seed, 1 + number, 0)
    return draw_scenes(part.n_scenes, pool, label_frequencies(seed, settings), rng, settings)


def _stream(seed: int, *purpose: int) -> np.random.Generator:
    """One of a seed's random streams: (0) the tail, (1 + part, 0) scenes, (1 + part, 1) noise."""
    if seed < 0:
        raise value_error("seed", must="be an int >= 0", got=seed)
    return np.random.default_rng([seed, *purpose])


def _split_rows(settings: DigitScenesSettings) -> dict[str, Ints]:
    ends = np.cumsum([settings.n_train, settings.n_validation])
    rows = np.arange(settings.n_train + settings.n_validation + settings.n_test)
    return dict(zip(SPLITS, np.split(rows, ends), strict=True))


def _ids(part: _Part) -> list[str]:
    prefix = part.split if part.block < 0 else f"{part.split}-b{part.block:02d}"
    return [f"{prefix}-{number:04d}" for number in range(part.n_scenes)]


def _render_split(split: str, seed: int, settings: DigitScenesSettings) -> NDArray[np.uint8]:
    scenes = [
        render_scenes(
            _contents_of(number, part, seed, settings), _stream(seed, 1 + number, 1), settings
        )
        for number, part in _parts_of(split, settings)
    ]
    return np.concatenate(scenes)


def _embedded(seed: int, settings: DigitScenesSettings) -> Arrays:
    from fairpo.models.digits_backbone import (  # torch only where it is needed
        embed,
        load_digits_backbone,
    )

    backbone = load_digits_backbone()
    features = [embed(_render_split(split, seed, settings), backbone) for split in SPLITS]
    targets = [
        scene_targets(digit_scene_contents(split, seed, settings=settings)) for split in SPLITS
    ]
    return {"features": np.concatenate(features), "targets": np.concatenate(targets)}


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise value_error("split", must=f"be one of {', '.join(SPLITS)}", got=repr(split))


def _scenes_key(seed: int, settings: DigitScenesSettings) -> str:
    return fingerprint(
        {"drawing": _DRAWING, "seed": seed, "settings": settings.model_dump(mode="json")}
    )


def _backbone_digest() -> str:
    # Not through the model's module: reading cached scenes needs no torch.
    return hashlib.sha256(
        resources.files("fairpo").joinpath(_BACKBONE_FILE).read_bytes()
    ).hexdigest()
