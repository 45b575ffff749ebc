"""What is minimised: objectives built of losses, groups and group weights.

An objective sees logits, reference logits, targets and groups; never models or data. Every
method, baseline and ablation of :mod:`~fairpo.objectives.catalogue` is such an object.
"""

from fairpo.objectives.base import Diagnostics as Diagnostics
from fairpo.objectives.base import Objective as Objective
from fairpo.objectives.baselines import AsymmetricObjective as AsymmetricObjective
from fairpo.objectives.baselines import BCEObjective as BCEObjective
from fairpo.objectives.baselines import ClassBalancedObjective as ClassBalancedObjective
from fairpo.objectives.baselines import (
    DistributionBalancedObjective as DistributionBalancedObjective,
)
from fairpo.objectives.baselines import FocalObjective as FocalObjective
from fairpo.objectives.catalogue import make_objective as make_objective
from fairpo.objectives.catalogue import method_names as method_names
from fairpo.objectives.fairpo import FairPOObjective as FairPOObjective
from fairpo.objectives.group_objective import ObjectiveOutput as ObjectiveOutput
from fairpo.objectives.label_counts import LabelCounts as LabelCounts
from fairpo.objectives.sample import LabelSample as LabelSample
from fairpo.objectives.sample import draw_labels as draw_labels
from fairpo.objectives.settings import FairPOSettings as FairPOSettings
