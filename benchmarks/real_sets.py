"""The main comparison on digit scenes and real data sets, as the tables of docs/results.md.

Run: FAIRPO_DATA=/path/to/data python benchmarks/real_sets.py [SET ...]

Every set: the methods that go on from a reference, 3 seeds, all defaults (preset paper-v1,
privileged rarest:20%). Results go to runs/real-sets/SET; finished ones are printed again. An hour
or two on two busy cores; delicious, with 983 labels, takes longer and is run when it is named.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from fairpo.experiments.plan import MAIN_METHODS
from fairpo.objectives.catalogue import get_method
from fairpo.report.markdown import comparison_markdown

METHODS = [name for name in MAIN_METHODS if not get_method(name).needs_closed_form]
SETS = ("digits", "goemotions_minilm", "tmc2007_500")


def main(names: tuple[str, ...]) -> None:
    for name in names:
        out = Path("runs/real-sets") / name
        source = name if name == "digits" else Path(os.environ["FAIRPO_DATA"]) / f"{name}.npz"
        if not (out / "checksums.json").is_file():
            command = [
                sys.executable,
                "-m",
                "fairpo",
                "compare",
                source,
                "--methods",
                ",".join(METHODS),
                "--seeds",
                "3",
                "--out",
                out,
            ]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        metrics = json.loads((out / "metrics.json").read_text())
        data, groups = metrics["data"], metrics["groups"]
        rows = ", ".join(f"{count} {split}" for split, count in data["n_rows"].items())
        print(f"## {name}\n")
        print(
            f"{rows} rows, {data['n_features']} features, {data['n_labels']} labels, "
            f"{len(groups[0]['labels'])} of them privileged ({metrics['privileged']['spec']}).\n"
        )
        print(comparison_markdown(metrics))
        print()


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or SETS)
