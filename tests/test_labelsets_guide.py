"""The commands and the code of docs/labelsets.md."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import fairpo

GUIDE = (Path(__file__).parents[1] / "docs" / "labelsets.md").read_text()


def test_the_code_runs_and_prints_what_is_shown(tmp_path):
    code, shown = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", GUIDE, re.DOTALL).groups()
    quick = code.replace("reference_epochs=10", "reference_epochs=1")
    assert quick != code
    done = subprocess.run(
        [sys.executable, "-c", quick], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == shown


@pytest.mark.slow
def test_the_commands_run(tmp_path):
    (commands,) = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
    for line in commands.splitlines()[:3]:
        words = shlex.split(line)[1:]
        quick = ["--set", "reference_epochs=1"] if "train" in words else []
        done = fairpo(*words, *quick, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert len((tmp_path / "sets.jsonl").read_text().splitlines()) == 11_000
