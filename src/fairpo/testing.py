"""Tests that every objective must pass, for yours too.

Inherit :class:`ObjectiveContract` in a test module, say how to build the objective, and pytest
runs the rest.
"""

from __future__ import annotations

import copy
import functools
import itertools
import operator

import torch
from torch import Tensor

from fairpo.groups import LabelGroups, LabelPartition
from fairpo.objectives.base import Objective
from fairpo.objectives.group_objective import ObjectiveOutput


class ObjectiveContract:
    """Contract of :class:`~fairpo.objectives.base.Objective`.

    Examples
    --------
    >>> from fairpo.objectives import FairPOObjective
    >>> class TestMine(ObjectiveContract):
    ...     def make_objective(self, groups):
    ...         return FairPOObjective(groups, preference="simpo")
    >>> TestMine().test_fields_and_shapes()
    """

    permutation_exact = True
    """False where pairs are drawn at random, so that permuted inputs draw others: permutations are
    then tried only on examples that leave no choice."""

    def make_objective(self, groups: LabelGroups) -> Objective:
        """Build a fresh objective for these groups."""
        raise NotImplementedError

    def make_permuted(self, groups: LabelGroups, order: Tensor) -> Objective:
        """Build the same objective for labels in another order, (labels,) of their numbers before.

        Override it where an objective holds something of each label beside the groups.
        """
        return self.make_objective(groups)

    def test_fields_and_shapes(self) -> None:
        """A scalar loss with a graph, vectors of the groups, weights that sum to 1."""
        output = self._call(*_batch())
        assert output.loss.shape == ()
        assert output.loss.requires_grad
        assert output.group_losses.shape == output.group_weights.shape == (2,)
        assert not output.group_weights.requires_grad
        assert abs(float(output.group_weights.sum()) - 1) < 1e-6
        assert all(part.shape == () for part in output.diagnostics)

    def test_loss_is_the_weighted_sum(self) -> None:
        """``loss = sum of group weights times group losses``."""
        output = self._call(*_batch())
        weighted = (output.group_weights * output.group_losses).sum()
        assert torch.allclose(output.loss, weighted, atol=1e-9)

    def test_finite_without_positives_or_observations(self) -> None:
        """Finite, with a graph, on batches with nothing to learn from."""
        logits, targets, reference = _batch()
        for empty in (torch.zeros_like(targets), torch.full_like(targets, -1.0)):
            moving = logits.clone().requires_grad_()
            output = self.make_objective(_groups())(moving, empty, reference)
            output.loss.backward()
            assert torch.isfinite(output.loss)
            assert torch.isfinite(output.group_weights).all()
            assert moving.grad is not None
            assert torch.isfinite(moving.grad).all()

    def test_finite_with_an_empty_group(self) -> None:
        """No privileged label, or all of them."""
        for indices in (range(0), range(6)):
            output = self._call(*_batch(), groups=LabelPartition.from_indices(indices, 6))
            assert torch.isfinite(output.loss)
            assert torch.isfinite(output.group_losses).all()

    def test_order_of_examples_does_not_matter(self) -> None:
        """The same group losses for permuted rows."""
        order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
        for batch in self._permutable_batches():
            first = self._call(*batch)
            second = self._call(*(part[order] for part in batch))
            assert torch.allclose(first.group_losses, second.group_losses, atol=1e-10)
            assert torch.allclose(first.group_weights, second.group_weights, atol=1e-10)

    def test_order_of_labels_does_not_matter(self) -> None:
        """The same group losses for permuted labels and a permuted partition."""
        order = torch.randperm(6, generator=torch.Generator().manual_seed(2))
        moved = [int((order == index).nonzero()) for index in _groups().privileged]
        groups = LabelPartition.from_indices(moved, 6)
        for batch in self._permutable_batches():
            first = self._call(*batch)
            objective = self.make_permuted(groups, order)
            second = self._call(*(part[:, order] for part in batch), objective=objective)
            assert torch.allclose(first.group_losses, second.group_losses, atol=1e-10)
            assert torch.allclose(first.group_weights, second.group_weights, atol=1e-10)

    def test_a_split_step_is_the_whole_step(self) -> None:
        """The same loss, gradient and group weights in one part or in five uneven ones."""
        whole, parts = (self.make_objective(_groups()) for _ in range(2))
        for seed in range(3):
            logits, targets, reference = _batch(seed)
            targets[3:5, ::2] = -1
            first, second = (logits.clone().requires_grad_() for _ in range(2))
            output = whole(first, targets, reference)
            output.loss.backward()
            cut = (0, 1, 4, 4, 9, 12)  # a part may be empty
            pieces = [slice(start, end) for start, end in itertools.pairwise(cut)]
            sums = [
                parts.sums(second[at], targets[at], reference[at], first_row=at.start)
                for at in pieces
            ]
            added = functools.reduce(operator.add, sums).detach()
            added = added.from_vector(added.as_vector())
            parts.step_weights(added)
            losses = [parts.output(each, added).loss for each in sums]
            torch.autograd.backward(torch.stack(losses).sum())
            assert torch.allclose(output.loss, torch.stack(losses).sum(), atol=1e-10)
            assert first.grad is not None
            assert second.grad is not None
            assert torch.allclose(first.grad, second.grad, atol=1e-10)
            report = parts.output(added, added)
            for ours, theirs in zip(report[1:3], output[1:3], strict=True):
                assert torch.allclose(ours, theirs.detach(), atol=1e-10)
            for ours, theirs in zip(report.diagnostics, output.diagnostics, strict=True):
                assert torch.allclose(ours.double(), theirs.double(), equal_nan=True)

    def test_what_targets_tell_of_the_counts(self) -> None:
        """Known counts add up over parts, and tell the counts of the whole from themselves."""
        objective = self.make_objective(_groups())
        logits, targets, reference = _batch()
        targets[2:4] = -1
        sums = objective.sums(logits, targets, reference)
        known = objective.known_counts(targets)
        parts = [objective.known_counts(targets[at]) for at in (slice(0, 5), slice(5, 12))]
        assert torch.allclose(known, parts[0] + parts[1])
        assert torch.allclose(sums.with_known(known, known).counts, sums.counts)
        doubled = sums.with_known(known, 2 * known).counts
        assert torch.allclose(doubled, 2 * sums.counts)

    def test_missing_entries_have_no_gradient(self) -> None:
        """An entry that is not known neither counts nor moves."""
        logits, targets, reference = _batch()
        targets = targets.clone()
        targets[::2, ::2] = -1
        moving = logits.clone().requires_grad_()
        self.make_objective(_groups())(moving, targets, reference).loss.backward()
        assert moving.grad is not None
        assert float(moving.grad[targets < 0].abs().sum()) == 0

    def test_single_precision_is_close_to_double(self) -> None:
        """Float32 agrees with float64."""
        double = self._call(*_batch())
        single = self._call(*(part.float() for part in _batch()))
        assert torch.allclose(double.group_losses.float(), single.group_losses, atol=1e-5)

    def test_half_precision_is_finite(self) -> None:
        """Half precision logits give finite values and gradients."""
        for dtype in (torch.float16, torch.bfloat16):
            logits, targets, reference = _batch()
            moving = logits.to(dtype).requires_grad_()
            output = self.make_objective(_groups())(moving, targets, reference.to(dtype))
            output.loss.backward()
            assert torch.isfinite(output.loss)
            assert moving.grad is not None
            assert torch.isfinite(moving.grad).all()

    def test_nothing_changes_in_eval_mode_or_without_gradient(self) -> None:
        """Only a call in train mode with gradients is a step."""
        objective = self.make_objective(_groups())
        before = copy.deepcopy(objective.state_dict())
        objective.eval()
        objective(*_batch())
        objective.train()
        with torch.no_grad():
            objective(*_batch())
        _same_state(before, objective.state_dict())

    def test_state_round_trip_goes_on_identically(self) -> None:
        """A restored objective takes the same next step, bit for bit."""
        first = self.make_objective(_groups())
        self._call(*_batch(), objective=first)
        second = self.make_objective(_groups())
        second.load_state_dict(first.state_dict())
        outputs = [self._call(*_batch(seed=1), objective=each) for each in (first, second)]
        assert torch.equal(outputs[0].loss, outputs[1].loss)
        _same_state(first.state_dict(), second.state_dict())

    def _permutable_batches(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        return [_batch_without_choice(), *([_batch()] if self.permutation_exact else [])]

    def _call(
        self,
        logits: Tensor,
        targets: Tensor,
        reference: Tensor,
        *,
        groups: LabelGroups | None = None,
        objective: Objective | None = None,
    ) -> ObjectiveOutput:
        objective = objective or self.make_objective(groups or _groups())
        output: ObjectiveOutput = objective(logits.clone().requires_grad_(), targets, reference)
        return output


def _groups() -> LabelPartition:
    return LabelPartition.from_indices([0, 3], 6)


def _batch(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(12, 6, generator=generator, dtype=torch.float64)
    targets = (torch.rand(12, 6, generator=generator, dtype=torch.float64) < 0.4).double()
    reference = logits + torch.randn(12, 6, generator=generator, dtype=torch.float64)
    return logits, targets, reference


def _batch_without_choice() -> tuple[Tensor, Tensor, Tensor]:
    """One positive and one negative an example, the rest missing: a draw of a pair has one way."""
    logits, targets, reference = _batch()
    targets = torch.full_like(targets, -1.0)
    rows = torch.arange(len(targets))
    targets[rows, rows % 6] = 1.0
    targets[rows, (rows + 1 + rows // 6) % 6] = 0.0
    return logits, targets, reference


def _same_state(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
