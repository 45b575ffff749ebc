"""Every command and the code of docs/data.md, run where its sources lie."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import fairpo
from tests.data.sources import write_sources

GUIDE = (Path(__file__).parents[1] / "docs" / "data.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", GUIDE, flags=re.DOTALL | re.MULTILINE))
FAST = ["--set", "epochs=1", "--set", "reference_epochs=2", "--set", "hidden=[8]"]


def commands(text):
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with everything the guide speaks of."""
    folder = tmp_path_factory.mktemp("guide")
    write_sources(folder)
    return folder


def run(line, place):
    words = shlex.split(line)
    if "train" in words or "compare" in words:
        words += FAST
    if "compare" in words:
        words += ["--jobs", "1"]
    if words[0] == "torchrun":
        words = [sys.executable, "-m", "torch.distributed.run", *words[1:]]
        return subprocess.run(words, cwd=place, capture_output=True, text=True)
    return fairpo(*words[1:], cwd=place)


@pytest.mark.parametrize("title", [title for title in SECTIONS if commands(SECTIONS[title])])
def test_the_commands_of_a_section_run(place, title):
    if title == "OpenML":
        result = run(commands(SECTIONS[title])[0].replace("--fetch ", ""), place)
        assert result.returncode == 2
        assert "is on the network. Say --fetch" in result.stderr
        return
    if title == "New rows" and not (place / "runs" / "photos").exists():
        for line in commands(SECTIONS["Images in a folder"]):
            run(line, place)
    for line in commands(SECTIONS[title]):
        result = run(line, place)
        assert result.returncode == 0, f"{line}\n{result.stderr}"


def test_the_report_of_slices_has_them(place):
    if not (place / "runs" / "city").exists():
        for line in commands(SECTIONS["Slices: by camera, by city"]):
            run(line, place)
    text = (place / "runs" / "city" / "report.md").read_text()
    assert re.findall(r"^\| (\w+) \| reference \(bce\) \| 15 ", text, re.M) == ["Lima", "Oslo"]
    assert '<h2 id="slices">' in (place / "runs" / "city" / "report.html").read_text()


def test_the_commands_before_the_first_section_run(place):
    for line in commands(GUIDE.partition("\n## ")[0]):
        assert run(line, place).returncode == 0


def test_the_python_code_runs(place):
    (code,) = re.findall(r"```python\n(.*?)```", SECTIONS["In Python"], flags=re.DOTALL)
    result = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "(2, 24) ('dune', 'people', 'sea')\n"


def test_every_option_of_a_reader_has_a_description():
    from fairpo.data.options import DataOptions

    assert all(field.description for field in DataOptions.model_fields.values())
    words = GUIDE.lower()
    for name in ("arff", "svmlight", "coco", "nus-wide", "voc", "yolo", "hf:", "openml:", "npz"):
        assert name in words
