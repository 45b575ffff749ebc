"""Means of what steps reported since they were last asked for."""

from __future__ import annotations

import torch
from torch import Tensor

from fairpo.objectives.base import Diagnostics, ObjectiveOutput


class StepLog:
    """Group losses, group weights and diagnostics, kept on the device until they are logged.

    Parameters
    ----------
    names : tuple of str
        Of the groups.
    device : torch.device
    """

    def __init__(self, names: tuple[str, ...], device: torch.device) -> None:
        kinds = (("group_losses", names), ("group_weights", names))
        self._keys = [f"{kind}/{name}" for kind, of in kinds for name in of]
        self._keys += [f"diagnostics/{name}" for name in Diagnostics._fields]
        self._totals = torch.zeros(2, len(self._keys), dtype=torch.float64, device=device)

    def add(self, report: ObjectiveOutput) -> None:
        """Take the report of a step; what is undefined in it does not count."""
        parts = (report.group_losses, report.group_weights, torch.stack(report.diagnostics))
        values = torch.cat([part.detach().double() for part in parts])
        defined = values.isfinite()
        self._totals += torch.stack([values.where(defined, 0.0), defined.double()])

    def take(self) -> dict[str, float]:
        """Means by key, such as ``group_losses/privileged``, of what was defined; starts anew."""
        totals, counts = self._totals.tolist()
        self._totals.zero_()
        pairs = zip(self._keys, totals, counts, strict=True)
        return {key: total / count for key, total, count in pairs if count}

    def state(self) -> Tensor:
        """Everything in it."""
        return self._totals

    def load(self, state: Tensor) -> None:
        """Take :meth:`state` of another log of the same groups."""
        self._totals.copy_(state)
