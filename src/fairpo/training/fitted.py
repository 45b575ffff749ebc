"""A trained method, and whether it or the reference is returned."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from fairpo.data.base import MultiLabelData
from fairpo.groups import LabelGroups
from fairpo.metrics import bootstrap_metrics
from fairpo.models.head import HeadSettings, Policy
from fairpo.objectives import Objective
from fairpo.training.loop import Training
from fairpo.training.new_policy import new_policy
from fairpo.training.reference import Reference
from fairpo.training.rows import predict_logits, training_rows
from fairpo.training.selection import Selector, ValidationScores
from fairpo.training.settings import TrainingSettings
from fairpo.training.validation import score_logits

NO_GAIN = (
    "no gain found: no epoch within tolerance beat the reference's privileged mAP on validation, "
    "so the reference is returned."
)
WORSE = (
    "no gain found: on validation the mAP of {labels} is more than a standard error below the "
    "reference's, so the reference is returned."
)
LOST = (
    "no gain found: on validation the mAP of the other labels is below the reference's by more "
    "than the tolerance, so the reference is returned."
)
_RESAMPLES = 200
_LEAST_GAIN = 1e-9  # equal is not worse


@dataclass
class FittedMethod:
    """A trained method: the selected policy, the last one, and how it went."""

    method: str
    groups: LabelGroups
    policy: Policy
    training: Training
    objective: Objective
    notes: list[str]
    last: Policy | None = None
    """What was judged, where the method did not start from the reference; else ``None``."""

    @property
    def fell_back(self) -> bool:
        """Whether the reference was returned; false for its own method.

        No epoch beat it, or what did not start from it was worse (:func:`judged`).
        """
        return self.training.selector.fell_back

    @property
    def ended_best(self) -> bool:
        """Whether :meth:`last_policy` is what is returned."""
        if self.last is not None:
            return self.last is self.policy
        return self.training.selector.best_epoch == len(self.training.epochs)

    def last_policy(self) -> Policy:
        """Return the policy of the last epoch, or what was judged."""
        if self.last is not None:
            return self.last
        return with_state(self.policy, self.training.last_state)


def start_policy(
    data: MultiLabelData, reference: Reference, head: HeadSettings, seed: int
) -> Policy:
    """Return a policy that scores exactly like the reference: its copy, or a residual at zero."""
    if reference.policy is None:
        return new_policy(data, head, seed, residual=True)
    return with_state(reference.policy, reference.policy.state_dict())


def judged(
    policy: Policy,
    method: str,
    training: Training,
    objective: Objective,
    data: MultiLabelData,
    reference: Reference,
    groups: LabelGroups,
    settings: TrainingSettings,
    head: HeadSettings,
) -> FittedMethod:
    """Keep a policy that did not start from the reference, or fall back to that.

    Its privileged mAP on validation may be a standard error below the reference's. It is judged
    once, by other figures than its epoch was chosen by, where epochs that go on from a reference
    are many to choose from; and a network for a reference was chosen on these rows too
    (docs/LOG.md, "Falling back").

    Parameters
    ----------
    policy : Policy
    method : str
    training : Training
    objective : Objective
    data : MultiLabelData
        With a validation split.
    reference : Reference
    groups : LabelGroups
    settings : TrainingSettings
    head : HeadSettings
        Of the residual that stands for a reference of scores only.
    """
    rows = data.rows("validation")
    truth = data.targets_of(rows)
    logits = predict_logits(policy, training_rows(data, "validation", reference.logits))
    start = score_logits(reference.logits, data, groups)
    of_all = math.isnan(start.privileged)  # no privileged label has a positive
    labels = np.arange(data.n_labels) if of_all else groups.privileged
    known = not math.isnan(start.goal)  # if not, the reference stays
    error = _standard_error(logits, reference.logits[rows], truth, labels) if known else 0.0
    selector = Selector(
        start,
        settings.tolerance_points / 100,
        candidate=settings.reference_is_candidate,
        margin=error + _LEAST_GAIN,
    )
    found = ValidationScores.from_logits(logits, truth, groups)
    selector.offer(max(training.selector.best_epoch, 1), found)  # what is solved for has no epoch
    notes, selected = list(training.notes), policy
    if selector.fell_back:
        selected = start_policy(data, reference, head, settings.seed)
        lost = found.goal > selector.best_goal
        told = WORSE.format(labels="all labels" if of_all else "the privileged labels")
        notes.append((LOST if lost else told) if known else NO_GAIN)
    training = replace(training, selector=selector)
    return FittedMethod(method, groups, selected, training, objective, notes, last=policy)


def _standard_error(
    after: NDArray[np.float32],
    before: NDArray[np.float32],
    targets: NDArray[np.int8],
    labels: NDArray[np.int64],
) -> float:
    """Standard error of the difference of two models' mAP over some labels, by bootstrap."""
    models = [after[:, labels], np.asarray(before)[:, labels]]
    drawn = bootstrap_metrics(models, targets[:, labels], {}, ["map"], n_resamples=_RESAMPLES)
    first, second = drawn.of("map")
    return float(np.nanstd(first - second))


def with_state(policy: Policy, state: Mapping[str, torch.Tensor]) -> Policy:
    """Return a copy of a policy in another state."""
    other = copy.deepcopy(policy)
    other.load_state_dict(state)
    return other
