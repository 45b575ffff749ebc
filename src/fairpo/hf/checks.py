"""What a trainer refuses before any work: models, groups, references and data that do not fit."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn
from transformers.trainer import MODEL_MAPPING_NAMES

from fairpo._checks import (
    FairPOValueError,
    FairPOWarning,
    check_unique,
    type_error,
    unknown_name,
    value_error,
)
from fairpo.groups import LabelGroups
from fairpo.hf.examples import LABELS, REFERENCE, batch_targets
from fairpo.metrics import LabelFrame
from fairpo.training.in_order import InOrder, is_indexed

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


def check_best_metric(chosen: str | None, n_labels: int) -> None:
    """Refuse a metric that no evaluation will have."""
    if chosen is None:
        return
    nothing = np.zeros((1, n_labels))
    known = (*LabelFrame.from_scores(nothing, nothing.astype(np.int8), {}, None).overall, "loss")
    name = chosen.removeprefix("eval_").removeprefix("reference/").partition("/")[0]
    if name not in known:
        raise unknown_name(
            "metric_for_best_model", name, known, of="metrics, with /GROUP after them"
        )


def check_indexed(dataset: Any, name: str, purpose: str, do: str) -> None:
    """Refuse, for what needs all labels, no dataset, several, and one that is a stream."""
    if not is_indexed(dataset):
        raise value_error(
            name,
            must=f"be one dataset with a length, for {purpose}",
            got=type(dataset).__name__,
            do=do,
        )


def first_batch(dataset: Any, in_order: Callable[[Any], InOrder]) -> Any:
    """Collate the first example of a dataset; refuse one that cannot be."""
    if len(dataset) == 0:
        raise value_error("a dataset", must="hold an example", got="none")
    try:
        return in_order(dataset).first()
    except FairPOValueError:
        raise
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise value_error(
            "the first example of a dataset",
            must=f"be a mapping that the collator takes, with {LABELS!r}, a number a label",
            got=f"{type(error).__name__}: {error}",
        ) from error


def check_batch(batch: Any, n_labels: int, reference: str) -> None:
    """Refuse labels that are not the model's, and reference logits that do not fit them."""
    targets = batch_targets(batch, n_labels)
    if REFERENCE in batch and batch[REFERENCE].shape != targets.shape:
        raise value_error(
            f"{REFERENCE} of a dataset",
            must=f"have {targets.shape[1]} entries, one a label",
            got=f"{batch[REFERENCE][0].numel()}",
        )
    if reference == "column" and REFERENCE not in batch:
        raise value_error(
            "a dataset under reference='column'",
            must=f"have a column {REFERENCE!r}",
            got=", ".join(map(str, batch)),
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
