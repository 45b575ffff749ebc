"""Counting labels for the objectives that weigh them by frequency, which never see data."""

from __future__ import annotations

from fairpo.data.base import Targets, observed_counts, positive_counts
from fairpo.objectives.label_counts import LabelCounts


def count_labels(targets: Targets) -> LabelCounts:
    """Count the positives and the known entries of each label.

    Parameters
    ----------
    targets : array or CSR array, shape (rows, labels)
        1, 0, or -1 for missing; the training rows alone.

    Examples
    --------
    >>> import numpy as np
    >>> from fairpo import LabelPartition, make_objective
    >>> targets = np.array([[1, 0], [1, 1], [0, -1], [1, 0]])  # (rows, labels)
    >>> counts = count_labels(targets)
    >>> counts.positives.tolist(), counts.observed.tolist()
    ([3, 1], [4, 3])
    >>> groups = LabelPartition.from_indices([1], n_labels=2)
    >>> objective = make_objective("bce-class-balanced", groups, label_counts=counts)
    """
    return LabelCounts(positive_counts(targets), observed_counts(targets))
