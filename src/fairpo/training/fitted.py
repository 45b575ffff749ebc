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
    "no gain found: on validation the privileged mAP is more than a standard error below the "
    "reference's, or the other labels lost more than the tolerance, so the reference is returned."
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
    """The last policy, where it is not ``policy`` in ``training.last_state``."""

    @property
    def fell_back(self) -> bool:
        """Whether the reference was returned, as nothing beat it; false for its own method.

        What did not start from it need not beat it; see :func:`judged`.
        """
        return self.training.selector.fell_back

    @property
    def ended_best(self) -> bool:
        """Whether the selected epoch is the last one."""
        if self.last is not None:
            return self.last is self.policy
        return self.training.selector.best_epoch == len(self.training.epochs)

    def last_policy(self) -> Policy:
        """Return a copy in the state of the last epoch."""
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

    Its privileged mAP on validation may be a standard error below the reference's: it is one
    model, where epochs that go on from a reference are many to choose from, and a network that is
    the reference was chosen on these rows itself (docs/LOG.md, "Falling back").

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
    start = score_logits(reference.logits, data, groups)
    selector = Selector(
        start, settings.tolerance_points / 100, candidate=settings.reference_is_candidate
    )
    logits = predict_logits(policy, training_rows(data, "validation", reference.logits))
    truth = data.targets_of(rows)
    if settings.reference_is_candidate and not math.isnan(start.privileged):
        before = np.asarray(reference.logits[rows])
        error = _standard_error(logits, before, truth, groups.privileged)
        selector.best_goal = start.privileged - error - _LEAST_GAIN
    selector.offer(
        max(training.selector.best_epoch, 1),
        ValidationScores.from_logits(logits, truth, groups),
    )
    notes, selected = list(training.notes), policy
    if selector.fell_back:
        selected = start_policy(data, reference, head, settings.seed)
        notes.append(WORSE)
    training = replace(training, selector=selector)
    return FittedMethod(method, groups, selected, training, objective, notes, last=policy)


def _standard_error(
    after: NDArray[np.float32],
    before: NDArray[np.float32],
    targets: NDArray[np.int8],
    labels: NDArray[np.int64],
) -> float:
    """Standard error of the difference of two models' mAP over some labels, by bootstrap."""
    models = [after[:, labels], before[:, labels]]
    drawn = bootstrap_metrics(models, targets[:, labels], {}, ["map"], n_resamples=_RESAMPLES)
    first, second = drawn.of("map")
    return float(np.nanstd(first - second))


def with_state(policy: Policy, state: Mapping[str, torch.Tensor]) -> Policy:
    """Return a copy of a policy in another state."""
    other = copy.deepcopy(policy)
    other.load_state_dict(state)
    return other
