"""Every metric that is a sum over rows divided by a sum over rows, under its name.

What resamples or swaps rows needs these sums and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import value_error
from fairpo.metrics.calibration import brier
from fairpo.metrics.decisions import DECISION_METRICS, RowTerms, decide, row_counts
from fairpo.metrics.ranking import Floats, Scores

ROW_METRICS = (*DECISION_METRICS, "brier")


def row_terms(
    logits: Scores,
    targets: NDArray[Any],
    membership: NDArray[np.float32],
    metrics: Sequence[str] = ROW_METRICS,
    threshold_logits: Floats | None = None,
) -> dict[str, RowTerms]:
    """Compute both terms of each metric, shape (n, G), in the order of ``metrics``.

    Parameters
    ----------
    logits : float array, shape (n, L)
    targets : int8 array, shape (n, L)
    membership : float32 array, shape (L, G)
        See :func:`~fairpo.metrics.membership_matrix`.
    metrics : sequence of str
        From ``ROW_METRICS``.
    threshold_logits : float array, shape (L,), optional
        Of the decisions, see :func:`~fairpo.metrics.decide`.
    """
    counts = row_counts(decide(logits, threshold_logits), targets, membership)
    return {
        name: brier(logits, targets, membership)
        if name == "brier"
        else DECISION_METRICS[name](counts)
        for name in metrics
    }


def thresholds_by_run(
    given: Sequence[Floats | None] | None, n_runs: int
) -> Sequence[Floats | None]:
    """Return one entry for each run; None for all where none are given."""
    if given is None:
        return [None] * n_runs
    if len(given) != n_runs:
        raise value_error(
            "thresholds", must=f"be given for each of the {n_runs} runs", got=len(given)
        )
    return given
