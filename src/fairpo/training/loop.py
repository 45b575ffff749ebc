"""The loop: one pass over arrays an epoch, no per-sample Python, bit-identical by seed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairpo._checks import FairPOError
from fairpo.data.base import Features, Targets, block_rows, dense_targets, feature_rows
from fairpo.models.head import Policy
from fairpo.objectives import Objective, ObjectiveOutput
from fairpo.training.reference_scores import Scores
from fairpo.training.selection import Selector, ValidationScores
from fairpo.training.settings import TrainingSettings

N_TRACE = 50
"""Points of the trace of losses and weights over a training, enough for a picture."""

_SMALLEST_BATCH = 16


@dataclass(frozen=True)
class TrainingRows:
    """Some rows of a data set, in RAM or memory-mapped, with what each batch needs.

    Parameters
    ----------
    features : array, memmap, CSR or store, shape (n, d)
    targets : int8 array or CSR, shape (n, L)
    rows : int array, shape (m,)
        The rows used.
    reference_logits : Scores, shape (n, L), optional
        Of every row of the data set, used or not; nothing is copied.
    sample_weight : float array, shape (m,), optional
        In the order of ``rows``.
    """

    features: Features
    targets: Targets
    rows: NDArray[np.int64]
    reference_logits: Scores | None = None
    sample_weight: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def features_at(self, positions: NDArray[np.int64] | slice) -> Tensor:
        """Features (batch, d), float32, at positions among these rows."""
        block = feature_rows(self.features, self.rows[positions])
        return torch.from_numpy(np.asarray(block, dtype=np.float32))

    def targets_at(self, positions: NDArray[np.int64]) -> Tensor:
        """Targets (batch, L), float32, at positions among these rows."""
        return torch.from_numpy(dense_targets(self.targets, self.rows[positions])).float()

    def reference_at(self, positions: NDArray[np.int64] | slice) -> Tensor | None:
        """Reference logits (batch, L) at positions among these rows."""
        if self.reference_logits is None:
            return None
        return torch.from_numpy(np.asarray(self.reference_logits[self.rows[positions]]))


@dataclass
class Training:
    """What a training leaves behind."""

    selector: Selector
    selected_state: dict[str, Tensor]
    last_state: dict[str, Tensor]
    epochs: list[dict[str, Any]] = field(default_factory=list)
    trace: list[dict[str, Any]] = field(default_factory=list)
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
) -> Training:
    """Train a policy and keep the selected and the last state.

    Parameters
    ----------
    policy : Policy
        Changed in place; ends in its last state.
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
        Receives each epoch's record.

    Raises
    ------
    FairPOError
        The loss is not finite; says at which step, with group losses and weights.
    """
    start = time.perf_counter()
    result = Training(selector, _copy_state(policy), {})
    generator = torch.Generator().manual_seed(settings.seed)
    optimizer = torch.optim.AdamW(
        policy.parameters(), lr=learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    batch_size = min(settings.batch_size, max(_SMALLEST_BATCH, math.ceil(len(rows) / 8)))
    n_batches = math.ceil(len(rows) / batch_size)
    recorder = _Recorder(objective.groups.names, max(1, epochs * n_batches // N_TRACE), result)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)  # dropout draws from the global generator
        for epoch in range(1, epochs + 1):
            policy.train()
            objective.train()
            order = torch.randperm(len(rows), generator=generator).numpy()
            for batch in range(n_batches):
                progress = ((epoch - 1) * n_batches + batch) / (epochs * n_batches)
                rate = learning_rate * _schedule(settings.schedule, progress)
                positions = order[batch * batch_size : (batch + 1) * batch_size]
                output = _step(
                    policy, objective, optimizer, rows, positions, settings, rate, generator
                )
                recorder.step(output, epoch - 1 + (batch + 1) / n_batches, (epoch, batch))
            policy.eval()
            scores = score(policy)
            if selector.offer(epoch, scores):
                result.selected_state = _copy_state(policy)
            record = recorder.epoch(epoch, epochs, rate, scores, time.perf_counter() - start)
            if on_epoch is not None:
                on_epoch(record)
            if selector.stale_epochs >= settings.patience:
                break
    result.last_state = _copy_state(policy)
    result.seconds = time.perf_counter() - start
    return result


def _step(
    policy: Policy,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    rows: TrainingRows,
    positions: NDArray[np.int64],
    settings: TrainingSettings,
    rate: float,
    generator: torch.Generator,
) -> ObjectiveOutput:
    reference = rows.reference_at(positions)
    targets = rows.targets_at(positions)
    logits = policy(rows.features_at(positions), reference)
    weight = _entry_weight(rows, positions, settings, targets, generator)
    output: ObjectiveOutput = objective(logits, targets, reference, entry_weight=weight)
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(output.loss)
    if settings.gradient_clip:
        torch.nn.utils.clip_grad_norm_(policy.parameters(), settings.gradient_clip)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    return output


def _entry_weight(
    rows: TrainingRows,
    positions: NDArray[np.int64],
    settings: TrainingSettings,
    targets: Tensor,
    generator: torch.Generator,
) -> Tensor | None:
    weight = None
    if rows.sample_weight is not None:
        weight = torch.from_numpy(rows.sample_weight[positions]).to(targets.dtype).unsqueeze(1)
    if settings.label_draw == "one":
        labels = torch.randint(targets.shape[1], (len(targets), 1), generator=generator)
        drawn = torch.zeros_like(targets).scatter_(1, labels, 1.0)
        weight = drawn if weight is None else drawn * weight
    return weight


def _schedule(kind: str, progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress)) if kind == "cosine" else 1.0


def _copy_state(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


class _Recorder:
    """Collects step outputs without waiting for the device more than once a step."""

    def __init__(self, names: tuple[str, ...], every: int, result: Training) -> None:
        self.names = names
        self.every = every
        self.result = result
        self.n_steps = 0
        self._start_epoch()

    def _start_epoch(self) -> None:
        self.losses: Tensor | float = 0.0
        self.group_losses: Tensor | float = 0.0
        self.diagnostics: list[Tensor] = []
        self.in_epoch = 0

    def step(self, output: ObjectiveOutput, epoch: float, place: tuple[int, int]) -> None:
        self.n_steps += 1
        self.in_epoch += 1
        loss = output.loss.detach()
        if not math.isfinite(float(loss)):
            raise FairPOError(
                f"the loss is {float(loss)} in epoch {place[0]}, batch {place[1]}: group losses "
                f"{self._named(output.group_losses)}, group weights "
                f"{self._named(output.group_weights)}. Lower the learning rate or look for extreme "
                "features; nothing was saved."
            )
        self.losses = self.losses + loss
        self.group_losses = self.group_losses + output.group_losses.detach()
        self.diagnostics.append(torch.stack([part.float() for part in output.diagnostics]))
        if self.n_steps % self.every == 0:
            self.result.trace.append(
                {
                    "step": self.n_steps,
                    "epoch": round(epoch, 4),
                    "group_weights": self._named(output.group_weights),
                    "group_losses": self._named(output.group_losses),
                }
            )
        self.group_weights = output.group_weights

    def epoch(
        self, epoch: int, epochs: int, rate: float, scores: ValidationScores, seconds: float
    ) -> dict[str, Any]:
        means = torch.stack(self.diagnostics).nanmean(0).tolist()
        fields = (
            "n_pairs",
            "confusing_share",
            "chosen_log_score",
            "rejected_log_score",
            "no_signal_share",
        )
        record = {
            "epoch": epoch,
            "epochs": epochs,
            "step": self.n_steps,
            "learning_rate": rate,
            "loss": float(self.losses) / self.in_epoch,
            "group_losses": self._named(torch.as_tensor(self.group_losses) / self.in_epoch),
            "group_weights": self._named(self.group_weights),
            "diagnostics": {
                name: none_if_nan(value) for name, value in zip(fields, means, strict=True)
            },
            "validation": {key: none_if_nan(value) for key, value in scores.as_metrics().items()},
            "seconds": round(seconds, 4),
        }
        self.result.epochs.append(record)
        self._start_epoch()
        return record

    def _named(self, values: Tensor) -> dict[str, float]:
        return dict(zip(self.names, values.detach().tolist(), strict=True))


def none_if_nan(value: float) -> float | None:
    """JSON has no NaN: an undefined figure is null."""
    return None if math.isnan(value) else value


@torch.no_grad()
def predict_logits(policy: Policy, rows: TrainingRows) -> NDArray[np.float32]:
    """Logits (rows, labels) of a policy in eval mode, in blocks of rows."""
    policy.eval()
    logits = np.empty((len(rows), policy.n_labels), dtype=np.float32)
    size = block_rows(max(int(rows.features.shape[1]), policy.n_labels))
    for start in range(0, len(rows), size):
        block = slice(start, start + size)
        reference = rows.reference_at(block) if policy.residual else None
        logits[block] = policy(rows.features_at(block), reference).numpy()
    return logits
