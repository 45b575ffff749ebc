"""Permutation tests against models whose rows are really swapped; Holm against its definition."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from fairpo._checks import FairPOValueError
from fairpo.metrics import (
    ROW_METRICS,
    LabelFrame,
    average_precision,
    holm,
    paired_permutation_test,
    significance,
)

GROUPS = {"a": np.array([0, 1]), "b": np.array([1, 2, 3]), "empty": np.array([], dtype=int)}
METRICS = ("map", *ROW_METRICS)


def random_case(seed=0, n=60, n_labels=4, missing=0.1, prevalence=0.25, levels=3.0):
    """Targets and two models of them; few ``levels`` give many ties."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((n, n_labels)) < prevalence).astype(np.int8)
    shared = targets + rng.standard_normal((n, n_labels))
    first, second = (
        np.round(levels * (shared + rng.standard_normal((n, n_labels)))).astype(np.float32)
        for _ in range(2)
    )
    targets[rng.random((n, n_labels)) < missing] = -1
    return first, second, targets


def drawn_swaps(n_units, n_permutations, seed=0):
    """The swaps that the test draws, one row each, without the first, which is none."""
    blocks = significance._swap_blocks(n_units, n_permutations, seed)
    return np.concatenate([part.T for parts in blocks for part in parts])[1:].astype(bool)


def ranked(logits, targets):
    ranks = np.zeros(logits.shape)
    for label in range(logits.shape[1]):
        observed = targets[:, label] >= 0
        ranks[observed, label] = stats.rankdata(logits[observed, label])
    return ranks


def difference(first, second, targets, groups=GROUPS):
    """Every key and every label's AP, first minus second."""
    values = []
    for logits in (first, second):
        frame = LabelFrame.from_scores(logits, targets, groups)
        ap = average_precision(ranked(logits, targets), targets)
        by_key = [
            value for m in METRICS for value in (frame.overall[m], *frame.by_group[m].values())
        ]
        values.append(np.array([*by_key, *ap]))
    return values[0] - values[1]


def swapped_difference(first, second, targets, swap):
    """The same after swapping rows: AP from swapped ranks, decisions from swapped logits."""
    ranks = [ranked(logits, targets) for logits in (first, second)]
    which = swap[:, None]
    one, other = np.where(which, ranks[1], ranks[0]), np.where(which, ranks[0], ranks[1])
    ap = average_precision(one, targets) - average_precision(other, targets)
    decided = difference(np.where(which, second, first), np.where(which, first, second), targets)
    groups = [range(len(ap)), *GROUPS.values()]
    means = [np.nan if np.isnan(ap[list(g)]).all() else np.nanmean(ap[list(g)]) for g in groups]
    return np.array([*means, *decided[len(means) : -len(ap)], *ap])


def slow_p(runs, targets, swaps):
    observed = np.mean([difference(*run, targets) for run in runs], axis=0)
    permuted = [
        np.mean([swapped_difference(*run, targets, swap) for run in runs], axis=0) for swap in swaps
    ]
    as_large = (np.abs(permuted) >= np.abs(observed) - 1e-9).sum(axis=0)
    return observed, np.where(np.isnan(observed), np.nan, (1 + as_large) / (1 + len(swaps)))


def everything(result):
    return (
        np.concatenate([result.differences, result.label_differences]),
        np.concatenate([result.p_values, result.label_p_values]),
    )


@pytest.mark.parametrize("levels", [0.5, 3.0, 1000.0], ids=["heavy ties", "ties", "few ties"])
def test_equals_models_whose_rows_are_swapped(levels):
    first, second, targets = random_case(levels=levels)
    second += 4  # of another scale
    result = paired_permutation_test([first], [second], targets, GROUPS, n_permutations=40, seed=2)
    expected = slow_p([(first, second)], targets, drawn_swaps(60, 40, seed=2))
    np.testing.assert_allclose(everything(result)[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(everything(result)[1], expected[1], atol=1e-12)
    assert len(result.keys) == len(result.p_values) == 4 * len(METRICS)
    assert result.of("map/a") == (result.differences[1], result.p_values[1])


def test_runs_are_swapped_together():
    first, second, targets = random_case(1)
    others = random_case(2)[:2]
    result = paired_permutation_test(
        [first, others[0]], [second, others[1]], targets, GROUPS, n_permutations=40
    )
    expected = slow_p([(first, second), others], targets, drawn_swaps(60, 40))
    np.testing.assert_allclose(everything(result)[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(everything(result)[1], expected[1], atol=1e-12)


def test_a_model_and_itself_are_not_swapped_and_yet_tell_what_swaps_would():
    first, _, targets = random_case(4)
    targets[:, 3] = 0
    for copy in (first, first.copy()):  # one is recognised, the other one swapped
        result = paired_permutation_test([first], [copy], targets, GROUPS, n_permutations=40)
        defined = ~np.isnan(everything(result)[0])
        assert (
            defined[:-1].tolist()
            == [not key.endswith("/empty") for key in result.keys] + [True] * 3
        )
        assert not everything(result)[0][defined].any()
        assert (everything(result)[1][defined] == 1).all()
        assert np.isnan(everything(result)[1][~defined]).all()


def test_whole_clusters_are_swapped():
    first, second, targets = random_case(3)
    clusters = np.random.default_rng(3).choice([7, 3, 40, 41, 90, 2, 11], 60)
    result = paired_permutation_test(
        [first], [second], targets, GROUPS, clusters=clusters, n_permutations=40
    )
    unit_of_row = np.unique(clusters, return_inverse=True)[1]
    expected = slow_p([(first, second)], targets, drawn_swaps(7, 40)[:, unit_of_row])
    np.testing.assert_allclose(everything(result)[1], expected[1], atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_p_of_a_tiny_set_is_that_of_all_swaps(seed):
    first, second, targets = random_case(seed, n=8, missing=0.0, prevalence=0.5, levels=1000.0)
    every = np.array(list(product([False, True], repeat=8)))
    exact = slow_p([(first, second)], targets, every)[1] * (1 + len(every)) - 1
    exact /= len(every)
    result = paired_permutation_test([first], [second], targets, GROUPS, n_permutations=4000)
    np.testing.assert_allclose(everything(result)[1], exact, atol=0.04)  # 5 standard errors


@pytest.mark.parametrize("clustered", [False, True])
def test_p_is_uniform_where_the_models_are_equal(clustered):
    p_values = []
    for seed in range(250):
        first, second, targets = random_case(seed, n=80, prevalence=0.2, levels=1000.0)
        copies = np.repeat(np.arange(80), 3 if clustered else 1)
        first, second, targets = first[copies], second[copies], targets[copies]
        clusters = copies if clustered else None
        result = paired_permutation_test(
            [first], [second], targets, GROUPS, clusters=clusters, n_permutations=199, seed=seed
        )
        p_values.append([*result.p_values[:3], *result.label_p_values[:2]])
    for column in np.transpose(p_values):
        assert stats.kstest(column, "uniform").pvalue > 0.01
        assert np.mean(column <= 0.05) < 0.09


def test_copies_without_clusters_look_significant():
    """What the clusters are for."""
    p_values = []
    for seed in range(60):
        first, second, targets = (np.repeat(a, 8, axis=0) for a in random_case(seed, levels=1000.0))
        result = paired_permutation_test([first], [second], targets, {}, n_permutations=99)
        p_values.append(result.of("map")[1])
    assert np.mean(np.array(p_values) <= 0.05) > 0.2


def test_a_model_on_another_scale_is_no_other_model():
    first, second, targets = random_case(4)
    plain = paired_permutation_test([first], [second], targets, {}, n_permutations=99)
    scaled = paired_permutation_test([first], [3 * second + 8], targets, {}, n_permutations=99)
    np.testing.assert_array_equal(plain.label_p_values, scaled.label_p_values)
    same = paired_permutation_test([first], [3 * first + 8], targets, {}, n_permutations=99)
    assert (same.label_differences == 0).all() and (same.label_p_values == 1).all()


def test_the_sign_is_first_minus_second_and_p_is_two_sided():
    first, second, targets = random_case(5)
    there = paired_permutation_test([first], [second], targets, GROUPS, n_permutations=99)
    back = paired_permutation_test([second], [first], targets, GROUPS, n_permutations=99)
    np.testing.assert_allclose(there.differences, -back.differences, atol=1e-7)
    np.testing.assert_array_equal(there.p_values, back.p_values)


def test_decisions_have_each_model_s_own_thresholds():
    first, second, targets = random_case(5)
    cuts = np.array([0.5, -1.0, 2.0, 0.0])  # exact in float32, as are the scores less them
    result = paired_permutation_test(
        [first],
        [second],
        targets,
        GROUPS,
        first_threshold_logits=[cuts],
        n_permutations=40,
    )
    moved = paired_permutation_test([first - cuts], [second], targets, GROUPS, n_permutations=40)
    for key in result.keys:
        if not key.startswith("brier"):
            np.testing.assert_array_equal(result.of(key), moved.of(key))
    plain = paired_permutation_test([first], [second], targets, GROUPS, n_permutations=40)
    assert result.of("brier") == plain.of("brier")
    assert result.of("label_accuracy") != plain.of("label_accuracy")


def test_a_difference_is_found_and_p_is_never_zero():
    first, _, targets = random_case(6, n=400, missing=0.0)
    result = paired_permutation_test(
        [first], [np.random.default_rng(6).normal(size=first.shape)], targets, {}
    )
    assert result.of("map")[0] > 0.1
    assert result.of("map")[1] == pytest.approx(1 / 1001)


def test_labels_without_positives_and_empty_groups_are_undefined():
    first, second, targets = random_case(7)
    targets[targets[:, 2] == 1, 2] = 0
    targets[:, 3] = -1
    result = paired_permutation_test(
        [first], [second], targets, {**GROUPS, "none": [2, 3]}, n_permutations=9
    )
    assert np.isnan(result.label_p_values).tolist() == [False, False, True, True]
    assert np.isnan(result.label_differences).tolist() == [False, False, True, True]
    assert np.isnan(result.of("map/none")).all() and np.isnan(result.of("map/empty")).all()
    assert not np.isnan(result.of("map")).any()


def test_blocks_change_nothing(monkeypatch):
    first, second, targets = random_case(8)
    whole = paired_permutation_test([first], [second], targets, GROUPS, n_permutations=40)
    monkeypatch.setattr(significance, "COLUMNS", 7)
    monkeypatch.setattr(significance, "BLOCK_BYTES", 3 * 2 * 60)
    parts = paired_permutation_test([first], [second], targets, GROUPS, n_permutations=40)
    assert len(list(significance._swap_blocks(60, 40, 0))) == 6
    for one, other in zip(everything(whole), everything(parts), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)


def test_many_rows_at_one_step_do_not_overflow():
    """Counts of moves are kept in 16 bits where they fit, and only there."""
    n = 40_000  # the positive, n negatives above it in the first model only, n below it in both
    first = np.concatenate([[0.0], np.full(n, 1.0), np.full(n, -1.0)])[:, None]
    second = np.concatenate([[0.0], np.full(2 * n, -1.0)])[:, None]
    targets = np.eye(2 * n + 1, 1, dtype=np.int8)
    clusters = np.repeat([0, 1, 2], [1, n, n])
    result = paired_permutation_test(
        [first], [second], targets, {}, clusters=clusters, n_permutations=99
    )
    assert result.of("map")[0] == pytest.approx(1 / (n + 1) - 1, abs=1e-6)
    together = [swap[0] == swap[1] for swap in drawn_swaps(3, 99)]  # apart, both models are right
    assert result.of("map")[1] == pytest.approx((1 + sum(together)) / 100)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"first": []}, "same number of runs, at least one, got 0 and 1"),
        ({"second": [np.zeros((60, 4))] * 2}, "got 1 and 2"),
        ({"n_permutations": 0}, "n_permutations must be at least 1"),
        ({"clusters": np.zeros(60)}, "at least two different values"),
        ({"first": [np.zeros((60, 3))]}, "share one shape"),
        ({"targets": np.zeros((0, 4), np.int8)}, "at least one row"),
    ],
)
def test_faults_are_named(changes, message):
    first, second, targets = random_case()
    call = {"first": [first], "second": [second], "targets": targets, "groups": {}, **changes}
    with pytest.raises(FairPOValueError, match=message):
        paired_permutation_test(**call)


def test_unknown_key_is_answered_with_the_nearest():
    first, second, targets = random_case()
    result = paired_permutation_test([first], [second], targets, GROUPS, n_permutations=2)
    with pytest.raises(FairPOValueError, match="Did you mean 'map/a'"):
        result.of("map/aa")


def test_holm_is_its_definition():
    rng = np.random.default_rng(0)
    for _ in range(20):
        p = np.round(rng.random(9) ** 3, 2)  # with ties
        p[rng.random(9) < 0.2] = np.nan
        defined = np.sort(p[~np.isnan(p)])
        expected = [
            np.nan
            if np.isnan(value)
            else max(
                min(1.0, (len(defined) - j) * defined[j])
                for j in range(len(defined))
                if defined[j] <= value
            )
            for value in p
        ]
        np.testing.assert_allclose(holm(p), expected)
    assert holm(np.array([])).shape == (0,)
    np.testing.assert_array_equal(holm(np.array([np.nan])), [np.nan])


def test_holm_keeps_the_rate_of_any_false_alarm():
    p = np.random.default_rng(1).random((2000, 10))
    any_rejected = np.array([(holm(row) <= 0.05).any() for row in p])
    assert 0.035 < any_rejected.mean() < 0.062


@pytest.mark.parametrize("values", [[-0.1], [1.1], [[0.5]]])
def test_holm_refuses_what_is_no_p_value(values):
    with pytest.raises(FairPOValueError, match="p_values must be one row of numbers in"):
        holm(np.array(values))


@pytest.mark.parametrize("levels", [1, 5, 10**6])
def test_ranks_are_twice_scipy_s(levels):
    scores = np.random.default_rng(levels).integers(-levels, levels, 300).astype(np.float32)
    np.testing.assert_array_equal(significance._ranks(scores), 2 * stats.rankdata(scores))
