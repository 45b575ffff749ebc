"""The loop: one pass over arrays an epoch, no per-sample Python, bit-identical by seed."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairpo._checks import FairPOWarning
from fairpo._random import ORDER, random_bits
from fairpo.models.head import Policy
from fairpo.objectives import Diagnostics, Objective, ObjectiveOutput
from fairpo.training.optimizer import LazyAdam
from fairpo.training.rows import TrainingRows
from fairpo.training.selection import Selector, ValidationScores
from fairpo.training.settings import TrainingSettings
from fairpo.training.state import Checkpoint
from fairpo.training.step import Stepper
from fairpo.training.step_log import StepLog
from fairpo.training.stop import stop_if_asked, stop_is_asked

N_TRACE = 50
"""Points of the trace of losses and weights over a training, enough for a picture."""

_SMALLEST_BATCH = 16


@dataclass
class Training:
    """What a training leaves behind."""

    selector: Selector
    selected_state: dict[str, Tensor]
    last_state: dict[str, Tensor]
    epochs: list[dict[str, Any]] = field(default_factory=list)
    trace: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was warned of, each once."""
    seconds: float = 0.0


EpochCallback = Callable[[dict[str, Any]], None]


def train(
    policy: Policy,
    objective: Objective,
    rows: TrainingRows,
    settings: TrainingSettings,
    *,
    epochs: int,
    learning_rate: float,
    score: Callable[[Policy], ValidationScores],
    selector: Selector,
    on_epoch: EpochCallback | None = None,
    checkpoint: Checkpoint | None = None,
) -> Training:
    """Train a policy and keep the selected and the last state.

    Parameters
    ----------
    policy : Policy
        Changed in place; ends in its last state, on the CPU.
    objective : Objective
        Its group weights step once a batch.
    rows : TrainingRows
    settings : TrainingSettings
    epochs : int
    learning_rate : float
        Peak rate.
    score : callable
        Scores the policy on the validation rows after each epoch.
    selector : Selector
    on_epoch : callable, optional
        Receives each epoch's record; after a resume the last one that was done.
    checkpoint : Checkpoint, optional
        Where the state is kept, and taken up if there is one: the result is the same, bit for bit,
        as without the stop.

    Raises
    ------
    FairPOError
        The loss is not finite; says so with group losses and weights.
    StoppedError
        Inside :func:`~fairpo.training.stop.stop_politely`, after a signal.
    """
    loop = _Loop(policy, objective, rows, settings, epochs, learning_rate, selector, checkpoint)
    try:
        if loop.epochs_done and on_epoch is not None:
            on_epoch(loop.result.epochs[-1])
        while not loop.finished:
            loop.run_epoch(score, on_epoch)
    finally:
        policy.cpu()
        objective.cpu()
    return loop.result


class _Loop:
    """A training under way, and its state as a checkpoint keeps it."""

    def __init__(
        self,
        policy: Policy,
        objective: Objective,
        rows: TrainingRows,
        settings: TrainingSettings,
        epochs: int,
        learning_rate: float,
        selector: Selector,
        checkpoint: Checkpoint | None,
    ) -> None:
        device = settings.torch_device()
        self.policy = policy.to(device)
        self.objective = objective.to(device)
        self.settings = settings.filled()
        self.epochs, self.learning_rate = epochs, learning_rate
        self.n_rows = len(rows)
        self.batch_size = min(settings.batch_size, max(_SMALLEST_BATCH, math.ceil(self.n_rows / 8)))
        self.n_batches = math.ceil(self.n_rows / self.batch_size)
        self.optimizer = self._new_optimizer()
        self.stepper = Stepper(policy, objective, self.optimizer, rows, settings)
        self.result = Training(selector, _copy_state(policy), {})
        every = max(1, epochs * self.n_batches // N_TRACE)
        self.recorder = _Recorder(objective, device, every, self.result)
        self.n_steps = 0
        self.finished = False
        self.checkpoint = checkpoint
        self.start = time.perf_counter()
        if checkpoint is not None:
            state = checkpoint.read()
            if state is not None:
                self._restore(state)

    def _new_optimizer(self) -> torch.optim.Optimizer | LazyAdam:
        decay = self.settings.weight_decay
        assert decay is not None
        if self.settings.sampled_labels:
            return LazyAdam(self.policy, self.learning_rate, decay)
        return torch.optim.AdamW(
            self.policy.parameters(), lr=self.learning_rate, weight_decay=decay, fused=True
        )

    @property
    def epochs_done(self) -> int:
        """Epochs that are over, their validation included."""
        return len(self.result.epochs)

    def run_epoch(
        self, score: Callable[[Policy], ValidationScores], on_epoch: EpochCallback | None
    ) -> None:
        """Run an epoch, or what is left of one."""
        epoch = self.epochs_done + 1
        self.policy.train()
        self.objective.train()
        order = self._order(epoch)
        for batch in range(self.n_steps - (epoch - 1) * self.n_batches, self.n_batches):
            rate = self._rate(self.n_steps)
            positions = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            output = self._step(positions, rate)
            self.n_steps += 1
            self.recorder.step(output, self.n_steps, self.n_steps / self.n_batches)
            if self.checkpoint is not None and (stop_is_asked() or self.checkpoint.is_due()):
                self._save()
            stop_if_asked()
        self.policy.eval()
        scores = score(self.policy)
        if self.result.selector.offer(epoch, scores):
            self.result.selected_state = _copy_state(self.policy)
        self.result.seconds = time.perf_counter() - self.start
        record = self.recorder.epoch(
            epoch, self.epochs, self.n_steps, self._rate(self.n_steps - 1), scores
        )
        if on_epoch is not None:
            on_epoch(record)
        stale = self.result.selector.stale_epochs >= self.settings.patience
        if stale or epoch == self.epochs:
            self.finished = True
            self.result.last_state = _copy_state(self.policy)
            if self.checkpoint is not None:
                self._save()

    def _step(self, positions: NDArray[np.int64], rate: float) -> ObjectiveOutput:
        """Take a step; warnings of ours become notes, which a resume keeps."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", FairPOWarning)
            output = self.stepper.step(self.n_steps, positions, rate)
        for warning in caught:
            if not issubclass(warning.category, FairPOWarning):
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )
            elif str(warning.message) not in self.result.notes:
                self.result.notes.append(str(warning.message))
        return output

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Rows of an epoch, drawn from seed and epoch alone."""
        seed = int(random_bits(self.settings.seed, ORDER, epoch))
        order: NDArray[np.int64] = torch.randperm(
            self.n_rows, generator=torch.Generator().manual_seed(seed)
        ).numpy()
        return order

    def _rate(self, step: int) -> float:
        progress = step / (self.epochs * self.n_batches)
        if self.settings.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))

    def _save(self) -> None:
        assert self.checkpoint is not None
        self.checkpoint.write(
            {
                "policy": self.policy.state_dict(),
                "objective": self.objective.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "selected": self.result.selected_state,
                "selector": self.result.selector.state(),
                "recorder": self.recorder.state(),
                "epochs": self.result.epochs,
                "trace": self.result.trace,
                "notes": self.result.notes,
                "n_steps": self.n_steps,
                "finished": self.finished,
                "seconds": time.perf_counter() - self.start,
            }
        )

    def _restore(self, state: dict[str, Any]) -> None:
        self.policy.load_state_dict(state["policy"])
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.result.selected_state = state["selected"]
        self.result.selector.restore(state["selector"])
        self.recorder.restore(state["recorder"])
        self.result.epochs[:] = state["epochs"]
        self.result.trace[:] = state["trace"]
        self.result.notes[:] = state["notes"]
        self.n_steps, self.finished = state["n_steps"], state["finished"]
        self.start -= state["seconds"]
        if self.finished:
            self.result.last_state = _copy_state(self.policy)
            self.result.seconds = state["seconds"]


def _copy_state(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}


class _Recorder:
    """Collects step outputs, for a record an epoch and a trace of the whole training."""

    def __init__(
        self, objective: Objective, device: torch.device, every: int, result: Training
    ) -> None:
        self.names = names = objective.groups.names
        self.every = every
        self.result = result
        self.log = StepLog(names, objective.diagnostic_keys, device)
        self.in_epoch = 0
        self.losses = torch.zeros((), dtype=torch.float64, device=device)
        self.group_weights = torch.zeros(len(names), dtype=torch.float64, device=device)

    def step(self, output: ObjectiveOutput, n_steps: int, epoch: float) -> None:
        """Enter a step of the whole batch, without a graph; ``n_steps`` counts it."""
        self.in_epoch += 1
        self.losses += output.loss
        self.group_weights = output.group_weights
        self.log.add(output)
        if n_steps % self.every == 0:
            self.result.trace.append(
                {
                    "step": n_steps,
                    "epoch": round(epoch, 4),
                    "group_weights": self._named(output.group_weights),
                    "group_losses": self._named(output.group_losses),
                }
            )

    def epoch(
        self, epoch: int, epochs: int, n_steps: int, rate: float, scores: ValidationScores
    ) -> dict[str, Any]:
        """Close an epoch and return its record."""
        means = self.log.take()
        record = {
            "epoch": epoch,
            "epochs": epochs,
            "step": n_steps,
            "learning_rate": rate,
            "loss": float(self.losses) / self.in_epoch,
            "group_losses": {name: means.get(f"group_losses/{name}") for name in self.names},
            "group_weights": self._named(self.group_weights),
            "diagnostics": {name: means.get(f"diagnostics/{name}") for name in Diagnostics._fields},
            "validation": {key: none_if_nan(value) for key, value in scores.as_metrics().items()},
            "seconds": round(self.result.seconds, 4),
        }
        self.result.epochs.append(record)
        self.in_epoch = 0
        self.losses.zero_()
        return record

    def state(self) -> dict[str, Any]:
        """What an epoch under way has collected."""
        return {
            "log": self.log.state(),
            "in_epoch": self.in_epoch,
            "losses": self.losses,
            "group_weights": self.group_weights,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up :meth:`state`."""
        self.log.load(state["log"])
        self.in_epoch = state["in_epoch"]
        self.losses.copy_(state["losses"])
        self.group_weights = state["group_weights"]

    def _named(self, values: Tensor) -> dict[str, float]:
        return dict(zip(self.names, values.tolist(), strict=True))


def none_if_nan(value: float) -> float | None:
    """JSON has no NaN: an undefined figure is null."""
    return None if math.isnan(value) else value
