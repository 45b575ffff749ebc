"""Average precision as the loss: stochastic optimisation with a memory for each positive.

Qi et al., "Stochastic optimization of areas under precision-recall curves with provable
convergence", NeurIPS 2021 (SOAP), for all labels at once.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairpo.data.base import MultiLabelData, feature_rows
from fairpo.groups import LabelGroups
from fairpo.models.head import Policy
from fairpo.training.fitted import start_policy
from fairpo.training.reference import Reference
from fairpo.training.rows import predict_logits, training_rows
from fairpo.training.selection import Selector, ValidationScores
from fairpo.training.settings import TrainingSettings
from fairpo.training.validation import score_logits

_LABELS, _POSITIVES = 32, 4
_MARGIN = 1.0


def surrogate(
    logits: Tensor, positive: Tensor, seen: tuple[Tensor, Tensor], rows: Tensor, memory: float
) -> Tensor:
    """Loss of a batch whose gradient is that of the labels' mean average precision.

    Parameters
    ----------
    logits : float tensor, shape (batch, labels)
    positive : bool tensor, shape (batch, labels)
    seen : two float tensors, shape (n, labels)
        Of each positive, running means of its surrogate over the positives and over all rows;
        changed in place. 0 for those not met yet.
    rows : int64 tensor, shape (batch,)
        Places of the batch in ``seen``.
    memory : float, 0 to 1
        Share of what is new in the running means.
    """
    row, label = positive.nonzero(as_tuple=True)
    others = logits.T[label]
    cost = (_MARGIN - logits[row, label].unsqueeze(1) + others).clamp_min(0) ** 2
    among = positive.T[label]
    found = (cost.detach() * among).mean(1), cost.detach().mean(1)
    place = rows[row], label
    means = []
    for kept, new in zip(seen, found, strict=True):
        old = kept[place]
        mean = torch.where(old > 0, (1 - memory) * old + memory * new, new)
        kept[place] = mean
        means.append(mean.unsqueeze(1))
    pull = (means[0] - means[1] * among) / means[1] ** 2
    of_label = positive.sum(0)
    total: Tensor = ((pull * cost).mean(1) / of_label[label]).sum()
    return total / (of_label > 0).sum().clamp_min(1)


def train_soap(
    data: MultiLabelData,
    reference: Reference,
    groups: LabelGroups,
    settings: TrainingSettings,
    memory: float = 0.9,
) -> tuple[Policy, Selector, int]:
    """Train a copy of the reference; select its epoch as those of all methods are.

    Returns
    -------
    (policy, selector, epochs)
    """
    assert reference.policy is not None
    assert settings.weight_decay is not None
    policy = start_policy(data, reference, reference.policy.settings, settings.seed)
    rows = data.rows("train")
    targets = torch.from_numpy(data.targets_of(rows) == 1)
    generator = np.random.default_rng(settings.seed)
    torch.manual_seed(settings.seed)
    seen = torch.zeros(targets.shape), torch.zeros(targets.shape)
    optimizer = torch.optim.AdamW(
        policy.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    validation = training_rows(data, "validation")
    truth = data.targets_of(validation.rows)
    selector = Selector(
        score_logits(reference.logits, data, groups), settings.tolerance_points / 100
    )
    best = {name: value.clone() for name, value in policy.state_dict().items()}
    by_label = [np.flatnonzero(column) for column in targets.numpy().T]
    n_steps = math.ceil(len(rows) / settings.batch_size)
    for epoch in range(1, settings.epochs + 1):
        policy.train()
        for step in range(n_steps):
            done = ((epoch - 1) * n_steps + step) / (settings.epochs * n_steps)
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
            batch = _batch(by_label, len(rows), settings.batch_size, generator)
            features = feature_rows(data.features, rows[batch])
            logits = policy(torch.from_numpy(np.asarray(features, dtype=np.float32)))
            place = torch.from_numpy(batch)
            optimizer.zero_grad()
            surrogate(logits, targets[place], seen, place, memory).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        policy.eval()
        scores = ValidationScores.from_logits(predict_logits(policy, validation), truth, groups)
        if selector.offer(epoch, scores):
            best = {name: value.clone() for name, value in policy.state_dict().items()}
        if selector.stale_epochs >= settings.patience:
            break
    policy.load_state_dict(best)
    return policy, selector, epoch


def _batch(
    by_label: list[NDArray[np.int64]], n_rows: int, size: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Rows of a batch: positives of some labels, and others; each once."""
    labels = generator.permutation(len(by_label))[:_LABELS]
    drawn = [generator.choice(by_label[label], _POSITIVES) for label in labels]
    positives = np.unique(np.concatenate(drawn))
    others = generator.permutation(n_rows)[: max(size - len(positives), 1)]
    return np.unique(np.concatenate([positives, others]))
