"""The commands and the code of docs/decisions.md."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fairpo.decisions import read_threshold

GUIDE = (Path(__file__).parents[1] / "docs" / "decisions.md").read_text()


def test_the_commands_and_the_code_run(tmp_path):
    (commands,) = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    for words in [["-m", *shlex.split(line)] for line in commands.splitlines()] + [["-c", code]]:
        if "train" in words:
            words += ["--set", "epochs=1", "--set", "reference_epochs=2"]
        result = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
    assert f"```\n{result.stdout}```" in GUIDE
    assert (tmp_path / "predictions.jsonl").is_file()


@pytest.mark.parametrize("text", ["0.5", "f1", "precision:0.9", "recall:0.8", "cost:5"])
def test_the_rules_it_names_are_rules(text):
    assert f"`{text}`" in GUIDE
    read_threshold(text)
