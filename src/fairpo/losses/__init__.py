"""Losses as pure functions on tensors: logits in, one value per entry or pair out.

- :mod:`~fairpo.losses.confusing`: which pairs are ranked wrongly.
- :mod:`~fairpo.losses.preference`: DPO, SimPO and CPO losses of pairs.
- :mod:`~fairpo.losses.constraint`: the hinge against the reference.
- :mod:`~fairpo.losses.pointwise`: binary cross-entropy of entries.
- :mod:`~fairpo.losses.reduction`: from entries to groups.
"""

from fairpo.losses.confusing import ConfusingPairs as ConfusingPairs
from fairpo.losses.confusing import confusing_negatives as confusing_negatives
from fairpo.losses.confusing import confusing_positives as confusing_positives
from fairpo.losses.constraint import slack_hinge as slack_hinge
from fairpo.losses.pointwise import bce as bce
from fairpo.losses.preference import dpo_loss as dpo_loss
from fairpo.losses.preference import simpo_loss as simpo_loss
