"""DecisionRule: from a model's logits to probabilities and decisions, fitted once and kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fairpo._checks import value_error
from fairpo.decisions.recalibration import Recalibration, fit_isotonic, fit_platt
from fairpo.decisions.settings import DecisionSettings
from fairpo.decisions.thresholds import fit_thresholds
from fairpo.metrics.decisions import decide
from fairpo.metrics.ranking import Floats, Scores

_ARRAYS = ("slope", "intercept", "knots_from", "knots_to", "knots_start")


@dataclass(frozen=True)
class DecisionRule:
    """Recalibration and threshold of each label.

    Attributes
    ----------
    recalibration : Recalibration
    threshold_logits : float64 array, shape (L,)
        A label is predicted where its recalibrated logit is above.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(size=(2000, 3))                        # (rows, labels)
    >>> targets = (rng.random((2000, 3)) < 1 / (1 + np.exp(2 - logits))).astype(np.int8)
    >>> rule = DecisionRule.fit(logits, targets, DecisionSettings(threshold="f1"))
    >>> rule.probabilities(logits).mean().round(3) == targets.mean().round(3)
    np.True_
    >>> rule.decide(logits).shape
    (2000, 3)
    """

    recalibration: Recalibration
    threshold_logits: Floats

    @classmethod
    def identity(cls, n_labels: int) -> DecisionRule:
        """Return the rule that takes logits as they are and predicts above probability 0.5."""
        return cls(Recalibration.identity(n_labels), np.zeros(n_labels))

    @classmethod
    def fit(
        cls, logits: Scores, targets: NDArray[Any], settings: DecisionSettings | None = None
    ) -> DecisionRule:
        """Fit a rule to rows that the model was not trained on.

        Parameters
        ----------
        logits : float array, shape (n, L)
            Of validation rows.
        targets : int8 array, shape (n, L)
            1, 0, or -1 for not known: such an entry is left out.
        settings : DecisionSettings, optional

        Raises
        ------
        FairPOValueError, FairPOTypeError
            See :func:`~fairpo.metrics.check_scores`.
        """
        settings = settings or DecisionSettings()
        fit = fit_isotonic if settings.recalibration == "isotonic" else fit_platt
        fitted = fit(logits, targets, settings.guard)
        truest = fitted.apply(logits)
        kept = fitted
        if settings.recalibration == "none":
            kept = Recalibration.identity(logits.shape[1])
        thresholds = fit_thresholds(
            kept.apply(logits), targets, settings.rule, expit(truest), settings.guard
        )
        return cls(kept, thresholds)

    def apply(self, logits: Scores) -> Floats:
        """Recalibrate logits (n, L); the ranking of rows within each label stays."""
        return self.recalibration.apply(logits)

    def probabilities(self, logits: Scores) -> Floats:
        """Recalibrated probabilities, shape (n, L)."""
        return np.asarray(expit(self.apply(logits)))

    def decide(self, logits: Scores) -> NDArray[np.bool_]:
        """Predict labels from raw logits (n, L): bool (n, L)."""
        return decide(self.apply(logits), self.threshold_logits)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the rule as named arrays, ready for safetensors."""
        arrays = {name: getattr(self.recalibration, name) for name in _ARRAYS}
        return {**arrays, "threshold_logits": self.threshold_logits}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> DecisionRule:
        """Build a rule from what :meth:`to_arrays` returned.

        Raises
        ------
        FairPOValueError
            Arrays are missing or do not fit together.
        """
        missing = sorted({*_ARRAYS, "threshold_logits"} - set(arrays))
        if missing:
            raise value_error(
                "a decision rule",
                must="have all its arrays",
                got=f"none called {', '.join(missing)}",
            )
        recalibration = Recalibration(**{name: arrays[name] for name in _ARRAYS})
        rule = cls(recalibration, arrays["threshold_logits"])
        n_labels, start = len(rule.threshold_logits), recalibration.knots_start
        lengths = {len(recalibration.slope), len(recalibration.intercept), len(start) - 1}
        n_knots = {len(recalibration.knots_from), len(recalibration.knots_to)}
        fits = lengths == {n_labels} and n_knots == {int(start[-1])}
        if not fits or (np.diff(start) < 0).any() or start[0] != 0:
            raise value_error(
                "the arrays of a decision rule",
                must="fit together",
                got=f"{sorted(lengths)} labels and {sorted(n_knots)} knots",
            )
        return rule
