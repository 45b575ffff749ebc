"""Half-hidden digits: the distribution over sets is exact, whichever way it is computed."""

import itertools

import numpy as np
import pytest

from fairpo import FairPOError, load_data
from fairpo._checks import build_settings
from fairpo.data.ambiguous_digits import (
    READINGS,
    AmbiguousScenesSettings,
    draw_from,
    hide_halves,
    load_ambiguous_scenes,
    merge_sets,
    true_distributions,
)
from fairpo.data.digits import digit_pools, draw_scenes, render_scenes

SMALL = AmbiguousScenesSettings(n_train=60, n_validation=20, n_test=30)


@pytest.fixture(scope="module")
def drawn():
    settings = AmbiguousScenesSettings(max_digits=4, hidden_share=0.7)
    drawing = settings.drawing()
    rng = np.random.default_rng(0)
    frequencies = np.full(30, 1 / 30)
    scenes = draw_scenes(300, digit_pools(drawing).train, frequencies, rng, drawing)
    return settings, *hide_halves(scenes, rng, settings)


def slow_distribution(labels, readings, settings):
    """Chances of sets, by going through the readings and who was read alike."""
    plain = {int(label) % 10 for label in labels[(labels >= 0) & (readings < 0)]}
    hidden = [READINGS[number] for number in readings[readings >= 0]]
    chances = {}

    def add(choice, chance):
        read = {
            pair.second if second else pair.first
            for pair, second in zip(hidden, choice, strict=True)
        }
        key = frozenset(plain | read)
        chances[key] = chances.get(key, 0.0) + chance

    p = settings.first_share
    if not hidden:
        return {frozenset(plain): 1.0}
    for second in (False, True):
        add([second] * len(hidden), settings.agreement * ((1 - p) if second else p))
    for choice in itertools.product([False, True], repeat=len(hidden)):
        alone = np.prod([(1 - p) if second else p for second in choice])
        add(choice, (1 - settings.agreement) * alone)
    return chances


def test_the_distribution_is_that_of_the_slow_count(drawn):
    settings, contents, readings = drawn
    truth = true_distributions(contents, readings, settings)
    assert (readings >= 0).sum(1).max() == 4
    np.testing.assert_allclose(truth.probs.sum(1), 1.0)
    for row in range(len(readings)):
        slow = slow_distribution(contents.labels[row], readings[row], settings)
        fast = {
            frozenset(np.flatnonzero(truth.sets[row, place]).tolist()): truth.probs[row, place]
            for place in np.flatnonzero(truth.probs[row])
        }
        assert fast == pytest.approx(slow)
        assert len(fast) == (truth.probs[row] > 0).sum()  # each set once


def test_only_the_half_in_which_a_pair_looks_alike_is_drawn(drawn):
    settings, contents, readings = drawn
    for number, pair in enumerate(READINGS):
        digits = contents.labels[readings == number] % 10
        assert set(digits.tolist()) == {pair.first, pair.second}
    scene, mark = np.argwhere(readings == 0)[0]
    assert READINGS[0].half == "right"
    alone = contents._replace(
        images=np.where(np.arange(contents.images.shape[1]) == mark, contents.images, -1)
    )
    one = type(contents)(*(column[scene : scene + 1] for column in alone))
    drawing = settings.drawing().model_copy(update={"noise": 0.0})
    image = render_scenes(one, np.random.default_rng(0), drawing)[0].astype(int)
    left, size = contents.left[scene, mark], contents.size[scene, mark]
    changed = (np.abs(image - image[0, 0]).sum(2) > 8).any(axis=0)
    assert changed[left + size // 2 : left + size].any()
    assert not changed[: left + size // 2].any()


def test_what_is_read_does_not_depend_on_what_is_shown():
    settings = AmbiguousScenesSettings(max_digits=1, hidden_share=1.0)
    drawing = settings.drawing()
    rng = np.random.default_rng(0)
    contents = draw_scenes(4000, digit_pools(drawing).train, np.full(30, 1 / 30), rng, drawing)
    contents, readings = hide_halves(contents, rng, settings)
    targets = draw_from(true_distributions(contents, readings, settings), rng)
    mark = (readings >= 0).argmax(axis=1)
    shown = contents.labels[np.arange(4000), mark] % 10
    for number, pair in enumerate(READINGS):
        for digit in (pair.first, pair.second):
            rows = (readings == number).any(axis=1) & (shown == digit)
            share = targets[rows, pair.first].mean()
            assert share == pytest.approx(settings.first_share, abs=4 * 0.5 / rows.sum() ** 0.5)


def test_targets_are_draws_of_the_distributions():
    scenes = load_ambiguous_scenes(settings=SMALL)
    data, truth = scenes
    assert data.features.shape == (110, 256)
    assert [len(data.rows(split)) for split in ("train", "validation", "test")] == [60, 20, 30]
    same = (truth.sets == (data.targets == 1)[:, None]).all(axis=2)
    assert ((same & (truth.probs > 0)).sum(axis=1) == 1).all()
    gap = np.abs(truth.marginals() - data.targets).mean()
    assert gap < 0.2
    again = load_ambiguous_scenes(settings=SMALL)
    assert (again.data.targets == data.targets).all()
    other = load_ambiguous_scenes(1, settings=SMALL)
    assert (other.data.targets != data.targets).any()


def test_a_projection_is_the_distribution_of_the_sets_cut_down():
    truth = load_ambiguous_scenes(settings=SMALL).truth
    part = truth.project(np.array([3, 5]))
    np.testing.assert_allclose(part.marginals(), truth.marginals()[:, [3, 5]])
    np.testing.assert_allclose(part.probs.sum(1), 1.0)


def test_equal_sets_are_one():
    sets = np.array([[[1, 0], [0, 1], [1, 0]]], dtype=bool)
    merged = merge_sets(sets, np.array([[0.2, 0.5, 0.3]]))
    assert merged.probs.tolist() == [[0.5, 0.5, 0.0]]
    assert merged.sets.astype(int).tolist() == [[[1, 0], [0, 1], [0, 0]]]


def test_settings_are_said_in_one_place():
    with pytest.raises(FairPOError, match="scenes must not say n_test"):
        build_settings(AmbiguousScenesSettings, {"scenes": {"n_test": 60}})


@pytest.mark.slow
def test_by_name():
    data = load_data("ambiguous-digits")
    assert data.n_labels == 10 and data.n_rows == 11_000
