"""The guard against few positives: a prior made of data, counted in pseudo-positives.

Every validation entry is seen once as it is and, with a small weight, once as a prior expects it:
the target ``y`` becomes ``(y + k p) / (1 + k)`` with weight ``1 + k``, where ``p`` is the prior's
probability and ``k`` is such that the prior adds ``guard`` positives in all. Whatever is fitted to
these targets leans on the prior where a label has few positives, and forgets it where it has many.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairpo.metrics.ranking import Floats, divide_defined


def guarded_targets(
    targets: NDArray[Any], prior: Floats, guard: float
) -> tuple[Floats, NDArray[np.float64]]:
    """Mix targets with the probabilities of a prior.

    Parameters
    ----------
    targets : int8 array, shape (n, L)
        1, 0, or -1 for not known.
    prior : float array, shape (n, L), in (0, 1)
    guard : float, above 0
        Positives that the prior adds to each label.

    Returns
    -------
    targets : float64 array, shape (n, L), in (0, 1)
        0 where not known.
    weights : float64 array, shape (n, L)
        Of the entries; 0 where not known.

    References
    ----------
    Bedrick, Christensen and Johnson, "A new perspective on priors for generalized linear models",
    JASA 1996: priors that are pseudo-data.
    """
    observed = targets >= 0
    expected = np.where(observed, prior, 0.0)
    share = np.nan_to_num(divide_defined(np.full(targets.shape[1], guard), expected.sum(axis=0)))
    mixed = ((targets == 1) + share * expected) / (1.0 + share)
    return mixed, np.where(observed, 1.0 + share, 0.0)
