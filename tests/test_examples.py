import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_is_short(path):
    assert len(path.read_text().splitlines()) < 80
    result = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


def test_own_parts_take_under_40_lines():
    code = [
        line
        for line in (EXAMPLES[3]).read_text().splitlines()
        if line.strip() and not line.lstrip().startswith(('"""', "#"))
    ]
    assert len(code) < 40
