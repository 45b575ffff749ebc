"""The gate: a run without harm passes, harm fails and is named, little data decides nothing."""

import numpy as np
import pytest
from scipy import stats

from fairpo._checks import FairPOValueError, build_settings
from fairpo.experiments.gate import GateSettings, judge
from fairpo.groups import LabelPartition
from fairpo.metrics import bootstrap_metrics, holm

N_LABELS = 12
NAMES = [f"l{number}" for number in range(N_LABELS)]
GROUPS = LabelPartition.from_indices([0, 1, 2], N_LABELS)


def scene(seed=0, n=4000, prevalence=0.1, noise=0.0):
    """Reference and model: the model differs by noise of the same size on both sides."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((n, N_LABELS)) < prevalence).astype(np.int8)
    shared = 2 * targets + rng.normal(size=targets.shape)
    reference, model = (shared + noise * rng.normal(size=targets.shape) for _ in range(2))
    return model, reference, targets


def verdict(model, reference, targets, clusters=None, **settings):
    settings = GateSettings(n_resamples=300, **settings)
    return judge(model, reference, targets, GROUPS, NAMES, settings, clusters=clusters)


def by_label(result):
    return {label["label"]: label for label in result["labels"]}


def test_a_model_that_is_its_reference_passes_any_margin():
    model, reference, targets = scene(n=300)
    result = verdict(model, reference, targets, max_drop_points=0, per_label=True, min_positives=5)
    assert result["outcome"] == "pass" and result["failed"] == []
    assert {label["outcome"] for label in result["labels"]} == {"pass"}
    assert [check["outcome"] for check in result["checks"]] == ["not asked", "pass"]


def test_bounds_of_groups_are_those_of_the_paired_bootstrap():
    model, reference, targets = scene(1, n=500, noise=0.5)
    clusters = np.arange(500) // 4  # 125 of them
    result = verdict(model, reference, targets, clusters, level=0.9)
    both = bootstrap_metrics(
        [model, reference],
        targets,
        GROUPS.as_mapping(),
        ["map"],
        clusters=clusters,
        n_resamples=300,
    )
    for check in result["checks"]:
        moved = np.subtract(*both.of(f"map/{check['group']}"))
        reach = stats.t.ppf(0.9, 124) * moved.std(ddof=1) * np.sqrt(125 / 124)
        assert check["low"] == pytest.approx(check["difference"] - reach)
        assert check["high"] == pytest.approx(check["difference"] + reach)
        assert check["low"] < check["difference"] < check["high"]


def test_labels_are_judged_by_their_standard_errors_and_holm():
    model, reference, targets = scene(2, noise=0.4)
    result = verdict(model, reference, targets, per_label=True, max_drop_points=1)
    alone = {name: [number] for number, name in enumerate(NAMES)}
    both = bootstrap_metrics([model, reference], targets, alone, ["map"], n_resamples=300)
    error = np.subtract(*both.resampled).std(axis=1, ddof=1)[1:]
    difference = np.subtract(*both.values)[1:]
    labels = result["labels"]
    np.testing.assert_allclose([label["difference"] for label in labels], difference)
    low = difference - stats.t.ppf(0.95, 3999) * error * np.sqrt(4000 / 3999)
    np.testing.assert_allclose([label["low"] for label in labels], low, atol=1e-6)
    p_values = np.array([label["p_value"] for label in labels])
    np.testing.assert_allclose([label["p_adjusted"] for label in labels], holm(p_values))
    assert (np.argsort(p_values) == np.argsort((difference + 0.01) / error)).all()


@pytest.mark.parametrize("label", [1, 7], ids=["privileged", "other"])
def test_harm_to_one_label_fails_and_is_named(label):
    model, reference, targets = scene(3, noise=0.1)
    model[:, label] -= 1.2 * targets[:, label]
    result = verdict(model, reference, targets, max_drop_points=8, per_label=True)
    assert result["outcome"] == "fail"
    assert result["failed"] == [NAMES[label]]
    assert by_label(result)[NAMES[label]]["difference"] < -0.1
    assert verdict(model, reference, targets, max_drop_points=8)["outcome"] == "pass", "unseen"


def test_harm_to_a_group_fails_and_is_named():
    model, reference, targets = scene(4, noise=0.1)
    model[:, 3:] -= 0.5 * targets[:, 3:]
    result = verdict(model, reference, targets)
    assert (result["outcome"], result["failed"]) == ("fail", ["non_privileged"])


@pytest.mark.parametrize(
    ("gain", "outcome"), [(0.3, "pass"), (0.0, "fail"), (-0.3, "fail")], ids=str
)
def test_the_gain_that_is_asked_must_be_shown(gain, outcome):
    model, reference, targets = scene(5, noise=0.05)
    model[:, :3] += gain * targets[:, :3]
    result = verdict(model, reference, targets, min_gain_points=2, max_drop_points=2)
    assert result["outcome"] == outcome
    assert result["failed"] == ([] if outcome == "pass" else ["privileged"])


def test_little_data_decides_nothing():
    model, reference, targets = scene(6, n=60, prevalence=0.3, noise=0.5)
    result = verdict(model, reference, targets, min_gain_points=0, per_label=True, min_positives=5)
    assert result["outcome"] == "undecided"
    assert {check["outcome"] for check in result["checks"]} == {"undecided"}
    low, high = result["checks"][1]["low"], result["checks"][1]["high"]
    assert low < -0.005 < high


def test_labels_with_few_positives_say_so_and_decide_nothing():
    model, reference, targets = scene(7, noise=0.1)
    targets[19:, 4] = 0
    targets[:19, 4] = 1
    reference[:, 4] += 9 * targets[:, 4]
    targets[:, 5] = -1
    result = verdict(model, reference, targets, max_drop_points=20, per_label=True)
    few = {name for name, label in by_label(result).items() if label["outcome"].startswith("too")}
    assert few == {"l4", "l5"}
    assert by_label(result)["l4"]["positives"] == 19
    assert by_label(result)["l5"]["difference"] is None
    assert result["outcome"] == "pass"
    harmed = verdict(
        model, reference, targets, max_drop_points=20, per_label=True, min_positives=19
    )
    assert harmed["failed"] == ["l4"]


def test_a_gate_that_judges_no_label_decides_nothing():
    model, reference, targets = scene(8, noise=0.1)
    few = {"min_positives": 5000, "max_drop_points": 20}
    result = verdict(model, reference, targets, per_label=True, **few)
    assert {label["outcome"] for label in result["labels"]} == {"too few positives"}
    assert result["outcome"] == "undecided"
    assert [check["outcome"] for check in result["checks"]] == ["not asked", "too few positives"]
    assert verdict(model, reference, targets, **few)["outcome"] == "undecided"


def test_few_clusters_decide_nothing_unless_nothing_varies():
    model, reference, targets = scene(9, noise=0.1)
    for model_here, outcome in ((model, "undecided"), (reference, "pass")):
        for n_clusters in (2, 9):
            clusters = np.arange(len(targets)) % n_clusters
            result = verdict(model_here, reference, targets, clusters, max_drop_points=20)
            assert result["outcome"] == outcome
    clusters = np.arange(len(targets)) % 10
    assert verdict(model, reference, targets, clusters, max_drop_points=20)["outcome"] == "pass"


def test_a_gain_of_rare_labels_at_the_margin_seldom_passes():
    """Resamples repeat positives, which raises AP; plain percentiles would pass in most draws."""
    n, n_labels = 600, 120
    groups = LabelPartition.from_indices(range(n_labels), n_labels)
    names = [str(label) for label in range(n_labels)]

    def gain(seed, **asked):
        rng = np.random.default_rng(seed)
        targets = (rng.random((n, n_labels)) < 0.01).astype(np.int8)
        shared = rng.normal(size=targets.shape)
        model, reference = (
            strength * targets + 0.9 * shared + 0.4 * rng.normal(size=targets.shape)
            for strength in (1.6, 0.8)
        )
        settings = GateSettings(n_resamples=100, min_positives=2, **asked)
        return judge(model, reference, targets, groups, names, settings)

    truth = np.mean([gain(seed)["checks"][0]["difference"] for seed in range(40)])
    found = [gain(100 + seed, min_gain_points=100 * truth) for seed in range(40)]
    outcomes = [each["outcome"] for each in found]
    assert outcomes.count("pass") <= 6
    assert outcomes.count("fail") <= 6


def test_models_that_are_equal_seldom_fail_though_there_are_many_labels():
    """Margin 0, the worst case: a false alarm in any of 12 labels in about 1 of 20 draws."""
    failed = []
    for seed in range(120):
        model, reference, targets = scene(seed, n=400, prevalence=0.2, noise=0.5)
        result = verdict(model, reference, targets, max_drop_points=0, per_label=True)
        failed.append(any(name in NAMES for name in result["failed"]))
    assert np.mean(failed) <= 0.1


def test_a_broken_model_seldom_passes():
    """Every label loses just more than the margin: a pass would be an error."""
    passed = []
    for seed in range(40):
        model, reference, targets = scene(seed, n=800, prevalence=0.2, noise=0.2)
        model -= 0.25 * targets
        drop = -100 * verdict(model, reference, targets)["checks"][1]["difference"]
        settings = {"max_drop_points": max(0.0, drop - 1.0), "per_label": True}
        passed.append(verdict(model, reference, targets, **settings)["outcome"] == "pass")
    assert np.mean(passed) <= 0.05


def test_copies_of_rows_are_no_evidence():
    model, reference, targets = (np.repeat(a, 20, axis=0) for a in scene(8, n=120, noise=0.4))
    rows = verdict(model, reference, targets, max_drop_points=2)["checks"][1]
    clusters = np.repeat(np.arange(120), 20)
    blocks = verdict(model, reference, targets, clusters, max_drop_points=2)["checks"][1]
    assert blocks["high"] - blocks["low"] > 3 * (rows["high"] - rows["low"])


def test_without_other_labels_and_without_a_question_nothing_is_decided():
    model, reference, targets = scene(9, n=200)
    everything = LabelPartition.from_indices(range(N_LABELS), N_LABELS)
    result = judge(model, reference, targets, everything, NAMES, GateSettings(n_resamples=100))
    assert result["outcome"] == "undecided"
    assert [check["outcome"] for check in result["checks"]] == ["not asked", "not asked"]


def test_settings_out_of_range_are_refused():
    with pytest.raises(FairPOValueError, match="max_drop_points must be greater than or equal"):
        build_settings(GateSettings, {"max_drop_points": -1})
