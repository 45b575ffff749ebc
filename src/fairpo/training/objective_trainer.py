"""An objective in a ``transformers.Trainer``: what the doors built on it share.

Importing this module imports transformers.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.trainer_pt_utils import find_batch_size

from fairpo._checks import file_error
from fairpo.objectives.group_objective import GroupObjective, StepSums
from fairpo.training.accumulation import (
    Accumulation,
    ExactStep,
    LaggedStep,
    Step,
    WholeStep,
    added,
)
from fairpo.training.distributed import rank, wait_for_all, world_size
from fairpo.training.objective_checkpoint import (
    newest_checkpoint,
    read_checkpoint,
    seal_checkpoint,
)
from fairpo.training.random_state import same_random_state_after
from fairpo.training.step_log import StepLog

_OBJECTIVE, _LOG = "objective.", "log"


class ObjectiveTrainer(transformers.Trainer):  # type: ignore[misc]
    """A ``transformers.Trainer`` whose loss is an objective over groups.

    A subclass says what a batch is to the objective: :meth:`part_sums`, :meth:`known_counts`, and
    :meth:`reference_inputs` where there is a reference. Its constructor ends with
    :meth:`use_objective`.

    The group weights move once an optimizer step, on sums and counts over all its micro-batches and
    processes. Their state is saved with each checkpoint and restored from it. Means of group
    losses, group weights and diagnostics go into every training log.

    Parameters
    ----------
    accumulation : "lagged" or "exact"
        What several micro-batches a step use; see :mod:`fairpo.training.accumulation`. One
        micro-batch a step is always exact.
    **arguments
        Of ``transformers.Trainer``.
    """

    # Parts add up to the loss of the step: nothing is left to divide by their number.
    loss_is_scaled_for_ga = True

    objective: GroupObjective

    def __init__(self, *, accumulation: Accumulation, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.model_accepts_loss_kwargs = False  # the loss is not the model's
        self._accumulation = accumulation
        self._batches: list[Any] = []
        self._n_done = 0
        self._loaded_step: int | None = None

    def use_objective(self, objective: GroupObjective) -> None:
        """Take the objective, onto the device of the model."""
        self.objective = objective.to(self.args.device).train()
        self._step_log = StepLog(
            objective.groups.names, objective.diagnostic_keys, self.args.device
        )

    @abstractmethod
    def part_sums(self, model: nn.Module, inputs: dict[str, Any], first_row: int) -> StepSums:
        """Sums of a micro-batch, with a graph, of the step ``self.state.global_step``.

        Parameters
        ----------
        model : torch.nn.Module
            The policy, wrapped as the training needs it.
        inputs : mapping
            The micro-batch on its device, with what :meth:`reference_inputs` adds.
        first_row : int
            Place of its first row in the step.
        """

    @abstractmethod
    def known_counts(self, inputs: dict[str, Any]) -> Tensor:
        """What a micro-batch tells of its counts before the model has seen it.

        The micro-batch is still where the data loader left it: bring no more of it to the device
        than its targets.
        """

    def reference_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """What the reference says of a micro-batch, unless its inputs hold it already."""
        return {}

    def identity(self) -> dict[str, Any]:
        """What a training that goes on from a checkpoint must have in common with it; JSON."""
        groups = {group.name: list(group.indices) for group in self.objective.groups.groups}
        settings = getattr(self.objective, "settings", None)
        return {
            "groups": groups,
            "settings": None if settings is None else settings.model_dump(mode="json"),
            "accumulation": self._accumulation,
        }

    def train(
        self, resume_from_checkpoint: str | bool | None = None, **arguments: Any
    ) -> transformers.trainer_utils.TrainOutput:
        """Train, or go on from a checkpoint; see ``transformers.Trainer.train``.

        Parameters
        ----------
        resume_from_checkpoint : str or bool, optional
            A checkpoint of this trainer; True is the newest complete one of ``output_dir``.

        Raises
        ------
        FairPOError
            The checkpoint is not complete or not of this training, or the loss is not finite.
        """
        checkpoint: str | None = None
        if resume_from_checkpoint:
            folder = (
                newest_checkpoint(Path(self.args.output_dir))
                if resume_from_checkpoint is True
                else Path(resume_from_checkpoint)
            )
            self._restore(read_checkpoint(folder, self.identity()))
            checkpoint = str(folder)
        self._batches, self._n_done = [], 0
        self._loaded_step = None
        return super().train(resume_from_checkpoint=checkpoint, **arguments)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """Take the micro-batches of the next step, and remember them."""
        batches, n_items = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._batches, self._n_done = batches, 0
        return batches, n_items

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Tensor:
        """What a micro-batch adds to the loss of its step, times the number of processes.

        Processes have their gradients averaged, and what they are to do is add up.
        """
        if self._n_done == len(self._batches):  # not from the loop: a step of its own
            self._batches, self._n_done = [inputs], 0
        if self._n_done == 0:
            self._answers: list[dict[str, Any]] = []  # the reference's, from a first pass
            self._step, self._first_rows = self._begin_step(model), self._places()
        answer = self._answers[self._n_done] if self._answers else self.reference_inputs(inputs)
        inputs = {**inputs, **answer}
        first_row = self._first_rows[self._n_done]
        part = self.part_sums(model, inputs, first_row)
        loss = self._step.loss(part)
        self._n_done += 1
        if self._n_done == len(self._batches) and self._step.report is not None:
            self._step_log.add(self._step.report)
        return loss * world_size()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, with what the steps reported since the last training log."""
        if "loss" in logs:
            logs = {**logs, **self._step_log.take()}
        super().log(logs, start_time)

    def _begin_step(self, model: nn.Module) -> Step:
        if len(self._batches) == 1:
            return WholeStep(self.objective)
        if self._accumulation == "lagged":
            known = [self.known_counts(batch) for batch in self._batches]
            return LaggedStep(self.objective, known)
        return ExactStep(self.objective, self._first_pass(model))

    def _first_pass(self, model: nn.Module) -> StepSums:
        """Sums of all micro-batches without gradient; the second pass draws the same dropout."""
        parts = []
        with torch.no_grad(), same_random_state_after(), _same_buffers_after(model):
            for batch, first_row in zip(self._batches, self._places(), strict=True):
                inputs = self._prepare_inputs(batch)
                self._answers.append(self.reference_inputs(inputs))
                inputs = {**inputs, **self._answers[-1]}
                parts.append(self.part_sums(model, inputs, first_row))
        return added(parts)

    def _places(self) -> list[int]:
        """Where each micro-batch begins in the step: processes take turns, with as many rows."""
        places, before = [], 0
        for batch in self._batches:
            rows = int(find_batch_size(batch))
            places.append(before + rank() * rows)
            before += world_size() * rows
        return places

    def _run_epoch(self, **arguments: Any) -> None:
        if self.state.global_step >= self.state.max_steps:
            # Resumed when it was done already: the stock loop would take one more step.
            self.control.should_training_stop = True
            return
        super()._run_epoch(**arguments)

    def _save_rng_state(self, output_dir: str) -> None:
        """Save the generators, the last but one of a checkpoint's files, and seal it."""
        super()._save_rng_state(output_dir)
        wait_for_all()
        if self.args.should_save:
            tensors = {_OBJECTIVE + name: t for name, t in self.objective.state_dict().items()}
            tensors[_LOG] = self._step_log.state()
            tensors = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
            seal_checkpoint(Path(output_dir), self.state.global_step, tensors, self.identity())

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if model is None and self._loads_plainly():
            self._load_weights(resume_from_checkpoint)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        """Load the best model, with the group weights it had."""
        folder = Path(self.state.best_model_checkpoint)
        if self._loads_plainly():
            self._load_weights(str(folder))
        else:
            super()._load_best_model()
        if not self.args.save_only_model:  # then a checkpoint holds nothing else
            self._restore(read_checkpoint(folder, self.identity()))
        self._loaded_step = self.state.best_global_step

    @property
    def steps_taken(self) -> int:
        """Optimizer steps the model has taken: the best one's, once that is loaded."""
        return self.state.global_step if self._loaded_step is None else self._loaded_step

    def _loads_plainly(self) -> bool:
        """Whether weights are whole in one process's files, without adapters."""
        plain = isinstance(self.model, transformers.PreTrainedModel)
        return plain and not (self.is_fsdp_enabled or self.is_deepspeed_enabled)

    def _load_weights(self, folder: str) -> None:
        """Load a saved model into this one, all of it.

        The stock Trainer gives the file's tensors to ``load_state_dict`` by name and passes over
        those that do not fit. Models whose files keep older names than their parameters have, ViT
        among them, lose most of their weights so (transformers issue 43701). ``from_pretrained``
        knows both names.
        """
        with same_random_state_after():
            saved, found = type(self.model).from_pretrained(
                folder,
                dtype=self.model.dtype,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
        lost = sorted([*found["missing_keys"], *found["mismatched_keys"]])
        if lost:
            raise file_error(folder, f"does not hold all weights of the model: {lost[:3]}")
        self.model.load_state_dict(saved.state_dict())

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        self._step_log.load(tensors.pop(_LOG))
        state = {name.removeprefix(_OBJECTIVE): tensor for name, tensor in tensors.items()}
        self.objective.load_state_dict(state)


@contextmanager
def _same_buffers_after(model: nn.Module) -> Iterator[None]:
    """Restore what a forward pass moves: running statistics."""
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)
