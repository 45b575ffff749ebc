"""``fairpo labelsets`` from training to figures, and its mistakes."""

import json
import re

import numpy as np
import pytest

from tests.command import fairpo

QUICK = ["--set", "reference_epochs=3", "--set", "width=16", "--set", "epochs=1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from tests.conftest import problem

    path = tmp_path_factory.mktemp("labelsets")
    X, y = problem()
    names = np.array(list("abcdef"))
    np.savez(
        path / "small.npz",
        X=X,
        Y=y,
        label_names=names,
        train_idx=np.arange(300),
        test_idx=np.arange(300, 400),
    )
    done = fairpo(
        *("labelsets", "train", "small.npz", "--out", "run", "--method", "fairpo-dpo"),
        *("--privileged", "a", *QUICK),
        cwd=path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "fairpo-dpo, privileged a: run\n"
    return path


def test_sampled_sets_keep_their_constraints(folder):
    words = ("labelsets", "sample", "run", "small.npz", "--k", "3", "--must-have", "a")
    for name, more in {"search": (), "draw": ("--draw", "--seed", "4")}.items():
        rules = ("--must-not", "b,c", "--exclusive", "d,e")
        done = fairpo(*words, *rules, *more, "--out", f"{name}.jsonl", cwd=folder)
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        assert len(rows) == 400
        for row in rows:
            labels = [tuple(each["labels"]) for each in row["sets"]]
            assert len(set(labels)) == 3
            for each in map(set, labels):
                assert "a" in each and not each & {"b", "c"} and not {"d", "e"} <= each
            assert 0 < sum(each["probability"] for each in row["sets"]) <= 1 + 1e-9


def test_an_evaluation_says_where_the_run_is_its_reference(folder):
    words = ("labelsets", "train", "small.npz", "--method", "fairpo-dpo", "--privileged", "a")
    done = fairpo(*words, *QUICK, "--set", "learning_rate=1e-12", "--out", "same", cwd=folder)
    assert done.returncode == 0 and "the reference is returned" in done.stderr
    told = "note: fairpo-dpo found no gain on validation, so the run is its reference.\n"
    assert told in fairpo("labelsets", "evaluate", "same", cwd=folder).stderr


def test_evaluation_of_the_run_and_its_reference(folder):
    done = fairpo("labelsets", "evaluate", "run", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["n_rows"] == 100
    for model in ("reference", "fairpo-dpo"):
        covered = found["models"][model]["coverage"]["privileged"]
        assert 0 <= covered["low"] <= covered["value"] <= covered["high"] <= 1
        assert found["models"][model]["log_likelihood"]["all"]["high"] < 0
    before, after = (found["models"][model]["log_likelihood"]["all"] for model in found["models"])
    change = found["differences"]["fairpo-dpo"]["log_likelihood"]["all"]
    assert change["value"] == pytest.approx(after["value"] - before["value"])
    assert change["low"] <= change["value"] <= change["high"]
    table = fairpo("labelsets", "evaluate", "run", "small.npz", "--k", "2", cwd=folder)
    assert "95% intervals" in table.stdout
    (row,) = re.findall(r"true set covered +│ all +│ (.*)", table.stdout)
    interval = r"[+-]?[\d.]+ \[[+-]?[\d.]+, [+-]?[\d.]+\]"
    assert re.fullmatch(rf"{interval} +│ {interval} +│ {interval} *│?", row)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "small.npz", "--out", "x", "--set", "widths=3"], "Did you mean 'width'"),
        (["train", "small.npz", "--out", "run"], "already holds a run"),
        (["train", "small.npz", "--out", "x", "--method", "dpp"], "Did you mean 'dpo'"),
        (["sample", "run", "small.npz", "--out", "x.csv"], "must end in .jsonl"),
        (["sample", "run", "small.npz", "--out", "x.jsonl", "--must-have", "z"], "label 'z'"),
        (["evaluate", "small.npz"], "does not hold a set generator"),
    ],
)
def test_mistakes(folder, words, message):
    done = fairpo("labelsets", *words, cwd=folder)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (folder / "x").exists()
