"""The bootstrap against metrics of rows that are really repeated."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fairpo._checks import FairPOValueError
from fairpo.metrics import (
    BOOTSTRAP_METRICS,
    LabelFrame,
    average_precision,
    bootstrap,
    bootstrap_metrics,
    percentile_interval,
    weighted_average_precision,
)

GROUPS = {"a": np.array([0, 1]), "b": np.array([1, 2, 3]), "empty": np.array([], dtype=int)}


def random_case(seed=0, n=60, n_labels=4, missing=0.1, prevalence=0.2, levels=3):
    rng = np.random.default_rng(seed)
    logits = np.round(rng.standard_normal((n, n_labels)) * levels).astype(np.float32)
    targets = (rng.random((n, n_labels)) < prevalence).astype(np.int8)
    targets[rng.random((n, n_labels)) < missing] = -1
    return logits, targets


def drawn_weights(n_units, n_resamples, seed=0):
    """The resamples that ``bootstrap_metrics`` draws, one column each."""
    blocks = bootstrap._weight_blocks(n_units, n_resamples, seed)
    return np.concatenate([part for _, parts in blocks for part in parts], axis=1)


def frame_values(frame, metric):
    return [frame.overall[metric], *frame.by_group[metric].values()]


def loop_average_precision(scores, true, weight):
    """AP of one label under weights: the definition, in float64, entry by entry."""
    total = value = 0.0
    for score, positive, own in zip(scores, true, weight, strict=True):
        if positive == 1 and own > 0:
            above = [
                (t == 1, w)
                for s, t, w in zip(scores, true, weight, strict=True)
                if s >= score and t >= 0
            ]
            value += own * sum(w for hit, w in above if hit) / sum(w for _, w in above)
            total += own
    return value / total if total else np.nan


@pytest.mark.parametrize("levels", [1, 3, 1000], ids=["heavy ties", "ties", "few ties"])
def test_weighted_ap_equals_the_slow_loop_and_repeated_rows(levels):
    logits, targets = random_case(levels=levels)
    weights = np.random.default_rng(1).poisson(1.0, (60, 5)).astype(np.float32)
    values = weighted_average_precision(logits, targets, weights)
    assert values.shape == (4, 5)
    for resample, weight in enumerate(weights.T):
        rows = np.repeat(np.arange(60), weight.astype(int))
        repeated = average_precision(logits[rows], targets[rows])
        np.testing.assert_allclose(values[:, resample], repeated, atol=1e-6)
        loop = [
            loop_average_precision(logits[:, i].astype(float), targets[:, i], weight.astype(float))
            for i in range(4)
        ]
        np.testing.assert_allclose(values[:, resample], loop, atol=1e-6)


def test_weight_one_is_the_plain_average_precision():
    logits, targets = random_case(2, n=3000)
    values = weighted_average_precision(logits, targets, np.ones((3000, 1), np.float32))
    np.testing.assert_allclose(values[:, 0], average_precision(logits, targets), atol=1e-6)


@settings(max_examples=50)
@given(
    arrays(np.int8, (8, 2), elements=st.integers(-2, 2)),
    arrays(np.int8, (8, 2), elements=st.integers(-1, 1)),
    arrays(np.int8, 8, elements=st.integers(0, 3)),
)
def test_property_weights_equal_repeated_rows(logits, targets, weight):
    logits = logits.astype(np.float64)
    rows = np.repeat(np.arange(8), weight)
    values = weighted_average_precision(logits, targets, weight[:, None].astype(np.float32))
    expected = average_precision(logits[rows], targets[rows])
    np.testing.assert_allclose(values[:, 0], expected, atol=1e-6)


def test_point_values_equal_the_frame():
    logits, targets = random_case(3)
    result = bootstrap_metrics([logits, -logits], targets, GROUPS, n_resamples=2)
    for run, scores in enumerate((logits, -logits)):
        frame = LabelFrame.from_scores(scores, targets, GROUPS)
        expected = [value for m in BOOTSTRAP_METRICS for value in frame_values(frame, m)]
        np.testing.assert_allclose(result.values[run], expected, atol=1e-12)
    assert result.keys[:4] == ("map", "map/a", "map/b", "map/empty")
    assert result.resampled.shape == (2, 4 * len(BOOTSTRAP_METRICS), 2)


def test_thresholds_are_each_run_s_own():
    logits, targets = random_case(3)
    thresholds = [np.array([0.5, -1.0, 2.0, 0.0]), None]
    result = bootstrap_metrics(
        [logits, logits], targets, GROUPS, threshold_logits_by_run=thresholds, n_resamples=5
    )
    for values, own in zip(result.values, thresholds, strict=True):
        frame = LabelFrame.from_scores(logits, targets, GROUPS, threshold_logits=own)
        expected = [value for m in BOOTSTRAP_METRICS for value in frame_values(frame, m)]
        np.testing.assert_allclose(values, expected, atol=1e-12)
    same = np.isclose(*result.values, equal_nan=True)
    moved = {key for key, equal in zip(result.keys, same, strict=True) if not equal}
    assert {"sample_f1", "label_accuracy/a", "exact_match/b"} <= moved
    assert not any(key.startswith(("map", "brier")) for key in moved)


def test_rows_equal_the_frame_of_repeated_rows():
    logits, targets = random_case(4)
    result = bootstrap_metrics([logits], targets, GROUPS, n_resamples=6, seed=3)
    for resample, weight in enumerate(drawn_weights(60, 6, seed=3).T):
        assert weight.sum() == 60
        rows = np.repeat(np.arange(60), weight.astype(int))
        frame = LabelFrame.from_scores(logits[rows], targets[rows], GROUPS)
        expected = [value for m in BOOTSTRAP_METRICS for value in frame_values(frame, m)]
        np.testing.assert_allclose(result.resampled[0, :, resample], expected, atol=1e-6)


def test_clusters_equal_the_frame_of_repeated_clusters():
    logits, targets = random_case(5)
    clusters = np.random.default_rng(5).choice([7, 3, 40, 41, 90], 60)
    result = bootstrap_metrics([logits], targets, GROUPS, clusters=clusters, n_resamples=6)
    names = np.unique(clusters)
    for resample, weight in enumerate(drawn_weights(5, 6).T):
        drawn = np.repeat(names, weight.astype(int))
        rows = np.concatenate([np.flatnonzero(clusters == name) for name in drawn])
        frame = LabelFrame.from_scores(logits[rows], targets[rows], GROUPS)
        expected = [value for m in BOOTSTRAP_METRICS for value in frame_values(frame, m)]
        np.testing.assert_allclose(result.resampled[0, :, resample], expected, atol=1e-6)


def test_a_cluster_per_row_is_the_row_bootstrap():
    logits, targets = random_case(6)
    rows, clusters = (
        bootstrap_metrics([logits], targets, GROUPS, clusters=given, n_resamples=9).resampled
        for given in (None, np.arange(60))
    )
    np.testing.assert_array_equal(rows, clusters)


@pytest.mark.parametrize("clusters", [None, np.arange(60) % 7])
def test_all_runs_share_the_resamples(clusters):
    logits, targets = random_case(7)
    result = bootstrap_metrics(
        [logits, -logits, logits], targets, GROUPS, clusters=clusters, n_resamples=20
    )
    np.testing.assert_array_equal(result.resampled[0], result.resampled[2])
    alone = bootstrap_metrics([-logits], targets, GROUPS, clusters=clusters, n_resamples=20)
    np.testing.assert_array_equal(result.resampled[1], alone.resampled[0])
    assert not np.array_equal(result.resampled[0], result.resampled[1])


def test_the_seed_decides():
    logits, targets = random_case(8)
    first, again, other = (
        bootstrap_metrics([logits], targets, {}, ["map"], n_resamples=5, seed=seed).resampled
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_blocks_of_resamples_change_nothing(monkeypatch):
    logits, targets = random_case(9)
    whole = bootstrap_metrics([logits], targets, GROUPS, n_resamples=11).resampled
    monkeypatch.setattr(bootstrap, "COLUMNS", 3)
    parts = bootstrap_metrics([logits], targets, GROUPS, n_resamples=11).resampled
    np.testing.assert_array_equal(parts[:, :6], whole[:, :6])  # of counts, which are exact
    np.testing.assert_allclose(parts, whole, atol=1e-12)
    monkeypatch.setattr(bootstrap, "BLOCK_BYTES", 3 * 2 * 60)
    assert len(list(bootstrap._weight_blocks(60, 11, 0))) == 2
    blocks = bootstrap_metrics([logits], targets, GROUPS, n_resamples=11).resampled
    np.testing.assert_array_equal(blocks, parts)


def test_more_rows_than_16_bits_hold_are_counted_in_float32():
    """One positive below many rows: clusters of 30,000 rows, drawn three times in a resample."""
    n = 30_000
    logits = np.concatenate([[0.0], np.full(3 * n, 1.0)])[:, None]
    targets = np.eye(3 * n + 1, 1, dtype=np.int8)
    clusters = np.repeat([0, 1, 2, 3], [1, n, n, n])
    sampled = bootstrap_metrics(
        [logits], targets, {}, ["map"], clusters=clusters, n_resamples=40
    ).of("map")[0]
    weights = drawn_weights(4, 40)
    with np.errstate(invalid="ignore"):
        expected = weights[0] / (weights[0] + n * weights[1:].sum(axis=0))
    np.testing.assert_allclose(sampled, np.where(weights[0] > 0, expected, np.nan), rtol=1e-6)


def test_a_label_without_a_positive_is_left_out_of_that_resample():
    logits = np.array([[3.0, 1.0], [2.0, 2.0], [1.0, 3.0], [0.0, 4.0]])
    targets = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], dtype=np.int8)
    weights = np.array([[2, 0, 1, 1], [0, 2, 1, 1]], dtype=np.float32).T
    values = weighted_average_precision(logits, targets, weights)
    np.testing.assert_allclose(values, [[(2 * 1.0 + 1.0) / 3, 1 / 3], [1.0, (1.0 + 2 * 0.75) / 3]])
    targets[:] = [[1, 0], [0, 0], [0, 0], [0, 0]]
    values = weighted_average_precision(logits, targets, weights)
    np.testing.assert_equal(values, [[1.0, np.nan], [np.nan, np.nan]])


def test_one_positive_in_all_gives_nan_resamples_and_still_an_interval():
    logits, targets = random_case(10)
    targets[:] = 0
    targets[5, 1] = 1
    sampled = bootstrap_metrics([logits], targets, {}, ["map"], n_resamples=200).of("map")
    assert 0.2 < np.isnan(sampled).mean() < 0.55  # a row is left out with probability 1/e
    low, high = percentile_interval(sampled)
    assert 0.0 < low[0] < high[0] <= 1.0


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(11)
    truth, hits = 0.7, 0
    targets = np.ones((100, 1), dtype=np.int8)
    for seed in range(200):
        logits = np.where(rng.random((100, 1)) < truth, 1.0, -1.0)
        result = bootstrap_metrics(
            [logits], targets, {}, ["label_accuracy"], n_resamples=400, seed=seed
        )
        low, high = percentile_interval(result.of("label_accuracy")[0])
        hits += low <= truth <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_intervals_of_rare_labels_hold_the_figure_and_cover_the_truth():
    """A resample repeats positives, which raises their AP: plain percentiles miss the figure."""
    n, n_labels = 600, 120

    def draw(seed):
        rng = np.random.default_rng(seed)
        targets = (rng.random((n, n_labels)) < 0.01).astype(np.int8)
        shared = rng.normal(size=targets.shape)
        logits = [
            strength * targets + 0.9 * shared + 0.4 * rng.normal(size=targets.shape)
            for strength in (0.8, 1.6)
        ]
        return bootstrap_metrics(logits, targets, {}, ["map"], n_resamples=100, seed=seed)

    results = [draw(seed) for seed in range(40)]
    figures = [float(np.diff(result.values[:, 0])[0]) for result in results]
    truth, plain, moved = np.mean(figures), 0, 0
    for result, figure in zip(results, figures, strict=True):
        resampled = np.diff(result.of("map"), axis=0)[0]
        low, high = percentile_interval(resampled, 0.9)
        plain += low <= truth <= high
        low, high = percentile_interval(resampled, 0.9, estimate=figure)
        assert low < figure < high
        moved += low <= truth <= high
    assert plain / 40 < 0.75
    assert moved / 40 > 0.8


def test_clusters_widen_the_interval_when_rows_are_copies():
    logits, targets = random_case(12, n=40, prevalence=0.4, missing=0.0)
    copies = np.repeat(np.arange(40), 25)
    widths = []
    for clusters in (None, copies):
        result = bootstrap_metrics(
            [logits[copies]], targets[copies], {}, ["map"], clusters=clusters, n_resamples=300
        )
        low, high = percentile_interval(result.of("map")[0])
        widths.append(high - low)
    assert widths[1] > 3 * widths[0]


def test_percentile_interval_over_the_last_axis():
    differences = np.stack([np.arange(101.0), np.full(101, np.nan), np.arange(101.0)])
    differences[2, :50] = np.nan
    low, high = percentile_interval(differences, level=0.9)
    np.testing.assert_allclose(low, [5.0, np.nan, 52.5])
    np.testing.assert_allclose(high, [95.0, np.nan, 97.5])
    assert np.isnan(differences[1]).all(), "the input must stay as it is"
    low, high = percentile_interval(differences[0], level=0.5)
    assert (float(low), float(high)) == (25.0, 75.0)


def test_a_figure_that_does_not_exist_has_no_interval():
    differences = np.stack([np.arange(101.0), np.full(101, np.nan)])
    low, high = percentile_interval(differences, level=0.9, estimate=np.array([60.0, np.nan]))
    np.testing.assert_allclose(low, [15.0, np.nan])
    np.testing.assert_allclose(high, [105.0, np.nan])


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_level_is_a_share(level):
    with pytest.raises(FairPOValueError, match="level must be between 0 and 1"):
        percentile_interval(np.zeros(5), level)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"logits_by_run": []}, "at least one score matrix"),
        ({"metrics": ["mapp"]}, "Did you mean 'map'"),
        ({"metrics": ["map_batch_mean"]}, "not among"),
        ({"metrics": []}, "at least one metric"),
        ({"threshold_logits_by_run": []}, "for each of the 1 runs, got 0"),
        ({"threshold_logits_by_run": [np.zeros(3)]}, "threshold_logits must have shape"),
        ({"n_resamples": 0}, "n_resamples must be at least 1, got 0"),
        ({"clusters": np.zeros(60, int)}, "at least two different values"),
        ({"clusters": np.arange(3)}, "same number of rows"),
        ({"logits_by_run": [np.zeros((60, 3))]}, "share one shape"),
        ({"targets": np.zeros((0, 4), np.int8)}, "at least one row"),
    ],
)
def test_faults_are_named(changes, message):
    logits, targets = random_case()
    call = {"logits_by_run": [logits], "targets": targets, "groups": {}, **changes}
    with pytest.raises(FairPOValueError, match=message):
        bootstrap_metrics(**call)


def test_unknown_key_is_answered_with_the_nearest():
    logits, targets = random_case()
    result = bootstrap_metrics([logits], targets, GROUPS, ["map"], n_resamples=2)
    with pytest.raises(FairPOValueError, match="Did you mean 'map/a'"):
        result.of("map/aa")
