"""Kernel ridge regression of the labels on the features, as a module that gives logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fairpo.models.scaling import Scaling

_MOST_LOST = 2e-6  # of a squared width, to cancellation


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
        return self._sums(features, self.coefficients, self.intercept)

    def logits_at(self, features: Tensor, labels: Tensor) -> Tensor:
        """Logits (batch, sampled) of some labels, (sampled,), only."""
        return self._sums(features, self.coefficients[:, labels], self.intercept[labels])

    def bumps(self, features: Tensor) -> Tensor:
        """What the logits are sums of, (batch, landmarks), between 0 and 1."""
        return gaussian_kernel(self.scaling(features), self.landmarks, self.width)

    def _sums(self, features: Tensor, coefficients: Tensor, intercept: Tensor) -> Tensor:
        """Add up in float64: coefficients of bumps that overlap are large and nearly cancel."""
        bumps = self.bumps(features)
        sums = torch.addmm(intercept.double(), bumps.double(), coefficients.double())
        return sums.to(bumps.dtype)


def gaussian_kernel(rows: Tensor, landmarks: Tensor, width: Tensor) -> Tensor:
    """``exp(-|x - z|^2 / width^2)`` of (batch, d) and (m, d), shape (batch, m)."""
    norms = (rows * rows).sum(1, keepdim=True)
    # |x|^2 + |z|^2 - 2 x z in one product: cdist would hold (batch, m) twice.
    squares = norms + (landmarks * landmarks).sum(1)
    distances = torch.addmm(squares, rows, landmarks.T, alpha=-2).clamp_min_(0)
    # It keeps nothing of what is near a row of many widths: there differences are taken one by one.
    lost = norms.squeeze(1) * torch.finfo(rows.dtype).eps
    if (far := ~(lost <= _MOST_LOST * width**2)).any():
        exact = torch.cdist(rows[far], landmarks, compute_mode="donot_use_mm_for_euclid_dist")
        distances[far] = exact.square_()
    return distances.mul_(-1 / width**2).exp_()
