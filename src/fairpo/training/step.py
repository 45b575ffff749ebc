"""One optimizer step: its rows among processes and micro-batches, its sums put together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairpo._random import LABELS, Draw, random_bits
from fairpo.data.label_columns import in_batch_labels
from fairpo.models.head import Policy
from fairpo.objectives import Objective, ObjectiveOutput
from fairpo.objectives.group_objective import StepSums
from fairpo.objectives.sample import LabelSample, draw_labels
from fairpo.training.accumulation import ExactStep, LaggedStep, Step, WholeStep, added
from fairpo.training.distributed import share, sum_over_processes, world_size
from fairpo.training.optimizer import LazyAdam, clip_gradients
from fairpo.training.rows import TrainingRows
from fairpo.training.settings import TrainingSettings


@dataclass(frozen=True)
class Part:
    """The rows of one forward pass, on the device.

    Parameters
    ----------
    features : float tensor, shape (rows, features)
    targets : float tensor, shape (rows, labels)
    reference : float tensor, shape (rows, labels), or None
    entry_weight : float tensor, shape (rows, 1) or (rows, labels), or None
    draw : Draw
        Where they stand in the step.
    sample : LabelSample or None
        The labels of the columns, the same in all parts of a step; all labels when None.
    """

    features: Tensor
    targets: Tensor
    reference: Tensor | None
    entry_weight: Tensor | None
    draw: Draw
    sample: LabelSample | None


class Stepper:
    """Takes optimizer steps on a policy; all processes end a step with the same weights.

    Parameters
    ----------
    policy : Policy
    objective : Objective
    optimizer : torch.optim.Optimizer or LazyAdam
        Over the policy's parameters; lazy where labels are sampled.
    rows : TrainingRows
    settings : TrainingSettings
    """

    def __init__(
        self,
        policy: Policy,
        objective: Objective,
        optimizer: torch.optim.Optimizer | LazyAdam,
        rows: TrainingRows,
        settings: TrainingSettings,
    ) -> None:
        self.policy = policy
        self.objective = objective
        self.optimizer = optimizer
        self.rows = rows
        self.settings = settings
        parameter = next(policy.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype

    def step(self, number: int, positions: NDArray[np.int64], rate: float) -> ObjectiveOutput:
        """Take one step.

        Parameters
        ----------
        number : int
            Of the step, from 0.
        positions : int array, shape (batch,)
            The rows of the whole step, the same on every process.
        rate : float
            Learning rate.

        Returns
        -------
        ObjectiveOutput of the whole step, without a graph
        """
        parts = list(self._parts(number, positions))
        step = self._begin(parts)
        self.optimizer.zero_grad()
        for part in parts:
            torch.autograd.backward(step.loss(self._sums(part)))
        self._share_gradients()
        if self.settings.gradient_clip:
            clip_gradients(self.policy.parameters(), self.settings.gradient_clip)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        assert step.report is not None
        return step.report

    def _begin(self, parts: list[Part]) -> Step:
        if len(parts) == 1:
            return WholeStep(self.objective)
        if self.settings.accumulation == "exact":
            with torch.no_grad():
                return ExactStep(self.objective, added([self._sums(part) for part in parts]))
        known = [
            self.objective.known_counts(part.targets, part.entry_weight, part.sample)
            for part in parts
        ]
        return LaggedStep(self.objective, known)

    def _sums(self, part: Part) -> StepSums:
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"
        ):
            if part.sample is None:
                logits = self.policy(part.features, part.reference, part.draw)
            else:
                labels = part.sample.labels
                logits = self.policy.logits_at(part.features, labels, part.reference, part.draw)
        return self.objective.sums(
            logits,
            part.targets,
            part.reference,
            entry_weight=part.entry_weight,
            first_row=part.draw.first_row,
            step=int(part.draw.step),
            sample=part.sample,
        )

    def _parts(self, number: int, positions: NDArray[np.int64]) -> Iterator[Part]:
        """Cut this process's share of a step into micro-batches; at least one, maybe empty."""
        sample = self._sample(number, positions)
        own = share(len(positions))
        edges = np.linspace(own.start, own.stop, self.settings.accumulation_steps + 1).astype(int)
        for start, stop in itertools.pairwise(edges):
            draw = Draw(self.settings.seed, number, int(start))
            yield self._part(positions[start:stop], draw, sample)

    def _sample(self, number: int, positions: NDArray[np.int64]) -> LabelSample | None:
        """Draw the labels of a step, the same on every process."""
        if not self.settings.sampled_labels:
            return None
        targets = self.rows.targets
        return draw_labels(
            in_batch_labels(targets, self.rows.rows[positions]),
            int(targets.shape[1]),
            self.settings.sampled_labels,
            seed=self.settings.seed,
            step=number,
        )

    def _part(self, positions: NDArray[np.int64], draw: Draw, sample: LabelSample | None) -> Part:
        labels = None if sample is None else sample.labels.numpy()
        reference = self.rows.reference_at(positions, labels)
        targets = self.rows.targets_at(positions, labels).to(self.device)
        return Part(
            self.rows.features_at(positions).to(self.device, self.dtype),
            targets,
            None if reference is None else reference.to(self.device, self.dtype),
            self._entry_weight(positions, targets, draw),
            draw,
            None if sample is None else sample.to(self.device),
        )

    def _entry_weight(
        self, positions: NDArray[np.int64], targets: Tensor, draw: Draw
    ) -> Tensor | None:
        weight = None
        if self.rows.sample_weight is not None:
            weight = torch.from_numpy(self.rows.sample_weight[positions]).to(targets).unsqueeze(1)
        if self.settings.label_draw == "one":
            places = torch.arange(len(targets), device=self.device) + draw.first_row
            label = random_bits(draw.seed, LABELS, draw.step, places) % targets.shape[1]
            drawn = torch.zeros_like(targets).scatter_(1, label.unsqueeze(1), 1.0)
            weight = drawn if weight is None else drawn * weight
        return weight

    def _share_gradients(self) -> None:
        """Add the gradients of all processes up: each process's loss is a share of the whole."""
        if world_size() == 1:
            return
        gradients = []
        for parameter in self.policy.parameters():
            if parameter.grad is None:
                continue
            if parameter.grad.is_sparse:  # rows of the step's sample, the same on every process
                parameter.grad = parameter.grad.coalesce()
                gradients.append(parameter.grad.values())
            else:
                gradients.append(parameter.grad)
        total = sum_over_processes(torch.cat([gradient.flatten() for gradient in gradients]))
        pieces = torch.split(total, [gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))
