"""Policies before training."""

from __future__ import annotations

import torch

from fairpo.data.base import MultiLabelData, positive_counts
from fairpo.models.head import HeadSettings, Policy
from fairpo.models.scaling import Scaling
from fairpo.training.rows import feature_moments


def new_policy(
    data: MultiLabelData,
    head: HeadSettings,
    seed: int,
    *,
    residual: bool = False,
    n_landmarks: int = 0,
) -> Policy:
    """Return an untrained policy for a data set, its scaling taken from the training rows."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        policy = Policy(
            data.n_features, data.n_labels, head, residual=residual, n_landmarks=n_landmarks
        )
    if isinstance(policy.scaling, Scaling):
        mean, deviation = feature_moments(data.features, data.rows("train"))
        policy.scaling.mean.copy_(torch.from_numpy(mean))
        policy.scaling.scale.copy_(torch.from_numpy(deviation))
    return policy


def new_policy_at_frequencies(data: MultiLabelData, head: HeadSettings, seed: int) -> Policy:
    """Return a new policy that says of each label how often it applies in the training rows."""
    policy = new_policy(data, head, seed)
    rows = data.rows("train")
    frequencies = (positive_counts(data.targets[rows]) + 0.5) / (len(rows) + 1)
    policy.start_at_frequencies(torch.from_numpy(frequencies).float())
    return policy
