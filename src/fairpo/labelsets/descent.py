"""The loop that both trainings share: batches by seed, AdamW, the best epoch kept."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fairpo._random import ORDER, random_bits
from fairpo.labelsets.generator import LabelSetGenerator
from fairpo.labelsets.rows import SetRows
from fairpo.labelsets.settings import SetTrainingSettings
from fairpo.training.optimizer import clip_gradients

_SMALLEST_BATCH = 16
_LARGEST_GRADIENT = 1.0  # of the norm: a set that has become all but impossible must not throw it


class StepLoss(NamedTuple):
    """What a step minimises, and numbers to average over the epoch."""

    loss: Tensor
    record: dict[str, float]


class EpochScore(NamedTuple):
    """What chooses the epoch, higher is better, and what to report with it.

    ``admitted`` False: the epoch may not be chosen.
    """

    goal: float
    admitted: bool
    record: dict[str, float]


@dataclass
class Descent:
    """What a training leaves behind.

    ``epochs`` has a record of each epoch, the first (epoch 0) of the state it began in;
    ``best_epoch`` is the one the generator is now in.
    """

    epochs: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0


def descend(
    generator: LabelSetGenerator,
    rows: SetRows,
    settings: SetTrainingSettings,
    *,
    epochs: int,
    learning_rate: float,
    step_loss: Callable[[Tensor, Tensor, int], StepLoss],
    score: Callable[[], EpochScore],
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> Descent:
    """Train a generator; it ends in the state of its best epoch, on the device it was on.

    Parameters
    ----------
    generator : LabelSetGenerator
        Changed in place. The state it comes in is a candidate, as epoch 0.
    rows : SetRows
    settings : SetTrainingSettings
    epochs : int
    learning_rate : float
        Peak rate.
    step_loss : callable
        ``(features, sets, step) -> StepLoss``, in train mode.
    score : callable
        Of the generator, in eval mode and without gradients.
    on_epoch : callable, optional
        Given each epoch's record.
    """
    device = next(generator.parameters()).device
    optimizer = torch.optim.AdamW(
        generator.parameters(), lr=learning_rate, weight_decay=settings.weight_decay
    )
    n_rows = len(rows)
    batch_size = min(settings.batch_size, max(_SMALLEST_BATCH, n_rows // 8))
    n_batches = math.ceil(n_rows / batch_size)
    best = _scored(generator, score)
    done = Descent([{"epoch": 0, **best.record}])
    kept, stale, step = copy.deepcopy(generator.state_dict()), 0, 0
    for epoch in range(1, epochs + 1):
        order = random_bits(settings.seed, ORDER, epoch, torch.arange(n_rows)).argsort().numpy()
        generator.train()
        records = []
        for positions in np.array_split(order, n_batches):
            share = step / (epochs * n_batches) if settings.schedule == "cosine" else 0.0
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * (1 + math.cos(math.pi * share)) / 2
            taken = step_loss(*rows.batch(positions, device), step)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(taken.loss)
            clip_gradients(generator.parameters(), _LARGEST_GRADIENT)
            optimizer.step()
            records.append(taken.record)
            step += 1
        now = _scored(generator, score)
        record = {"epoch": epoch, **_mean(records), **now.record}
        done.epochs.append(record)
        if on_epoch:
            on_epoch(record)
        stale += 1
        if now.admitted and now.goal > best.goal:
            best, stale, done.best_epoch = now, 0, epoch
            kept = copy.deepcopy(generator.state_dict())
        if stale >= settings.patience:
            break
    generator.load_state_dict(kept)
    generator.eval()
    return done


@torch.no_grad()
def _scored(generator: LabelSetGenerator, score: Callable[[], EpochScore]) -> EpochScore:
    generator.eval()
    return score()


def _mean(records: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each number over the steps in which it was defined; NaN where in none."""
    means = {}
    for name in records[0]:
        values = np.array([record[name] for record in records])
        defined = values[~np.isnan(values)]
        means[name] = float(defined.mean()) if defined.size else math.nan
    return means
