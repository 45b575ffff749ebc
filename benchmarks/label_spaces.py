"""Time and memory of training and evaluation on 10^3 to 10^6 labels.

    python benchmarks/label_spaces.py

Head 256-256-L, batch 256, 5 positives a row with a long tail, the rarest 20% privileged; FairPO-DPO
with ``reduction="positives"``, 1,000 labels drawn a step, the frozen reference head on the sampled
labels, lazy Adam; one thread. A process for each size, so that peaks are its own; the dense step
where it fits. Evaluation: 1,000 rows against all labels, mAP, P@k and nDCG@k of each group.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import numpy as np
import torch
from scipy import sparse

from fairpo.groups import LabelPartition
from fairpo.metrics import evaluate_label_blocks
from fairpo.models import HeadSettings, Policy
from fairpo.objectives import make_objective
from fairpo.training.label_scores import LabelScores
from fairpo.training.optimizer import LazyAdam
from fairpo.training.reference_scores import HeadScores
from fairpo.training.rows import TrainingRows
from fairpo.training.settings import TrainingSettings
from fairpo.training.step import Stepper

SIZES = (10**3, 10**4, 10**5, 10**6)
DENSE = (10**3, 10**4)
WIDTH, BATCH_SIZE, N_POSITIVES, N_DRAWN = 256, 256, 5, 1000
N_ROWS, N_EVALUATED, STEPS, WARM_UP = 20_000, 1000, 40, 5


def main() -> None:
    """Print a line for each number of labels."""
    print(f"sampled step        head {WIDTH}-{WIDTH}-L, batch {BATCH_SIZE}, {N_DRAWN:,} drawn")
    for n_labels in SIZES:
        print(line("sampled", n_labels))
    print("dense step          the same on all labels, AdamW")
    for n_labels in DENSE:
        print(line("dense", n_labels))
    print(f"evaluation          {N_EVALUATED:,} rows, all labels, three sets of rankings")
    for n_labels in SIZES:
        print(line("evaluation", n_labels))


def line(kind: str, n_labels: int) -> str:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, kind, str(n_labels)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.rstrip("\n")


def measure(kind: str, n_labels: int) -> None:
    """Print the measurement of one kind and size."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    targets = long_tailed(rng, n_labels)
    features = rng.standard_normal((N_ROWS, WIDTH), dtype=np.float32)
    groups = LabelPartition.rarest(targets, 0.2)
    policy = Policy(WIDTH, n_labels, HeadSettings(hidden=(WIDTH,), scaling="none"))
    if kind == "evaluation":
        print(evaluated(policy, features, targets, groups))
        return
    objective = make_objective("fairpo-dpo", groups, reduction="positives")
    reference = HeadScores(policy, features)
    rows = TrainingRows(features, targets, np.arange(N_ROWS), reference)
    n_drawn = N_DRAWN if kind == "sampled" else 0
    settings = TrainingSettings(sampled_labels=n_drawn, device="cpu")
    lazy = kind == "sampled"
    optimizer = LazyAdam(policy, 1e-4, 0.01) if lazy else dense_optimizer(policy)
    stepper = Stepper(policy, objective, optimizer, rows, settings)
    times = []
    for number in range(-WARM_UP, STEPS):
        positions = rng.integers(N_ROWS, size=BATCH_SIZE)
        start = time.perf_counter()
        stepper.step(number + WARM_UP, positions, 1e-4)
        if number >= 0:
            times.append(time.perf_counter() - start)
    gradient = policy.last_layer.weight.grad
    n_columns = len(gradient.coalesce().indices()[0]) if lazy else n_labels
    low, middle, high = 1e3 * np.quantile(times, [0.25, 0.5, 0.75])
    print(
        f"  {n_labels:<9,}         {middle:.0f} ms   (quartiles {low:.0f} to {high:.0f}), "
        f"{n_columns:,} labels in the step, peak {peak_megabytes():,.0f} MB"
    )


def dense_optimizer(policy: Policy) -> torch.optim.Optimizer:
    """AdamW over all labels."""
    return torch.optim.AdamW(policy.parameters(), lr=1e-4, weight_decay=0.01, fused=True)


def evaluated(
    policy: Policy, features: np.ndarray, targets: sparse.csr_array, groups: LabelPartition
) -> str:
    """Time the evaluation of some rows against all labels."""
    rows = np.arange(N_EVALUATED)
    start = time.perf_counter()
    scores = LabelScores(policy, features, rows)
    evaluate_label_blocks(scores, targets[rows], groups.as_mapping())
    seconds = time.perf_counter() - start
    rate = N_EVALUATED * policy.n_labels / seconds / 1e6
    return (
        f"  {policy.n_labels:<9,}         {seconds:.2f} s, {rate:.0f} million scores a second, "
        f"peak {peak_megabytes():,.0f} MB"
    )


def long_tailed(rng: np.random.Generator, n_labels: int) -> sparse.csr_array:
    """Targets (rows, labels) in CSR, frequencies falling as 1 / rank."""
    drawn = np.exp(rng.random((N_ROWS, 2 * N_POSITIVES)) * np.log(n_labels)).astype(np.int64) - 1
    drawn.sort(axis=1)
    first = np.diff(drawn, axis=1, prepend=-1) > 0  # each label once in a row
    rows, columns = np.nonzero(first & (np.cumsum(first, axis=1) <= N_POSITIVES))
    ones = np.ones(len(rows), dtype=np.int8)
    return sparse.csr_array((ones, (rows, drawn[rows, columns])), shape=(N_ROWS, n_labels))


def peak_megabytes() -> float:
    """Largest memory this process has held (ru_maxrss is in kilobytes on Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], int(sys.argv[2]))
    else:
        main()
