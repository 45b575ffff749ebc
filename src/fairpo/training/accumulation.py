"""One step of an objective in parts: micro-batches that come one by one, on several processes.

The loss of a whole step is ``sum_g a_g L_g`` with ``L_g`` a sum over the whole step divided by a
count over the whole step, and ``a`` moved by those ``L_g``. Sums, counts and weights are therefore
known only after the last part, while the first part is to be differentiated now. Three ways out:

- :class:`WholeStep`: there is one part; its sums are added over the processes before it is used.
- :class:`ExactStep`: a pass without gradient over all parts has come first.
- :class:`LaggedStep`: the weights are those the last step left; counts are taken from the targets.

In each of them the weights move once a step, on sums over all parts and processes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from fairpo._checks import FairPOError
from fairpo.objectives.group_objective import GroupObjective, ObjectiveOutput, StepSums
from fairpo.training.distributed import sum_over_processes, world_size

Accumulation = Literal["lagged", "exact"]


class Step(ABC):
    """A step under way.

    Parameters
    ----------
    objective : GroupObjective
        Its weights move once, when the sums of the whole step are known.
    """

    report: ObjectiveOutput | None = None
    """What the whole step came to, once its last part is in; without a graph.

    Under the weights that it moved and with the counts of the whole: what a step of one part would
    have minimised, which a lagged step approaches.
    """

    def __init__(self, objective: GroupObjective) -> None:
        self._objective = objective

    @abstractmethod
    def loss(self, part: StepSums) -> Tensor:
        """What the next part adds to the loss of the step, with a graph.

        Parameters
        ----------
        part : StepSums
            Of this process, in the order of the parts.
        """

    def _move_weights(self, whole: StepSums) -> None:
        if not bool(torch.isfinite(whole.totals).all()):
            raise _not_finite(self._objective, whole)
        self._objective.step_weights(whole)

    def _finish(self, whole: StepSums) -> None:
        self.report = self._objective.output(whole, whole)


class WholeStep(Step):
    """A step of one part: exact at no cost but the exchange between processes."""

    def loss(self, part: StepSums) -> Tensor:
        """Loss of the part, under the weights that it moved."""
        whole = over_processes(part)
        self._move_weights(whole)
        output = self._objective.output(part, whole)
        if world_size() > 1:
            self._finish(whole)
        else:  # the part is the whole: no need to ask twice
            loss, group_losses = output.loss.detach(), output.group_losses.detach()
            self.report = output._replace(loss=loss, group_losses=group_losses)
        return output.loss


class ExactStep(Step):
    """A step whose sums are known from a first pass: the same as one part with all rows.

    Parameters
    ----------
    objective : GroupObjective
    first_pass : StepSums
        Added over all parts of this process, without gradient. Sums of both passes are taken with
        the number of the step, on which draws depend: the weights have moved in between.
    """

    def __init__(self, objective: GroupObjective, first_pass: StepSums) -> None:
        super().__init__(objective)
        self._whole = over_processes(first_pass)
        self._move_weights(self._whole)
        self._finish(self._whole)

    def loss(self, part: StepSums) -> Tensor:
        """Loss of the part, under the weights that the whole step moved."""
        return self._objective.output(part, self._whole).loss


class LaggedStep(Step):
    """A step under the weights of the last one, divided by counts that targets tell.

    Parameters
    ----------
    objective : GroupObjective
    known : sequence of float tensor, shape (terms, columns)
        :meth:`~fairpo.objectives.base.Objective.known_counts` of each part of this process.
    """

    def __init__(self, objective: GroupObjective, known: Sequence[Tensor]) -> None:
        super().__init__(objective)
        self._known = list(known)
        self._known_of_whole = sum_over_processes(torch.stack(self._known).sum(0).double())
        self._parts: list[StepSums] = []

    def loss(self, part: StepSums) -> Tensor:
        """Loss of the part; the last one also moves the weights, for the next step."""
        guess = part.with_known(self._known[len(self._parts)], self._known_of_whole)
        loss = self._objective.output(part, guess).loss
        self._parts.append(part.detach())
        if len(self._parts) == len(self._known):
            whole = over_processes(added(self._parts))
            self._move_weights(whole)
            self._finish(whole)
        return loss


def added(parts: Sequence[StepSums]) -> StepSums:
    """Add parts up, at least one."""
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part
    return whole


def over_processes(part: StepSums) -> StepSums:
    """Add the parts of all processes up in one exchange; no graph."""
    if world_size() == 1:
        return part.detach()
    return part.from_vector(sum_over_processes(part.as_vector()))


def _not_finite(objective: GroupObjective, whole: StepSums) -> FairPOError:
    output = objective.output(whole, whole)
    names = objective.groups.names
    losses, weights = (
        dict(zip(names, values.tolist(), strict=True))
        for values in (output.group_losses, output.group_weights)
    )
    return FairPOError(
        f"the loss is {float(output.loss)}: group losses {losses}, group weights {weights}. Lower "
        "the learning rate or look for extreme inputs; the weights have not moved, and checkpoints "
        "before this step are whole."
    )
