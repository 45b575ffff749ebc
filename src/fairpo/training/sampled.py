"""A training step on a sample of the labels, whose cost does not grow with the label space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairpo.data.base import Features, Targets, feature_rows
from fairpo.data.label_columns import in_batch_labels, targets_at
from fairpo.models.head import Policy
from fairpo.objectives.base import Objective, ObjectiveOutput, StepSums
from fairpo.objectives.sample import LabelSample, draw_labels
from fairpo.training.optimizer import LazyAdam, clip_gradients
from fairpo.training.reference_scores import Scores, scores_at


@dataclass(frozen=True)
class SampledData:
    """A data set of very many labels, and how a step draws some of them.

    Parameters
    ----------
    features : array, memmap, CSR or store, shape (n, d)
    targets : int8 array or CSR, shape (n, L)
    reference_logits : Scores, shape (n, L), optional
        ``HeadScores`` runs the frozen head on the sampled labels only.
    n_drawn : int
        Labels drawn for a step, besides those of its examples: see
        :func:`~fairpo.objectives.sample.draw_labels`.
    seed : int
    """

    features: Features
    targets: Targets
    reference_logits: Scores | None = None
    n_drawn: int = 1000
    seed: int = 0

    def draw(self, rows: NDArray[np.int64], step: int) -> LabelSample:
        """Draw the labels of a step.

        Parameters
        ----------
        rows : int array
            All rows of the step, also those of its other parts: every part has the same sample,
            so that a step does not depend on how it is split.
        step : int
        """
        n_labels = int(self.targets.shape[1])
        labels = in_batch_labels(self.targets, rows)
        return draw_labels(labels, n_labels, self.n_drawn, seed=self.seed, step=step)

    def sums(
        self,
        policy: Policy,
        objective: Objective,
        rows: NDArray[np.int64],
        sample: LabelSample,
        *,
        entry_weight: Tensor | None = None,
        first_row: int = 0,
    ) -> StepSums:
        """Sums of a part of a step, with a graph: see :meth:`Objective.sums`.

        Parameters
        ----------
        policy : Policy
        objective : Objective
        rows : int array
            Rows of this part.
        sample : LabelSample
            Of the whole step.
        entry_weight : float tensor, shape (batch, 1), optional
        first_row : int
        """
        device = policy.last_layer.weight.device
        labels = sample.labels.numpy()
        sample = sample.to(device)
        features = np.asarray(feature_rows(self.features, rows), dtype=np.float32)
        targets = torch.from_numpy(targets_at(self.targets, rows, labels)).float().to(device)
        reference = None
        if self.reference_logits is not None:
            known = scores_at(self.reference_logits, rows, labels)
            reference = torch.from_numpy(known).to(device)
        logits = policy.logits_at(torch.from_numpy(features).to(device), sample.labels, reference)
        return objective.sums(
            logits,
            targets,
            reference,
            entry_weight=entry_weight,
            first_row=first_row,
            sample=sample,
        )


def sampled_step(
    policy: Policy,
    objective: Objective,
    optimizer: LazyAdam,
    data: SampledData,
    rows: NDArray[np.int64],
    step: int,
    *,
    gradient_clip: float = 0.0,
) -> ObjectiveOutput:
    """Take one training step on a sample of the labels.

    Parameters
    ----------
    policy : Policy
    objective : Objective
        FairPO's needs ``reduction="positives"`` or ``"entries"``, ``sampling="all"`` and
        ``fallback="none"``.
    optimizer : LazyAdam
    data : SampledData
    rows : int array, shape (batch,)
    step : int
        Which draw of labels this is.
    gradient_clip : float
        Largest gradient norm; 0 does not clip.
    """
    sums = data.sums(policy, objective, rows, data.draw(rows, step))
    whole = sums.detach()
    objective.step_weights(whole)
    output = objective.output(sums, whole)
    optimizer.zero_grad()
    torch.autograd.backward(output.loss)
    if gradient_clip:
        clip_gradients(policy.parameters(), gradient_clip)
    optimizer.step()
    return output
