"""What a trainer refuses before any work: models, groups and references that do not fit."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn
from transformers.trainer import MODEL_MAPPING_NAMES

from fairpo._checks import FairPOWarning, check_unique, type_error, value_error
from fairpo.groups import LabelGroups

_MULTI_LABEL = "multi_label_classification"


def check_model(model: Any) -> None:
    """Refuse a model without a multi-label head."""
    if not isinstance(model, nn.Module):
        raise type_error("model", must="be a model of transformers", got=type(model).__name__)
    config: Any = getattr(model, "config", None)
    if type(model).__name__ in MODEL_MAPPING_NAMES.values():
        raise value_error(
            "model",
            must="have a head that gives logits",
            got=f"the bare backbone {type(model).__name__}",
            do="Put fairpo's on it: fairpo.models.classifier.BackboneClassifier.on(model, names).",
        )
    if getattr(config, "problem_type", None) != _MULTI_LABEL:
        raise value_error(
            "model.config.problem_type",
            must=f"be {_MULTI_LABEL!r}",
            got=repr(getattr(config, "problem_type", None)),
            do="Say so where the model is loaded: from_pretrained(..., problem_type=..., "
            "num_labels=..., id2label=...).",
        )

    names = config.id2label
    check_unique([str(names[index]) for index in sorted(names)], "the names in id2label")


def check_groups(groups: Any, n_labels: int) -> None:
    """Refuse groups that are not over the model's labels."""
    if groups is None:
        return
    if not isinstance(groups, LabelGroups):
        raise type_error(
            "groups", must="be LabelGroups or a LabelPartition", got=type(groups).__name__
        )
    if groups.n_labels != n_labels:
        raise value_error(
            "groups", must=f"be over the {n_labels} labels of the model", got=groups.n_labels
        )


def check_reference(reference_model: Any, model: Any, told: str) -> None:
    """Refuse two references, and the policy itself as one."""
    if reference_model is None:
        return
    if not isinstance(reference_model, nn.Module):
        raise type_error(
            "reference_model",
            must="be a torch.nn.Module whose output has logits",
            got=type(reference_model).__name__,
            do="The folder of a saved model is FairPOConfig(reference=...).",
        )
    if reference_model is model:
        raise value_error(
            "reference_model",
            must="be another object than model, which is trained",
            got="the same",
            do="Leave it out: the policy as it begins is the reference then.",
        )
    if told != "initial":
        raise value_error(
            "FairPOConfig.reference",
            must="be left out where reference_model is given",
            got=repr(told),
        )


def check_positives(groups: LabelGroups, targets: NDArray[np.int8], names: tuple[str, ...]) -> None:
    """Refuse privileged labels of which none occurs; warn of some."""
    positives = (targets == 1).sum(0)
    without = [names[index] for index in groups.privileged if positives[index] == 0]
    if not without:
        return
    if len(without) == len(groups.privileged):
        raise value_error(
            "the privileged labels",
            must="have a positive among the training examples",
            got=f"none for {', '.join(without[:5])}",
            do="Choose labels that occur.",
        )
    warnings.warn(
        f"{len(without)} privileged labels have no positive among the training examples and cannot "
        f"be learnt: {', '.join(without[:10])}.",
        FairPOWarning,
        stacklevel=4,
    )
