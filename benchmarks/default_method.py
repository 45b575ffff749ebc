"""What the default method costs over training by cross-entropy: time and memory, set by set.

    FAIRPO_DATA=/path/to/data python benchmarks/default_method.py [SET ...]

One thread, all defaults, the sets of `fairpo reproduce rare-labels` (rows of the training rows
only; features are loaded and labels are counted before). Cross-entropy is one training of the
usual network until validation stops it; ours is the closed form, its search included, a wider
network under its own loss, and the choice between them. Each three times in turn, medians.
Processor time does not hang on what else runs.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from fairpo.experiments.rare_labels.suite import SOURCES, read_set
from fairpo.models.head import HeadSettings
from fairpo.training.fit import make_reference, train_method
from fairpo.training.settings import TrainingSettings

ROUNDS = 3
METHOD, REFERENCE = "fairpo-crossfit", "kernel-ridge"


def main(names: tuple[str, ...]) -> None:
    print(f"{'':12}{'rows':>8}{'labels':>8}{'bce, s':>9}{'ours, s':>9}{'ratio':>7}{'memory':>8}")
    seconds = []
    for name in names:  # a process each: the peak of memory is its own
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            seconds.append(process.submit(measure, name).result())
    totals = np.sum(seconds, axis=0)
    print(f"together ours / bce  {totals[1] / totals[0]:.2f}   (processor time)")


def measure(name: str) -> np.ndarray:
    """Print the line of a set; return the seconds of both."""
    torch.set_num_threads(1)
    subject = read_set(name, Path(os.environ["FAIRPO_DATA"]), design=True)
    data, head = subject.data, HeadSettings()

    def usual(seed: int) -> None:
        make_reference("bce", data, head, TrainingSettings(seed=seed))

    def ours(seed: int) -> None:
        settings = TrainingSettings(seed=seed)
        reference = make_reference(REFERENCE, data, head, settings)
        train_method(data, reference, subject.groups, METHOD, settings)

    rounds = [[timed(train, seed) for train in (usual, ours)] for seed in range(ROUNDS)]
    bce, own = np.median(rounds, axis=0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{name:12}{len(data.rows('train')):8,}{data.n_labels:8,}{bce:9.2f}{own:9.2f}"
        f"{own / bce:7.2f}{peak:5.0f} MB",
        flush=True,
    )
    return np.array([bce, own])


def timed(train: Callable[[int], None], seed: int) -> float:
    """Seconds of processor time."""
    start = time.process_time()
    train(seed)
    return time.process_time() - start


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or tuple(SOURCES))
