from __future__ import annotations

import time

import numpy as np
import pytest

from fairpo._checks import FairPOValueError, FairPOWarning, build_settings
from fairpo.data import digits
from fairpo.data.digits import (
    LABEL_NAMES,
    DigitScenesSettings,
    digit_pools,
    digit_scene_contents,
    digit_scene_images,
    draw_scenes,
    label_frequencies,
    load_digits_scenes,
    render_scenes,
    scene_targets,
)

SPLITS = ("train", "validation", "test")
SMALL = DigitScenesSettings(n_train=60, n_validation=20, n_test=60, n_blocks=30)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def data(cache):
    return load_digits_scenes(cache_dir=cache)


def used(images):
    return set(images[images >= 0].tolist())


# What the issue asks of the data set


def test_sizes_and_names(data):
    assert data.name == "digits"
    assert data.features.dtype == np.float32
    assert data.features.shape == (13_500, 256)
    assert data.targets.shape == (13_500, 30)
    assert data.label_names[17] == "purple 7"
    assert {split: len(data.rows(split)) for split in SPLITS} == {
        "train": 4000,
        "validation": 2000,
        "test": 7500,
    }


def test_every_label_has_200_test_positives(data):
    assert data.n_labels >= 20
    assert data.targets_of(data.rows("test")).sum(axis=0).min() >= 200


def test_frequencies_have_a_long_tail_that_the_test_split_keeps(data):
    train = data.targets_of(data.rows("train")).mean(axis=0)
    test = data.targets_of(data.rows("test")).mean(axis=0)
    assert train.max() > 8 * train.min()
    assert np.sort(train)[:6].max() < 0.06
    assert np.abs(test - train).max() < 0.03
    assert np.corrcoef(test, train)[0, 1] > 0.99


def test_rarity_goes_with_neither_ink_nor_digit(data):
    counts = data.targets_of(data.rows("train")).sum(axis=0)
    rarest = np.argsort(counts)[:6]
    assert len(set(rarest // 10)) == 3
    assert len(set(rarest % 10)) >= 4


def test_test_blocks_are_the_clusters(data):
    test = data.rows("test")
    blocks, sizes = np.unique(data.clusters[test], return_counts=True)
    assert blocks.tolist() == list(range(30))
    assert set(sizes.tolist()) == {250}
    assert (np.delete(data.clusters, test) == -1).all()
    positives = np.stack([data.targets[test[data.clusters[test] == b]].sum(axis=0) for b in blocks])
    assert (positives.sum(axis=0) >= 200).all()


def test_ids_name_split_block_and_number(data):
    assert data.ids[42] == "train-0042"
    assert data.ids[4000] == "validation-0000"
    row = data.ids.index("test-b03-0042")
    assert data.clusters[row] == 3
    assert row in data.rows("test")
    assert len(set(data.ids)) == data.n_rows


# Digit images


def test_pools_share_no_image():
    pools = digit_pools()
    images = np.concatenate([part.ravel() for part in pools])
    assert len(np.unique(images)) == len(images)
    assert pools.train.shape == (10, 89)
    assert pools.validation.shape == (10, 25)
    assert pools.test.shape == (30, 10, 2)


def test_scenes_of_different_parts_share_no_image(data):
    """Digits and scraps alike, in the scenes that are drawn, not only in the pools."""
    contents = digit_scene_contents("test")
    blocks = data.clusters[data.rows("test")]
    parts = [used(contents.images[blocks == block]) for block in range(30)]
    parts += [used(digit_scene_contents(split).images) for split in ("train", "validation")]
    assert all(parts)
    assert len(set().union(*parts)) == sum(map(len, parts))


def test_images_show_the_digit_of_their_label():
    from sklearn.datasets import load_digits

    contents = digit_scene_contents("train", settings=SMALL)
    shown = contents.labels >= 0
    assert (load_digits().target[contents.images[shown]] == contents.labels[shown] % 10).all()


def test_pools_do_not_depend_on_the_seed():
    pool = set(digit_pools(SMALL).train.ravel().tolist())
    for seed in (0, 5):
        assert used(digit_scene_contents("train", seed, settings=SMALL).images) <= pool


# Determinism


def test_same_seed_same_bytes(tmp_path):
    first = load_digits_scenes(3, tmp_path / "a", settings=SMALL)
    second = load_digits_scenes(3, tmp_path / "b", settings=SMALL)
    assert first.features.tobytes() == second.features.tobytes()
    assert first.targets.tobytes() == second.targets.tobytes()
    images = [digit_scene_images("test", 3, tmp_path / x, settings=SMALL) for x in "ab"]
    assert images[0].tobytes() == images[1].tobytes()


def test_another_seed_draws_other_scenes_and_another_tail(cache):
    first, second = (digit_scene_images("train", s, cache, settings=SMALL) for s in (0, 1))
    assert (first != second).any()
    assert np.argmin(label_frequencies(0)) != np.argmin(label_frequencies(1))
    np.testing.assert_allclose(sorted(label_frequencies(0)), sorted(label_frequencies(1)))


def test_rendering_does_not_depend_on_the_chunk(monkeypatch):
    contents = digit_scene_contents("train", settings=SMALL)
    whole = render_scenes(contents, np.random.default_rng(0))
    monkeypatch.setattr(digits, "_CHUNK", 7)
    np.testing.assert_array_equal(render_scenes(contents, np.random.default_rng(0)), whole)


# Drawing


def draw(n=200, **options):
    settings = DigitScenesSettings(**options)
    rng = np.random.default_rng(0)
    frequencies = label_frequencies(0, settings)
    contents = draw_scenes(n, digit_pools(settings).train, frequencies, rng, settings)
    return contents, render_scenes(contents, rng, settings)


def test_rendering_against_a_slow_loop():
    """Pixel by pixel, one scene at a time, with numpy's own interpolation."""
    from sklearn.datasets import load_digits

    contents, images = draw(5, noise=0.0)
    glyphs = load_digits().images / 16
    for scene in range(5):
        canvas = np.ones((40, 40, 3)) * contents.paper[scene]
        for mark in range(contents.labels.shape[1]):
            if contents.images[scene, mark] < 0:
                continue
            size = contents.size[scene, mark]
            centres = (np.arange(size) + 0.5) * 8 / size - 0.5
            glyph = glyphs[contents.images[scene, mark]]
            wide = np.stack([np.interp(centres, np.arange(8), row) for row in glyph])
            shade = np.stack([np.interp(centres, np.arange(8), column) for column in wide.T]).T
            first, last, west, east = contents.window[scene, mark]
            for down in range(first, min(last, size)):
                for across in range(west, min(east, size)):
                    y = contents.top[scene, mark] + down
                    x = contents.left[scene, mark] + across
                    alpha = shade[down, across]
                    canvas[y, x] = (1 - alpha) * canvas[y, x] + alpha * contents.ink[scene, mark]
        assert np.abs(images[scene] - canvas * 255).max() < 0.51


def test_inks_have_the_colours_of_their_names():
    contents, _ = draw(300, hue_spread=0.0)
    for name, (strong, weak) in {"red": (0, 1), "blue": (2, 1), "purple": (0, 1)}.items():
        inks = contents.ink[
            np.isin(contents.labels, [LABEL_NAMES.index(f"{name} {d}") for d in range(10)])
        ]
        assert (inks[:, strong] > inks[:, weak]).all()
    assert (contents.ink >= 0).all()
    assert (contents.ink <= 1).all()


def test_number_of_digits_and_scraps():
    contents, _ = draw(500)
    shown = (contents.labels >= 0).sum(axis=1)
    scraps = (contents.images >= 0).sum(axis=1) - shown
    assert (shown.min(), shown.max()) == (2, 6)
    assert (scraps.min(), scraps.max()) == (0, 4)


def test_a_scene_without_clutter_noise_or_colour_drift_can_be_drawn():
    _, images = draw(20, max_clutter=0, noise=0.0, hue_spread=0.0, jitter=0, min_brightness=1.0)
    assert images.dtype == np.uint8
    assert images.shape == (20, 40, 40, 3)


def test_targets_say_which_labels_were_drawn():
    contents, _ = draw(100)
    targets = scene_targets(contents)
    for labels, row in zip(contents.labels, targets, strict=True):
        assert set(np.flatnonzero(row).tolist()) == set(labels[labels >= 0].tolist())


def test_images_are_those_of_the_rows(cache):
    from fairpo.models.digits_backbone import embed, load_digits_backbone

    small = load_digits_scenes(cache_dir=cache, settings=SMALL)
    backbone = load_digits_backbone()
    for split in SPLITS:
        features = embed(digit_scene_images(split, cache_dir=cache, settings=SMALL), backbone)
        np.testing.assert_allclose(features, small.features[small.rows(split)], atol=1e-5)


# Cache


def test_later_loads_are_quick_and_draw_nothing(data, cache, monkeypatch):
    def fail(*args: object) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr(digits, "_embedded", fail)
    start = time.perf_counter()
    again = load_digits_scenes(cache_dir=cache)
    assert time.perf_counter() - start < 1
    np.testing.assert_array_equal(again.features, data.features)


def test_settings_seed_and_backbone_each_have_their_own_file(tmp_path, monkeypatch):
    load_digits_scenes(0, tmp_path, settings=SMALL)
    load_digits_scenes(1, tmp_path, settings=SMALL)
    load_digits_scenes(0, tmp_path, settings=SMALL.model_copy(update={"noise": 0.1}))
    assert len(list(tmp_path.iterdir())) == 3
    monkeypatch.setattr(digits, "_backbone_digest", lambda: "another file")
    load_digits_scenes(0, tmp_path, settings=SMALL)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_corrupt_cache_is_rebuilt(tmp_path):
    first = load_digits_scenes(0, tmp_path, settings=SMALL)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    again = load_digits_scenes(0, tmp_path, settings=SMALL)
    np.testing.assert_array_equal(again.features, first.features)


def test_an_unwritable_cache_costs_one_warning_at_the_callers_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(FairPOWarning, match="cannot be written") as caught:
        load_digits_scenes(0, tmp_path / "file", settings=SMALL)
    assert [warning.filename for warning in caught] == [__file__]


def test_the_backbone_is_fingerprinted_by_its_packaged_bytes():
    import hashlib

    from fairpo.models.digits_backbone import digits_backbone_bytes

    assert digits._backbone_digest() == hashlib.sha256(digits_backbone_bytes()).hexdigest()


# Errors


def test_unknown_split():
    with pytest.raises(FairPOValueError, match="split must be one of train, validation, test, got"):
        digit_scene_images("dev")
    with pytest.raises(FairPOValueError, match="split must be one of"):
        digit_scene_contents("dev")


def test_negative_seed(tmp_path):
    with pytest.raises(FairPOValueError, match="seed must be an int >= 0, got -1"):
        load_digits_scenes(-1, tmp_path, settings=SMALL)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_test": 100}, "n_test must be a multiple of n_blocks, got 100 and 30"),
        ({"min_digits": 7}, "min_digits and min_size must not exceed"),
        ({"max_size": 50}, "max_size must be at most canvas, got 50 and 40"),
        ({"block_images": 5}, "below 174 to leave training images, got 175"),
        ({"noise": -1}, r"DigitScenesSettings.noise must be greater than or equal to 0, got -1"),
        ({"nois": 0.1}, "Did you mean 'noise'"),
    ],
)
def test_settings_that_cannot_be(values, message):
    with pytest.raises(FairPOValueError, match=message):
        build_settings(DigitScenesSettings, values)
