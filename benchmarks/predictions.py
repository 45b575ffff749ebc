"""Size, time and memory of predictions of 20,000 labels: every one of a row, or the best 5.

    python benchmarks/predictions.py

6,000 rows under a head 256-256-20,000 with made weights and a Platt map for each label, one thread.
A process for each file, so that peaks are its own; files go to the system's temporary folder.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from fairpo.data import MultiLabelData
from fairpo.decisions import DecisionRule
from fairpo.decisions.recalibration import Recalibration
from fairpo.experiments.predictions import write_predictions
from fairpo.groups import LabelPartition
from fairpo.models import HeadSettings, Policy
from fairpo.training.run import Run, RunConfig, RunDecisions

N_ROWS, WIDTH, N_LABELS, TOP = 6_000, 256, 20_000, 5


def main() -> None:
    """Print a line for each file."""
    print(f"predictions         {N_ROWS:,} rows x {N_LABELS:,} labels")
    for suffix, top in (
        ("csv", "all"),
        *((each, str(TOP)) for each in ("csv", "jsonl", "parquet")),
    ):
        command = [sys.executable, __file__, suffix, top]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        print(result.stdout.rstrip("\n"), flush=True)


def measure(suffix: str, top: str) -> None:
    """Print the measurement of one file."""
    torch.set_num_threads(1)
    run, data = made()
    before = peak_megabytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"predictions.{suffix}")
        start = time.perf_counter()
        write_predictions(path, run, data, top=None if top == "all" else int(top))
        seconds = time.perf_counter() - start
        size = path.stat().st_size / 1e6
    which = "all labels" if top == "all" else f"--top {top}"
    print(
        f"  .{suffix:<9}{which:<11}{size:,.1f} MB in {seconds:.1f} s, peak {peak_megabytes():,.0f} "
        f"MB (before: {before:,.0f} MB)"
    )


def made() -> tuple[Run, MultiLabelData]:
    """A run with random weights, and rows for it."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    names = tuple(f"label {number}" for number in range(N_LABELS))
    head = HeadSettings(hidden=(WIDTH,), scaling="none")
    lines = Recalibration.straight(rng.uniform(0.5, 2, N_LABELS), rng.normal(-4, 1, N_LABELS))
    rule = DecisionRule(lines, np.zeros(N_LABELS))
    config = RunConfig(
        version="made",
        method="bce",
        privileged="rarest:20%",
        data="made",
        data_fingerprint="",
        n_features=WIDTH,
        n_labels=N_LABELS,
        head=head,
    )
    policy = Policy(WIDTH, N_LABELS, head).eval()
    groups = LabelPartition.from_indices(range(N_LABELS // 5), N_LABELS)
    run = Run(Path(), config, names, groups, policy, None, None, RunDecisions(rule, rule))
    features = rng.standard_normal((N_ROWS, WIDTH), dtype=np.float32)
    return run, MultiLabelData(features, np.empty((N_ROWS, 0), dtype=np.int8), ())


def peak_megabytes() -> float:
    """Largest memory this process has held (ru_maxrss is in kilobytes on Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], sys.argv[2])
    else:
        main()
