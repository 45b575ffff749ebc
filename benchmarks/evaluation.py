"""Time one whole evaluation against one epoch of training the head that it evaluates.

    python benchmarks/evaluation.py

40,000 rows, 80 labels, 3 positives a row. Training is a head 768-256-80 with AdamW and BCE at
batch size 256. The two alternate in one process, so that other load on the machine hits both.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from fairpo.metrics import LabelFrame

N_ROWS, N_LABELS, N_POSITIVES = 40_000, 80, 3
WIDTHS = (768, 256, N_LABELS)
BATCH_SIZE = 256
REPEATS = 5


def main() -> None:
    """Print the medians, their ratio and the peak memory."""
    torch.manual_seed(0)
    logits, targets = scores_and_targets(np.random.default_rng(0))
    groups = {"privileged": np.arange(16), "non_privileged": np.arange(16, N_LABELS)}
    features = torch.randn(N_ROWS, WIDTHS[0])
    goals = torch.from_numpy(targets).float()

    def evaluate() -> None:
        LabelFrame.from_scores(logits, targets, groups).to_dict()

    before = peak_megabytes()
    evaluate()  # before training, so that the growth of the peak is the evaluation's own
    grown = peak_megabytes() - before
    train = head_trainer(features, goals)
    train()
    pairs = [(seconds(evaluate), seconds(train)) for _ in range(REPEATS)]
    evaluation, epoch = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"rows x labels       {N_ROWS:,} x {N_LABELS}, {torch.get_num_threads()} torch threads")
    print(f"evaluation          {evaluation:.3f} s   (median of {REPEATS})")
    print(f"one epoch           {epoch:.3f} s   (median of {REPEATS}, interleaved)")
    print(f"evaluation / epoch  {evaluation / epoch:.2f}")
    print(
        f"peak memory         {grown:.0f} MB for the evaluation, {peak_megabytes():.0f} MB in all"
    )


def scores_and_targets(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random scores, and targets with the same number of positives in every row."""
    logits = generator.standard_normal((N_ROWS, N_LABELS), dtype=np.float32)
    targets = np.zeros((N_ROWS, N_LABELS), dtype=np.int8)
    order = generator.random((N_ROWS, N_LABELS)).argsort(axis=1)
    np.put_along_axis(targets, order[:, :N_POSITIVES], 1, axis=1)
    return logits, targets


def head_trainer(features: torch.Tensor, goals: torch.Tensor) -> Callable[[], None]:
    """Return a function that trains a head for one epoch."""
    hidden = nn.Linear(WIDTHS[0], WIDTHS[1])
    head = nn.Sequential(hidden, nn.ReLU(), nn.Linear(WIDTHS[1], WIDTHS[2]))
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3)

    def epoch() -> None:
        for rows in torch.randperm(len(features)).split(BATCH_SIZE):
            loss = nn.functional.binary_cross_entropy_with_logits(head(features[rows]), goals[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


def seconds(action: Callable[[], None]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def peak_megabytes() -> float:
    """Largest memory this process has held (ru_maxrss is in kilobytes on Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
