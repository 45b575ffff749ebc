"""What an evaluation found: the policy, the reference beside it, and the objective's loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fairpo.metrics import LabelFrame
from fairpo.objectives import Objective
from fairpo.training.accumulation import added

COMPARED = ("map", "sample_f1", "label_accuracy", "exact_match")
"""Metrics reported for the reference as well."""

_ROWS = 1024


@dataclass(frozen=True)
class Evaluation:
    """An evaluation of one set of examples.

    Parameters
    ----------
    step : int
        Optimizer steps the policy had taken.
    n_examples : int
    policy : LabelFrame
    reference : LabelFrame or None
        None where there is no reference for these examples.
    loss : dict
        The objective's, under its present group weights: ``loss`` and ``group_losses/<group>``;
        empty where it needs a reference and there is none.
    """

    step: int
    n_examples: int
    policy: LabelFrame
    reference: LabelFrame | None
    loss: dict[str, float]

    def as_metrics(self) -> dict[str, float]:
        """Everything that is a number and defined, under flat keys.

        ``loss``, ``group_losses/<group>``; every key of :meth:`LabelFrame.to_dict` that holds a
        number, such as ``map/privileged``; and ``reference/<metric>/<group>``.
        """
        metrics = {**self.loss, **_numbers(self.policy)}
        if self.reference is not None:
            for key, value in _numbers(self.reference).items():
                metric, _, group = key.partition("/")
                if metric in COMPARED and group in ("", *self.reference.groups):
                    metrics[f"reference/{key}"] = value
        return metrics


@torch.no_grad()
def objective_loss(
    objective: Objective,
    logits: NDArray[np.float32],
    targets: NDArray[np.int8],
    reference_logits: NDArray[np.float32] | None,
    device: torch.device,
) -> dict[str, float]:
    """Loss of a whole set as one step, in blocks of rows; nothing moves."""
    if reference_logits is None and objective.needs_reference:
        return {}
    parts = []
    for start in range(0, len(logits), _ROWS):
        rows = slice(start, start + _ROWS)
        block = [
            None if values is None else torch.from_numpy(np.asarray(values[rows])).to(device)
            for values in (logits, targets, reference_logits)
        ]
        assert block[0] is not None
        assert block[1] is not None
        parts.append(objective.sums(block[0], block[1].float(), block[2], first_row=start))
    whole = added(parts)
    output = objective.output(whole, whole)
    names = objective.groups.names
    losses = dict(zip(names, output.group_losses.tolist(), strict=True))
    return {
        "loss": float(output.loss),
        **{f"group_losses/{name}": value for name, value in losses.items()},
    }


def _numbers(frame: LabelFrame) -> dict[str, float]:
    return {key: v for key, v in frame.to_dict().items() if isinstance(v, int | float)}
