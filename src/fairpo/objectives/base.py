"""What every objective over labels takes and returns."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from fairpo._checks import value_error
from fairpo.losses.pointwise import observed_mask, opposite_signs, signed_bce
from fairpo.losses.reduction import GroupSums, group_sums
from fairpo.objectives.group_objective import GroupObjective, ObjectiveOutput, StepSums
from fairpo.objectives.membership import Membership
from fairpo.objectives.sample import LabelSample


class Diagnostics(NamedTuple):
    """What to watch besides the loss; scalar tensors without a graph.

    Means are NaN where there is nothing to average, and for objectives without pairs. On sampled
    labels, numbers of pairs and means over them are estimates of those over all labels.
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


WATCHED = (
    "pairs",
    "confusing pairs",
    "possible pairs",
    "chosen log-scores",
    "rejected log-scores",
    "examples without signal",
    "examples",
)
"""What ``StepSums.watched`` adds up, in order."""


class StepInputs:
    """A part of a step: its tensors, checked, in full precision, and its place in the step.

    Parameters are those of :meth:`Objective.sums`.
    """

    def __init__(
        self,
        logits: Tensor,
        targets: Tensor,
        reference_logits: Tensor | None,
        entry_weight: Tensor | None,
        sample: LabelSample | None = None,
        *,
        first_row: int = 0,
        step: int | None = None,
    ) -> None:
        _check_shapes(logits, targets, reference_logits, entry_weight)
        if sample is not None:
            _check_sample(sample, targets, entry_weight)
        # Sums of exponentials need more than the 8 to 11 bits of half precision.
        dtype = torch.promote_types(logits.dtype, torch.float32)
        self.logits = logits.to(dtype)
        self.targets = targets
        self.reference = None if reference_logits is None else reference_logits.detach().to(dtype)
        self._entry_weight = None if entry_weight is None else entry_weight.to(dtype)
        self.sample = None if sample is None else sample._replace(weights=sample.weights.to(dtype))
        self.first_row, self.step = first_row, step

    @classmethod
    def of_targets(
        cls, targets: Tensor, entry_weight: Tensor | None, sample: LabelSample | None
    ) -> StepInputs:
        """Take targets and weights alone; the logits say nothing."""
        nothing = torch.zeros_like(targets, dtype=torch.float64)
        return cls(nothing, targets, None, entry_weight, sample)

    @property
    def n_rows(self) -> int:
        """Number of examples."""
        return self.logits.shape[0]

    @property
    def weighted(self) -> bool:
        """Whether entries have weights of their own, or their labels were sampled."""
        return self._entry_weight is not None or self.sample is not None

    def position(self, rows: Tensor, labels: Tensor) -> Tensor:
        """Flat positions of entries, for ``take``: its gradient is cheap where entries are few."""
        return rows * self.logits.shape[1] + labels

    @cached_property
    def weights(self) -> Tensor:
        """Weight of each entry, (batch, labels): 0 where the target is missing, else 1 or given.

        A sampled label also counts for those it stands for.
        """
        weights = observed_mask(self.targets).to(self.logits.dtype)
        if self._entry_weight is not None:
            weights = weights * self._entry_weight
        return weights if self.sample is None else weights * self.sample.weights

    def columns(self, membership: Membership) -> Tensor:
        """What each label here counts in each group, (groups, labels)."""
        return membership.columns(self.sample, self.logits.dtype)

    def of_labels(self, values: Tensor) -> Tensor:
        """Numbers of all labels, (all labels,), for those here: (labels,)."""
        values = values.to(self.logits.dtype)
        return values if self.sample is None else values.index_select(0, self.sample.labels)

    def group_sums(self, values: Tensor, membership: Membership) -> GroupSums:
        """Add up values (batch, labels) per group; counts are :meth:`entry_counts`."""
        columns = self.columns(membership)
        if self.sample is None:
            return group_sums(values, self.weights, columns)
        totals = columns @ (values * self.weights).sum(0)
        return GroupSums(totals, self.entry_counts(membership))

    def entry_counts(self, membership: Membership) -> Tensor:
        """Weight of each group's observed entries, (groups,): over all labels, never estimated."""
        columns = self.columns(membership)
        if self.sample is None:
            return columns @ self.weights.sum(0)
        # Per row first: a group that is missing altogether must count exactly 0.
        missing = (~observed_mask(self.targets)).to(columns.dtype)
        observed = membership.sizes.to(columns.dtype) - missing @ columns.T
        if self._entry_weight is not None:
            observed = observed * self._entry_weight
        return observed.sum(0)

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


class Objective(GroupObjective):
    """What is minimised over one batch of logits.

    A call is a whole step: :meth:`sums`, :meth:`step_weights` in train mode with gradients enabled,
    and :meth:`output`. In eval mode, or without gradients, nothing changes. A subclass writes
    :meth:`sums_of`, :meth:`counts_of` and :meth:`output`.

    Parameters
    ----------
    groups : LabelGroups
    """

    needs_label_counts: ClassVar[bool] = False
    """Whether it is built with :class:`~fairpo.objectives.label_counts.LabelCounts`."""
    needs_competition: ClassVar[bool] = False
    """Whether it is built with a :class:`~fairpo.objectives.competition.Competition`."""

    @property
    def diagnostic_keys(self) -> tuple[str, ...]:
        """Keys of :class:`Diagnostics`."""
        return tuple(f"diagnostics/{name}" for name in Diagnostics._fields)

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        reference_logits: Tensor | None = None,
        *,
        entry_weight: Tensor | None = None,
        sample: LabelSample | None = None,
    ) -> ObjectiveOutput:
        """Return the loss of a batch, which is a whole step.

        Parameters
        ----------
        logits : float tensor, shape (batch, labels)
            Raw scores of the policy, never probabilities. Half precision is computed in float32.
        targets : tensor, shape (batch, labels)
            1, 0, or missing (negative or NaN); missing entries are masked everywhere.
        reference_logits : float tensor, shape (batch, labels), optional
        entry_weight : float tensor, shape (batch, 1) or (batch, labels), optional
            Weight of each entry or example. A pair has the weight of the entry it was found for.
        sample : LabelSample, optional
            The labels that the columns stand for, of a label space too large for all of them:
            see :func:`~fairpo.objectives.sample.draw_labels`. Totals are then unbiased estimates
            of those over all labels, counts are exact. Weights must be those of examples.

        Raises
        ------
        FairPOValueError
            Shapes differ, the reference is needed and missing, or an option or weight has no
            unbiased form on a sample.
        """
        sums = self.sums(
            logits, targets, reference_logits, entry_weight=entry_weight, sample=sample
        )
        return self.whole_step(sums)

    def sums(
        self,
        logits: Tensor,
        targets: Tensor,
        reference_logits: Tensor | None = None,
        *,
        entry_weight: Tensor | None = None,
        first_row: int = 0,
        step: int | None = None,
        sample: LabelSample | None = None,
    ) -> StepSums:
        """Sums of a part of a step, with a graph; nothing changes.

        Parameters
        ----------
        logits, targets, reference_logits, entry_weight, sample
            As in :meth:`forward`, of this part.
        first_row : int
            Place of the part's first example in the whole step: draws depend on places, so that
            they do not depend on how a step is split.
        step : int, optional
            Number of the step, which draws depend on too; how often the group weights have
            stepped when not given. A second pass over a part after they stepped gives the first
            pass's number to draw the same.
        """
        inputs = StepInputs(
            logits, targets, reference_logits, entry_weight, sample, first_row=first_row, step=step
        )
        return self.sums_of(inputs)

    @abstractmethod
    def sums_of(self, inputs: StepInputs) -> StepSums:
        """:meth:`sums` of checked inputs."""

    def check_sampled(self) -> None:
        """Refuse settings whose sums have no unbiased estimate from sampled labels.

        Raises
        ------
        FairPOValueError
            Names the setting and what it must be.
        """

    def known_counts(
        self,
        targets: Tensor,
        entry_weight: Tensor | None = None,
        sample: LabelSample | None = None,
    ) -> Tensor:
        """What targets (batch, labels) tell of ``StepSums.counts`` before there are logits.

        Returns
        -------
        float tensor, shape (terms, columns)
            The counts, or, where a term divides by the pairs it found, the entries searched for
            pairs.
        """
        return self.counts_of(StepInputs.of_targets(targets, entry_weight, sample))

    @abstractmethod
    def counts_of(self, inputs: StepInputs) -> Tensor:
        """:meth:`known_counts` of checked inputs, whose logits say nothing."""


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


def _check_sample(sample: LabelSample, targets: Tensor, entry_weight: Tensor | None) -> None:
    if not sample.labels.shape == sample.weights.shape == targets.shape[1:]:
        raise value_error(
            "sample",
            must=f"have a label and a weight for each of the {targets.shape[1]} columns",
            got=f"{tuple(sample.labels.shape)} and {tuple(sample.weights.shape)}",
        )
    if entry_weight is not None and entry_weight.shape != (len(targets), 1):
        raise value_error(
            "entry_weight",
            must=f"have shape {(len(targets), 1)} where labels are sampled",
            got=tuple(entry_weight.shape),
            do="Weights of entries that are not in the sample would have to be counted.",
        )
    if bool(((targets != 0).any(0) & (sample.weights != 1)).any()):
        raise value_error(
            "sample",
            must="hold every label that is positive or missing in the batch with weight 1",
            got="another weight for at least one of them",
            do="draw_labels takes these labels as in_batch.",
        )
