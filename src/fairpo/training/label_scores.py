"""Scores by block of labels, for label spaces too large to score whole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from fairpo.data.base import Features, Targets, block_rows, feature_rows
from fairpo.metrics import average_precision_in_blocks
from fairpo.models.head import Policy
from fairpo.training.distributed import share, sum_over_processes
from fairpo.training.reference_scores import HeadScores, Scores, scores_at


class LabelScores:
    """Logits of a policy for some rows, by block of labels.

    Hidden activations are computed once, here, in eval mode; a call multiplies them by the rows
    of the last layer that it is asked for. Memory: (rows x hidden width) and one block.

    Parameters
    ----------
    policy : Policy
        Of kind ``mlp`` or ``linear``. Left in eval mode.
    features : array, memmap, CSR or store, shape (n, d)
    rows : int array, shape (m,)
    reference_logits : Scores, shape (n, L), optional
        A residual policy needs them.
    """

    @torch.no_grad()
    def __init__(
        self,
        policy: Policy,
        features: Features,
        rows: NDArray[np.int64],
        reference_logits: Scores | None = None,
    ) -> None:
        policy.eval()
        self._last = policy.last_layer
        self._rows = rows
        self._reference = reference_logits if policy.residual else None
        self._reference_weight = 1.0 if policy.base is None else float(policy.reference_weight)
        device = self._last.weight.device
        self._hidden = torch.empty(len(rows), self._last.in_features, device=device)
        self._base, self._base_weight = policy.base, 0.0
        if policy.base is not None:
            self._bumps = torch.empty(len(rows), len(policy.base.landmarks), device=device)
            self._base_weight = float(policy.base_weight)
        size = block_rows(max(int(features.shape[1]), self._last.in_features))
        for start in range(0, len(rows), size):
            block = feature_rows(features, rows[start : start + size])
            inputs = torch.from_numpy(np.asarray(block, dtype=np.float32))
            inputs = inputs.to(device)
            self._hidden[start : start + size] = policy.hidden(inputs)
            if policy.base is not None:
                self._bumps[start : start + size] = policy.base.bumps(inputs)

    @torch.no_grad()
    def __call__(self, labels: slice) -> NDArray[np.float32]:
        """Logits (m, labels of the block), float32."""
        logits = F.linear(self._hidden, self._last.weight[labels], self._last.bias[labels])
        if self._base is not None:
            base = torch.addmm(
                self._base.intercept[labels], self._bumps, self._base.coefficients[:, labels]
            )
            logits = logits + self._base_weight * base
        scores: NDArray[np.float32] = logits.cpu().numpy()
        if self._reference is not None:
            numbers = np.arange(*labels.indices(self._last.out_features))
            scores += self._reference_weight * scores_at(self._reference, self._rows, numbers)
        return scores


LabelScorer = Callable[[slice], NDArray[np.float32]]
"""Takes a slice of labels; returns their logits for some rows, (m, labels of the block)."""


def scores_by_label(scores: Scores, rows: NDArray[np.int64]) -> LabelScorer:
    """Scores (n, L) of some rows, by block of labels."""
    if isinstance(scores, HeadScores):
        if scores.policy.settings.kind != "per-label":
            return LabelScores(scores.policy, scores.features, rows)
        scores, rows = (
            scores[rows],
            np.arange(len(rows)),
        )  # its labels share nothing to compute once

    def block(labels: slice) -> NDArray[np.float32]:
        return scores_at(scores, rows, np.arange(*labels.indices(scores.shape[1])))

    return block


def precision_by_label(score: LabelScorer, targets: Targets) -> NDArray[np.float64]:
    """Average precision of each label, (L,); several processes take a share of the labels each.

    Parameters
    ----------
    score : callable
    targets : int8 array or CSR, shape (m, L)

    Returns
    -------
    float64 array, shape (L,); NaN for a label without a positive
    """
    own = share(targets.shape[1])
    precision = average_precision_in_blocks(score, targets, range(own.start, own.stop))
    known = ~np.isnan(precision)
    found = torch.from_numpy(np.stack([np.where(known, precision, 0.0), known]))
    values, defined = sum_over_processes(found).numpy()
    return np.where(defined > 0, values, np.nan)
