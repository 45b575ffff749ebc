"""Label sets: generate several of them for an input, each with its probability.

- ``generator``: the network, which chooses labels one by one given the set chosen so far;
- ``probability``: a set's probability, summed over all orders of its labels;
- ``sampling``, ``beam``: different sets, drawn or searched, under ``constraints``;
- ``likelihood``, ``pairs``, ``preference``: the reference, and FairPO on true against confusing
  sets;
- ``inference``, ``baselines``, ``evaluation``, ``intervals``: models of sets, what they are worth,
  and how sure that is;
- ``estimator``, ``folder``: the scikit-learn door, and generators on disk.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairpo.labelsets.baselines import ChainSets as ChainSets
    from fairpo.labelsets.baselines import IndependentSets as IndependentSets
    from fairpo.labelsets.constraints import SetConstraints as SetConstraints
    from fairpo.labelsets.estimator import FairPOLabelSetGenerator as FairPOLabelSetGenerator
    from fairpo.labelsets.evaluation import MeasuredSets as MeasuredSets
    from fairpo.labelsets.evaluation import evaluate_sets as evaluate_sets
    from fairpo.labelsets.evaluation import measure_sets as measure_sets
    from fairpo.labelsets.fit import fit_label_sets as fit_label_sets
    from fairpo.labelsets.folder import load_set_run as load_set_run
    from fairpo.labelsets.folder import save_set_run as save_set_run
    from fairpo.labelsets.generator import GeneratorSettings as GeneratorSettings
    from fairpo.labelsets.generator import LabelSetGenerator as LabelSetGenerator
    from fairpo.labelsets.inference import NetworkSets as NetworkSets
    from fairpo.labelsets.intervals import SetComparison as SetComparison
    from fairpo.labelsets.intervals import compare_sets as compare_sets
    from fairpo.labelsets.probability import set_log_probs as set_log_probs
    from fairpo.labelsets.sets import GeneratedSets as GeneratedSets
    from fairpo.labelsets.settings import SetTrainingSettings as SetTrainingSettings

_HOME = {
    "ChainSets": "baselines",
    "FairPOLabelSetGenerator": "estimator",
    "GeneratedSets": "sets",
    "GeneratorSettings": "generator",
    "IndependentSets": "baselines",
    "LabelSetGenerator": "generator",
    "MeasuredSets": "evaluation",
    "NetworkSets": "inference",
    "SetComparison": "intervals",
    "SetConstraints": "constraints",
    "SetTrainingSettings": "settings",
    "compare_sets": "intervals",
    "evaluate_sets": "evaluation",
    "fit_label_sets": "fit",
    "load_set_run": "folder",
    "measure_sets": "evaluation",
    "save_set_run": "folder",
    "set_log_probs": "probability",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: the network alone needs no scikit-learn."""
    if name not in _HOME:
        raise AttributeError(f"module 'fairpo.labelsets' has no attribute {name!r}")
    return getattr(import_module(f"fairpo.labelsets.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
