"""Every metric that is a sum over rows divided by a sum over rows, under its name.

What resamples or swaps rows needs these sums and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import value_error
from fairpo.metrics.calibration import brier
from fairpo.metrics.decisions import DECISION_METRICS, RowTerms, decide, row_counts
from fairpo.metrics.ranking import Floats, Scores, divide_defined
from fairpo.metrics.units import sum_by_unit

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


def sum_terms_by_unit(terms: Mapping[str, RowTerms], unit_of_row: NDArray[np.int64]) -> Floats:
    """Sum terms over the rows of each unit.

    Parameters
    ----------
    terms : mapping from metric to RowTerms of shape (n, G)
        It may be empty.
    unit_of_row : int64 array, shape (n,)

    Returns
    -------
    float64 array, shape (U, 2 x metrics x G)
        Metric by metric the numerators of all groups, then the denominators.
    """
    sums = [sum_by_unit(term, unit_of_row) for pair in terms.values() for term in pair]
    return np.concatenate(sums or [np.empty((int(unit_of_row.max()) + 1, 0))], axis=1)


def ratios_of_sums(sums: Floats, n_groups: int) -> Floats:
    """Each metric from sums of its terms, as :func:`sum_terms_by_unit` lays them out.

    Parameters
    ----------
    sums : float64 array, shape (2 x metrics x groups, ...)
    n_groups : int

    Returns
    -------
    float64 array, shape (metrics, groups, ...)
        NaN where nothing is defined.
    """
    numerators, denominators = sums.reshape(-1, 2, n_groups, *sums.shape[1:]).swapaxes(0, 1)
    return divide_defined(numerators, denominators)


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
