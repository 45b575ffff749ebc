"""Metrics of generated sets against loops over rows, sets and labels."""

import math

import numpy as np
import pytest

from fairpo.metrics import label_sets as metrics


@pytest.fixture
def scene():
    rng = np.random.default_rng(0)
    sets = rng.random((40, 5, 4)) < 0.4
    present = rng.random((40, 5)) < 0.8
    true_sets = rng.random((40, 3, 4)) < 0.4
    true_probs = rng.dirichlet(np.ones(3), 40)
    true_probs[::5, 2] = 0
    targets = rng.integers(-1, 2, (40, 4)).astype(np.int8)
    return sets, present, true_sets, true_probs, targets


def members(mask):
    return frozenset(np.flatnonzero(mask).tolist())


def test_chances_and_coherence(scene):
    sets, present, true_sets, true_probs, _ = scene
    chances = metrics.chances(sets, true_sets, true_probs)
    possible, logs = [], []
    for row in range(40):
        for place in range(5):
            slow = sum(
                true_probs[row, other]
                for other in range(3)
                if members(true_sets[row, other]) == members(sets[row, place])
            )
            assert chances[row, place] == pytest.approx(slow)
            if present[row, place]:
                possible.append(slow > 0)
                logs += [math.log(slow)] if slow > 0 else []
    assert metrics.possible(chances, present).mean()[0] == pytest.approx(np.mean(possible))
    assert metrics.log_chance(chances, present).mean()[0] == pytest.approx(np.mean(logs))


def test_diversity(scene):
    sets, present, *_ = scene
    distances = []
    for row in range(40):
        mine = [members(sets[row, place]) for place in range(5) if present[row, place]]
        assert metrics.distinct(sets, present)[row] == len(set(mine))
        for first in range(len(mine)):
            for second in range(first):
                either = mine[first] | mine[second]
                both = mine[first] & mine[second]
                distances.append(1 - len(both) / len(either) if either else 0.0)
    terms = metrics.jaccard_distance(sets, present)
    assert terms.mean()[0] == pytest.approx(np.mean(distances))
    assert terms.denominator.sum() == len(distances)


def test_coverage_and_f1(scene):
    sets, present, _, _, targets = scene
    f1 = metrics.set_f1(sets, present, targets)
    covered, first, best = [], [], []
    for row in range(40):
        known = [label for label in range(4) if targets[row, label] >= 0]
        true = {label for label in known if targets[row, label] == 1}
        scores = []
        for place in range(5):
            mine = {label for label in known if sets[row, place, label]}
            total = len(mine) + len(true)
            score = 2 * len(mine & true) / total if total else math.nan
            if not present[row, place]:
                assert np.isnan(f1[row, place])
                continue
            assert f1[row, place] == pytest.approx(score, nan_ok=True)
            scores.append((score, mine == true))
        if known:
            covered.append(any(right for _, right in scores))
        if present[row, 0] and not math.isnan(scores[0][0]):
            first.append(scores[0][0])
        if scores and not any(math.isnan(score) for score, _ in scores):
            best.append(max(score for score, _ in scores))
    assert metrics.coverage(sets, present, targets).mean()[0] == pytest.approx(np.mean(covered))
    assert metrics.first_f1(f1).mean()[0] == pytest.approx(np.mean(first))
    assert metrics.best_f1(f1, present).mean()[0] == pytest.approx(np.mean(best))


def test_calibration(scene):
    sets, present, true_sets, true_probs, _ = scene
    truth = metrics.chances(sets, true_sets, true_probs)
    probs = np.random.default_rng(1).random((40, 5))
    probs[0, :4] = 0.0, 0.1, 0.2, 1.0  # edges belong to the bin below
    bins = {}
    squares = []
    for row, place in np.argwhere(present):
        said, true = probs[row, place], truth[row, place]
        bins.setdefault(max(0, math.ceil(said * 10 - 1e-12) - 1), []).append(said - true)
        squares.append((said - true) ** 2)
    error = sum(abs(sum(gaps)) for gaps in bins.values()) / len(squares)
    got = metrics.set_calibration(probs, truth, present, n_bins=10)
    assert got.error == pytest.approx(error)
    assert got.brier == pytest.approx(np.mean(squares))


def test_the_truth_itself_is_perfect(scene):
    _, _, true_sets, true_probs, _ = scene
    used = true_probs > 0
    truth = metrics.chances(true_sets, true_sets, true_probs)
    assert metrics.possible(truth, used).mean()[0] == 1.0
    with np.errstate(divide="ignore"):
        assert metrics.divergence(true_probs, np.log(true_probs)) == pytest.approx(0.0)


def test_divergence_is_infinite_where_what_can_occur_is_excluded():
    got = metrics.divergence(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([[0.0, -np.inf]] * 2))
    assert got.tolist() == [math.inf, 0.0]


def test_without_any_set():
    sets, present = np.zeros((2, 3, 4), dtype=bool), np.zeros((2, 3), dtype=bool)
    targets = np.zeros((2, 4), dtype=np.int8)
    chances = np.zeros((2, 3))
    assert np.isnan(metrics.possible(chances, present).mean()[0])
    assert np.isnan(metrics.jaccard_distance(sets, present).mean()[0])
    assert metrics.distinct(sets, present).tolist() == [0, 0]
    assert metrics.coverage(sets, present, targets).mean()[0] == 0.0
    assert np.isnan(metrics.best_f1(metrics.set_f1(sets, present, targets), present).mean()[0])
    assert np.isnan(metrics.set_calibration(chances, chances, present).error)


def test_permuted_labels_and_any_split_of_the_rows_change_nothing(scene, monkeypatch):
    sets, present, true_sets, true_probs, targets = scene
    order = [2, 0, 3, 1]

    def figures(sets, true_sets, targets):
        chances = metrics.chances(sets, true_sets, true_probs)
        f1 = metrics.set_f1(sets, present, targets)
        terms = (
            metrics.possible(chances, present),
            metrics.jaccard_distance(sets, present),
            metrics.coverage(sets, present, targets),
            metrics.best_f1(f1, present),
        )
        return [term.mean()[0] for term in terms] + metrics.distinct(sets, present).tolist()

    whole = figures(sets, true_sets, targets)
    assert figures(sets[..., order], true_sets[..., order], targets[:, order]) == whole
    monkeypatch.setattr(metrics, "BLOCK_ENTRIES", 1)
    assert figures(sets, true_sets, targets) == whole
