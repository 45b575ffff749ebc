"""Time the preference loss, forward and backward, against a loop like the authors'.

    python benchmarks/preference_loss.py

256 rows, 80 labels, 16 of them privileged, 3 positives a row, float32, one thread. The loop walks
over batch x privileged labels x labels on clamped probabilities, one number read at a time, as
the paper's code is described; it is run once, which takes a second or two. Then the same loss at
10,000 labels with 20 privileged positives in the batch, in a process of its own, so that its peak
memory is its own.

The loss is DPO (Eq. 10) over the confusing negatives, mean over pairs.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from fairpo.groups import LabelPartition
from fairpo.losses import confusing_negatives, dpo_loss
from fairpo.losses.confusing import privileged_positives
from fairpo.losses.preference import scores
from fairpo.objectives import make_objective

N_ROWS, N_LABELS, N_PRIVILEGED, N_POSITIVES = 256, 80, 16, 3
MANY_LABELS, FEW_POSITIVES = 10_000, 20
REPEATS = 101


def main() -> None:
    """Print both parts."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if "--many-labels" in sys.argv:
        many_labels()
        return
    against_the_loop()
    subprocess.run([sys.executable, __file__, "--many-labels"], check=True)


def against_the_loop() -> None:
    """Compare value, gradient and time with the loop."""
    logits, reference, targets = random_batch(N_ROWS, N_LABELS)
    privileged = torch.arange(N_PRIVILEGED)
    objective = make_objective(
        "fairpo-dpo", LabelPartition.from_indices(range(N_PRIVILEGED), N_LABELS)
    )

    def whole(moving: Tensor) -> Tensor:
        return objective(moving, targets, reference).loss

    def tensor(moving: Tensor) -> Tensor:
        return tensor_loss(moving, reference, targets, privileged)

    def loop(moving: Tensor) -> Tensor:
        return loop_loss(moving, reference, targets, privileged.tolist())

    value, gradient = value_and_gradient(tensor, logits)
    start = time.perf_counter()
    slow_value, slow_gradient = value_and_gradient(loop, logits)
    slow = time.perf_counter() - start
    fast, step = median_seconds(tensor, logits), median_seconds(whole, logits)
    n_pairs = objective(logits, targets, reference).diagnostics.n_pairs
    print(f"batch x labels      {N_ROWS} x {N_LABELS}, {N_PRIVILEGED} privileged, {n_pairs} pairs")
    print(f"loop                {1e3 * slow:.0f} ms   (once)")
    print(f"tensors             {1e3 * fast:.3f} ms   (median of {REPEATS})")
    print(f"whole objective     {1e3 * step:.3f} ms   (with constraint and weights step)")
    print(f"loop / tensors      {slow / fast:,.0f}")
    print(f"loop / objective    {slow / step:,.0f}")
    print(f"loss                {value:.6f}, differs by {abs(value - slow_value):.1e}")
    print(f"gradient            differs by {(gradient - slow_gradient).abs().max():.1e} at most")


def many_labels() -> None:
    """Time and peak memory at 10,000 labels, and of the whole objective there."""
    logits, reference, targets = random_batch(N_ROWS, MANY_LABELS)
    n_privileged = MANY_LABELS // 5
    targets[:, :n_privileged] = 0
    targets[torch.arange(FEW_POSITIVES) * 7, torch.arange(FEW_POSITIVES) * 11] = 1
    privileged = torch.arange(n_privileged)
    groups = LabelPartition.from_indices(range(n_privileged), MANY_LABELS)
    objective = make_objective("fairpo-dpo", groups)
    before = peak_megabytes()
    start = time.perf_counter()
    value_and_gradient(lambda z: tensor_loss(z, reference, targets, privileged), logits)
    first = time.perf_counter() - start
    grown = peak_megabytes() - before
    start = time.perf_counter()
    value_and_gradient(lambda z: objective(z, targets, reference).loss, logits)
    whole = time.perf_counter() - start
    print(f"\nbatch x labels      {N_ROWS} x {MANY_LABELS:,}, {FEW_POSITIVES} privileged positives")
    print(f"tensors             {first:.3f} s, peak grows by {grown:.0f} MB")
    print(f"whole objective     {whole:.3f} s, peak of the process {peak_megabytes():.0f} MB")


def tensor_loss(moving: Tensor, reference: Tensor, targets: Tensor, privileged: Tensor) -> Tensor:
    """Mean DPO loss over the confusing pairs, from the functions of ``fairpo.losses``."""
    pairs = confusing_negatives(moving, targets, *privileged_positives(targets, privileged))
    chosen = pairs.rows * targets.shape[1] + pairs.preferred
    rejected = pairs.rows * targets.shape[1] + pairs.rejected
    picked = [
        scores(logits.reshape(-1).index_select(0, place), "log-probability")
        for logits in (moving, reference)
        for place in (chosen, rejected)
    ]
    return dpo_loss(*picked).mean()


def loop_loss(moving: Tensor, reference: Tensor, targets: Tensor, privileged: list[int]) -> Tensor:
    """The same in Python loops over clamped probabilities, number by number."""
    probs = torch.sigmoid(moving).clamp(1e-8, 1 - 1e-8)
    reference_probs = torch.sigmoid(reference).clamp(1e-8, 1 - 1e-8)
    losses = []
    for i in range(moving.shape[0]):
        for label in privileged:
            if targets[i, label].item() != 1:
                continue
            for k in range(moving.shape[1]):
                if targets[i, k].item() == 0 and probs[i, k].item() >= probs[i, label].item():
                    chosen = torch.log(probs[i, label] / reference_probs[i, label])
                    rejected = torch.log(probs[i, k] / reference_probs[i, k])
                    losses.append(-torch.nn.functional.logsigmoid(chosen - rejected))
    return torch.stack(losses).mean()


def random_batch(n_rows: int, n_labels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, reference logits, and targets with the same number of positives in every row."""
    logits, noise = torch.randn(2, n_rows, n_labels)
    targets = torch.zeros(n_rows, n_labels)
    targets.scatter_(1, torch.rand(n_rows, n_labels).topk(N_POSITIVES).indices, 1.0)
    return logits, logits + 0.3 * noise, targets


def value_and_gradient(loss: Callable[[Tensor], Tensor], logits: Tensor) -> tuple[float, Tensor]:
    """One forward and backward."""
    moving = logits.clone().requires_grad_()
    value = loss(moving)
    (gradient,) = torch.autograd.grad(value, moving)
    return value.item(), gradient


def median_seconds(loss: Callable[[Tensor], Tensor], logits: Tensor) -> float:
    """Median wall time of a forward and backward."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        value_and_gradient(loss, logits)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_megabytes() -> float:
    """Largest memory this process has held (ru_maxrss is in kilobytes on Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
