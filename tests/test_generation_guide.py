"""The code of docs/generation.md, run section by section."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = (Path(__file__).parents[1] / "docs" / "generation.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", GUIDE, flags=re.DOTALL | re.MULTILINE))


def blocks(text):
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("title", [title for title in SECTIONS if blocks(SECTIONS[title])])
def test_the_code_of_a_section_runs(title, tmp_path):
    code = "\n".join(blocks(SECTIONS[title]))
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    if title == "Data":
        lines = result.stdout.splitlines()
        assert lines[0].startswith("{'train': 28, 'validation': 8, 'test': 4} ('kind', 'true')")
        assert lines[1] == "helpful Warm air rises, cools, and its water falls as rain. [1, -1]"
        assert lines[2].startswith("brief Water falls. [-1, 1]")
        assert lines[-1] == "2600 demonstrations, 81 words"


def test_every_option_and_format_it_names_exists():
    from fairpo.generation import PairOptions
    from fairpo.generation.readers import FORMATS

    data = SECTIONS["Data"]
    others = {"prompt_length", "pairs_per_prompt", "seed"}
    for name in re.findall(r"`(\w+)=", data):
        assert name in {*PairOptions.model_fields, "format", *others}, name
    for name in FORMATS:
        assert name == "pairs" or f"`{name}`" in data, name


def test_figures_of_the_embedded_task_are_its_settings():
    from fairpo.generation.verses import VersesSettings

    settings = VersesSettings()
    assert settings.frequencies[4:] == (0.04, 0.03)
    assert (settings.demonstrated, settings.conflict, settings.concord) == (0.6, 0.2, 0.1)
    assert "a chance of 0.6" in GUIDE and "(0.2) as the chosen one (0.1)" in GUIDE


def test_every_option_of_training_it_names_exists():
    from dataclasses import fields

    from fairpo.generation import FairPOGenerationConfig
    from fairpo.objectives.pair_catalogue import PAIR_ABLATIONS, PAIR_METHODS

    training = SECTIONS["Training"]
    known = {field.name for field in fields(FairPOGenerationConfig)}
    for name in re.findall(r"`(\w+)=", training):
        assert name in {*known, "groups", "reference_model"}, name
    for name in PAIR_METHODS:
        assert f"| `{name}` |" in training, name
    for name in PAIR_ABLATIONS:
        assert f"`/{name}`" in training, name
