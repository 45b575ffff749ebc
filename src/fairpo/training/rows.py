"""Rows of a data set as training and scoring read them: in RAM or memory-mapped, block by block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairpo.data.base import (
    Features,
    MultiLabelData,
    Targets,
    block_rows,
    dense_targets,
    feature_rows,
)
from fairpo.data.label_columns import targets_at
from fairpo.models.head import Policy
from fairpo.training.distributed import gather_rows, share, sum_over_processes
from fairpo.training.reference_scores import Scores, scores_at


@dataclass(frozen=True)
class TrainingRows:
    """Some rows of a data set, in RAM or memory-mapped, with what each batch needs.

    Parameters
    ----------
    features : array, memmap, CSR or store, shape (n, d)
    targets : int8 array or CSR, shape (n, L)
    rows : int array, shape (m,)
        The rows used.
    reference_logits : Scores, shape (n, L), optional
        Of every row of the data set, used or not; nothing is copied.
    sample_weight : float array, shape (m,), optional
        In the order of ``rows``.
    """

    features: Features
    targets: Targets
    rows: NDArray[np.int64]
    reference_logits: Scores | None = None
    sample_weight: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def features_at(self, positions: NDArray[np.int64] | slice) -> Tensor:
        """Features (batch, d), float32, at positions among these rows."""
        block = feature_rows(self.features, self.rows[positions])
        return torch.from_numpy(np.asarray(block, dtype=np.float32))

    def targets_at(
        self, positions: NDArray[np.int64], labels: NDArray[np.int64] | None = None
    ) -> Tensor:
        """Targets (batch, L), or of some labels, float32, at positions among these rows."""
        rows = self.rows[positions]
        if labels is None:
            return torch.from_numpy(dense_targets(self.targets, rows)).float()
        return torch.from_numpy(targets_at(self.targets, rows, labels)).float()

    def reference_at(
        self, positions: NDArray[np.int64] | slice, labels: NDArray[np.int64] | None = None
    ) -> Tensor | None:
        """Reference logits (batch, L), or of some labels, at positions among these rows."""
        if self.reference_logits is None:
            return None
        rows = self.rows[positions]
        if labels is None:
            return torch.from_numpy(np.asarray(self.reference_logits[rows]))
        return torch.from_numpy(scores_at(self.reference_logits, rows, labels))


@torch.no_grad()
def predict_logits(policy: Policy, rows: TrainingRows) -> NDArray[np.float32]:
    """Logits (rows, labels) of a policy in eval mode, in blocks of rows.

    Several processes score a share of the rows each, every row once.
    """
    policy.eval()
    parameter = next(policy.parameters())
    own = share(len(rows))
    logits = np.empty((own.stop - own.start, policy.n_labels), dtype=np.float32)
    size = block_rows(max(int(rows.features.shape[1]), policy.n_labels))
    for start in range(own.start, own.stop, size):
        block = slice(start, min(start + size, own.stop))
        features = rows.features_at(block).to(parameter)
        reference = rows.reference_at(block) if policy.residual else None
        scores = policy(features, None if reference is None else reference.to(parameter))
        logits[start - own.start : block.stop - own.start] = scores.cpu().numpy()
    return gather_rows(logits, len(rows))


def feature_moments(
    features: Features, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation of each column over rows, in blocks; a constant column has scale 1."""
    sums = np.zeros((2, features.shape[1]))
    size = block_rows(features.shape[1])
    own = rows[share(len(rows))]
    for start in range(0, len(own), size):
        block = np.asarray(feature_rows(features, own[start : start + size]), dtype=np.float64)
        sums += block.sum(0), (block**2).sum(0)
    total, squares = sum_over_processes(torch.from_numpy(sums)).numpy()
    mean = total / len(rows)
    deviation = np.sqrt(np.maximum(squares / len(rows) - mean**2, 0))
    constant = deviation <= 1e-6 * np.maximum(np.abs(mean), 1e-6)
    return mean.astype(np.float32), np.where(constant, 1, deviation).astype(np.float32)


def training_rows(
    data: MultiLabelData,
    split: str,
    reference_logits: Scores | None = None,
    sample_weight: NDArray[np.float64] | None = None,
) -> TrainingRows:
    """Return the rows of a split, with reference logits (n, L) and sample weights (n,) at hand."""
    rows = data.rows(split)
    return TrainingRows(
        data.features,
        data.targets,
        rows,
        reference_logits,
        None if sample_weight is None else sample_weight[rows],
    )
