"""Time the doors: a default fit on 50 rows, and `fairpo train` on a real set.

    FAIRPO_DATA=/path/to/data python benchmarks/fit_and_train.py

The first is the median of 9 fits in one process; the second one whole process, one thread,
reference, method, intervals and report included. Without FAIRPO_DATA only the first is run.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from fairpo import FairPOClassifier


def main() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 10))
    y = (rng.random((50, 5)) < 0.3).astype(int)
    FairPOClassifier().fit(X, y)
    times = []
    for _ in range(9):
        start = time.perf_counter()
        FairPOClassifier().fit(X, y)
        times.append(time.perf_counter() - start)
    print(f"default fit, 50 rows        {np.median(times):.3f} s")
    if "FAIRPO_DATA" not in os.environ:
        print("FAIRPO_DATA is not set: fairpo train is not timed")
        return
    source = Path(os.environ["FAIRPO_DATA"]) / "tmc2007_500.npz"
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "fairpo",
            "train",
            source,
            "--out",
            f"{folder}/run",
            "--json",
        ]
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        print(f"fairpo train tmc2007_500    {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
