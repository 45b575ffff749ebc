"""Means of what steps reported since they were last asked for."""

from __future__ import annotations

import torch
from torch import Tensor

from fairpo.objectives.group_objective import ObjectiveOutput


class StepLog:
    """Group losses, group weights and diagnostics, kept on the device until they are logged.

    Parameters
    ----------
    names : tuple of str
        Of the groups.
    diagnostic_keys : tuple of str
        Of the objective.
    device : torch.device
    """

    def __init__(
        self, names: tuple[str, ...], diagnostic_keys: tuple[str, ...], device: torch.device
    ) -> None:
        kinds = ("group_losses", "group_weights")
        self._keys = [f"{kind}/{name}" for kind in kinds for name in names]
        self._keys += diagnostic_keys
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
