"""``fairpo sweep``: what a user sees of it."""

import json

import pytest

from fairpo.experiments.sweep_store import without_password
from tests.command import fairpo

FAST = ["--set", "epochs=2", "--set", "reference_epochs=3", "--set", "hidden=[8]", "--jobs", "1"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    import numpy as np

    from tests.conftest import problem

    folder = tmp_path_factory.mktemp("sweep")
    X, y = problem()
    np.savez(folder / "small.npz", X=X, Y=y, label_names=np.array(list("abcdef")))
    words = ["sweep", "small.npz", "--method", "bce-reweighted", "--out", "out", *FAST]
    return folder, words, fairpo(*words, "--trials", 2, cwd=folder)


def test_it_prints_trials_and_final_figures(swept):
    folder, _, result = swept
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert "bce-reweighted: trials, validation rows" in result.stdout
    assert any(word in lines[2] for word in ("learning_rate", "privileged_weight"))
    assert "Trials: 2 complete." in result.stdout
    assert "small: " in result.stdout
    assert lines[-1] == "out/report.html"
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    assert metrics["command"].startswith("fairpo sweep small.npz --method bce-reweighted")
    reference = f"{100 * metrics['sweep']['reference']['privileged']:.2f}"
    assert reference in result.stdout


def test_called_again_it_shows_what_there_is_and_more_trials_add(swept):
    folder, words, _ = swept
    again = fairpo(*words, "--trials", 2, "--json", cwd=folder)
    assert "out holds these results already; --overwrite runs them again." in again.stderr
    first = json.loads(again.stdout)["sweep"]["trials"]
    more = fairpo(*words, "--trials", 3, "--json", cwd=folder)
    assert json.loads(more.stdout)["sweep"]["trials"][:2] == first
    assert len(json.loads(more.stdout)["sweep"]["trials"]) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "bce"], "methods must name one method beside the reference, got none"),
        (["--search", "betta=1:2"], "setting 'betta' is not among"),
        (["--search", "beta=2:1"], "search.beta: low must be below high"),
        (["--objective", "best"], "Sweep.objective must be 'constrained' or 'pareto', got 'best'"),
        (["--storage", "nonsense"], "storage must be a database as SQLAlchemy has it"),
    ],
)
def test_what_is_wrong_is_said_before_any_training(swept, words, message):
    folder, _, _ = swept
    result = fairpo("sweep", "small.npz", "--out", "other", *FAST, *words, cwd=folder)
    assert result.returncode == 2
    assert message in result.stderr
    assert not (folder / "other").exists()


def test_a_storage_is_checked_before_the_data_and_its_password_is_not_shown(tmp_path):
    words = ["sweep", "no-such-data.npz", "--out", "other", *FAST]
    result = fairpo(*words, "--storage", "postgres://me:secret@host/name", cwd=tmp_path)
    assert result.returncode == 2
    assert "storage must be a database as SQLAlchemy has it, got 'postgres://me:***@" in (
        result.stderr
    )
    assert "secret" not in result.stderr


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@host/name", "postgresql://me:***@host/name"),
        ("postgres://me:secret@host/name", "postgres://me:***@host/name"),
        ("postgresql:/me:secret@host/name", "postgresql:/me:***@host/name"),
        ("postgresql://me:secret@host:port/name", "postgresql://me:***@host:port/name"),
        ("sqlite:///a.db", "sqlite:///a.db"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_password_is_not_shown(url, shown):
    assert without_password(url) == shown
