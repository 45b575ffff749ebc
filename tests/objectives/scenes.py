"""Random small batches shared by the tests of objectives."""

import numpy as np
import torch

from fairpo.groups import LabelGroup, LabelGroups, LabelPartition
from fairpo.objectives import LabelCounts, make_objective
from fairpo.objectives.competition import Competition

PRIVILEGED = [0, 2, 5]
N_LABELS = 7


def batch(seed=0, rows=9, missing=0.0, dtype=torch.float64):
    """Logits, targets (-1 missing), reference logits, with some ties in the logits."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, N_LABELS)).round(1)
    targets = (rng.random((rows, N_LABELS)) < 0.35).astype(np.int64)
    targets[rng.random(targets.shape) < missing] = -1
    reference = logits + rng.normal(size=logits.shape)
    return tuple(torch.tensor(x, dtype=dtype) for x in (logits, targets, reference))


def counts(n_labels=N_LABELS, order=None):
    """Label counts from rare to common; ``order`` permutes the labels."""
    positives, observed = 3 + 2 * np.arange(n_labels) ** 2, 20_000 - np.arange(n_labels)
    order = np.arange(n_labels) if order is None else order
    return LabelCounts(positives[order], observed[order])


def competition(n_labels=N_LABELS, order=None):
    """How strong a reference's negatives are; ``order`` permutes the labels."""
    order = torch.arange(n_labels) if order is None else torch.as_tensor(order)
    frequency = torch.linspace(0.1, 0.5, n_labels)[order]
    return Competition(2 + frequency, 40 * frequency, 40, 1 + frequency, frequency)


def objective(name, groups, preset="paper-v1", order=None, **settings):
    """Any method, with what those need that are told of labels; ``order`` permutes these."""
    return make_objective(
        name,
        groups,
        preset,
        label_counts=counts(groups.n_labels, order),
        competition=competition(groups.n_labels, order),
        **settings,
    )


def as_lists(targets):
    return [[None if y < 0 else int(y) for y in row] for row in targets.tolist()]


def partition():
    return LabelPartition.from_indices(PRIVILEGED, N_LABELS)


def three_groups():
    """Two overlapping groups to improve and one to protect."""
    return LabelGroups(
        [
            LabelGroup("tail", (0, 2), "improve"),
            LabelGroup("ours", (2, 5), "improve"),
            LabelGroup("head", (1, 3, 4, 6), "protect"),
        ],
        N_LABELS,
    )
