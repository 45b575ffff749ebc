"""Studies: what a file means, and that trials are run once, anywhere, whatever stops them."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml

from fairpo._checks import FairPOError, FairPOFileError, FairPOValueError
from fairpo.data import MultiLabelData
from fairpo.experiments import conduct as conducting
from fairpo.experiments.conduct import run_study
from fairpo.experiments.ledger import Ledger
from fairpo.experiments.runner import SeedRunner
from fairpo.experiments.scores import read_scores
from fairpo.experiments.study import Study, read_study, write_study
from fairpo.experiments.study_file import commented
from fairpo.experiments.study_folder import check_folder, finished, inputs_of
from fairpo.experiments.trials import Bench
from fairpo.report import write_report
from fairpo.training.reference import kernel_reference
from tests.conftest import problem

METHODS = ("bce", "bce-continued", "fairpo-dpo")
SETTINGS = {
    "data": "small",
    "training": {"epochs": 2, "reference_epochs": 3, "batch_size": 64},
    "head": {"hidden": [8]},
    "n_resamples": 100,
    "n_permutations": 100,
}


def small():
    X, y = problem()
    split = {
        "train": np.arange(240),
        "validation": np.arange(240, 310),
        "test": np.arange(310, 400),
    }
    return MultiLabelData(X, y, tuple("abcdef"), split, name="small")


def run(study, folder, **options):
    return run_study(study, small(), folder, **{"report": str, **options})


def results(folder):
    """What the trials found, without when and how long."""
    kept = ("key", "variant", "method", "seed", "selected", "last", "trace", "status")
    return sorted(
        json.dumps({name: record.get(name) for name in kept}) for record in records(folder)
    )


def records(folder):
    return Ledger(folder).records()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    study = Study(methods=METHODS, seeds=(0, 1), **SETTINGS)
    check_folder(folder, study)
    return study, folder, run(study, folder)


# What a study means


def test_a_file_is_the_study_and_back(tmp_path):
    study = Study(
        kind="sensitivity",
        methods=("fairpo-dpo",),
        grid={"beta": (0.5, 2)},
        overrides={"fairpo-dpo": {"learning_rate": 1e-3}},
        **SETTINGS,
    )
    write_study(tmp_path / "study.yaml", study)
    assert read_study(tmp_path / "study.yaml") == study


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a study: it must hold NAME: VALUE lines"),
        ("data: [", "cannot be read"),
        ("data: digits\nmethod: bce", "option 'method' is not among .* Did you mean 'methods'"),
        ("data: digits\nmethods: [foo]", "method 'foo' is not among"),
        ("data: digits\nkind: partitions", "partitions must be given for kind 'partitions'"),
        ("data: digits\ngrid: {beta: [1]}", "grid must be given for kind 'sensitivity'"),
        (
            "data: digits\nkind: sensitivity\ngrid: {betta: [1]}",
            "setting 'betta' is not among the .* settings of a grid. Did you mean 'beta'",
        ),
        (
            "data: digits\ntraining: {epoch: 3}",
            "option 'epoch' is not among .* options of TrainingSettings. Did you mean 'epochs'",
        ),
        (
            "data: digits\ntraining: {epochs: three}",
            "TrainingSettings.epochs must be a valid integer.* got 'three'. Extra epochs",
        ),
        ("data: digits\nkind: sensitivity\ngrid: {beta: [-1]}", "beta must be greater than 0"),
        ("data: digits\nkind: partitions\npartitions: ['rarest:0%']", "must be rarest:F"),
        (
            "data: digits\nkind: setups\nsetups: {a: {data: b}}",
            "setups: a must leave data, ",
        ),
        (
            "data: digits\nmethods: fairpo-dpo",
            "methods must be a valid tuple, got 'fairpo-dpo'. A l",
        ),
        ("data: digits\nmethods: 5", "Study.methods must be a valid tuple, got 5. A list of names"),
        ("data: digits\nkind: ablate\nmethods: [3]", "methods must be a valid string, got 3"),
        (
            "data: digits\nseeds: [0, 1, 0]",
            "seeds must be one seed or more, none twice, got .0, 1",
        ),
        ("data: digits\nseeds: []", r"seeds must be one seed or more, none twice, got \[\]"),
        ("data: digits\nseeds: [0, -1]", "seeds must be greater than or equal to 0, got -1"),
        ("data: digits\ntraining: {seed: 3}", "seed must be left to the seeds of the plan, got 3"),
        (
            "data: digits\nkind: setups\nsetups: {a: {training: {seed: 3}}}",
            "seed must be left to the seeds of the plan, got 3",
        ),
        (
            "data: digits\nkind: setups\nsetups: {a: {training: 3}}",
            "Plan.training must be a valid dictionary or instance of TrainingSettings, got 3",
        ),
        (
            "data: digits\nkind: setups\nsetups: {a: {methods: fairpo-dpo}}",
            "Plan.methods must be a valid tuple, got 'fairpo-dpo'",
        ),
        (
            "data: digits\nkind: sensitivity\ngrid: {seed: [1, 2]}",
            "grid must name settings that change a result, got seed",
        ),
        (
            "data: digits\nkind: sensitivity\ngrid: {beta: [1, 1]}",
            "the variants of a study must be unique, got 'beta=1' more than once",
        ),
        (
            "data: digits\nkind: partitions\npartitions: [a, b, a]",
            "the variants of a study must be unique, got 'a' more than once",
        ),
        (
            "data: digits\noverrides: {bce: {learning_rate: 1}}",
            "overrides of bce must not be given: it is the reference, .* got learning_rate",
        ),
        ("data: digits\nreference_kind: odds", "reference_kind must be 'logits' or 'probs'"),
    ],
)
def test_a_file_is_checked_as_a_whole(tmp_path, text, message):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises((FairPOFileError, FairPOValueError), match=message):
        read_study(tmp_path / "study.yaml")


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(FairPOFileError, match=r"study.yaml: does not exist\."):
        read_study(tmp_path / "study.yaml")


def test_the_reference_and_ablations_are_added():
    assert Study(methods=("fairpo-dpo",), **SETTINGS).methods == ("bce", "fairpo-dpo")
    study = Study(kind="ablate", methods=("bce-continued", "fairpo-dpo"), **SETTINGS)
    assert study.methods == (
        "bce",
        "bce-continued",
        "fairpo-dpo",
        "fairpo-dpo/no-preference",
        "fairpo-dpo/no-constraint",
        "fairpo-dpo/fixed-weights",
    )


def test_the_reference_comes_first_wherever_it_is_named():
    study = Study(methods=("fairpo-dpo", "bce", "asl"), **SETTINGS)
    assert study.methods == ("bce", "fairpo-dpo", "asl")
    setups = Study(kind="setups", setups={"a": {"methods": ["fairpo-dpo"]}}, **SETTINGS)
    assert setups.variants()[0].plan.methods == ("bce", "fairpo-dpo")


def test_variants():
    partitions = Study(kind="partitions", partitions=("rarest:20%", "a,b"), **SETTINGS)
    assert [(v.name, v.plan.privileged) for v in partitions.variants()] == [
        ("rarest:20%", "rarest:20%"),
        ("a,b", "a,b"),
    ]
    grid = {"beta": (0.5, 2.0), "learning_rate": (0.1,)}
    sensitivity = Study(kind="sensitivity", grid=grid, **SETTINGS).variants()
    assert [v.name for v in sensitivity] == [
        "as given",
        "beta=0.5",
        "beta=2.0",
        "learning_rate=0.1",
    ]
    assert sensitivity[1].plan.options == {"beta": 0.5}
    assert sensitivity[3].plan.training.learning_rate == 0.1
    assert sensitivity[3].plan.options == {}


def test_a_setting_that_is_varied_is_varied_for_every_method():
    own = {"fairpo-dpo": {"beta": 3.0, "learning_rate": 0.2, "slack": 0.1}}
    grid = {"beta": (0.5, 2.0), "learning_rate": (0.1,)}
    study = Study(kind="sensitivity", grid=grid, overrides=own, **SETTINGS)
    study.check()
    given, half, double, slower = (variant.plan for variant in study.variants())
    betas = [plan.options_for("fairpo-dpo")["beta"] for plan in (given, half, double, slower)]
    assert betas == [3, 0.5, 2, 3]
    rates = [plan.training_for("fairpo-dpo").learning_rate for plan in (given, half, slower)]
    assert rates == [0.2, 0.2, 0.1]
    assert half.options_for("fairpo-dpo")["slack"] == 0.1
    assert half.options_for("fairpo-simpo") == {"beta": 0.5}


def test_what_a_setup_leaves_empty_is_the_studys():
    study = Study(kind="setups", setups={"a": {"training": None, "preset": "paper-v2"}}, **SETTINGS)
    (variant,) = study.variants()
    assert variant.plan.training == study.training
    assert variant.plan.preset == "paper-v2"


@pytest.mark.parametrize("kind", ["compare", "ablate", "partitions", "sensitivity", "setups"])
def test_a_file_that_is_written_to_be_changed_can_be_run(tmp_path, kind):
    (tmp_path / "study.yaml").write_text(commented(kind))
    assert read_study(tmp_path / "study.yaml").kind == kind


def test_a_file_of_sensitivity_asks_about_what_the_paper_sets():
    grid = yaml.safe_load(commented("sensitivity"))["grid"]
    assert set(grid) == {"beta", "slack", "margin", "nll_weight", "step_size", "learning_rate"}


def test_no_file_is_written_that_only_a_sweep_writes():
    with pytest.raises(FairPOValueError, match="--kind must be one of .*, setups, got 'sweep'"):
        commented("sweep")


# How it is run


def test_every_trial_has_its_record(whole):
    _, folder, metrics = whole
    assert [(r["seed"], r["method"]) for r in records(folder)] == [
        (seed, method) for seed in (0, 1) for method in METHODS
    ]
    record = records(folder)[-1]
    assert record["status"] == "done"
    assert record["training"]["epochs"] == 2
    assert set(record["versions"]) == {"fairpo", "python", "torch", "numpy"}
    assert record["data_fingerprint"]
    assert [r["training"]["seed"] for r in records(folder)] == [r["seed"] for r in records(folder)]
    assert (record["source"], record["data_options"]) == ("small", {})
    assert record["reference"] is record["reference_digest"] is None
    assert metrics["failed"] == []
    assert not any("failed" in note for note in metrics["notes"])


def test_processes_change_nothing(whole, tmp_path):
    study, folder, metrics = whole
    again = run(study, tmp_path, n_jobs=2)
    assert results(tmp_path) == results(folder)
    assert [row["cells"] for row in again["rows"]] == [row["cells"] for row in metrics["rows"]]


def test_what_is_done_is_not_done_again(whole, tmp_path, monkeypatch):
    study, folder, metrics = whole
    counted = []
    run_trial = Bench.run_trial
    monkeypatch.setattr(
        Bench,
        "run_trial",
        lambda self, trial, g: counted.append(trial) or run_trial(self, trial, g),
    )
    fewer = study.model_copy(update={"seeds": (0,)})
    run(fewer, tmp_path)
    assert len(counted) == 3
    check_folder(tmp_path, study, more=True)
    again = run(study, tmp_path)
    monkeypatch.undo()
    assert [(trial.seed, trial.method) for trial in counted[3:]] == [(1, m) for m in METHODS]
    assert results(tmp_path) == results(folder)
    assert [row["cells"] for row in again["rows"]] == [row["cells"] for row in metrics["rows"]]


def test_one_crash_is_recorded_and_the_rest_goes_on(tmp_path, monkeypatch):
    study = Study(methods=METHODS, seeds=(0, 1), **SETTINGS)
    run_trial = Bench.run_trial

    def crashing(self, trial, groups):
        if (trial.method, trial.seed) == ("fairpo-dpo", 1):
            raise MemoryError("no room")
        return run_trial(self, trial, groups)

    monkeypatch.setattr(Bench, "run_trial", crashing)
    metrics = run(study, tmp_path)
    assert [r["method"] for r in records(tmp_path) if r["status"] == "failed"] == ["fairpo-dpo"]
    assert "MemoryError: no room" in records(tmp_path)[-1]["error"]
    assert "seed 1 left out of all figures: a trial failed there." in metrics["notes"]
    assert metrics["seeds"] == [0]
    alone = {row["method"]: row["cells"] for row in metrics["rows"] if row["epoch"] == "last"}
    for row in metrics["per_label"]:
        assert set(row["ap"]) == set(METHODS)
    mean = np.mean([row["ap_last"]["fairpo-dpo"] for row in metrics["per_label"][:2]])
    assert alone["fairpo-dpo"]["map/privileged"]["value"] == pytest.approx(mean)
    assert "fairpo-dpo 1 failed: MemoryError: no room" in metrics["notes"]
    assert metrics["failed"] == ["fairpo-dpo 1"]
    monkeypatch.undo()
    assert finished(tmp_path, study, inputs_of(study, small())) is None
    metrics = run(study, tmp_path)
    assert metrics["failed"] == []
    assert [r["status"] for r in records(tmp_path)].count("failed") == 1  # the ledger only grows
    assert not any("failed" in note for note in metrics["notes"])


def test_methods_without_a_seed_in_common_are_left_out(tmp_path, monkeypatch):
    study = Study(methods=METHODS, seeds=(0, 1), **SETTINGS)
    run_trial = Bench.run_trial

    def crashing(self, trial, groups):
        if (trial.method, trial.seed) in {("bce-continued", 1), ("fairpo-dpo", 0)}:
            raise MemoryError("no room")
        return run_trial(self, trial, groups)

    monkeypatch.setattr(Bench, "run_trial", crashing)
    metrics = run(study, tmp_path)
    assert [row["method"] for row in metrics["rows"]] == ["bce", "bce", "fairpo-dpo", "fairpo-dpo"]
    assert metrics["seeds"] == [1]
    assert "bce-continued has no figures" in str(metrics["notes"])


def failing_references(monkeypatch, *seeds, variant=None):
    train_reference = Bench.train_reference

    def crashing(self, trial):
        if trial.seed in seeds and variant in (None, trial.variant):
            raise MemoryError("no room")
        return train_reference(self, trial)

    monkeypatch.setattr(Bench, "train_reference", crashing)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_reference_that_fails_takes_its_seed_only(tmp_path, monkeypatch, n_jobs):
    study = Study(methods=METHODS, seeds=(0, 1, 2), **SETTINGS)
    if n_jobs == 1:
        failing_references(monkeypatch, 0)
        error = "MemoryError: no room"
    else:
        monkeypatch.setattr(conducting, "Bench", DyingReference)
        error = "RuntimeError: its process died: killed, or out of memory"
    metrics = run(study, tmp_path, n_jobs=n_jobs)
    assert metrics["failed"] == ["reference 0"]
    assert f"reference 0 failed: {error}" in metrics["notes"]
    assert metrics["seeds"] == [1, 2]
    statuses = {(r["seed"], r["method"]): r["status"] for r in records(tmp_path)}
    assert statuses == {(0, "bce"): "failed"} | {(s, m): "done" for s in (1, 2) for m in METHODS}
    monkeypatch.undo()
    metrics = run(study, tmp_path)
    assert (metrics["failed"], metrics["seeds"]) == ([], [0, 1, 2])


class DyingReference(Bench):
    def train_reference(self, trial):
        if trial.seed == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().train_reference(trial)


def test_where_every_reference_fails_it_says_so(tmp_path, monkeypatch):
    failing_references(monkeypatch, 0, 1)
    with pytest.raises(FairPOError, match="reference came to an end: reference 0: MemoryError: no"):
        run(Study(methods=METHODS, seeds=(0, 1), **SETTINGS), tmp_path)
    assert [r["status"] for r in records(tmp_path)] == ["failed", "failed"]


def test_a_reference_that_chooses_the_labels_has_to_be_there(tmp_path, monkeypatch):
    """Another seed's would choose others, and all trials would be other ones at the next call."""
    failing_references(monkeypatch, 0)
    study = Study(methods=METHODS, privileged="worst:2", seeds=(0, 1), **SETTINGS)
    with pytest.raises(FairPOError, match="seed 0, which chooses the privileged labels: MemoryErr"):
        run(study, tmp_path)


def test_a_variant_whose_references_fail_is_left_out(tmp_path, monkeypatch):
    failing_references(monkeypatch, 0, variant="wider")
    setups = {"as it is": {}, "wider": {"head": {"hidden": [9]}}}
    study = Study(kind="setups", methods=METHODS, setups=setups, **SETTINGS)
    metrics = run(study, tmp_path, report=write_report)
    assert [variant["name"] for variant in metrics["variants"]] == ["as it is"]
    assert metrics["failed"] == ["reference 0 (wider)"]
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize("folder", ["scores", "references"])
def test_a_torn_file_is_made_again(tmp_path, folder):
    study = Study(methods=("bce", "bce-continued"), **SETTINGS)
    before = run(study, tmp_path)
    for path in (tmp_path / folder).iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    more = study.model_copy(update={"methods": METHODS})
    metrics = run(more, tmp_path)
    assert metrics["failed"] == []
    cells = {row["method"]: row["cells"] for row in metrics["rows"] if row["epoch"] == "last"}
    for row in before["rows"]:
        if row["epoch"] == "last":
            assert cells[row["method"]] == row["cells"]


def test_a_process_that_dies_takes_its_own_trial_only(tmp_path, monkeypatch):
    study = Study(methods=METHODS, **SETTINGS)
    monkeypatch.setattr(conducting, "Bench", Dying)
    metrics = run(study, tmp_path, n_jobs=2)
    statuses = {r["method"]: r["status"] for r in records(tmp_path)}
    assert statuses == {"bce": "done", "bce-continued": "failed", "fairpo-dpo": "done"}
    assert "its process died: killed, or out of memory" in str(metrics["notes"])


class Dying(Bench):
    def run_trial(self, trial, groups):
        if trial.method == "bce-continued":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run_trial(trial, groups)


def test_killed_and_called_again_it_ends_as_if_never_stopped(whole, tmp_path):
    study, folder, _ = whole
    write_study(tmp_path / "study.yaml", study)
    code = (
        "import sys; from pathlib import Path; from tests.experiments.test_study import *;"
        "run(read_study(Path(sys.argv[1]) / 'study.yaml'), Path(sys.argv[1]))"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) as running:
        end = time.monotonic() + 60
        while len(records(tmp_path)) < 2:
            assert time.monotonic() < end
            time.sleep(0.01)
        running.kill()
    with (tmp_path / "results.jsonl").open("a") as stream:
        stream.write('{"key": "cut of')  # as a kill in the middle of a write leaves it
    run(study, tmp_path)
    assert results(tmp_path) == results(folder)


def test_it_is_finished_for_these_data_and_this_reference_only(tmp_path):
    path = tmp_path / "scores.npy"
    np.save(path, np.random.default_rng(0).normal(size=(400, 6)))
    folder = tmp_path / "study"
    study = Study(methods=("bce", "fairpo-dpo"), reference=str(path), **SETTINGS)
    metrics = run(study, folder)
    given = {(r["reference"], r["reference_kind"]) for r in records(folder)}
    assert given == {(str(path), "logits")}
    assert {r["reference_digest"] for r in records(folder)} == {
        inputs_of(study, small())["reference"]
    }
    assert finished(folder, study, inputs_of(study, small())) == json.loads(json.dumps(metrics))
    without = study.model_copy(update={"reference": None})
    assert finished(folder, without, inputs_of(without, small())) is None
    data = small()
    other = MultiLabelData(data.features + 1, data.targets, data.label_names, data.split)
    assert finished(folder, study, inputs_of(study, other)) is None
    np.save(path, np.random.default_rng(1).normal(size=(400, 6)))
    assert finished(folder, study, inputs_of(study, small())) is None
    probabilities = study.model_copy(update={"reference_kind": "probs"})
    assert inputs_of(probabilities, small()) != inputs_of(study, small())
    again = run(study, folder)
    assert again["per_label"][0]["reference_ap"] != metrics["per_label"][0]["reference_ap"]
    path.unlink()
    with pytest.raises(FairPOFileError, match="scores.npy: is not a run folder or an .npy file"):
        inputs_of(study, small())


def test_a_method_that_variants_leave_alone_is_run_once(tmp_path):
    study = Study(
        kind="sensitivity",
        methods=("bce-continued", "fairpo-dpo"),
        grid={"beta": (0.5,)},
        **SETTINGS,
    )
    metrics = run(study, tmp_path)
    assert [(r["variant"], r["method"]) for r in records(tmp_path)] == [
        ("as given", "bce"),
        ("as given", "bce-continued"),
        ("as given", "fairpo-dpo"),
        ("beta=0.5", "fairpo-dpo"),
    ]
    rows = [
        {r["method"]: r["cells"] for r in v["metrics"]["rows"] if r["epoch"] == "last"}
        for v in metrics["variants"]
    ]
    assert rows[0]["bce-continued"] == rows[1]["bce-continued"]
    assert rows[0]["fairpo-dpo"] != rows[1]["fairpo-dpo"]


def test_overwritten_nothing_of_before_is_left(tmp_path):
    study = Study(methods=("bce", "bce-continued"), **SETTINGS)
    run(study, tmp_path)
    (tmp_path / "sweep.db").write_text("of a sweep that was here")
    run(study, tmp_path, overwrite=True)
    assert [r["method"] for r in records(tmp_path)] == ["bce", "bce-continued"]
    assert not (tmp_path / "sweep.db").exists()


def test_a_folder_in_which_it_was_killed_at_once_is_taken(tmp_path):
    (tmp_path / ".lock").touch()
    check_folder(tmp_path, Study(methods=METHODS, **SETTINGS))


def test_a_ledger_that_was_altered_is_refused(tmp_path):
    (tmp_path / "results.jsonl").write_text('{"key": "a"}\nnonsense\n')
    with pytest.raises(FairPOFileError, match="results.jsonl: line 2 is not a record"):
        Ledger(tmp_path).records()


def test_another_study_is_not_written_over(whole, tmp_path):
    study, folder, _ = whole
    longer = study.training.model_copy(update={"epochs": 7})
    other = study.model_copy(
        update={"privileged": "a", "training": longer, "options": {"beta": 0.3}}
    )
    differ = "holds another study, with other privileged, beta, epochs. Choose another folder"
    with pytest.raises(FairPOFileError, match=differ):
        check_folder(folder, other)
    (tmp_path / "study.yaml").write_text("of: a version that had other settings")
    with pytest.raises(FairPOFileError, match="holds another study. Choose another folder"):
        check_folder(tmp_path, study)
    (tmp_path / "study.yaml").unlink()
    check_folder(folder, other, overwrite=True)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FairPOFileError, match="is not empty and does not hold a run"):
        check_folder(tmp_path, study, overwrite=True)


def test_partitions_by_the_reference_share_those_of_the_first_seed(tmp_path):
    study = Study(
        kind="partitions",
        partitions=("worst:2", "c"),
        methods=("bce", "fairpo-dpo"),
        seeds=(0, 1),
        **SETTINGS,
    )
    metrics = run(study, tmp_path)
    assert [variant["name"] for variant in metrics["variants"]] == ["worst:2", "c"]
    worst = metrics["variants"][0]["metrics"]["groups"][0]["labels"]
    by_seed = {tuple(r["privileged"]) for r in records(tmp_path) if r["variant"] == "worst:2"}
    assert {tuple(sorted(labels)) for labels in by_seed} == {tuple(sorted(worst))}
    assert len(list((tmp_path / "references").iterdir())) == 2  # a seed, shared by the variants


def test_a_closed_form_is_solved_for_once_a_seed(tmp_path, monkeypatch):
    seeds = []

    def solve(data, head, settings, **options):
        seeds.append(settings.seed)
        return kernel_reference(data, head, settings, **options)

    monkeypatch.setattr("fairpo.training.fit.kernel_reference", solve)
    methods = ("bce", "kernel-ridge", "fairpo-crossfit", "fairpo-crossfit/no-preference")
    study = Study(methods=methods, seeds=(0, 1), **SETTINGS)
    metrics = run(study, tmp_path)
    assert seeds == [0, 1]
    assert not metrics["failed"]
    for method in methods[1:]:
        alone, _ = SeedRunner(small(), study, 0).run(method)
        scores = read_scores(tmp_path / "scores" / f"{record_of(tmp_path, method)['key']}.npz")
        last = scores.get("last") or scores["selected"]  # where both are one
        assert np.array_equal(last.test, alone.last.test)
    assert seeds == [0, 1, 0, 0, 0]


def record_of(folder, method):
    (record,) = [r for r in records(folder) if r["method"] == method and r["seed"] == 0]
    return record
