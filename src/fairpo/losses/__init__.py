"""Losses as pure functions on tensors: logits in, one value per entry or pair out.

- :mod:`~fairpo.losses.confusing`: which pairs are ranked wrongly.
- :mod:`~fairpo.losses.preference`: DPO, SimPO and CPO losses of pairs.
- :mod:`~fairpo.losses.constraint`: the hinge against the reference.
- :mod:`~fairpo.losses.pointwise`: cross-entropy, focal and asymmetric losses of entries.
- :mod:`~fairpo.losses.balance`: weights from how often labels apply.
- :mod:`~fairpo.losses.reduction`: from entries to groups.
"""

from fairpo.losses.balance import class_balanced_weights as class_balanced_weights
from fairpo.losses.balance import rebalanced_weights as rebalanced_weights
from fairpo.losses.confusing import ConfusingPairs as ConfusingPairs
from fairpo.losses.confusing import confusing_negatives as confusing_negatives
from fairpo.losses.confusing import confusing_positives as confusing_positives
from fairpo.losses.constraint import slack_hinge as slack_hinge
from fairpo.losses.pointwise import asymmetric as asymmetric
from fairpo.losses.pointwise import bce as bce
from fairpo.losses.pointwise import focal as focal
from fairpo.losses.pointwise import negative_tolerant as negative_tolerant
from fairpo.losses.preference import dpo_loss as dpo_loss
from fairpo.losses.preference import simpo_loss as simpo_loss
