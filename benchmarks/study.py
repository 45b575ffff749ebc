"""A whole study at MS-COCO's size against one training after the other: what two processes save.

    python benchmarks/study.py [--rows 82783] [--seeds 5] [--epochs 10] [--jobs 2] [--keep FOLDER]

Seven methods and the reference they start from, which has as many epochs as each of them; else
all defaults: paper-v1, privileged rarest:20%, 1,000 resamples, 1,000 permutations, decisions,
report. Rows are made: 768 features, 80 labels that an MLP learns, as frequent as COCO's (2.9
positives a row, from 55% down to 0.15%); 82,783 of them are training rows, of which the reader
takes a fifth for validation, and 49% as many are test rows. They lie in a store of embeddings, as
`fairpo embed` leaves it.

The study's wall time is divided by what its trainings (7 x seeds) would take one by one: the time
of one training of `bce` on one thread, from scratch, with as many epochs as each method may have
(10), validation after each epoch included; no bootstrap, no test, no report. That time is the mean
of one before and one after the study. The same of processor times does not hang on what else runs.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fairpo import MultiLabelData, load_data
from fairpo.data.embed import embed_data
from fairpo.data.items import Texts
from fairpo.experiments.conduct import run_study
from fairpo.experiments.study import Study
from fairpo.models.backbone import ModuleBackbone
from fairpo.models.head import HeadSettings
from fairpo.report import write_report
from fairpo.training.fit import train_reference
from fairpo.training.settings import TrainingSettings

N_FEATURES, N_LABELS, N_TOPICS = 768, 80, 64
TEST_SHARE = 40_504 / 82_783
METHODS = (
    "bce-continued",
    "bce-reweighted",
    "group-dro",
    "group-dro-excess",
    "fairpo-dpo",
    "fairpo-simpo",
    "fairpo-cpo",
)


class Rows(torch.nn.Module):
    """A backbone that knows the features of every row by its number."""

    def __init__(self, features: np.ndarray) -> None:
        super().__init__()
        self.features = torch.from_numpy(features)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Look them up."""
        return self.features[numbers]


def make(folder: Path, n_rows: int) -> float:
    """Write a store; returns the positives of a row."""
    rng = np.random.default_rng(0)
    n_all = n_rows + round(TEST_SHARE * n_rows)
    topics = rng.standard_normal((n_all, N_TOPICS), dtype=np.float32)
    mixing = rng.standard_normal((N_TOPICS, N_FEATURES), dtype=np.float32) / 8
    features = np.tanh(topics @ mixing)
    features += 0.5 * rng.standard_normal(features.shape, dtype=np.float32)
    # Each label is there where a few topics are high together; what is left is chance.
    pulls = rng.standard_normal((N_TOPICS, N_LABELS), dtype=np.float32) / 8
    wanted = topics @ pulls + 0.7 * np.maximum(topics, 0) @ np.roll(pulls, 1, axis=0)
    wanted += 0.15 * rng.standard_normal(wanted.shape, dtype=np.float32)
    tail = 0.13 * (0.0015 / 0.13) ** (np.linspace(0, 1, N_LABELS - 1) ** 1.03)
    frequency = np.concatenate([[0.55], tail])
    cut = [np.quantile(column, 1 - f) for column, f in zip(wanted.T, frequency, strict=True)]
    targets = (wanted > cut).astype(np.int8)
    data = MultiLabelData(
        np.empty((n_all, 0), dtype=np.float32),
        targets,
        tuple(f"label {k}" for k in range(N_LABELS)),
        {"train": np.arange(n_rows), "test": np.arange(n_rows, n_all)},
        items=Texts([str(row) for row in range(n_all)]),
        name="made",
    )
    backbone = ModuleBackbone(Rows(features), numbers, N_FEATURES, kind="text")
    embed_data(data, backbone, folder, batch_size=1024)
    return float(targets.sum() / n_all)


def numbers(texts: list[str]) -> torch.Tensor:
    return torch.tensor([int(text) for text in texts])


def one_training(store: Path, epochs: int) -> tuple[float, float, int]:
    """Seconds of one training of bce, those of the processor, and the epochs it had."""
    torch.set_num_threads(1)
    data = load_data(store)
    start, used = time.perf_counter(), time.process_time()
    reference = train_reference(
        data, HeadSettings(), TrainingSettings(reference_epochs=epochs, reference_cache_mb=0)
    )
    assert reference.training is not None
    wall, used = time.perf_counter() - start, time.process_time() - used
    return wall, used, len(reference.training.epochs)


def whole_study(
    store: Path, folder: Path, seeds: int, epochs: int, jobs: int
) -> tuple[float, float, dict[str, float], dict[str, float], dict[str, Any]]:
    """Seconds, those of the processor, those of each part, peaks in MB, and the metrics."""
    torch.set_num_threads(1)
    data = load_data(store)
    study = Study(
        data=str(store),
        methods=METHODS,
        seeds=tuple(range(seeds)),
        training=TrainingSettings(epochs=epochs, reference_epochs=epochs),
    )
    parts: dict[str, float] = {}
    begun = [("start", time.perf_counter())]

    def count(name: str, n_tasks: int) -> Callable[[], None]:
        """Each begins when the last has ended, but trials, which begin with the references."""
        if name != "trials":
            now = time.perf_counter()
            last, since = begun.pop()
            parts[last] = now - since
            begun.append((f"{name} and trials" if name == "references" else name, now))
        return lambda: None

    def report(of: Path) -> None:
        count("report", 1)
        write_report(of)

    start = time.perf_counter()
    metrics = run_study(study, data, folder, report=report, n_jobs=jobs, count=count)
    count("end", 1)
    wall = time.perf_counter() - start
    used = time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    peaks = {
        "parent": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "largest worker": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }
    return wall, used, parts, peaks, metrics


def alone(action: Callable[..., Any], *given: Any) -> Any:
    """Do it in a process of its own: what one does is not in the other's memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(action, *given).result()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=82_783)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = told.keep or Path(temporary)
        store = root / "store"
        if not (store / "manifest.json").is_file():
            positives = alone(make, store, told.rows)
            print(f"{positives:.2f} positives a row")
        n_test = round(TEST_SHARE * told.rows)
        print(f"rows x features     {told.rows:,} and {n_test:,} test x {N_FEATURES}")
        before = alone(one_training, store, told.epochs)
        load = os.getloadavg()[0]
        seconds, all_used, parts, peaks, metrics = alone(
            whole_study, store, root / "study", told.seeds, told.epochs, told.jobs
        )
        after = alone(one_training, store, told.epochs)
        single, used, had = np.mean([before, after], axis=0)
        print(
            f"one training        {single:.1f} s   (bce, {had:.0f} epochs, one thread; "
            f"{before[0]:.1f} before the study, {after[0]:.1f} after it)"
        )
        n_trainings = len(METHODS) * told.seeds
        print(f"study               {seconds:.0f} s   ({told.jobs} processes)")
        for name, took in parts.items():
            print(f"  {name:<24}{took:.1f} s")
        for row in metrics["rows"]:
            if row["epoch"] == "selected":
                print(f"  one of {row['method']:<17}{row['seconds']:.1f} s")
        for process, peak in peaks.items():
            print(f"peak memory         {peak:.0f} MB   ({process})")
        print(f"load before         {load:.1f}")
        print(f"study / {n_trainings} trainings {seconds / (n_trainings * single):.2f}")
        share = all_used / told.jobs / (n_trainings * used)
        print(
            f"processor time      {all_used:.0f} s, one training {used:.1f} s: {share:.2f} on "
            f"{told.jobs} cores that do nothing else"
        )


if __name__ == "__main__":
    main()
