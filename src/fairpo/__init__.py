"""Make multi-label models good on the labels that matter, hold the rest, show the evidence.

Four words carry the library. *Privileged* labels are the ones to improve. The *reference* is the
model that must not get worse. *Confusing* labels are the ones the model ranks wrongly. *Group
weights* say who gets the attention now.

The rooms, from the ground up:

- :mod:`fairpo.groups`, :mod:`fairpo.losses`, :mod:`fairpo.group_weights`, :mod:`fairpo.metrics`:
  the ideas, as functions and small modules.
- :mod:`fairpo.objectives`, :mod:`fairpo.models`, :mod:`fairpo.data`: what is minimised, what is
  trained, what it is trained on.
- :mod:`fairpo.decisions`: from logits to true probabilities and predicted labels.
- :mod:`fairpo.training`: the loop, and runs on disk.
- :mod:`fairpo.estimator`: the scikit-learn door.
- :mod:`fairpo.hf`: the Hugging Face door.
- :mod:`fairpo.generation`: language models with several attributes.
- :mod:`fairpo.labelsets`: several label sets for an input, each with its probability.
- :mod:`fairpo.experiments`, :mod:`fairpo.report`, :mod:`fairpo.cli`: comparing, showing, typing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairpo._checks import FairPOError as FairPOError
    from fairpo._checks import FairPOWarning as FairPOWarning
    from fairpo.data import MultiLabelData as MultiLabelData
    from fairpo.data import load_data as load_data
    from fairpo.estimator import FairPOClassifier as FairPOClassifier
    from fairpo.estimator import fairpo_map_non_privileged as fairpo_map_non_privileged
    from fairpo.estimator import fairpo_map_privileged as fairpo_map_privileged
    from fairpo.estimator import fairpo_sample_f1_non_privileged as fairpo_sample_f1_non_privileged
    from fairpo.estimator import fairpo_sample_f1_privileged as fairpo_sample_f1_privileged
    from fairpo.group_weights import GroupWeights as GroupWeights
    from fairpo.groups import LabelGroup as LabelGroup
    from fairpo.groups import LabelGroups as LabelGroups
    from fairpo.groups import LabelPartition as LabelPartition
    from fairpo.hf import FairPOConfig as FairPOConfig
    from fairpo.hf import FairPOTrainer as FairPOTrainer
    from fairpo.labelsets import FairPOLabelSetGenerator as FairPOLabelSetGenerator
    from fairpo.metrics import LabelFrame as LabelFrame
    from fairpo.objectives import FairPOObjective as FairPOObjective
    from fairpo.objectives import make_objective as make_objective
    from fairpo.objectives import method_names as method_names
    from fairpo.training import load as load

__version__ = "0.1.0"

_HOME = {
    "FairPOClassifier": "fairpo.estimator",
    "fairpo_map_non_privileged": "fairpo.estimator",
    "fairpo_map_privileged": "fairpo.estimator",
    "fairpo_sample_f1_non_privileged": "fairpo.estimator",
    "fairpo_sample_f1_privileged": "fairpo.estimator",
    "FairPOConfig": "fairpo.hf",
    "FairPOError": "fairpo._checks",
    "FairPOLabelSetGenerator": "fairpo.labelsets",
    "FairPOObjective": "fairpo.objectives",
    "FairPOTrainer": "fairpo.hf",
    "FairPOWarning": "fairpo._checks",
    "GroupWeights": "fairpo.group_weights",
    "LabelFrame": "fairpo.metrics",
    "LabelGroup": "fairpo.groups",
    "LabelGroups": "fairpo.groups",
    "LabelPartition": "fairpo.groups",
    "MultiLabelData": "fairpo.data",
    "load": "fairpo.training",
    "load_data": "fairpo.data",
    "make_objective": "fairpo.objectives",
    "method_names": "fairpo.objectives",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import fairpo`` is cheap."""
    if name not in _HOME:
        raise AttributeError(f"module 'fairpo' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
