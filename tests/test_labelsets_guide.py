"""The commands and the code of docs/labelsets.md."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import fairpo
from tests.models.tiny_models import text_model

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


def blocks():
    return re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)


def test_the_commands_on_texts_run(tmp_path):
    text_model(tmp_path / "bert")
    rows = ["i love you,joy", "i hate you,anger", "the good,joy", "the bad,anger"]
    (tmp_path / "texts.csv").write_text("\n".join(["text,labels", *rows * 10]) + "\n")
    (tmp_path / "new.csv").write_text("text\nlove is good\n")
    for line in blocks()[1].splitlines():
        quick = ["--set", "reference_epochs=2"] if "train" in line else []
        done = fairpo(*shlex.split(line)[1:], *quick, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert len((tmp_path / "sets.jsonl").read_text().splitlines()) == 1


@pytest.mark.slow
def test_the_commands_run(tmp_path):
    for line in [*blocks()[0].splitlines(), *blocks()[2].splitlines()]:
        words = shlex.split(line)[1:]
        quick = ["--set", "reference_epochs=1"] if "train" in words else []
        done = fairpo(*words, *quick, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert len((tmp_path / "sets.jsonl").read_text().splitlines()) == 11_000
