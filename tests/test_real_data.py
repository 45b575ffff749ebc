"""The main job on the real sets, where they are; minutes each, so only in make test-slow."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fairpo import load_data


@pytest.mark.parametrize(
    ("name", "rows", "labels"),
    [("tmc2007_500", 28596, 22), ("goemotions_minilm", 54263, 28), ("delicious", 16105, 983)],
)
def test_sets_are_read(shared_data, name, rows, labels):
    data = load_data(Path(shared_data) / f"{name}.npz")
    assert (data.n_rows, data.n_labels) == (rows, labels)
    assert set(data.split) == {"train", "validation", "test"}
    assert sum(len(part) for part in data.split.values()) == rows


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tmc2007_500", "goemotions_minilm"])
def test_comparison(shared_data, tmp_path, name):
    command = [sys.executable, "-m", "fairpo", "compare", Path(shared_data) / f"{name}.npz"]
    subprocess.run([*command, "--out", tmp_path / "out", "--seeds", "1"], check=True)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert len(metrics["rows"]) == 16
    assert metrics["rows"][0]["cells"]["map/non_privileged"]["value"] > 0.3
