"""Validation scores: of a policy after an epoch, and of logits that are there."""

from __future__ import annotations

from collections.abc import Callable

from fairpo.data.base import MultiLabelData
from fairpo.groups import LabelGroups
from fairpo.models.head import Policy
from fairpo.training.label_scores import LabelScores, precision_by_label, scores_by_label
from fairpo.training.reference_scores import Scores
from fairpo.training.rows import predict_logits, training_rows
from fairpo.training.selection import ValidationScores
from fairpo.training.settings import TrainingSettings


def score_logits(logits: Scores, data: MultiLabelData, groups: LabelGroups) -> ValidationScores:
    """Validation scores of logits (n, L), a block of labels at a time."""
    rows = data.rows("validation")
    ap = precision_by_label(scores_by_label(logits, rows), data.targets[rows])
    return ValidationScores.from_ap(ap, groups)


def scorer(
    data: MultiLabelData,
    groups: LabelGroups,
    reference_logits: Scores | None,
    settings: TrainingSettings,
) -> Callable[[Policy], ValidationScores]:
    """Return what scores a policy on the validation rows.

    Parameters
    ----------
    data : MultiLabelData
    groups : LabelGroups
    reference_logits : Scores, shape (n, L), or None
        A residual policy needs them.
    settings : TrainingSettings
        With sampled labels scores come a block of labels at a time.
    """
    rows = training_rows(data, "validation", reference_logits)
    if settings.sampled_labels:
        few = data.targets[rows.rows]

        def in_blocks(policy: Policy) -> ValidationScores:
            score = LabelScores(policy, data.features, rows.rows, reference_logits)
            return ValidationScores.from_ap(precision_by_label(score, few), groups)

        return in_blocks
    targets = data.targets_of(rows.rows)
    return lambda policy: ValidationScores.from_logits(
        predict_logits(policy, rows), targets, groups
    )
