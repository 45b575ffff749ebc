"""The command of docs/reproduction.md, on less data, and the form of its tables."""

import re
import shlex
from pathlib import Path

import numpy as np

from tests.command import fairpo
from tests.conftest import problem

GUIDE = (Path(__file__).parents[1] / "docs" / "reproduction.md").read_text()


def tables(text):
    """Of each table its heading, its head, and the method and epoch of each row."""
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if line.startswith("#"):
            found.append([line.lstrip("#")])
        elif line.startswith("| method"):
            found[-1].append(cells)
        elif line.startswith("|"):
            found[-1].append(cells[1:3])
    return found


def test_the_command_makes_tables_of_the_form_shown(tmp_path):
    X, y = problem()
    np.savez(tmp_path / "small.npz", X=X, Y=y, label_names=np.array(list("abcdef")))
    (line,) = re.findall(r"```sh\n(.*?)\n```", GUIDE, re.DOTALL)
    words = [*shlex.split(line.replace(" digits ", " small.npz "))[1:], "--epochs", "1"]
    result = fairpo(*words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    made = tables((tmp_path / words[words.index("--out") + 1] / "reproduction.md").read_text())
    assert [len(table) for table in made] == [17, 17]  # heading, head, line, 7 methods twice
    shown = [part.split("\n", 1)[1] for part in re.split(r"^## ", GUIDE, flags=re.MULTILINE)[1:]]
    shown = [tables(part) for part in shown if "### " in part]
    assert shown and all(part == made for part in shown)
