"""``fairpo check``: exit codes, the table and JSON, on runs that were really trained."""

import json

import numpy as np
import pytest
import torch

from fairpo._checks import FairPOValueError, FairPOWarning
from fairpo.cli import app
from fairpo.data import MultiLabelData, load_data
from fairpo.experiments.plan import Plan
from fairpo.experiments.train import train_run
from fairpo.models import HeadSettings
from fairpo.models.checkpoint import read_weights, write_checksums, write_weights
from fairpo.training import TrainingSettings, load
from tests.conftest import problem


@pytest.fixture
def folder(tmp_path):
    X, y = problem(rows=2400)
    path = tmp_path / "small.npz"
    rows = np.arange(2400)
    np.savez(
        path,
        X=X,
        Y=y,
        label_names=np.array(list("abcdef")),
        train_idx=rows[:900],
        test_idx=rows[900:],
    )
    plan = Plan(
        data=str(path),
        methods=("bce", "bce-continued"),
        privileged="e,f",
        training=TrainingSettings(epochs=1, reference_epochs=20, learning_rate=1e-4),
        head=HeadSettings(kind="linear", hidden=(), dropout=0),
        n_resamples=100,
    )
    train_run(load_data(str(path)), plan, tmp_path / "run", report=lambda target: None)
    return tmp_path / "run"


def break_label(folder, label):
    """Let the model rank one label's rows backwards."""
    weights = read_weights(folder / "model.safetensors")
    n_labels = len("abcdef")
    for value in weights.values():
        if value.ndim and value.shape[0] == n_labels:
            value[label] *= -1
    write_weights(folder / "model.safetensors", weights)
    write_checksums(folder)


def shake(folder, size):
    """Move the model away from its reference, in no direction."""
    weights = read_weights(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(0)
    for name, value in weights.items():
        if name.endswith("weight"):
            value += size * torch.randn(value.shape, generator=generator)
    write_weights(folder / "model.safetensors", weights)
    write_checksums(folder)


def check(*arguments):
    return app(["check", *map(str, arguments)], standalone_mode=False)


def test_a_run_without_harm_passes(folder, capsys):
    assert check(folder, "--max-drop-points", 2) == 0
    out = capsys.readouterr().out
    assert "mAP, N" in out and ">= -2.00" in out and out.rstrip().endswith("pass")


def test_a_label_that_lost_fails_the_run_and_is_named(folder, capsys):
    break_label(folder, 4)  # privileged: it must not lose either
    assert check(folder, "--max-drop-points", 10) == 0
    assert check(folder, "--max-drop-points", 10, "--per-label") == 1
    out = capsys.readouterr().out
    assert out.rstrip().endswith("fail: e")
    assert "1 fail" in out
    assert check(folder, "--max-drop-points", 10, "--per-label", "--json") == 1
    result = json.loads(capsys.readouterr().out)
    assert result["failed"] == ["e"] and result["n_rows"] == 1500
    label = next(label for label in result["labels"] if label["label"] == "e")
    assert label["difference"] < -0.1 and label["p_adjusted"] < 0.01
    assert label["groups"] == ["privileged"]


def test_few_rows_leave_it_undecided_and_few_positives_are_told(folder, tmp_path, capsys):
    shake(folder, 0.05)
    X, y = problem(rows=2400)
    np.savez(tmp_path / "few.npz", X=X[-40:], Y=y[-40:], label_names=np.array(list("abcdef")))
    arguments = [folder, tmp_path / "few.npz", "--min-gain-points", "0.1", "--max-drop-points", "0"]
    assert check(*arguments, "--per-label", "--min-positives", "15") == 3
    out = capsys.readouterr().out
    assert "too few positives" in out and out.rstrip().endswith("undecided")


def test_a_mistake_is_told(folder):
    with pytest.raises(FairPOValueError, match=r"GateSettings\.level must be less than 1"):
        check(folder, "--level", 95)


def test_rows_made_of_the_same_items_are_drawn_together(folder, capsys, monkeypatch):
    run = load(folder)
    data = load_data(run.config.data)
    blocks = MultiLabelData(
        data.features,
        data.targets,
        data.label_names,
        data.split,
        clusters=np.arange(data.n_rows) // 10,
        name="blocks",
    )
    monkeypatch.setattr("fairpo.experiments.evaluate.load_data", lambda source, told: blocks)
    with pytest.warns(FairPOWarning, match="is not the data this run was trained on"):
        assert check(folder, "--json") == 0
    assert json.loads(capsys.readouterr().out)["clusters"] == 150
