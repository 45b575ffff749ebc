"""Decisions: from logits to probabilities that are true, and from those to predicted labels.

Everything is fitted on validation rows, for each label, by a strictly increasing map and one
threshold: AP does not change.

- ``settings``: :class:`DecisionSettings`, what the user says;
- ``guard``: the prior that keeps rare labels from overfitting;
- ``recalibration``: Platt and isotonic maps;
- ``thresholds``: by probability, F1, precision, recall or cost;
- ``rule``: :class:`DecisionRule`, all of it, fitted and kept.
"""

from fairpo.decisions.recalibration import Recalibration, fit_isotonic, fit_platt
from fairpo.decisions.rule import DecisionRule
from fairpo.decisions.settings import DecisionSettings, Threshold, read_threshold
from fairpo.decisions.thresholds import fit_thresholds

__all__ = [
    "DecisionRule",
    "DecisionSettings",
    "Recalibration",
    "Threshold",
    "fit_isotonic",
    "fit_platt",
    "fit_thresholds",
    "read_threshold",
]
