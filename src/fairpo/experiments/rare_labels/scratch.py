"""A published loss from scratch, where the method of the same name starts from the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairpo.data.base import MultiLabelData
from fairpo.groups import LabelGroups
from fairpo.models.head import Policy
from fairpo.objectives import make_objective
from fairpo.training.label_counts import count_labels
from fairpo.training.loop import train
from fairpo.training.new_policy import new_policy_at_frequencies
from fairpo.training.reference import Reference
from fairpo.training.rows import training_rows
from fairpo.training.selection import Selector
from fairpo.training.settings import TrainingSettings
from fairpo.training.validation import score_logits, scorer


def train_from_scratch(
    data: MultiLabelData,
    reference: Reference,
    groups: LabelGroups,
    method: str,
    settings: TrainingSettings,
    options: Mapping[str, Any],
) -> tuple[Policy, Selector, int]:
    """Train a new network by a loss, with the epochs and the rate of its reference.

    Returns
    -------
    (policy, selector, epochs)
        The reference where no epoch is better on P within the tolerance on N, as for what goes on
        from it.
    """
    assert settings.reference_learning_rate is not None
    assert reference.policy is not None
    policy = new_policy_at_frequencies(data, reference.policy.settings, settings.seed)
    counts = count_labels(data.targets[data.rows("train")])
    training = train(
        policy,
        make_objective(method, groups, label_counts=counts, **options),
        training_rows(data, "train", reference.logits),
        settings,
        epochs=settings.reference_epochs,
        learning_rate=settings.reference_learning_rate,
        score=scorer(data, groups, reference.logits, settings),
        selector=Selector(
            score_logits(reference.logits, data, groups), settings.tolerance_points / 100
        ),
    )
    policy.load_state_dict(training.selected_state)
    epochs = len(training.epochs)
    if training.selector.fell_back:
        return reference.policy, training.selector, epochs
    return policy.eval(), training.selector, epochs
