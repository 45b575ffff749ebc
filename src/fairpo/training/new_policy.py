"""Policies before training."""

from __future__ import annotations

import torch

from fairpo.data.base import MultiLabelData
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
