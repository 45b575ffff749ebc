"""The commands of docs/studies.md run, on less data."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.command import fairpo
from tests.conftest import problem

GUIDE = (Path(__file__).parents[1] / "docs" / "studies.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", GUIDE, flags=re.DOTALL)
    for line in block.splitlines()
]
FAST = ["--set", "epochs=1", "--set", "reference_epochs=2", "--set", "hidden=[8]"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    X, y = problem()
    np.savez(folder / "small.npz", X=X, Y=y, label_names=np.array(list("abcdef")))
    return folder


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_runs(place, line):
    words = [word.replace("digits", "small.npz") for word in shlex.split(line)[1:]]
    if words[0] == "sweep":
        words[words.index("--trials") + 1] = "2"
    if words[0] in ("compare", "ablate", "partitions", "sweep"):
        words += ["--jobs", "1", *FAST]
    if words[:2] == ["study", "run"]:
        words += ["--jobs", "1"]
        settings = yaml.safe_load((place / "beta.yaml").read_text())
        few = {"epochs": 1, "reference_epochs": 2}
        changes = {"data": "small.npz", "methods": ["fairpo-dpo"], "training": few}
        (place / "beta.yaml").write_text(yaml.safe_dump({**settings, **changes}))
    result = fairpo(*words, cwd=place)
    assert result.returncode == 0, result.stderr
