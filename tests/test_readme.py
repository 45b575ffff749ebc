import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)


def test_first_code_runs_and_prints_what_is_shown():
    at = next(index for index, (language, _) in enumerate(BLOCKS) if language == "python")
    code, shown = BLOCKS[at][1], BLOCKS[at + 1][1]
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    printed = [re.findall(r"[\d.]+", line) for line in result.stdout.splitlines()]
    expected = [re.findall(r"[\d.]+", line) for line in shown.splitlines()]
    for line, wanted in zip(printed, expected, strict=True):  # other processors round otherwise
        assert [float(x) for x in line] == pytest.approx([float(x) for x in wanted], abs=0.5)


def test_short_enough_to_be_read():
    assert len(README.splitlines()) <= 180


def test_every_link_leads_somewhere():
    root = Path(__file__).parents[1]
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (root / target).exists(), target


def test_every_extra_is_named_with_what_it_brings():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", README, flags=re.MULTILINE))
    for extra, packages in project["optional-dependencies"].items():
        if extra == "dev":
            continue
        brought = {re.match(r"[\w-]+", package)[0] for package in packages} - {"fairpo"}
        assert brought <= set(re.findall(r"[\w-]+", rows[extra])), extra


def test_every_command_it_names_exists():
    from fairpo.cli import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    known |= {group.name for group in app.registered_groups}
    for name in re.findall(r"^fairpo (\w+)", README, flags=re.MULTILINE):
        assert name in known
