"""The commands, figures and code of docs/gate.md."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = (Path(__file__).parents[1] / "docs" / "gate.md").read_text()


def run(words, place):
    return subprocess.run([sys.executable, *words], cwd=place, capture_output=True, text=True)


def numbers(text):
    return [float(number) for number in re.findall(r"[-+]?\d+(?:\.\d+)?", text)]


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What each command of the guide prints, by command; and where it ran."""
    place = tmp_path_factory.mktemp("gate")
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
    commands = "".join(blocks).splitlines()
    output = {}
    for line in commands:
        result = run(["-m", *shlex.split(line)], place)
        assert result.returncode == 0, f"{line}\n{result.stderr}"
        output[line] = result.stdout
    return output, place


def test_the_commands_print_what_is_shown(printed):
    output, _ = printed
    shown = re.search(r"prints\n\n```\n(.*?)```", GUIDE, re.DOTALL)[1]
    (command,) = [line for line in output if "--min-gain-points" in line]
    wanted = numbers(shown)
    assert len(wanted) > 15
    assert numbers(output[command]) == pytest.approx(wanted, abs=0.5)
    (command,) = [line for line in output if "--per-label" in line]
    assert output[command].rstrip().endswith("pass")


def test_the_python_code_runs(printed):
    _, place = printed
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    result = run(["-c", code], place)
    assert result.returncode == 0, result.stderr
    assert f"```\n{result.stdout}```" in GUIDE


def test_the_options_it_names_exist():
    result = run(["-m", "fairpo", "check", "--help"], None)
    for option in set(re.findall(r"fairpo check \S+ ([^\n]*)", GUIDE)):
        for name in re.findall(r"--[a-z-]+", option):
            assert name in result.stdout
