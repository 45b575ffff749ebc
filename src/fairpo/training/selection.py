"""Which epoch is returned, with the reference as a candidate."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairpo.groups import LabelGroups
from fairpo.metrics import average_precision


@dataclass(frozen=True)
class ValidationScores:
    """Mean average precision on the validation rows; NaN where no label has a positive."""

    privileged: float
    non_privileged: float
    overall: float

    @classmethod
    def from_ap(cls, ap: NDArray[np.float64], groups: LabelGroups) -> ValidationScores:
        """Average the per-label AP (labels,) over the groups."""
        return cls(_mean(ap[groups.privileged]), _mean(ap[groups.non_privileged]), _mean(ap))

    @classmethod
    def from_logits(
        cls, logits: NDArray[np.float32], targets: NDArray[np.int8], groups: LabelGroups
    ) -> ValidationScores:
        """Score logits (rows, labels)."""
        return cls.from_ap(average_precision(logits, targets), groups)

    @property
    def goal(self) -> float:
        """What selection maximises: privileged mAP, or overall where that is undefined."""
        return self.overall if math.isnan(self.privileged) else self.privileged

    def as_metrics(self) -> dict[str, float]:
        """Metric keys and values."""
        return {
            "map/privileged": self.privileged,
            "map/non_privileged": self.non_privileged,
            "map": self.overall,
        }


@dataclass
class Selector:
    """Keep the best admissible epoch.

    Best is the highest privileged mAP on validation among epochs whose non-privileged mAP is not
    below the reference's by more than a tolerance. The reference is epoch 0: it stays selected
    unless an epoch beats its privileged mAP. Without a reference (its own training) every epoch
    is admissible and the overall mAP decides.

    Parameters
    ----------
    reference : ValidationScores or None
    tolerance : float
        A fraction, not points.
    candidate : bool
        Whether the reference is epoch 0. If not, the best admissible epoch is returned even where
        it is worse.
    margin : float
        How far below the reference's an epoch's privileged mAP may be and still be taken for
        better; a fraction, not points.
    """

    reference: ValidationScores | None
    tolerance: float = 0.005
    best_epoch: int = 0
    candidate: bool = True
    margin: float = 0.0
    best_goal: float = field(init=False, default=-math.inf)
    stale_epochs: int = field(init=False, default=0)
    _highest: float = field(init=False, default=-math.inf)

    def __post_init__(self) -> None:
        """Enter the reference as epoch 0."""
        if not self.candidate or self.reference is None:
            return
        if not math.isnan(self.reference.goal):
            self.best_goal = self.reference.goal - self.margin

    def offer(self, epoch: int, scores: ValidationScores) -> bool:
        """Enter an epoch; return whether it is the new best."""
        goal = scores.overall if self.reference is None else scores.goal
        if math.isnan(goal):  # nothing to choose by: the reference stays, or trains to its end
            self.best_epoch = epoch if self.reference is None else self.best_epoch
            return self.reference is None
        # A reference whose ranking is as good as it gets still learns its probabilities.
        ties = self.reference is None
        fresh = goal > self._highest or (ties and goal == self._highest)
        self.stale_epochs = 0 if fresh else self.stale_epochs + 1
        self._highest = max(goal, self._highest)
        gains = goal > self.best_goal or (ties and goal == self.best_goal)
        if not (gains and self._admits(scores)):
            return False
        self.best_epoch, self.best_goal = epoch, goal
        return True

    def state(self) -> dict[str, float]:
        """Where the choice stands."""
        return {name: getattr(self, name) for name in _STATE}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up :meth:`state`."""
        for name in _STATE:
            setattr(self, name, state[name])

    @property
    def fell_back(self) -> bool:
        """Whether the reference stays selected."""
        return self.reference is not None and self.best_epoch == 0

    def _admits(self, scores: ValidationScores) -> bool:
        if self.reference is None or math.isnan(self.reference.non_privileged):
            return True
        # The small term keeps 0.800 - 0.795 from exceeding 0.005 by rounding.
        return scores.non_privileged >= self.reference.non_privileged - self.tolerance - 1e-12


_STATE = ("best_epoch", "best_goal", "stale_epochs", "_highest")


def _mean(values: NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else math.nan
