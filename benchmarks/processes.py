"""Head training on two processes over one, on the same cores: what the ratio is, and why.

A head 768-256-80 under FairPO-DPO, rows in RAM, one torch thread a process, gloo. One and two
processes are launched in turns; each prints the median time of a step and of what it exchanges.

Run: python benchmarks/processes.py
"""

import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np
import torch

from fairpo.groups import LabelPartition
from fairpo.models.head import HeadSettings, Policy
from fairpo.objectives import make_objective
from fairpo.training import distributed
from fairpo.training.rows import TrainingRows
from fairpo.training.settings import TrainingSettings
from fairpo.training.step import Stepper

BATCHES = (256, 1024, 4096)
N_ROWS, WIDTH, HIDDEN, N_LABELS = 8192, 768, 256, 80
ROUNDS = 5


def measure(batch_size):
    """Median milliseconds of a step, and of its exchanges, on this process."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(N_ROWS, WIDTH)).astype(np.float32)
    targets = (rng.random((N_ROWS, N_LABELS)) < 3 / N_LABELS).astype(np.int8)
    reference = rng.normal(size=targets.shape).astype(np.float32)
    rows = TrainingRows(features, targets, np.arange(N_ROWS), reference)
    torch.manual_seed(0)
    policy = Policy(WIDTH, N_LABELS, HeadSettings(hidden=(HIDDEN,))).train()
    objective = make_objective("fairpo-dpo", LabelPartition.from_indices(range(16), N_LABELS))
    optimizer = torch.optim.AdamW(policy.parameters(), fused=True)
    settings = TrainingSettings(device="cpu")
    stepper = Stepper(policy, objective, optimizer, rows, settings)
    exchange = torch.distributed.all_reduce
    exchanged = []

    def timed(values):
        start = time.perf_counter()
        exchange(values)
        exchanged.append(time.perf_counter() - start)

    torch.distributed.all_reduce = timed
    steps, waits = [], []
    for number in range(max(20, 40_000 // batch_size)):
        positions = rng.integers(0, N_ROWS, batch_size)
        exchanged.clear()
        start = time.perf_counter()
        stepper.step(number, positions, 1e-3)
        steps.append(time.perf_counter() - start)
        waits.append(sum(exchanged))
    torch.distributed.all_reduce = exchange
    half = len(steps) // 4  # the first quarter warms up
    return 1e3 * statistics.median(steps[half:]), 1e3 * statistics.median(waits[half:])


def work():
    torch.set_num_threads(1)
    with distributed.processes(torch.device("cpu")):
        found = {batch_size: measure(batch_size) for batch_size in BATCHES}
        if distributed.is_main():
            print(json.dumps(found))


def launch(n_processes):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc_per_node={n_processes}", __file__, "work"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return {int(key): value for key, value in json.loads(result.stdout).items()}


def main():
    found = {n: [] for n in (1, 2)}
    for _ in range(ROUNDS):
        for n_processes, results in found.items():
            results.append(launch(n_processes))
    print(f"head                {WIDTH}-{HIDDEN}-{N_LABELS}, fairpo-dpo, 1 torch thread a process")
    for batch_size in BATCHES:
        one = [results[batch_size][0] for results in found[1]]
        two = [results[batch_size][0] for results in found[2]]
        waits = statistics.median(results[batch_size][1] for results in found[2])
        ratios = sorted(b / a for a, b in zip(one, two, strict=True))
        print(
            f"batch {batch_size:<6,}        1 process {statistics.median(one):.2f} ms, 2 processes "
            f"{statistics.median(two):.2f} ms a step, of which exchange and waiting {waits:.2f} ms"
        )
        print(
            f"  2 / 1             {statistics.median(ratios):.2f}   (of {ROUNDS}: "
            f"{ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


if __name__ == "__main__":
    work() if sys.argv[1:] == ["work"] else main()
