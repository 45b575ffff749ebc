"""Sweeps: what a trial is worth, and that trials are shared, pruned, recorded and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from fairpo._checks import (
    FairPOError,
    FairPOFileError,
    FairPOImportError,
    FairPOValueError,
    build_settings,
)
from fairpo.experiments import sweep as sweeping
from fairpo.experiments import sweep_store
from fairpo.experiments.ledger import Ledger
from fairpo.experiments.pool import uncounted
from fairpo.experiments.search import build_search
from fairpo.experiments.study import read_study, write_study
from fairpo.experiments.study_folder import check_folder, finished, inputs_of
from fairpo.experiments.sweep import run_sweep, trial_front
from fairpo.experiments.sweep_plan import Sweep
from fairpo.experiments.trials import Bench
from fairpo.report.charts import front_line
from fairpo.training.fit import choose_groups, train_method, train_reference
from tests.experiments.test_study import small

SETTINGS = {
    "data": "small",
    "methods": ("bce-reweighted",),
    "training": {"epochs": 3, "reference_epochs": 3, "batch_size": 64},
    "head": {"hidden": [8]},
    "n_resamples": 100,
    "n_permutations": 100,
}


def run(sweep, folder, data=None, **options):
    check_folder(folder, sweep, overwrite=options.get("overwrite", False))
    return run_sweep(sweep, data or small(), folder, **{"report": str, **options})


def search(sweep, folder, kind=sweeping._Search, **options):
    """The entry of ``metrics.json`` of a search alone."""
    ledger = Ledger(folder)
    ledger.make_folders()
    url = f"sqlite:///{folder / 'sweep.db'}"
    searched = kind.prepare(sweep, Bench(small(), "small", ledger), url, uncounted)
    searched.run(count=uncounted, alone=True, **options)
    return {"sweep": searched.write_up()[0]}


def trials(metrics, *more):
    """Trials without when and how long."""
    kept = ("state", "settings", "values", "epochs", "error", *more)
    return [{key: row[key] for key in kept} for row in metrics["sweep"]["trials"]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    sweep = Sweep(n_trials=14, **SETTINGS)
    return sweep, folder, run(sweep, folder)


def test_the_epochs_of_a_network_from_scratch_are_those_of_a_reference(tmp_path):
    told = {**SETTINGS, "methods": ("fairpo-crossfit",), "tuning_seeds": (0, 1)}
    sweep = Sweep(**{**told, "training": {"epochs": 1, "reference_epochs": 3, "patience": 3}})
    ledger = Ledger(tmp_path)
    ledger.make_folders()
    bench = Bench(small(), "small", ledger)
    url = f"sqlite:///{tmp_path / 'sweep.db'}"
    searched = sweeping._Search.prepare(sweep, bench, url, uncounted)
    steps = []
    searched.train({}, lambda step, value: steps.append(step))
    assert steps == [1, 2, 3, 4, 5, 6]


# What is found


def test_the_first_trial_is_the_method_as_given(whole):
    _, _, metrics = whole
    first = metrics["sweep"]["trials"][0]
    given = {"learning_rate": 5e-4, "privileged_weight": 5.0}
    assert first["settings"] == metrics["sweep"]["given"] == given


def test_settings_lie_in_the_space_and_differ(whole):
    sweep, _, metrics = whole
    settings = [row["settings"] for row in metrics["sweep"]["trials"]]
    assert len(settings) == 14
    assert len({tuple(each.values()) for each in settings}) == 14
    for each in settings:
        assert all(sweep.search[name].holds(value) for name, value in each.items())


def test_some_trials_are_pruned_and_say_where_they_stood(whole):
    _, _, metrics = whole
    states = [row["state"] for row in metrics["sweep"]["trials"]]
    assert states[:5] == ["complete"] * 5  # there is no median yet
    assert {"complete", "pruned"} == set(states)
    complete = [row for row in metrics["sweep"]["trials"] if row["state"] == "complete"]
    pruned = [row for row in metrics["sweep"]["trials"] if row["state"] == "pruned"]
    best = max(row["values"][0] for row in complete)
    assert all(row["values"][0] < best and row["epochs"] is None for row in pruned)


def test_a_trial_is_worth_its_best_epoch_within_tolerance(whole):
    """Against the training done anew, epoch by epoch."""
    sweep, _, metrics = whole
    data = small()
    reference = train_reference(data, sweep.head, sweep.training)
    groups = choose_groups(_rule(sweep), data, None)
    start = metrics["sweep"]["reference"]
    for row in metrics["sweep"]["trials"]:
        if row["state"] != "complete":
            continue
        plan = sweep.with_settings(row["settings"])
        fitted = train_method(
            data,
            reference,
            groups,
            sweep.method,
            plan.training_for(sweep.method),
            options=plan.options_for(sweep.method),
        )
        best, at, least, closest = -1.0, None, 1.0, None
        for record in fitted.training.epochs:
            goal = record["validation"]["map/privileged"]
            past = start["non_privileged"] - 0.005 - record["validation"]["map/non_privileged"]
            if past <= 0 and goal > best:
                best, at = goal, record["epoch"]
            if past > 0 and past < least:
                least, closest = past, record["epoch"]
        assert row["values"][0] == pytest.approx(best if at else -least, abs=1e-12)
        assert row["epochs"] == [at or closest]
        assert row["fell_back_share"] == float(fitted.fell_back)
        assert fitted.fell_back == (at is None or best <= start["privileged"])


def test_what_was_chosen_runs_beside_the_settings_as_given(whole):
    sweep, folder, metrics = whole
    entry = metrics["sweep"]
    complete = [r for r in entry["trials"] if r["state"] == "complete" and not r["fell_back_share"]]
    best = max(complete, key=lambda row: row["values"][0])
    assert entry["chosen"] == [best["number"]]
    study = read_study(folder / "study.yaml")
    name = f"trial {best['number']}"
    assert study.chosen == {name: {"bce-reweighted": best["settings"]}}
    assert [variant["name"] for variant in metrics["variants"]] == ["as given", name]
    for variant in metrics["variants"]:
        methods = [r["method"] for r in variant["metrics"]["rows"] if r["epoch"] == "selected"]
        assert methods == ["bce", "bce-reweighted"]
    record = [r for r in Ledger(folder).records() if r["variant"] == name][-1]
    own = record["options"] | record["training"]
    assert {key: own[key] for key in best["settings"]} == best["settings"]
    assert json.loads((folder / "metrics.json").read_text())["sweep"] == entry
    assert finished(folder, sweep, inputs_of(sweep, small())) is not None
    more = sweep.model_copy(update={"n_trials": 50})
    assert finished(folder, more, inputs_of(more, small())) is None
    check_folder(folder, more)


def test_importance_is_a_share(tmp_path):
    """Of a value that depends on one of two settings alone."""
    search = build_search({"beta": {"low": 0.1, "high": 4}, "slack": {"low": 0, "high": 1}})
    url = f"sqlite:///{tmp_path / 'sweep.db'}"
    store = sweep_store.SweepStore(url, "x", search, frozenset(), None, 1, 0, 0)
    about = dict.fromkeys(sweep_store.ABOUT)
    found = []
    with store.open() as trials:
        for number in range(20):
            trials.run(lambda settings, report: ((settings["beta"],), about), 20, f"{number}")
            found.append(trials.importance())
    fewest, importance = sweep_store.FEWEST_FOR_IMPORTANCE, found[-1]
    assert found[: fewest - 1] == [None] * (fewest - 1)  # of so few it would be noise
    assert None not in found[fewest - 1 :]
    assert importance["beta"] > 0.9
    assert sum(importance.values()) == pytest.approx(1)
    assert min(importance.values()) >= 0


def test_test_rows_are_not_touched(whole, tmp_path):
    sweep, _, metrics = whole
    data = small()
    test, generator = data.rows("test"), np.random.default_rng(0)
    features, targets = data.features.copy(), data.targets.copy()
    features[test] = generator.normal(size=features[test].shape)
    targets[test] = 1 - targets[test]
    scrambled = run(sweep, tmp_path, replace(data, features=features, targets=targets))
    assert trials(scrambled, "number") == trials(metrics, "number")
    assert scrambled["sweep"]["chosen"] == metrics["sweep"]["chosen"]
    assert scrambled["sweep"]["importance"] == metrics["sweep"]["importance"]


def test_a_front_of_both_groups(tmp_path):
    sweep = Sweep(n_trials=12, objective="pareto", tuning_seeds=(0, 1), **SETTINGS)
    metrics = run(sweep, tmp_path)
    entry = metrics["sweep"]
    assert {row["state"] for row in entry["trials"]} == {"complete"}
    for row in entry["trials"]:
        assert row["values"] == [row["privileged"], row["non_privileged_change"]]
        assert len(row["epochs"]) == 2
        difference = row["non_privileged"] - entry["reference"]["non_privileged"]
        assert row["non_privileged_change"] == pytest.approx(difference)
    assert set(entry["chosen"]) <= set(entry["front"])
    assert 1 <= len(entry["chosen"]) <= sweeping.MOST_FROM_FRONT
    assert len(metrics["variants"]) == 1 + len(entry["chosen"])
    assert sum(entry["importance"].values()) == pytest.approx(1)
    names = {f"trial {number}" for number in entry["chosen"]}
    assert names == set(read_study(tmp_path / "study.yaml").chosen)


def test_the_front_is_that_of_a_double_loop():
    generator = np.random.default_rng(0)
    for n in (0, 1, 2, 30):
        points = generator.integers(-2, 4, size=(n, 2)).tolist()
        rows = [
            {"number": number, "privileged": 2 + p, "non_privileged_change": c}
            for number, (p, c) in enumerate(points)
        ]
        expected = []
        for i, (p, c) in enumerate(points):
            beaten = p <= 0 and c <= 0  # by the reference
            for j, (q, d) in enumerate(points):
                as_good = q >= p and d >= c
                if as_good and ((q, d) != (p, c) or j < i):
                    beaten = True
            if not beaten:
                expected.append(i)
        undefined = {"number": n, "privileged": None, "non_privileged_change": 9}
        front = [row["number"] for row in trial_front([*rows, undefined], 2)]
        assert sorted(front) == expected
        assert [points[i][0] for i in front] == sorted(points[i][0] for i in expected)
        drawn = front_line([{"x": p, "y": c} for p, c in points])
        assert [(at["x"], at["y"]) for at in drawn if at != {"x": 0, "y": 0}] == [
            tuple(points[i]) for i in front
        ]
        assert trial_front(rows, None) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tuning_seeds": (0, 0)}, "tuning_seeds must be one seed or more, none twice"),
        ({"tuning_seeds": (-1,)}, "tuning_seeds must be greater than or equal to 0"),
        ({"seeds": (1, 1)}, "seeds must be one seed or more, none twice"),
        ({"methods": "bce-reweighted"}, "methods must be a valid tuple, got 'bce-reweighted'"),
    ],
)
def test_a_sweep_is_checked_as_a_whole(changes, message):
    with pytest.raises(FairPOValueError, match=message):
        build_settings(Sweep, {**SETTINGS, **changes})


def test_where_nothing_is_better_nothing_is_chosen(tmp_path):
    search = {"learning_rate": {"choices": [1e-9, 2e-9]}}
    metrics = run(Sweep(n_trials=3, search=search, **SETTINGS), tmp_path)
    assert metrics["kind"] == "comparison"
    assert metrics["sweep"]["chosen"] == []
    note = "no trial beat the reference on validation within tolerance."
    assert metrics["sweep"]["notes"] == [note]


def test_the_best_settings_may_be_those_given(tmp_path):
    metrics = run(Sweep(n_trials=1, **SETTINGS), tmp_path)
    assert metrics["sweep"]["notes"] == ["no trial beat the settings as given on validation."]


def test_a_value_that_is_no_number_is_refused_before_any_trial(tmp_path):
    data = small()
    targets = data.targets.copy()
    targets[data.rows("validation")[:, None], [0, 1]] = 0
    sweep = Sweep(n_trials=2, objective="pareto", privileged="a,b", **SETTINGS)
    with pytest.raises(FairPOValueError, match="must have validation positives in both groups"):
        run(sweep, tmp_path, replace(data, targets=targets))


# How it is run


def test_one_process_gives_the_same_trials(whole, tmp_path):
    sweep, _, metrics = whole
    assert trials(run(sweep, tmp_path), "number") == trials(metrics, "number")


def test_two_processes_share_a_search(whole, tmp_path):
    sweep, _, metrics = whole
    again = search(sweep.model_copy(update={"n_trials": 8}), tmp_path, n_jobs=2)
    rows = again["sweep"]["trials"]
    assert [row["number"] for row in rows] == list(range(8))
    assert len({tuple(row["settings"].values()) for row in rows}) == 8
    known = {tuple(t["settings"].values()) for t in trials(metrics)[:8]}
    assert {tuple(t["settings"].values()) for t in trials(again)} == known  # drawn by place


def in_another_process(folder, storage=None):
    code = (
        "import sys; from pathlib import Path; from tests.experiments.test_sweep import *;"
        "from fairpo.experiments.study import read_plan; folder = Path(sys.argv[1]);"
        "run(read_plan(folder / 'sweep.yaml', Sweep), folder, storage=(sys.argv[2:] or [None])[0])"
    )
    arguments = [str(folder), *([storage] if storage else [])]
    return subprocess.Popen([sys.executable, "-c", code, *arguments])


def wait_for(store_url, number):
    """Until so many trials are over."""
    end = time.monotonic() + 60
    while n_over(store_url) < number:
        assert time.monotonic() < end
        time.sleep(0.05)


def n_over(url):
    import sqlalchemy

    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            query = "select count(*) from trials where state != 'RUNNING'"
            return connection.execute(sqlalchemy.text(query)).scalar()
    except sqlalchemy.exc.OperationalError:
        return 0
    finally:
        engine.dispose()


def test_two_calls_share_a_storage_and_choose_the_same(tmp_path):
    sweep = Sweep(n_trials=6, **SETTINGS)
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_study(tmp_path / name / "sweep.yaml", sweep)
    calls = [in_another_process(tmp_path / name, url) for name in ("one", "two")]
    assert [call.wait(120) for call in calls] == [0, 0]
    one, two = (json.loads((tmp_path / n / "metrics.json").read_text()) for n in ("one", "two"))
    assert one["sweep"] == two["sweep"]
    assert len(one["sweep"]["trials"]) == 6
    assert len({tuple(t["settings"].values()) for t in trials(one)}) == 6


def test_killed_and_called_again_it_ends_as_if_never_stopped(whole, tmp_path):
    sweep, _, metrics = whole
    write_study(tmp_path / "sweep.yaml", sweep)
    with in_another_process(tmp_path) as call:
        wait_for(f"sqlite:///{tmp_path / 'sweep.db'}", 3)
        call.kill()
    again = run(sweep, tmp_path)
    assert trials(again) == trials(metrics)


def test_a_trial_killed_elsewhere_is_run_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_store, "HEARTBEAT_SECONDS", 1)
    monkeypatch.setattr(sweep_store, "GRACE_SECONDS", 2)
    sweep = Sweep(n_trials=5, **SETTINGS)
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    (tmp_path / "killed").mkdir()
    write_study(tmp_path / "killed" / "sweep.yaml", sweep)
    with in_another_process(tmp_path / "killed", url) as call:
        wait_for(url, 2)
        call.kill()
    metrics = run(sweep, tmp_path / "other", storage=url)
    assert len(metrics["sweep"]["trials"]) == 5
    # The place of the killed trial is free once it is taken for killed, be it after later ones.
    alone = run(sweep, tmp_path / "alone")
    by_settings = {"key": lambda trial: tuple(trial["settings"].values())}
    assert sorted(trials(metrics), **by_settings) == sorted(trials(alone), **by_settings)


def test_a_trial_killed_before_its_first_heartbeat_is_run_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_store, "HEARTBEAT_SECONDS", 1)
    monkeypatch.setattr(sweep_store, "GRACE_SECONDS", 2)
    search = build_search({"beta": {"low": 0.1, "high": 4}})
    url = f"sqlite:///{tmp_path / 'sweep.db'}"
    store = sweep_store.SweepStore(url, "x", search, frozenset(), None, 1, 0, 0)
    with store.open() as trials:
        study = trials.storage.get_study_id_from_name("x")
        trials.storage.create_new_trial(study)  # and never heard of again
    deadline = time.monotonic() + 30
    running = 1
    while running and time.monotonic() < deadline:
        with store.open() as trials:
            trials.free_stale()
            running = trials.n_running()
        time.sleep(0.3)
    assert running == 0


def test_a_trial_that_another_call_took_for_killed_ends_nothing(tmp_path):
    """As after a pause of the machine: the trial goes on, and is told how it ended too late."""
    about = dict.fromkeys(sweep_store.ABOUT)
    search = build_search({"beta": {"low": 0.1, "high": 4}})
    url = f"sqlite:///{tmp_path / 'sweep.db'}"
    store = sweep_store.SweepStore(url, "x", search, frozenset(), None, 1, 0, 0)

    def paused(settings, report):
        with store.open() as others:
            others.free_running()
        report(1, 0.5)
        return (0.5,), about

    with store.open() as trials:
        trials.run(paused, 3, "slot")
        trials.bury("slot", RuntimeError("its process died"))
        assert trials.counted() == []
        with pytest.raises(RuntimeError, match="it never began"):
            trials.bury("another", RuntimeError("it never began"))
        trials.run(lambda settings, report: ((0.25,), about), 3, "next")
        trials.bury("next", RuntimeError("its process died after the trial"))
        assert [row["values"] for row in trials.table()] == [[0.25]]
        assert [row["error"] for row in trials.table()] == [None]


def test_more_trials_go_on_with_the_search(whole, tmp_path):
    sweep, _, metrics = whole
    fewer = run(sweep.model_copy(update={"n_trials": 3}), tmp_path)
    assert trials(fewer) == trials(metrics)[:3]
    before = read_study(tmp_path / "study.yaml").chosen
    more = run(sweep, tmp_path)
    assert trials(more) == trials(metrics)
    (earlier,) = before.keys() - read_study(tmp_path / "study.yaml").chosen.keys()
    (note,) = more["sweep"]["notes"]
    assert note.startswith(f"{earlier}, chosen earlier, ran on test too")
    assert "the test rows were looked at more than once" in note


def test_a_trial_that_fails_is_recorded_and_the_others_go_on(tmp_path):
    search = {"learning_rate": {"choices": [5e-4, 1e-3, 1e38]}}
    metrics = run(Sweep(n_trials=8, search=search, **SETTINGS), tmp_path)
    by_state = {}
    for row in metrics["sweep"]["trials"]:
        by_state.setdefault(row["state"], []).append(row)
    assert len(metrics["sweep"]["trials"]) == 8
    assert by_state["complete"]
    for row in by_state["failed"]:
        assert row["settings"] == {"learning_rate": 1e38}
        assert "the loss is" in row["error"]


def test_no_trial_that_ends_is_an_error(tmp_path):
    search = {"learning_rate": {"choices": [1e37, 1e38]}}
    with pytest.raises(FairPOError, match="must have a trial that came to an end, got 2 that"):
        run(Sweep(n_trials=2, search=search, **SETTINGS), tmp_path)


class Dying(sweeping._Search):
    def train(self, settings, report):
        if settings["learning_rate"] == 5e-4:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().train(settings, report)


def test_a_process_that_dies_takes_its_own_trial_only(tmp_path):
    rows = search(Sweep(n_trials=4, **SETTINGS), tmp_path, Dying, n_jobs=2)["sweep"]["trials"]
    assert [row["settings"]["learning_rate"] == 5e-4 for row in rows] == [
        row["state"] == "failed" for row in rows
    ]
    assert [row["error"] for row in rows if row["error"]] == [
        "its process died: killed, or out of memory"
    ]
    assert len(rows) == 4


def test_whole_numbers_stay_whole(tmp_path):
    search = {"batch_size": {"low": 16, "high": 64, "log": True}}
    metrics = run(Sweep(n_trials=4, search=search, **SETTINGS), tmp_path)
    sizes = [row["settings"]["batch_size"] for row in metrics["sweep"]["trials"]]
    assert sizes[0] == 64
    assert all(type(size) is int for size in sizes)


# Folders and storages


def test_another_sweep_is_not_written_over(whole, tmp_path):
    sweep, folder, _ = whole
    other = sweep.model_copy(update={"sampler_seed": 1})
    with pytest.raises(
        FairPOFileError, match="another sweep, with other sampler_seed. Choose another"
    ):
        check_folder(folder, other)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FairPOFileError, match="is not empty and does not hold a run"):
        check_folder(tmp_path, sweep, overwrite=True)


def test_overwritten_a_search_begins_anew(tmp_path):
    sweep = Sweep(n_trials=2, **SETTINGS)
    first = run(sweep, tmp_path)
    other = sweep.model_copy(update={"sampler_seed": 1})
    metrics = run(other, tmp_path, overwrite=True)
    assert metrics["sweep"]["name"] not in first["sweep"]["name"]
    assert len(metrics["sweep"]["trials"]) == 2


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("nonsense", FairPOValueError, "storage must be a database as SQLAlchemy has it"),
        (
            "nosuch://me:secret@host/name",
            FairPOValueError,
            r"as SQLAlchemy has it, got 'nosuch://me:\*\*\*@host/name'",
        ),
        (
            "mssql+pymssql://me:secret@host/name",
            FairPOImportError,
            r"driver of mssql\+pymssql://me:\*\*\*@host/name is missing",
        ),
        ("sqlite:////no/such/folder/a.db", FairPOError, "cannot be used: .*unable to open"),
    ],
)
def test_a_storage_that_cannot_be_used(tmp_path, url, error, message):
    with pytest.raises(error, match=message):
        run(Sweep(n_trials=1, **SETTINGS), tmp_path, storage=url)


def test_without_optuna_it_says_what_to_install():
    code = "import sys; sys.modules['optuna'] = None; import fairpo.experiments.sweep"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "a sweep needs the 'tuning' extra: pip install \"fairpo[tuning]\"" in result.stderr


def _rule(sweep):
    from fairpo.groups import parse_privileged

    return parse_privileged(sweep.privileged)
