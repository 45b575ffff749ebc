"""Centring and scaling of features, by constants."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Scaling(nn.Module):
    """Centre and scale features by constants taken from the training rows."""

    mean: Tensor
    scale: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))

    def forward(self, features: Tensor) -> Tensor:
        """Scale (batch, features)."""
        scaled: Tensor = (features - self.mean) / self.scale
        return scaled
