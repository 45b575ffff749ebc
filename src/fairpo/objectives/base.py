"""What every objective takes and returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fairpo._checks import value_error
from fairpo.groups import LabelGroups
from fairpo.losses.pointwise import observed_mask, opposite_signs, signed_bce


class Diagnostics(NamedTuple):
    """What to watch besides the loss; scalar tensors without a graph.

    Means are NaN where there is nothing to average, and for objectives without pairs.
    """

    n_pairs: Tensor
    """Pairs in the privileged loss of this step."""
    confusing_share: Tensor
    """Share of the possible (true, false) pairs that are confusing."""
    chosen_log_score: Tensor
    """Mean log-probability of the preferred label over the pairs."""
    rejected_log_score: Tensor
    """Mean log-probability of the other label. Both falling together is displacement."""
    no_signal_share: Tensor
    """Share of the examples that add nothing to the loss of any group to improve."""


class ObjectiveOutput(NamedTuple):
    """Result of one call: what to minimise and what it is made of."""

    loss: Tensor
    """Scalar with a graph: ``(group_weights * group_losses).sum()``."""
    group_losses: Tensor
    """(groups,) in the order of the groups; 0 where a group has no entry."""
    group_weights: Tensor
    """(groups,), after this call's step, no graph; they sum to 1."""
    diagnostics: Diagnostics


class StepInputs:
    """The tensors of one step, checked, in full precision, with what several parts share."""

    def __init__(
        self,
        logits: Tensor,
        targets: Tensor,
        reference_logits: Tensor | None,
        entry_weight: Tensor | None,
    ) -> None:
        _check_shapes(logits, targets, reference_logits, entry_weight)
        # Sums of exponentials need more than the 8 to 11 bits of half precision.
        dtype = torch.promote_types(logits.dtype, torch.float32)
        self.logits = logits.to(dtype)
        self.targets = targets
        self.reference = None if reference_logits is None else reference_logits.detach().to(dtype)
        self._entry_weight = None if entry_weight is None else entry_weight.to(dtype)

    @property
    def n_rows(self) -> int:
        """Number of examples."""
        return self.logits.shape[0]

    @property
    def weighted(self) -> bool:
        """Whether entries have weights of their own."""
        return self._entry_weight is not None

    def position(self, rows: Tensor, labels: Tensor) -> Tensor:
        """Flat positions of entries, for ``take``: its gradient is cheap where entries are few."""
        return rows * self.logits.shape[1] + labels

    @cached_property
    def weights(self) -> Tensor:
        """Weight of each entry, (batch, labels): 0 where the target is missing, else 1 or given."""
        observed = observed_mask(self.targets).to(self.logits.dtype)
        return observed if self._entry_weight is None else observed * self._entry_weight

    @cached_property
    def bce(self) -> Tensor:
        """Cross-entropy of the policy, (batch, labels)."""
        return signed_bce(self.logits, self._opposite_signs)

    @cached_property
    def reference_bce(self) -> Tensor:
        """Cross-entropy of the reference, (batch, labels)."""
        return signed_bce(self.required_reference, self._opposite_signs)

    @cached_property
    def _opposite_signs(self) -> Tensor:
        return opposite_signs(self.targets, self.logits.dtype)

    @property
    def required_reference(self) -> Tensor:
        """Reference logits, or the error that says they are missing."""
        if self.reference is None:
            raise value_error(
                "reference_logits",
                must="be given: this objective compares with the reference",
                got="None",
                do="Compute them once with the reference model, without gradient.",
            )
        return self.reference


class Objective(nn.Module, ABC):
    """What is minimised over one batch of logits.

    A call in train mode with gradients enabled is one step: group losses, then the step of the
    group weights, then the loss under the stepped weights. In eval mode, or without gradients,
    nothing changes. All state is in ``state_dict()``.

    Parameters
    ----------
    groups : LabelGroups
    """

    needs_reference: bool
    """Whether a call must be given ``reference_logits``."""

    def __init__(self, groups: LabelGroups) -> None:
        super().__init__()
        self.groups = groups

    @abstractmethod
    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        reference_logits: Tensor | None = None,
        *,
        entry_weight: Tensor | None = None,
    ) -> ObjectiveOutput:
        """Return the loss of a batch.

        Parameters
        ----------
        logits : float tensor, shape (batch, labels)
            Raw scores of the policy, never probabilities. Half precision is computed in float32.
        targets : tensor, shape (batch, labels)
            1, 0, or missing (negative or NaN); missing entries are masked everywhere.
        reference_logits : float tensor, shape (batch, labels), optional
        entry_weight : float tensor, shape (batch, 1) or (batch, labels), optional
            Weight of each entry or example. A pair has the weight of the entry it was found for.

        Raises
        ------
        FairPOValueError
            Shapes differ, or the reference is needed and missing.
        """


def _check_shapes(
    logits: Tensor, targets: Tensor, reference: Tensor | None, entry_weight: Tensor | None
) -> None:
    if logits.ndim != 2 or targets.shape != logits.shape:
        raise value_error(
            "logits and targets",
            must="share one shape (batch, labels)",
            got=f"{tuple(logits.shape)} and {tuple(targets.shape)}",
        )
    if not logits.is_floating_point():
        raise value_error("logits", must="be floating point", got=logits.dtype)
    if reference is not None and reference.shape != logits.shape:
        raise value_error(
            "reference_logits",
            must=f"have the shape of logits, {tuple(logits.shape)}",
            got=tuple(reference.shape),
        )
    if entry_weight is not None and entry_weight.shape not in (logits.shape, (logits.shape[0], 1)):
        raise value_error(
            "entry_weight",
            must=f"have shape {tuple(logits.shape)} or {(logits.shape[0], 1)}",
            got=tuple(entry_weight.shape),
        )
