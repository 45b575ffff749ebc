import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from fairpo._checks import FairPOValueError
from fairpo.data import stratified_split


def targets(seed, rows=300, labels=20):
    rng = np.random.default_rng(seed)
    return (rng.random((rows, labels)) < np.geomspace(0.01, 0.4, labels)).astype(np.int8)


@pytest.mark.parametrize("seed", range(5))
def test_rare_labels_are_on_both_sides(seed):
    y = targets(seed)
    first, second = stratified_split(y, np.arange(300), 0.25, seed=seed)
    counts = y.sum(0)
    assert (y[second].sum(0)[counts >= 2] >= 1).all()
    assert (y[first].sum(0)[counts >= 2] >= 1).all()
    common = counts >= 40
    assert y[second].sum(0)[common] / counts[common] == pytest.approx(0.25, abs=0.08)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 60), st.integers(1, 8), st.floats(0.05, 0.95), st.integers(0, 999))
def test_every_row_is_on_one_side(rows, labels, fraction, seed):
    y = targets(seed, rows, labels)
    chosen = np.arange(rows)[:: 1 + seed % 2]
    if len(chosen) < 2:
        return
    first, second = stratified_split(y, chosen, fraction, seed=seed)
    assert sorted([*first, *second]) == chosen.tolist()
    assert len(first) and len(second)


def on_both_sides(y, first, second):
    needed = y.sum(0) >= 2
    return all((y[rows].sum(0)[needed] > 0).all() for rows in (first, second))


@pytest.mark.parametrize("density", [0.2, 0.35, 0.5])
def test_every_label_is_on_both_sides_where_any_split_has_it_so(density):
    """Every split of a few crowded rows is tried, to know what is possible."""
    possible = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        y = (rng.random((8, 7)) < density).astype(np.int8)
        sides = [np.array([(code >> row) & 1 for row in range(8)], bool) for code in range(1, 255)]
        if any(on_both_sides(y, side, ~side) for side in sides):
            possible += 1
            assert on_both_sides(y, *stratified_split(y, np.arange(8), 0.25, seed=seed))
    assert possible > 20


def test_three_parts_hold_every_label_of_three_positives():
    rng = np.random.default_rng(0)
    y = (rng.random((3000, 50)) < np.geomspace(0.001, 0.3, 50)).astype(np.int8)
    rest, test = stratified_split(y, np.arange(3000), 0.2)
    train, validation = stratified_split(y, rest, 0.2)
    for rows in (train, validation, test):
        assert (y[rows].sum(0)[y.sum(0) >= 3] > 0).all()


def test_sparse_targets_and_seeds():
    y = targets(0)
    dense = stratified_split(y, np.arange(300), 0.2, seed=3)
    csr = stratified_split(sparse.csr_array(y), np.arange(300), 0.2, seed=3)
    other = stratified_split(y, np.arange(300), 0.2, seed=4)
    assert all(np.array_equal(a, b) for a, b in zip(dense, csr, strict=True))
    assert not np.array_equal(dense[1], other[1])


@pytest.mark.parametrize(
    ("rows", "fraction", "message"),
    [(10, 0.0, r"must be in \(0, 1\), got 0.0"), (1, 0.5, "must be at least 2, got 1")],
)
def test_impossible_splits_are_refused(rows, fraction, message):
    with pytest.raises(FairPOValueError, match=message):
        stratified_split(np.ones((10, 1), dtype=np.int8), np.arange(rows), fraction)
