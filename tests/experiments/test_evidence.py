"""Evidence against slow loops; warning signs against worlds in which they are known."""

import json

import numpy as np
import pytest

from fairpo.experiments import evidence
from fairpo.experiments.evidence import N_BINS, gather_evidence
from fairpo.experiments.figures import BlockFigures, LogitFigures
from fairpo.experiments.plan import Plan
from fairpo.experiments.pool import Processes
from fairpo.experiments.runner import MethodResult, ModelScores, SeedResults
from fairpo.experiments.warning_signs import warning_signs
from fairpo.groups import LabelGroup, LabelGroups, LabelPartition
from fairpo.metrics import LabelFrame, average_precision, evaluate_label_blocks

METHODS = ("bce", "bce-continued", "fairpo-dpo")


def partition(*privileged):
    return LabelPartition.from_indices(privileged, 6)


def logits(data, noise, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    return (
        2.0 * data.targets - 1.5 + shift + rng.normal(scale=noise, size=data.targets.shape)
    ).astype(np.float32)


def scores(data, *made):
    whole = logits(data, *made)
    return ModelScores(whole[data.rows("test")], whole[data.rows("validation")])


def seed_results(data, groups, methods, seed=0, traces=None, fell_back=False):
    start = scores(data, 1.5)
    made = {"bce": start, **methods}
    results = [
        MethodResult(
            name, seed, start if fell_back and name != "bce" else model, model, 1, 2,
            None if name == "bce" else fell_back, 0.1, (traces or {}).get(name, []), [],
        )
        for name, model in made.items()
    ]  # fmt: skip
    return SeedResults(seed, groups, start, [], results)


def gather(data, plan, seeds, processes=None):
    processes = processes or Processes()
    figures = LogitFigures(data, seeds, plan.decisions, None, 100, processes)
    return gather_evidence(data, seeds, figures, processes)


@pytest.fixture
def known(data):
    """Data with missing entries, groups, one seed of three models, and its evidence."""
    targets = data.targets.copy()
    targets[::7, 2] = -1
    object.__setattr__(data, "targets", targets)
    groups = partition(0, 1)
    methods = {"bce-continued": scores(data, 1.2, 1), "fairpo-dpo": scores(data, 1.0, 2)}
    seed = seed_results(data, groups, methods)
    plan = Plan(data="small", methods=METHODS)
    return data, plan, groups, seed, gather(data, plan, [seed])


def models(seed):
    return [result.selected for result in seed.results]


def test_processes_change_nothing(known):
    data, plan, _, seed, found = known
    with Processes(2) as processes:
        assert gather(data, plan, [seed], processes) == found


def test_it_is_json_and_names_its_models(known):
    *_, found = known
    json.dumps(found, allow_nan=False)
    assert [model["method"] for model in found["models"]] == list(METHODS)
    assert {model["epoch"] for model in found["models"]} == {"selected"}
    assert found["seed"] == 0


def test_privileged_labels_come_first_then_those_that_changed_most(known):
    data, _, _, seed, found = known
    targets = data.targets_of(data.rows("test"))
    ap = [average_precision(model.test, targets) for model in models(seed)]
    change = np.max(np.abs(np.array(ap) - ap[0]), axis=0)
    order = sorted([0, 1], key=lambda k: -change[k]) + sorted(range(2, 6), key=lambda k: -change[k])
    assert [row["label"] for row in found["labels"]] == [data.label_names[k] for k in order]


def test_histograms_count_recalibrated_probabilities(known):
    data, plan, _, seed, found = known
    targets = data.targets_of(data.rows("test"))
    for row in found["labels"]:
        k = data.label_names.index(row["label"])
        for model, counts in zip(models(seed), row["scores"], strict=True):
            probability = model.rule(data, plan.decisions).probabilities(model.test)[:, k]
            slow = {"0": [0] * N_BINS, "1": [0] * N_BINS}
            for value, target in zip(probability, targets[:, k], strict=True):
                if target >= 0:
                    slow[str(target)][min(int(value * N_BINS), N_BINS - 1)] += 1
            assert counts == slow


def test_confusions_are_the_confusing_negatives_of_true_rows(known):
    data, _, _, seed, found = known
    targets = data.targets_of(data.rows("test"))

    def slow(model, label):
        counts = dict.fromkeys(data.label_names, 0)
        for row, truth in zip(model.test, targets, strict=True):
            if truth[label] == 1:
                for k, name in enumerate(data.label_names):
                    counts[name] += int(truth[k] == 0 and row[k] >= row[label])
        return counts

    before, *afters = models(seed)
    for row in found["labels"]:
        label = data.label_names.index(row["label"])
        assert row["positives"] == (targets[:, label] == 1).sum()
        reference = slow(before, label)
        for model, table in zip(afters, row["confusions"], strict=True):
            counts = slow(model, label)
            assert [(reference[k], counts[k]) for k, *_ in table] == [(b, a) for _, b, a in table]
            largest = sorted(counts.values(), reverse=True)[: evidence.MOST_CONFUSED]
            assert set(largest) - {0} <= {after for _, _, after in table}
            assert row["label"] not in {k for k, *_ in table}


def test_calibration_is_that_of_the_frame(known):
    data, plan, groups, seed, found = known
    targets = data.targets_of(data.rows("test"))
    for model, by_group in zip(models(seed), found["calibration"], strict=True):
        recalibrated = model.rule(data, plan.decisions).apply(model.test)
        for kind, values in (("raw", model.test), ("recalibrated", recalibrated)):
            frame = LabelFrame.from_scores(values, targets, groups.as_mapping(), data.label_names)
            for name in groups.names:
                shown = by_group[name][kind]
                assert shown["brier"] == pytest.approx(frame.by_group["brier"][name])
                assert shown["calibration_error"] == pytest.approx(
                    frame.by_group["calibration_error"][name]
                )
                inside = targets[:, list(groups.as_mapping()[name])]
                assert sum(entries for *_, entries in shown["curve"]) == (inside >= 0).sum()


def test_slices_are_judged_on_their_rows_alone(known):
    data, plan, _, seed, found = known
    assert found["slices"] == []
    cameras = np.array(["hall", "yard", "only training"])[np.arange(400) % 2]
    cameras[:9] = "only training"
    object.__setattr__(data, "slices", {"camera": cameras})
    (one,) = gather(data, plan, [seed])["slices"]
    assert one["column"] == "camera"
    assert [each["category"] for each in one["categories"]] == ["hall", "yard"]
    test = data.rows("test")
    for each in one["categories"]:
        rows = [n for n, row in enumerate(test) if cameras[row] == each["category"]]
        targets = data.targets_of(test)[rows]
        assert each["n_rows"] == len(rows) == 45
        assert each["positives"]["privileged"] == (targets[:, [0, 1]] == 1).sum()
        for model, values in zip(models(seed), each["models"], strict=True):
            rule = model.rule(data, plan.decisions)
            ap = average_precision(model.test[rows], targets)
            assert values["map/privileged"] == pytest.approx(np.nanmean(ap[[0, 1]]))
            f1 = []
            for decided, truth in zip(rule.decide(model.test)[rows], targets, strict=True):
                inside = [k for k in range(2, 6) if truth[k] >= 0]
                both = sum(decided[k] and truth[k] == 1 for k in inside)
                total = sum(int(decided[k]) + (truth[k] == 1) for k in inside)
                f1 += [2 * both / total] if total else []
            assert values["sample_f1/non_privileged"] == pytest.approx(np.mean(f1))


def test_many_labels_are_limited_and_some_are_not_privileged(data, monkeypatch):
    monkeypatch.setattr(evidence, "MOST_LABELS", 4)
    methods = {"fairpo-dpo": scores(data, 1.0, 2)}
    plan = Plan(data="small", methods=("bce", "fairpo-dpo"))
    for privileged, wanted in (([0, 1, 2, 3, 4], 3), ([0], 1), ([0, 1, 2, 3, 4, 5], 4)):
        seed = seed_results(data, partition(*privileged), methods)
        labels = [row["label"] for row in gather(data, plan, [seed])["labels"]]
        assert len(labels) == 4
        assert sum(data.label_names.index(name) in privileged for name in labels) == wanted


def test_the_last_epoch_is_shown_where_the_reference_was_returned(data):
    groups = partition(0)
    seed = seed_results(data, groups, {"fairpo-dpo": scores(data, 1.0, 2)}, fell_back=True)
    plan = Plan(data="small", methods=("bce", "fairpo-dpo"))
    found = gather(data, plan, [seed])
    assert found["models"][1] == {"method": "fairpo-dpo", "epoch": "last"}
    assert found["calibration"][0] != found["calibration"][1]


def test_labels_without_positives_and_empty_groups_stay_finite(data):
    targets = data.targets.copy()
    targets[data.rows("test"), 3] = 0
    targets[data.rows("test"), 4] = -1
    object.__setattr__(data, "targets", targets)
    everything = LabelGroup("privileged", tuple(range(6)), "improve")
    groups = LabelGroups([everything, LabelGroup("none", (), "protect")], 6)
    seed = seed_results(data, groups, {"fairpo-dpo": scores(data, 1.0, 2)})
    plan = Plan(data="small", methods=("bce", "fairpo-dpo"))
    found = gather(data, plan, [seed])
    json.dumps(found, allow_nan=False)
    last = {row["label"]: row for row in found["labels"]}
    assert [row["label"] for row in found["labels"]][-2:] == ["d", "e"]
    assert last["e"]["scores"][0] == {"1": [0] * N_BINS, "0": [0] * N_BINS}
    assert last["d"]["confusions"] == [[]]
    assert found["calibration"][0]["none"]["raw"] == {
        "curve": [],
        "brier": None,
        "calibration_error": None,
    }


def test_sampled_labels_have_no_scores_to_show(data):
    groups = partition(0)
    test = data.rows("test")
    whole = logits(data, 1.0)[test]
    figures = evaluate_label_blocks(
        lambda columns: whole[:, columns], data.targets[test], groups.as_mapping()
    )
    start = ModelScores(figures, figures)
    seed = SeedResults(0, groups, start, [], [])
    assert gather_evidence(data, [seed], BlockFigures(None, 100), Processes()) is None


def trace(weight):
    ends = [{"privileged": w, "non_privileged": 1 - w} for w in (0.5, weight)]
    return [{"group_weights": weights} for weights in ends]


@pytest.mark.parametrize(
    ("weight", "texts"),
    [
        (0.5, []),
        (0.94, []),
        (0.97, ["privileged group ended at 0.970", "non-privileged group ended at 0.030"]),
        (0.01, ["privileged group ended at 0.010", "non-privileged group ended at 0.990"]),
    ],
)
def test_saturation_is_said_of_the_end(data, weight, texts):
    groups = partition(0, 1)
    methods = {"fairpo-dpo": scores(data, 1.5)}
    seeds = [
        seed_results(data, groups, methods, seed, {"fairpo-dpo": trace(0.5 if seed else weight)})
        for seed in (0, 1)
    ]
    found = warning_signs(seeds, data)
    assert [sign["kind"] for sign in found] == ["saturation"] * len(texts)
    for sign, text in zip(found, texts, strict=True):
        assert text in sign["text"]
        assert "in 1 of 2 seeds" in sign["text"]
        assert sign["method"] == "fairpo-dpo"


def test_a_group_that_is_alone_does_not_saturate(data):
    groups = partition(*range(6))
    methods = {"fairpo-dpo": scores(data, 1.5)}
    seed = seed_results(data, groups, methods, traces={"fairpo-dpo": trace(1.0)})
    assert warning_signs([seed], data) == []


@pytest.mark.parametrize(
    ("noise", "shift", "found"),
    [(0.5, -3.0, True), (0.5, 0.0, False), (3.0, -3.0, False)],
    ids=["ranks better, scores fell", "ranks better", "scores fell, ranks worse"],
)
def test_displacement_is_a_fall_of_scores_that_rank_better(data, noise, shift, found):
    groups = partition(0, 1)
    seed = seed_results(data, groups, {"fairpo-dpo": scores(data, noise, 1, shift)})
    signs = warning_signs([seed], data)
    assert [sign["kind"] for sign in signs] == ["displacement"] * found
    if not found:
        return
    total = count = 0
    for row, truth in zip(seed.results[1].selected.test, data.targets[310:], strict=True):
        for k in (0, 1):
            if truth[k] == 1:
                total += np.log(1 / (1 + np.exp(-np.float64(row[k]))))
                count += 1
    assert f"to {total / count:.2f})" in signs[0]["text"]
