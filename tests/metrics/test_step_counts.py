"""Counts at the steps of a ranking against loops over the rows."""

import numpy as np
import pytest

from fairpo.metrics.step_counts import COLUMNS, count_steps, in_parts, steps_of, weigh


def made(seed=0, n=50, n_units=9, n_steps=4):
    rng = np.random.default_rng(seed)
    return rng.integers(0, n_steps + 1, n), rng.integers(0, n_units, n), (n_steps, n_units)


def loop_counts(step, unit, shape, signs):
    counts = np.zeros(shape)
    for at, of, sign in zip(step, unit, signs, strict=True):
        if at < shape[0]:
            counts[at, of] += sign
    return counts


@pytest.mark.parametrize(
    ("most", "signed", "dtype"),
    [
        (2**16 - 1, False, np.uint16),
        (2**16, False, np.float32),
        (2**15 - 1, True, np.int16),
        (2**15, True, np.float32),
    ],
)
def test_counts_equal_a_loop_in_a_type_that_holds_them(most, signed, dtype):
    step, unit, shape = made()
    signs = np.where(np.arange(len(step)) % 3, 1, -1).astype(np.int8) if signed else None
    counts = count_steps(step, unit, shape, most=most, signs=signs)
    assert counts.dtype == dtype
    loop = loop_counts(step, unit, shape, np.ones(len(step)) if signs is None else signs)
    np.testing.assert_array_equal(counts.toarray(), loop)


def test_products_hold_the_largest_sum_that_was_promised():
    step, unit = np.zeros(3, dtype=np.int64), np.arange(3)
    weights = np.array([[21_845]] * 3, dtype=np.uint16)
    counts = count_steps(step, unit, (1, 3), most=3 * 21_845)
    assert (counts @ weights).item() == 65_535


def test_a_row_stands_at_the_highest_threshold_it_reaches():
    thresholds = np.array([-1.0, 0.5, 2.0])
    scores = np.array([3.0, 2.0, 1.9, 0.5, 0.0, -1.0, -1.1])
    expected = [sum(score < t for t in thresholds) for score in scores]
    assert steps_of(scores, thresholds).tolist() == expected == [0, 0, 1, 1, 2, 2, 3]


def test_terms_are_weighed_part_by_part():
    rng = np.random.default_rng(0)
    weightings = rng.integers(0, 5, (9, 2 * COLUMNS + 3)).astype(np.uint16)
    terms = rng.normal(size=(9, 4))
    parts = in_parts(weightings)
    assert [part.shape[1] for part in parts] == [COLUMNS, COLUMNS, 3]
    assert all(part.flags.c_contiguous for part in parts)
    loop = [[sum(terms[:, k] * column) for column in weightings.T] for k in range(4)]
    np.testing.assert_allclose(weigh(terms, parts), loop, atol=1e-12)
