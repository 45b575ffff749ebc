"""Linear ridge regression, with a line for each label that makes logits of its values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from fairpo.decisions import DecisionSettings
from fairpo.decisions.recalibration import fit_platt


class RidgeRegression:
    """All labels by one solve; scikit-learn's ``Ridge``, with leave-one-out values.

    Platt's line of each label is fitted to those: in sample a value tells nothing of new rows.

    Parameters
    ----------
    features : float array, shape (n, d)
    targets : int8 array, shape (n, L)
    penalty : float, above 0
    """

    def __init__(
        self, features: NDArray[np.float32], targets: NDArray[np.int8], penalty: float
    ) -> None:
        self._centre, self._mean = features.mean(0, dtype=np.float64), targets.mean(0)
        centred = features - self._centre
        gram = cho_factor(centred.T @ centred + penalty * np.eye(features.shape[1]))
        self._weights = cho_solve(gram, centred.T @ (targets - self._mean))
        leverage = 1 / len(centred) + (centred * cho_solve(gram, centred.T).T).sum(1)
        values = centred @ self._weights + self._mean
        self.left_out = (values - leverage[:, None] * targets) / (1 - leverage[:, None])
        self._level, self._spread = self.left_out.mean(0), self.left_out.std(0) + 1e-12
        self._line = fit_platt(self._standard(self.left_out), targets, DecisionSettings().guard)

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of rows, (rows, L)."""
        values = (features - self._centre) @ self._weights + self._mean
        return (self._standard(values) * self._line.slope + self._line.intercept).astype(np.float32)

    def _standard(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((values - self._level) / self._spread)
