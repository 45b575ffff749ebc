"""A network beside a closed-form reference, weighed against each other.

1. The closed form is fitted to the training rows; what it says of each from a fit to the others
   tells which examples are confusing and what loss can be expected of it.
2. A network is trained from scratch, its preferences and its group weights measured against that.
3. The two, and the scores of a given model, are weighed by their likelihood on the validation rows;
   alike, where rows are too few to hold any out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fairpo.data.base import MultiLabelData, feature_rows
from fairpo.data.splits import FEWEST_ROWS_TO_SPLIT
from fairpo.models.head import HeadSettings, Policy
from fairpo.objectives import Objective
from fairpo.objectives.competition import Competition
from fairpo.training.competition import measure_competition
from fairpo.training.interpolation import interpolate
from fairpo.training.loop import EpochCallback, Training, train
from fairpo.training.new_policy import new_policy_at_frequencies
from fairpo.training.reference import Reference
from fairpo.training.rows import TrainingRows, predict_logits
from fairpo.training.selection import Selector, ValidationScores
from fairpo.training.settings import TrainingSettings
from fairpo.training.state import Checkpoint


class CrossFitted(NamedTuple):
    """What came of it.

    Attributes
    ----------
    policy : Policy
        The selected network and the closed form, weighed; a residual where the reference is scores.
    training : Training
        Of the network.
    objective : Objective
    notes : list of str
    """

    policy: Policy
    training: Training
    objective: Objective
    notes: list[str]


def train_cross_fitted(
    data: MultiLabelData,
    reference: Reference,
    closed_form: Reference,
    head: HeadSettings,
    settings: TrainingSettings,
    objective_for: Callable[[Competition], Objective],
    score: Callable[[Policy], ValidationScores],
    *,
    sample_weight: NDArray[np.float64] | None = None,
    on_epoch: EpochCallback | None = None,
    checkpoint: Checkpoint | None = None,
) -> CrossFitted:
    """Train a network and weigh it.

    Parameters
    ----------
    data : MultiLabelData
        With a train and a validation split.
    reference : Reference
        Scores of a given model take part; a network, and the closed form itself, do not.
    closed_form : Reference
        With ``left_out``.
    head : HeadSettings
        Not ``per-label``.
    settings : TrainingSettings
        Filled. The network has the epochs and the learning rate of a reference.
    objective_for : callable
        Builds the objective.
    score : callable
        Scores the network on the validation rows.
    sample_weight : float array, shape (n,), optional
    on_epoch : callable, optional
    checkpoint : Checkpoint, optional

    Raises
    ------
    FairPOValueError
        The head is ``per-label``.
    """
    assert settings.reference_learning_rate is not None
    rows = data.rows("train")
    network = new_policy_at_frequencies(data, head, settings.seed)
    targets = data.targets_of(rows)
    assert closed_form.left_out is not None
    weight = None if sample_weight is None else sample_weight[rows]
    objective = objective_for(measure_competition(closed_form.left_out, targets, weight))
    known = np.zeros((data.n_rows, data.n_labels), dtype=np.float32)
    known[rows] = closed_form.left_out
    training = train(
        network,
        objective,
        TrainingRows(data.features, data.targets, rows, known, weight),
        settings,
        epochs=settings.reference_epochs,
        learning_rate=settings.reference_learning_rate,
        score=score,
        selector=Selector(None),
        on_epoch=on_epoch,
        checkpoint=checkpoint,
    )
    network.load_state_dict(training.selected_state)
    given = reference if reference.policy is None else None
    policy, note = _weighed(network, closed_form, given, data)
    return CrossFitted(policy, training, objective, [note])


@torch.no_grad()
def _weighed(
    network: Policy, closed_form: Reference, given: Reference | None, data: MultiLabelData
) -> tuple[Policy, str]:
    """One policy of a network, a closed form and given scores; and the weights, told."""
    assert closed_form.policy is not None
    assert closed_form.policy.base is not None
    base = closed_form.policy.base
    policy = Policy(
        data.n_features,
        data.n_labels,
        network.settings,
        residual=given is not None,
        n_landmarks=len(base.landmarks),
    ).eval()
    assert policy.base is not None
    policy.load_state_dict(network.state_dict(), strict=False)
    policy.base.load_state_dict(base.state_dict())
    rows = data.rows("validation")
    models = {
        "network": predict_logits(network, TrainingRows(data.features, data.targets, rows)),
        "kernel ridge": np.asarray(closed_form.logits[rows]),
    }
    if given is not None:
        models["given scores"] = np.asarray(given.logits[rows])
    unseen = not _chose_themselves(data)
    targets = data.targets_of(rows)
    found = interpolate(list(models.values()), targets if unseen else np.full_like(targets, -1))
    own, of_base, *of_given = found.weights
    policy.interpolate(own, of_base, torch.from_numpy(found.shift).float(), *of_given)
    told = ", ".join(f"{name} {each:.2f}" for name, each in zip(models, found.weights, strict=True))
    how = "by likelihood on the validation rows" if unseen else "even, as no rows are held out"
    return policy, f"weights of the logits, {how}: {told}."


def _chose_themselves(data: MultiLabelData) -> bool:
    """Whether the validation rows are the training rows, too few to hold any out, once more."""
    train, validation = data.rows("train"), data.rows("validation")
    if not len(train) == len(validation) < FEWEST_ROWS_TO_SPLIT:
        return False
    once, again = (feature_rows(data.features, rows) for rows in (train, validation))
    return np.array_equal(once, again)
