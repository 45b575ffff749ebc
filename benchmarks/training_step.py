"""Time one training step of FairPO-DPO against one of plain cross-entropy.

    python benchmarks/training_step.py [preset]

Head 768-256-80, batch 256, 3 positives a row, reference logits cached, AdamW step included, one
thread. The two steps alternate in one process on the same rows, so that other load on the machine
hits both; the ratio is taken pair by pair. The preset is paper-v1 unless given.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from fairpo.groups import LabelPartition
from fairpo.objectives import make_objective

WIDTHS = (768, 256, 80)
N_ROWS, BATCH_SIZE, N_PRIVILEGED, N_POSITIVES = 8192, 256, 16, 3
STEPS, WARM_UP = 300, 30

Step = Callable[[Tensor], None]


def main(preset: str = "paper-v1") -> None:
    """Print the two times and their ratio."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    features = torch.randn(N_ROWS, WIDTHS[0])
    targets = torch.zeros(N_ROWS, WIDTHS[-1])
    targets.scatter_(1, torch.rand(N_ROWS, WIDTHS[-1]).topk(N_POSITIVES).indices, 1.0)
    start = head()
    with torch.no_grad():
        reference = start(features)
    fairpo = fairpo_step(copy_of(start), features, targets, reference, preset)
    plain = plain_step(copy_of(start), features, targets)

    generator = torch.Generator().manual_seed(1)
    times = np.empty((STEPS, 2))
    for step in range(-WARM_UP, STEPS):
        rows = torch.randint(N_ROWS, (BATCH_SIZE,), generator=generator)
        pair = seconds(fairpo, rows), seconds(plain, rows)
        if step >= 0:
            times[step] = pair
    low, middle, high = np.quantile(times[:, 0] / times[:, 1], [0.25, 0.5, 0.75])
    print(f"step                head {'-'.join(map(str, WIDTHS))}, batch {BATCH_SIZE}, {preset}")
    print(f"FairPO-DPO          {1e3 * np.median(times[:, 0]):.3f} ms   (median of {STEPS})")
    print(f"cross-entropy       {1e3 * np.median(times[:, 1]):.3f} ms   (interleaved)")
    print(f"FairPO / BCE        {middle:.3f}   (quartiles {low:.3f} to {high:.3f})")
    print(f"peak memory         {peak_megabytes():.0f} MB")


def head() -> nn.Sequential:
    """Return the head that both train."""
    return nn.Sequential(nn.Linear(*WIDTHS[:2]), nn.ReLU(), nn.Linear(*WIDTHS[1:]))


def copy_of(start: nn.Sequential) -> nn.Sequential:
    """Return a head with the same weights."""
    other = head()
    other.load_state_dict(start.state_dict())
    return other


def fairpo_step(
    policy: nn.Sequential, features: Tensor, targets: Tensor, reference: Tensor, preset: str
) -> Step:
    """Return a training step of FairPO-DPO."""
    groups = LabelPartition.from_indices(range(N_PRIVILEGED), WIDTHS[-1])
    objective = make_objective("fairpo-dpo", groups, preset)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-4)

    def step(rows: Tensor) -> None:
        output = objective(policy(features[rows]), targets[rows], reference[rows])
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()

    return step


def plain_step(policy: nn.Sequential, features: Tensor, targets: Tensor) -> Step:
    """Return a training step of plain cross-entropy."""
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-4)

    def step(rows: Tensor) -> None:
        loss = nn.functional.binary_cross_entropy_with_logits(policy(features[rows]), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def seconds(step: Step, rows: Tensor) -> float:
    """Wall time of one step."""
    start = time.perf_counter()
    step(rows)
    return time.perf_counter() - start


def peak_megabytes() -> float:
    """Largest memory this process has held (ru_maxrss is in kilobytes on Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
