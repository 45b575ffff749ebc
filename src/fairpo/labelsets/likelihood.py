"""The reference: a generator trained by maximum likelihood of the sets, in no order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fairpo._random import Draw
from fairpo.data.base import MultiLabelData, block_rows
from fairpo.labelsets.descent import Descent, EpochScore, StepLoss, descend
from fairpo.labelsets.generator import GeneratorSettings, LabelSetGenerator
from fairpo.labelsets.probability import order_bound, set_log_probs
from fairpo.labelsets.rows import SetRows, complete_rows
from fairpo.labelsets.settings import SetTrainingSettings
from fairpo.training.rows import feature_moments


@dataclass
class TrainedGenerator:
    """A generator and how it came about."""

    generator: LabelSetGenerator
    descent: Descent
    notes: list[str]


def train_generator(
    data: MultiLabelData,
    settings: GeneratorSettings,
    training: SetTrainingSettings,
    *,
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> TrainedGenerator:
    """Train a generator by maximum likelihood; the epoch with the best validation value is kept.

    Parameters
    ----------
    data : MultiLabelData
        With a train and a validation split. Rows with unknown labels are left out.
    settings : GeneratorSettings
    training : SetTrainingSettings
    on_epoch : callable, optional

    Returns
    -------
    TrainedGenerator
        In eval mode, on the CPU.
    """
    data.require_features()
    rows, train_note = complete_rows(data, "train")
    held_out, held_out_note = complete_rows(data, "validation")
    generator = new_generator(data, rows, settings, training.seed).to(training.torch_device())

    def step_loss(features: Tensor, sets: Tensor, step: int) -> StepLoss:
        context = generator.context(features, Draw(training.seed, step))
        summed = sets.sum(1) <= training.summed_labels
        values = training_log_probs(generator, context, sets, summed, training.seed, step)
        loss = -values.mean()
        return StepLoss(loss, {"loss": float(loss.detach())})

    def score() -> EpochScore:
        goal = float(log_likelihoods(generator, held_out).mean())
        return EpochScore(goal, True, {"validation_log_likelihood": goal})

    descent = descend(
        generator,
        rows,
        training,
        epochs=training.reference_epochs,
        learning_rate=training.reference_learning_rate,
        step_loss=step_loss,
        score=score,
        on_epoch=on_epoch,
    )
    notes = [note for note in (train_note, held_out_note) if note]
    return TrainedGenerator(generator.cpu(), descent, notes)


def training_log_probs(
    generator: LabelSetGenerator,
    context: Tensor,
    sets: Tensor,
    summed: Tensor,
    *keys: int,
    numbers: Tensor | None = None,
) -> Tensor:
    """Log-probabilities of sets (n,) as training takes them: exact, or bounded by one order.

    Parameters
    ----------
    generator : LabelSetGenerator
    context : float tensor, shape (n, width)
    sets : bool tensor, shape (n, labels)
    summed : bool tensor, shape (n,)
        Sets whose orders are all summed; of the others one is drawn.
    *keys : int
        What the orders depend on besides a set's number, such as seed and step.
    numbers : int64 tensor, shape (n,), optional
        See :func:`order_bound`; the sets' places here when not given.
    """
    exact = set_log_probs(generator, context[summed], sets[summed], exact_labels=generator.n_labels)
    ((rest,), (first,)) = (~summed).nonzero(as_tuple=True), summed.nonzero(as_tuple=True)
    called = rest if numbers is None else numbers[rest]
    bounds = order_bound(generator, context[rest], sets[rest], called, *keys)
    return torch.cat([exact.values, bounds])[torch.cat([first, rest]).argsort()]


@torch.no_grad()
def log_likelihoods(generator: LabelSetGenerator, rows: SetRows) -> Tensor:
    """Log-probability of the true set of each row, float (rows,); see :func:`set_log_probs`."""
    device = next(generator.parameters()).device
    values = []
    size = block_rows(rows.data.n_features)
    for start in range(0, len(rows), size):
        features, sets = rows.batch(np.arange(start, min(start + size, len(rows))), device)
        context = generator.context(features)
        numbers = torch.arange(start, start + len(sets))
        known = set_log_probs(generator, context, sets, numbers=numbers)
        values.append(known.values.cpu())
    return torch.cat(values)


def new_generator(
    data: MultiLabelData, rows: SetRows, settings: GeneratorSettings, seed: int
) -> LabelSetGenerator:
    """Return an untrained generator, its scaling taken from the training rows."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = LabelSetGenerator(data.n_features, data.n_labels, settings)
    mean, deviation = feature_moments(data.features, rows.rows)
    generator.scaling.mean.copy_(torch.from_numpy(mean))
    generator.scaling.scale.copy_(torch.from_numpy(deviation))
    return generator
