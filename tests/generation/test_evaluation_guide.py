"""The evaluation part of docs/generation.md: its code prints what stands below it."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

from fairpo.generation import HumanLabels, LLMJudge, OracleJudge, RewardModelJudge
from fairpo.generation.judges.endpoint import KEY, OPENAI_KEY, OPENAI_URL, URL
from fairpo.generation.judges.llm import COUNTS, LLMJudgeSettings

GUIDE = (Path(__file__).parents[2] / "docs" / "generation.md").read_text()
SECTION = re.search(r"^## Evaluation\n(.*?)(?=^## |\Z)", GUIDE, re.DOTALL | re.MULTILINE)[1]


def test_the_code_prints_what_stands_below_it(tmp_path):
    blocks = re.findall(r"```(\w*)\n(.*?)```", SECTION, flags=re.DOTALL)
    code = "\n".join(text for language, text in blocks if language == "python")
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "".join(text for language, text in blocks if language == "")


def test_every_option_it_names_has_the_value_it_tells():
    options = {**LLMJudgeSettings.model_fields}
    found = re.findall(r"`([a-z_]+)=([\d.]+)`", SECTION)
    assert len(found) >= 6
    for name, value in found:
        if name != "requests_per_minute":
            assert float(value) == options[name].default, name
    known = {*options, "descriptions"}
    for function in (RewardModelJudge.__init__, RewardModelJudge.from_pretrained):
        known |= set(inspect.signature(function).parameters)
    for name in re.findall(r"`(\w+)=", SECTION):
        assert name in {*known, "attributes", URL, KEY, "HF_HUB_DISABLE_TELEMETRY"}, name
    for name in (URL, KEY, OPENAI_URL, OPENAI_KEY):
        assert f"`{name}`" in SECTION
    for name in ("disagreements", "prompt_tokens", "completion_tokens"):
        assert name in COUNTS and name in SECTION


def test_every_judge_has_a_row():
    for judge in (OracleJudge, RewardModelJudge, LLMJudge, HumanLabels):
        assert re.search(rf"^\| `{judge.__name__}\W", SECTION, re.MULTILINE)
