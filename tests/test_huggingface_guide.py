"""The code of docs/huggingface.md, run from its first block to its last."""

import re
import subprocess
import sys
from pathlib import Path

TRAINERS = {"reference_model", "objective", "peft_config", "problem_type"}
GUIDE = (Path(__file__).parents[1] / "docs" / "huggingface.md").read_text()


def test_the_code_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)
    assert len(blocks) == 8
    result = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "runs/policy/final/README.md").is_file()
    assert (tmp_path / "runs/kept/_reference_logits").is_dir()


def test_every_option_it_names_exists():
    from dataclasses import fields

    from fairpo import FairPOConfig

    known = {field.name for field in fields(FairPOConfig)}
    for name in re.findall(r"`(\w+)=", GUIDE):
        assert name in known | TRAINERS, name


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+\.md)\)", GUIDE):
        assert (Path(__file__).parents[1] / "docs" / target).exists()
