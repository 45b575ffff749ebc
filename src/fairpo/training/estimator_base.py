"""What the scikit-learn doors share: how they take rows, hold some out, and draw a seed.

Importing this module imports scikit-learn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from fairpo._checks import check_finite
from fairpo.data.base import MultiLabelData, Targets
from fairpo.data.splits import FEWEST_ROWS_TO_SPLIT, stratified_split


class MultiLabelEstimator(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """An estimator of several labels, trained with a part of its rows held out.

    A subclass has ``random_state`` and ``validation_fraction`` among its parameters.
    """

    random_state: int | np.random.RandomState | None
    validation_fraction: float

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.multi_class = False
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        tags.input_tags.sparse = True
        return tags

    def _features(self, X: Any, *, reset: bool) -> NDArray[np.float64]:
        if not reset:
            check_is_fitted(self)
        checked = validate_data(
            self,
            X,
            reset=reset,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_all_finite=False,
        )
        features: NDArray[np.float64] = checked.toarray() if sparse.issparse(checked) else checked
        check_finite(features, "X")
        return features

    def _seed(self) -> int:
        """Return ``random_state`` as a number; drawn where it is a generator or None."""
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31))

    def _hold_out(
        self, features: NDArray[np.float64], targets: Targets, names: tuple[str, ...], seed: int
    ) -> tuple[MultiLabelData, list[str]]:
        """Split rows into training and validation rows; what there is to say of it."""
        rows = np.arange(features.shape[0])
        if len(rows) < FEWEST_ROWS_TO_SPLIT:
            # MultiLabelData keeps splits apart, so the few rows are entered twice.
            twice = np.concatenate([rows, rows])
            split = {"train": rows, "validation": rows + len(rows)}
            features, targets = features[twice], targets[twice]
            notes = [f"{len(rows)} rows are too few to hold any out: they also chose the epoch."]
        else:
            train, held_out = stratified_split(targets, rows, self.validation_fraction, seed=seed)
            split, notes = {"train": train, "validation": held_out}, []
        return MultiLabelData(features, targets, names, split), notes
