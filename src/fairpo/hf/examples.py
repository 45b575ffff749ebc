"""Examples and batches: their labels, and reference logits that travel with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from fairpo._checks import value_error

REFERENCE = "reference_logits"
"""Column of an example and key of a batch."""

LABELS = "labels"

FOLDER = "_reference_logits"
"""Where kept logits lie, within the output folder."""

_FLOAT = "Write a 0/1 vector with an entry a label; -1 or NaN is a label not known."


class WithReferenceLogits(Dataset[dict[str, Any]]):
    """A dataset whose examples bring their reference logits.

    Parameters
    ----------
    examples : sequence of mappings
    logits : float32 array, shape (examples, labels)
        In their order.
    """

    def __init__(self, examples: Any, logits: NDArray[np.float32]) -> None:
        self._examples = examples
        self._logits = logits

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One example with its row of logits."""
        row = torch.from_numpy(np.array(self._logits[index]))
        return {**self._examples[index], REFERENCE: row}


class CheckedCollator:
    """A collator that checks labels, and keeps reference logits from another, which need not know.

    Parameters
    ----------
    collate : callable
        From a list of examples to a batch.
    """

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self._collate = collate

    def __call__(self, examples: list[Any]) -> Any:
        """Collate the rest, then add the logits, (batch, labels).

        Raises
        ------
        FairPOValueError
            A label is not 1, 0 or missing.
        """
        batch = self._collate_all(examples)
        labels = batch.get(LABELS) if isinstance(batch, Mapping) else None
        if isinstance(labels, Tensor) and labels.ndim == 2:
            check_values(labels)
        return batch

    def _collate_all(self, examples: list[Any]) -> Any:
        if not isinstance(examples[0], Mapping) or REFERENCE not in examples[0]:
            return self._collate(examples)
        rows = [torch.as_tensor(example[REFERENCE], dtype=torch.float32) for example in examples]
        rest = [{k: v for k, v in example.items() if k != REFERENCE} for example in examples]
        batch = self._collate(rest)
        batch[REFERENCE] = torch.stack(rows)
        return batch


def inputs_of(batch: Mapping[str, Any]) -> dict[str, Any]:
    """What the model is given of a batch."""
    return {key: value for key, value in batch.items() if key not in (LABELS, REFERENCE)}


def batch_targets(batch: Mapping[str, Any], n_labels: int) -> Tensor:
    """Targets of a batch, float, (batch, labels): 1, 0, or missing (negative or NaN).

    Raises
    ------
    FairPOValueError
        No labels, or not one entry for each label of the model.
    """
    labels = batch.get(LABELS)
    if labels is None:
        raise value_error(
            "a batch",
            must=f"hold {LABELS!r}",
            got=", ".join(map(str, batch)),
            do="Name the column so. A collator of your own must pass it on.",
        )
    if labels.ndim != 2 or labels.shape[1] != n_labels:
        raise value_error(
            "the labels of a batch",
            must=f"have shape (batch, {n_labels}), an entry for each label of the model",
            got=f"{tuple(labels.shape)}, {labels.dtype}",
            do=_FLOAT,
        )
    targets: Tensor = labels if labels.is_floating_point() else labels.float()
    return targets


def check_values(targets: Tensor) -> None:
    """Refuse targets that are not 1, 0, negative or NaN."""
    known = targets[targets >= 0]
    if bool(((known != 0) & (known != 1)).any()):
        raise value_error(
            "labels",
            must="be 1, 0, or missing (-1 or NaN)",
            got=f"{float(known[(known != 0) & (known != 1)][0]):g}",
            do=_FLOAT,
        )


def compact(targets: Any) -> NDArray[np.int8]:
    """Targets as metrics take them: 1, 0, and -1 for missing."""
    array = np.asarray(targets)
    return np.where(np.isnan(array) | (array < 0), -1, array == 1).astype(np.int8)


def column_targets(dataset: Any, n_labels: int) -> NDArray[np.int8]:
    """All labels of a dataset of Hugging Face, without touching its other columns."""
    column = dataset.with_format("numpy", columns=[LABELS])[:][LABELS]
    targets = torch.from_numpy(np.array([np.asarray(row, dtype=np.float32) for row in column]))
    checked = batch_targets({LABELS: targets}, n_labels)
    check_values(checked)
    return compact(checked)
