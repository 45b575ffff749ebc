"""Your own preference, constraint and weight rule: functions, passed in.

Run: python examples/04_own_parts.py
"""

import torch

from fairpo import FairPOClassifier, FairPOObjective, load_data


def ipo(chosen, rejected, reference_chosen, reference_rejected):
    """Identity preference optimisation: aim at a gap, do not push beyond. All (pairs,)."""
    gap = (chosen - reference_chosen) - (rejected - reference_rejected)
    return (gap - 0.5) ** 2


def brier_hinge(logits, reference_logits, targets):
    """Squared error may not exceed the reference's by more than 0.01. All (batch, labels)."""
    error = (torch.sigmoid(logits) - targets) ** 2
    reference = (torch.sigmoid(reference_logits) - targets) ** 2
    return (error - reference - 0.01).clamp_min(0)


def cautious(group_losses):
    """Move the weights by ranks of the losses rather than by their size. (groups,)."""
    return group_losses.argsort().argsort().float()


def mine(groups):
    return FairPOObjective(
        groups, preference=ipo, constraint=brier_hinge, weight_rule=cautious, step_size=0.001
    )


data = load_data("digits")
train = data.rows("train")
model = FairPOClassifier(method=mine).fit(data.features[train], data.targets_of(train))
print("group weights:", {k: round(v, 3) for k, v in model.history_[-1]["group_weights"].items()})
