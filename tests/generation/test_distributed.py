"""Two processes over gloo, with half the pairs each, are one process: within 1e-5 in float32."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PER_STEP = ("loss", "group_losses", "group_weights", "margins")

OPTIONS = {
    "one micro-batch": {"step_size": 0.5, "beta": 0.5},
    "exact": {
        "method": "fairpo-cpo",
        "step_size": 0.5,
        "accumulation": "exact",
        "gradient_accumulation_steps": 2,
        "precompute_ref_log_probs": True,
        "privileged": "worst:2",
        "learning_rate": 1e-3,
    },
    "lagged": {"method": "fairpo-simpo", "step_size": 0.5, "gradient_accumulation_steps": 2},
    "sft": {"method": "sft", "privileged": None},
    "adapters": {"gradient_accumulation_steps": 2},
}


def launch(folder, processes):
    words = ["tests/generation/two_processes.py", str(folder), json.dumps(OPTIONS)]
    if processes > 1:
        run = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        words = ["-m", *run, *words]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads((folder / f"found-{processes}.json").read_text())


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    return {processes: launch(folder, processes) for processes in (1, 2)}


@pytest.mark.parametrize("name", OPTIONS)
def test_two_processes_are_one(found, name):
    one, two = found[1][name], found[2][name]
    for key in (*PER_STEP, "weights"):
        assert two[key] == pytest.approx(one[key], abs=1e-5), key
    assert two["metrics"].keys() == one["metrics"].keys()
    for key, value in one["metrics"].items():
        assert two["metrics"][key] == pytest.approx(value, abs=1e-4), key


@pytest.mark.parametrize("name", OPTIONS)
def test_every_pair_is_evaluated_once(found, name):
    assert found[1][name]["rows"] == found[2][name]["rows"] == 13  # which is odd


@pytest.mark.parametrize("name", OPTIONS)
def test_resumed_on_two_processes(found, name):
    assert found[1][name]["resumed_differs_by"] == 0
    assert found[2][name]["resumed_differs_by"] == 0
