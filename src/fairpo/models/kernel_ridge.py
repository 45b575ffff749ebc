"""Kernel ridge regression of the labels on the features, as a module that gives logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fairpo.models.scaling import Scaling


class KernelRidge(nn.Module):
    """Logits that are sums of Gaussian bumps around landmarks.

    ``logit_k(x) = sum_j coefficients_jk exp(-|x - landmark_j|^2 / width^2) + intercept_k``, with
    ``x`` and the landmarks centred and scaled alike. It has no parameters to train by gradient:
    its buffers are solved for (:mod:`fairpo.training.kernel_reference`).

    Parameters
    ----------
    n_features, n_labels, n_landmarks : int
    """

    landmarks: Tensor
    coefficients: Tensor
    intercept: Tensor
    width: Tensor

    def __init__(self, n_features: int, n_labels: int, n_landmarks: int) -> None:
        super().__init__()
        self.scaling = Scaling(n_features)
        self.register_buffer("landmarks", torch.zeros(n_landmarks, n_features))
        self.register_buffer("coefficients", torch.zeros(n_landmarks, n_labels))
        self.register_buffer("intercept", torch.zeros(n_labels))
        self.register_buffer("width", torch.ones(()))

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, features) to logits (batch, labels)."""
        return torch.addmm(self.intercept, self.bumps(features), self.coefficients)

    def logits_at(self, features: Tensor, labels: Tensor) -> Tensor:
        """Logits (batch, sampled) of some labels, (sampled,), only."""
        bumps = self.bumps(features)
        return torch.addmm(self.intercept[labels], bumps, self.coefficients[:, labels])

    def bumps(self, features: Tensor) -> Tensor:
        """What the logits are sums of, (batch, landmarks), between 0 and 1."""
        return gaussian_kernel(self.scaling(features), self.landmarks, self.width)


def gaussian_kernel(rows: Tensor, landmarks: Tensor, width: Tensor) -> Tensor:
    """``exp(-|x - z|^2 / width^2)`` of (batch, d) and (m, d), shape (batch, m)."""
    squares = (rows * rows).sum(1, keepdim=True) + (landmarks * landmarks).sum(1)
    # |x|^2 + |z|^2 - 2 x z in one product: cdist would hold (batch, m) twice.
    distances = torch.addmm(squares, rows, landmarks.T, alpha=-2).clamp_min_(0)
    return distances.mul_(-1 / width**2).exp_()
