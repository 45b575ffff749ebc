"""Rates against slow float64 loops over rows, keys and resamples."""

import json

import numpy as np
import pytest

from fairpo import LabelGroup, LabelGroups, LabelPartition
from fairpo._checks import FairPOValueError
from fairpo.generation.rates import Rate, Rates
from fairpo.metrics import bootstrap

NAMES = ("polite", "short", "rhymed", "true")
rates = Rates.from_values
GROUPS = LabelPartition.from_names(["polite", "true"], NAMES)


def case(seed=0, n=120, n_prompts=40, runs=("dpo", "fairpo"), skipped=0.1):
    rng = np.random.default_rng(seed)
    values = {
        run: np.where(rng.random(n) < skipped, np.nan, rng.choice([0, 0.25, 0.5, 0.75, 1], size=n))
        for run in runs
    }
    return values, rng.integers(0, 4, n), rng.integers(0, n_prompts, n)


def drawn(n_units, n_resamples, seed=0):
    blocks = bootstrap._weight_blocks(n_units, n_resamples, seed)
    return np.concatenate([part for _, parts in blocks for part in parts], axis=1).T


def loop_mean(values, weights, inside):
    total = count = 0.0
    for value, weight, counted in zip(values, weights, inside, strict=True):
        if counted and not np.isnan(value):
            total += weight * value
            count += weight
    return total / count if count else np.nan


def loop_keys(values, attributes, weights, groups=GROUPS, names=NAMES):
    """All values of one run under one weighting of the rows, one key after the other."""
    means = [loop_mean(values, weights, [True] * len(values))]
    of_groups = [
        loop_mean(values, weights, [a in group.indices for a in attributes])
        for group in groups.groups
    ]
    of_attributes = [
        loop_mean(values, weights, [a == wanted for a in attributes])
        for wanted in range(len(names))
    ]
    worst = [
        min((m for m in part if not np.isnan(m)), default=np.nan)
        for part in (of_groups, of_attributes)
    ]
    return means + of_groups + of_attributes + worst


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("n", [30, 120])  # 30 rows: resamples without some attribute
def test_everything_equals_the_loops(seed, n):
    values, attributes, prompts = case(seed, n, n_prompts=12)
    found = rates(values, attributes, NAMES, GROUPS, prompts, n_resamples=15, seed=seed)
    names, unit = np.unique(prompts, return_inverse=True)
    assert found.n_prompts == len(names)
    for place, run in enumerate(values.values()):
        expected = loop_keys(run, attributes, np.ones(n))
        np.testing.assert_allclose(found.values[place], expected, atol=1e-12)
        for resample, weights in enumerate(drawn(len(names), 15, seed)):
            expected = loop_keys(run, attributes, weights[unit])
            np.testing.assert_allclose(found.resampled[place, :, resample], expected, atol=1e-12)


def test_more_groups_than_two_and_overlapping_ones():
    groups = LabelGroups(
        [
            LabelGroup("kind", (0, 1), "improve"),
            LabelGroup("brief", (1,), "improve"),
            LabelGroup("rest", (2, 3), "protect"),
            LabelGroup("none", (), "protect"),
        ],
        4,
    )
    values, attributes, _ = case(3)
    found = rates(values, attributes, NAMES, groups, n_resamples=5)
    expected = loop_keys(values["dpo"], attributes, np.ones(120), groups)
    np.testing.assert_allclose(found.values[0], expected, atol=1e-12)
    assert np.isnan(found.runs["dpo"].groups["none"].value)
    assert found.runs["dpo"].groups["none"][3:] == (0, 0, 0, 0)


def test_a_small_case_by_hand():
    values = {"a": np.array([1, 0.5, 0, np.nan, 1, 0.25])}
    groups = LabelPartition.from_names(["x"], ["x", "y", "z"])
    run = rates(values, np.array([0, 0, 0, 0, 1, 1]), ["x", "y", "z"], groups).runs["a"]
    assert run.groups["privileged"] == Rate(0.5, *run.groups["privileged"][1:3], 1, 1, 1, 1)
    assert run.groups["non_privileged"].value == 0.625
    assert run.overall[3:] == (2, 1, 2, 1)
    assert run.overall.value == pytest.approx(2.75 / 5)
    assert run.worst_group.name == "privileged" and run.worst_group.value == 0.5
    assert run.worst_attribute.name == "x"
    assert np.isnan(run.attributes["z"].value)


def test_the_interval_is_the_percentiles_of_the_resamples():
    values, attributes, prompts = case(4)
    found = rates(values, attributes, NAMES, GROUPS, prompts, level=0.8, n_resamples=200)
    expected = np.quantile(found.resampled[1], [0.1, 0.9], axis=-1)
    expected[:, -2:] += (found.values[1] - found.resampled[1].mean(axis=-1))[-2:]
    run = found.runs["fairpo"]
    got = [run.overall, *run.groups.values(), *run.attributes.values()]
    got = [(rate.low, rate.high) for rate in got]
    got += [(worst.low, worst.high) for worst in (run.worst_group, run.worst_attribute)]
    np.testing.assert_allclose(np.array(got).T, expected, atol=1e-12)


def test_the_worst_of_many_lies_in_its_interval_which_stays_a_share():
    names = [f"a{number}" for number in range(22)]
    groups = LabelPartition.from_indices(range(22), 22)
    rng = np.random.default_rng(13)
    outside = 0
    for share in (0.5, 0.99):
        values = {"x": (rng.random(22 * 56) < share).astype(float)}
        worst = rates(values, np.repeat(np.arange(22), 56), names, groups, n_resamples=300)
        lowest = np.quantile(worst.resampled[0, -1], 0.975)
        worst = worst.runs["x"].worst_attribute
        assert 0.0 <= worst.low <= worst.value <= worst.high <= 1.0
        outside += lowest < worst.high
    assert outside, "the percentiles alone must be lower here"


def test_the_worst_group_is_taken_within_each_resample():
    values, attributes, prompts = case(5)
    found = rates(values, attributes, NAMES, GROUPS, prompts, n_resamples=300)
    groups = [found.keys.index(f"groups/{name}") for name in GROUPS.names]
    worst = found.keys.index("worst_group")
    np.testing.assert_array_equal(found.resampled[:, worst], found.resampled[:, groups].min(axis=1))
    switches = found.resampled[0, groups].argmin(axis=0)
    assert 0 < switches.mean() < 1, "the lowest group must not always be the same one here"


def test_runs_share_the_resamples_so_equal_runs_differ_by_nothing():
    values, attributes, prompts = case(6, runs=("a", "b"))
    values["copy"] = values["a"].copy()
    found = rates(values, attributes, NAMES, GROUPS, prompts, n_resamples=50)
    for difference in found.difference("a", "copy").values():
        assert difference == (0.0, 0.0, 0.0)
    alone = rates({"b": values["b"]}, attributes, NAMES, GROUPS, prompts, n_resamples=50)
    np.testing.assert_array_equal(alone.resampled[0], found.resampled[1])


def test_a_paired_difference_is_narrower_than_two_intervals():
    rng = np.random.default_rng(7)
    hard = rng.random(300) < 0.5  # prompts that every model loses
    values = {
        "a": np.where(hard, 0.0, 1.0),
        "b": np.where(hard, 0.0, rng.random(300) < 0.9).astype(float),
    }
    found = rates(values, rng.integers(0, 4, 300), NAMES, GROUPS)
    difference = found.difference("a", "b")["overall"]
    a, b = (found.runs[name].overall for name in "ab")
    assert difference.value == pytest.approx(a.value - b.value)
    assert difference.low < difference.value < difference.high
    assert difference.high - difference.low < 0.5 * (a.high - a.low + b.high - b.low)


def test_copies_of_prompts_make_no_evidence():
    values, attributes, _ = case(8, n=60, skipped=0)
    again = np.repeat(np.arange(60), 20)
    copied = {name: run[again] for name, run in values.items()}
    few, many = (
        rates(copied, attributes[again], NAMES, GROUPS, prompts).runs["dpo"].overall
        for prompts in (again, None)
    )
    assert few.value == pytest.approx(many.value)
    assert few.high - few.low > 3 * (many.high - many.low)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(9)
    hits = 0
    for seed in range(150):
        values = {"a": (rng.random(80) < 0.6).astype(float)}
        found = rates(values, np.zeros(80, int), NAMES, GROUPS, n_resamples=300, seed=seed)
        low, high = found.runs["a"].attributes["polite"][1:3]
        hits += low <= 0.6 <= high
    assert 0.88 <= hits / 150 <= 0.99


def test_order_of_rows_and_of_attributes_does_not_matter():
    values, attributes, _ = case(10)
    straight = rates(values, attributes, NAMES, GROUPS, n_resamples=5).runs["dpo"]
    order = np.random.default_rng(0).permutation(120)
    names = [NAMES[place] for place in (2, 0, 3, 1)]
    renamed = np.array([names.index(NAMES[a]) for a in attributes[order]])
    groups = LabelPartition.from_names(["true", "polite"], names)
    turned = {name: run[order] for name, run in values.items()}
    moved = rates(turned, renamed, names, groups, n_resamples=5).runs["dpo"]
    assert moved.overall.value == pytest.approx(straight.overall.value)
    for part in ("groups", "attributes"):
        for name, rate in getattr(straight, part).items():
            assert getattr(moved, part)[name].value == pytest.approx(rate.value)
            assert getattr(moved, part)[name][3:] == rate[3:]
    assert moved.worst_attribute.name == straight.worst_attribute.name


def test_nothing_judged_is_nan_and_counted():
    values = {"a": np.full(6, np.nan)}
    found = rates(values, np.arange(6) % 4, NAMES, GROUPS, n_resamples=4)
    run = found.runs["a"]
    assert np.isnan(run.overall[:3]).all() and run.overall[3:] == (0, 0, 0, 6)
    assert run.worst_group.name is None and np.isnan(run.worst_group.value)
    written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert written["runs"]["a"]["overall"]["value"] is None
    assert written["runs"]["a"]["worst_attribute"] == dict.fromkeys(
        ("name", "value", "low", "high")
    )


def test_what_is_written_is_what_was_measured():
    values, attributes, prompts = case(11)
    found = rates(values, attributes, NAMES, GROUPS, prompts, n_resamples=20)
    written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert written["n_prompts"] == found.n_prompts and written["n_resamples"] == 20
    for name, run in found.runs.items():
        assert written["runs"][name]["groups"]["privileged"] == run.groups["privileged"]._asdict()
        assert written["runs"][name]["worst_group"] == run.worst_group._asdict()
        attributes_written = written["runs"][name]["attributes"]
        assert sum(a["skipped"] for a in attributes_written.values()) == run.overall.skipped


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": {}}, "at least one run"),
        ({"values": {"a": np.array([0.0, 2.0])}}, r"values of a must be in \[0, 1\].*2.0"),
        ({"values": {"a": np.zeros(3)}}, "same number of rows"),
        ({"attributes": np.array([0, 4])}, "attributes must be from 0 to 3, got 0 to 4"),
        ({"attributes": np.zeros(0, int), "values": {"a": np.zeros(0)}}, "at least one row"),
        ({"attribute_names": ("a", "b")}, "over the 2 attributes, got groups over 4"),
        ({"attribute_names": ("a", "a", "b", "c")}, "attribute names must be unique"),
        ({"prompts": np.zeros(2)}, "prompts must be two or more"),
        ({"prompts": np.zeros(3)}, "same number of rows"),
        ({"n_resamples": 0}, "n_resamples must be at least 1"),
        ({"level": 95}, "level must be between 0 and 1"),
    ],
)
def test_faults_are_named(changes, message):
    call = {
        "values": {"a": np.array([0.0, 1.0])},
        "attributes": np.array([0, 1]),
        "attribute_names": NAMES,
        "groups": GROUPS,
        **changes,
    }
    with pytest.raises(FairPOValueError, match=message):
        rates(**call)


def test_an_unknown_run_is_answered_with_the_nearest():
    values, attributes, _ = case(12)
    found = rates(values, attributes, NAMES, GROUPS, n_resamples=2)
    with pytest.raises(FairPOValueError, match="Did you mean 'fairpo'"):
        found.difference("fairpoo", "dpo")
