"""How often each label applies in the training rows: all that an objective knows of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from fairpo._checks import value_error


@dataclass(frozen=True, eq=False)
class LabelCounts:
    """Positives and known entries of each label in the training rows.

    Objectives never see data; those that weigh labels by frequency are built with this.
    :func:`fairpo.training.count_labels` takes it from targets.

    Parameters
    ----------
    positives : array, shape (labels,)
        Rows in which the label applies.
    observed : array, shape (labels,)
        Rows in which it is known whether it applies: all rows where nothing is missing.

    Raises
    ------
    FairPOValueError
        Shapes differ, or a label has fewer than 0 positives or more than known entries.

    Notes
    -----
    A label without a positive counts as having half of one, and one that always applies as having
    half a negative, so that every frequency and its inverse are finite.

    Examples
    --------
    >>> LabelCounts([5, 0], [10, 10]).frequencies.tolist()
    [0.5, 0.05]
    """

    positives: ArrayLike
    observed: ArrayLike

    def __post_init__(self) -> None:
        """Refuse what cannot have been counted."""
        positives, observed = self._arrays
        if positives.shape != observed.shape or positives.ndim != 1:
            raise value_error(
                "LabelCounts.positives and observed",
                must="share one shape (labels,)",
                got=f"{positives.shape} and {observed.shape}",
            )
        wrong = ~((positives >= 0) & (positives <= observed))  # NaN is wrong too
        if wrong.any():
            label = int(np.argmax(wrong))
            raise value_error(
                "LabelCounts.positives",
                must="be from 0 to the number of rows in which the label is known",
                got=f"{positives[label]:g} of {observed[label]:g} for label {label}",
            )

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return len(self._arrays[0])

    @cached_property
    def _arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.asarray(self.positives, np.float64), np.asarray(self.observed, np.float64)

    @property
    def counted(self) -> Tensor:
        """Positives, at least a half and at most half of one below all; float64 (labels,)."""
        positives, observed = self._arrays
        return torch.from_numpy(np.clip(positives, 0.5, np.maximum(observed - 0.5, 0.5)))

    @property
    def frequencies(self) -> Tensor:
        """Share of the known entries that are positive, above 0 and below 1; float64 (labels,)."""
        return self.counted / torch.from_numpy(np.maximum(self._arrays[1], 1.0))
