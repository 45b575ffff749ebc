"""The code of docs/generation.md, run section by section."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import fairpo

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


QUICK = {
    "sft": ("--set", "max_steps=2"),
    "train": ("--set", "max_steps=2", "--set", "precompute_ref_log_probs=false"),
    "evaluate": ("--n-resamples", "20"),
}


def test_the_commands_step_by_step_run_as_they_stand(tmp_path):
    text = SECTIONS["Command line"]
    blocks_of_text = re.findall(r"```\n(.*?)```", text, flags=re.DOTALL)
    block = next(found for found in blocks_of_text if "fairpo lm sft" in found)
    commands = [line.split()[1:] for line in block.splitlines() if line.startswith("fairpo lm")]
    assert {words[1] for words in commands} == {"sft", "train", "generate", "evaluate", "init"}
    for words in commands:
        done = fairpo(*words, *QUICK.get(words[1], ()), cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_the_demo_is_the_comparison_that_the_page_shows():
    from fairpo.cli.demo import OF_GENERATION

    told = SECTIONS["Command line"]
    methods = ",".join(OF_GENERATION["methods"])
    assert f"compare verses --methods {methods} --privileged {OF_GENERATION['privileged']}" in told
    assert f"--max-new-tokens {OF_GENERATION['max_new_tokens']}" in told


def test_every_option_and_setting_of_the_command_line_it_names_exists():
    from fairpo.generation.plans import PLANS
    from fairpo.generation.training import OF_TINY

    told = SECTIONS["Command line"]
    known = {name for plan in PLANS.values() for name in plan.model_fields}
    others = {"fetch", "overwrite", "set", "data_option", "config", "command", "generation"}
    for name in re.findall(r"--([a-z][a-z-]+)", told):
        assert name.replace("-", "_") in {*known, *others}, name
    assert "SFT 5e-3 for 10 epochs, pairs 2e-4 for 2" in told.replace("\n", " ")
    assert (OF_TINY["sft"]["learning_rate"], OF_TINY["sft"]["num_train_epochs"]) == (5e-3, 10)
    assert (OF_TINY["pairs"]["learning_rate"], OF_TINY["pairs"]["num_train_epochs"]) == (2e-4, 2)
