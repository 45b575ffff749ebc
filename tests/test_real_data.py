"""The main job on the real sets, where they are; minutes each, so only in make test-slow."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fairpo import load_data
from fairpo.groups import parse_privileged
from fairpo.metrics import average_precision
from fairpo.models import HeadSettings
from fairpo.training import TrainingSettings
from fairpo.training.fit import choose_groups, train_method, train_reference
from fairpo.training.rows import predict_logits, training_rows


@pytest.mark.parametrize(
    ("name", "rows", "labels"),
    [("tmc2007_500", 28596, 22), ("goemotions_minilm", 54263, 28), ("delicious", 16105, 983)],
)
def test_sets_are_read(shared_data, name, rows, labels):
    data = load_data(Path(shared_data) / f"{name}.npz")
    assert (data.n_rows, data.n_labels) == (rows, labels)
    assert set(data.split) == {"train", "validation", "test"}
    assert sum(len(part) for part in data.split.values()) == rows


@pytest.mark.parametrize(
    "name", ["asl", "focal", "bce-class-balanced", "bce-distribution-balanced"]
)
def test_published_baselines_learn_on(shared_data, name):
    """One epoch from a short reference on tmc2007 ranks better than the reference."""
    data = load_data(Path(shared_data) / "tmc2007_500.npz")
    settings = TrainingSettings(epochs=1, reference_epochs=2)
    reference = train_reference(data, HeadSettings(hidden=(32,)), settings)
    groups = choose_groups(parse_privileged("rarest:20%"), data, None)
    fitted = train_method(data, reference, groups, name, settings)
    rows = training_rows(data, "test", reference.logits)
    before, after = (
        np.nanmean(average_precision(predict_logits(policy, rows), data.targets_of(rows.rows)))
        for policy in (reference.policy, fitted.last_policy())
    )
    assert after > before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tmc2007_500", "goemotions_minilm"])
def test_comparison(shared_data, tmp_path, name):
    command = [sys.executable, "-m", "fairpo", "compare", Path(shared_data) / f"{name}.npz"]
    subprocess.run([*command, "--out", tmp_path / "out", "--seeds", "1"], check=True)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert len(metrics["rows"]) == 16
    assert metrics["rows"][0]["cells"]["map/non_privileged"]["value"] > 0.3
