"""Group weights: who gets the attention now.

The adversary of the minimax problem ``min_w max_a sum_g a_g L_g`` (Eq. 15) holds a weight per
group and moves it by mirror ascent on the simplex (Algorithm 1). Weights live in log space, so
that a thousand steps towards one group and a thousand back end where they began.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from fairpo._checks import FairPOWarning, value_error

WeightRule = Literal["raw", "relative", "excess", "fixed"]
GainRule = Callable[[Tensor], Tensor]
"""A user's own rule: group losses (groups,) to what each log-weight gains per unit of step size."""

SATURATED = 0.95
"""A group above this weight leaves the others next to nothing."""

PATIENCE = 200
"""Steps in a row, all saturated, before the warning: longer than a passing swing."""

_EMA_DECAY = 0.9
_EMA_EPSILON = 1e-6
_MAX_EXPONENT = 10.0
_ROUNDED = 1 - 1e-9  # of a floor, by dividing by the sum


def mirror_ascent(
    log_weights: Tensor,
    gains: Tensor,
    present: Tensor,
    *,
    step_size: float = 1.0,
    floor: float = 0.0,
) -> Tensor:
    """Take one exponentiated-gradient step: ``a_g <- a_g exp(step_size gain_g) / Z`` (Algorithm 1).

    Parameters
    ----------
    log_weights : float tensor, shape (groups,)
        Logarithms of weights that sum to 1.
    gains : float tensor, shape (groups,)
        What each log-weight gains per unit of step size. Read only where ``present``.
    present : bool tensor, shape (groups,)
        Groups with an entry in this step. The weights of the others do not move, and the weight
        the present groups share is conserved; with fewer than two present nothing moves.
    step_size : float
    floor : float
        At least this weight for each present group, in ``[0, 1 / groups)``. With all groups
        present ``a <- floor + (1 - groups * floor) a``.

    Returns
    -------
    float tensor, shape (groups,); a new tensor.
    """
    raised = torch.add(log_weights, gains, alpha=step_size)
    if not floor and bool(present.all()):
        return raised.log_softmax(0)
    outside = torch.full_like(log_weights, -torch.inf)
    before = torch.where(present, log_weights, outside)
    share = before.logsumexp(0)
    raised = torch.where(present, raised, outside)
    stepped = raised - raised.logsumexp(0) + share
    if floor:
        keep = 1 - present.sum().to(share.dtype) * floor / share.exp()
        stepped = (floor + keep * stepped.exp()).log()
    moves = present & (present.sum() > 1)
    return torch.where(moves, stepped, log_weights)


class GroupWeights(nn.Module):
    """Weights over groups and the rule that moves them. All state is in buffers.

    Parameters
    ----------
    n_groups : int
    rule : "raw", "relative", "excess", "fixed" or callable
        What a log-weight gains per unit of ``step_size``. ``raw``: the group's loss
        (Algorithm 1). ``relative``: the loss relative to its running average, the rule of the
        authors' later code, literally: the first step of a group uses the raw loss, later ones
        ``(loss - average) / (abs(average) + 1e-6)`` with the old average (decay 0.9), and the
        exponent is clipped to +-10 after the multiplication by the step size. ``excess``: what
        the objective passes as ``excess`` (in nats, the same quantity for all groups).
        ``fixed``: nothing moves. A callable maps the group losses (groups,) to gains.
    step_size : float
        At least 0. 0 holds the weights.
    floor : float
        See :func:`mirror_ascent`; 0 (the paper's) lets a weight vanish.
    initial : sequence of float, optional
        Start weights, positive for groups with members; the default is uniform.
    has_members : sequence of bool, optional
        Groups without members never have weight: it is shared by the others.
    names : sequence of str, optional
        What the warning calls the groups; their numbers when not given.

    Notes
    -----
    ``mean_weights`` is the running mean over steps, for reports only. A warning tells when one
    group has held more than 95% for 200 steps in a row.
    """

    log_weights: Tensor
    has_members: Tensor
    steps: Tensor
    weight_sum: Tensor
    saturated_steps: Tensor
    averages: Tensor
    average_steps: Tensor

    def __init__(
        self,
        n_groups: int,
        *,
        rule: WeightRule | GainRule = "raw",
        step_size: float = 1e-4,
        floor: float = 0.0,
        initial: Sequence[float] | None = None,
        has_members: Sequence[bool] | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self._names = tuple(names or map(str, range(n_groups)))
        members = torch.tensor([True] * n_groups if has_members is None else list(has_members))
        n_active = max(1, int(members.sum()))
        if not (callable(rule) or rule in ("raw", "relative", "excess", "fixed")):
            raise value_error(
                "weight_rule",
                must="be 'raw', 'relative', 'excess', 'fixed' or a function of the group losses",
                got=repr(rule),
            )
        if not (step_size >= 0 and math.isfinite(step_size)):
            raise value_error("step_size", must="be a finite number >= 0", got=step_size)
        if not 0 <= floor < 1 / n_active:
            raise value_error(
                "floor", must=f"be in [0, 1/{n_active}) for {n_active} groups", got=floor
            )
        self.rule = rule
        self.step_size = step_size
        self.floor = floor
        weights = _initial_weights(initial, members, floor)
        self.register_buffer("has_members", members)
        self.register_buffer("log_weights", weights.log())
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("weight_sum", torch.zeros(n_groups, dtype=torch.float64))
        self.register_buffer("saturated_steps", torch.zeros(n_groups, dtype=torch.int64))
        self.register_buffer("averages", torch.zeros(n_groups, dtype=torch.float64))
        self.register_buffer("average_steps", torch.zeros(n_groups, dtype=torch.int64))
        self._all_members = bool(members.all())
        self._n_active = n_active
        self._calls = 0  # as steps, without waiting for the device
        self.register_load_state_dict_post_hook(_count_on)  # type: ignore[no-untyped-call]

    def forward(self) -> Tensor:
        """Return the weights, float64, shape (groups,); they sum to 1 over groups with members."""
        return self.log_weights.exp()

    @property
    def mean_weights(self) -> Tensor:
        """Running mean of the weights over all steps; the weights before the first step."""
        return self.weight_sum / self.steps if self.steps > 0 else self()

    def step(self, group_losses: Tensor, present: Tensor, excess: Tensor | None = None) -> None:
        """Move the weights by one step of the rule.

        Parameters
        ----------
        group_losses : float tensor, shape (groups,)
        present : bool tensor, shape (groups,)
            Groups with an entry in this step.
        excess : float tensor, shape (groups,)
            Needed by the rule ``excess``: mean cross-entropy over the reference's, minus the
            group's target, in nats.
        """
        if not self._all_members:
            present = present & self.has_members
        if self.rule != "fixed":
            gains, step_size = self._gains(group_losses.detach(), present, excess)
            self.log_weights.copy_(
                mirror_ascent(
                    self.log_weights, gains, present, step_size=step_size, floor=self.floor
                )
            )
        weights = self()
        self.steps += 1
        self.weight_sum += weights
        self._watch_saturation(weights)

    def _gains(
        self, losses: Tensor, present: Tensor, excess: Tensor | None
    ) -> tuple[Tensor, float]:
        """What the log-weights gain, and per which step size."""
        if callable(self.rule):
            return self.rule(losses), self.step_size
        if self.rule == "relative":
            return self._relative_exponents(losses.double(), present), 1.0
        if self.rule == "excess":
            if excess is None:
                raise value_error("excess", must="be given under the rule 'excess'", got="None")
            return excess.detach(), self.step_size
        return losses, self.step_size

    def _relative_exponents(self, losses: Tensor, present: Tensor) -> Tensor:
        first = self.average_steps == 0
        change = (losses - self.averages) / (self.averages.abs() + _EMA_EPSILON)
        gains = torch.where(first, losses, change)
        decayed = _EMA_DECAY * self.averages + (1 - _EMA_DECAY) * losses
        updated = torch.where(first, losses, decayed)
        self.averages.copy_(torch.where(present, updated, self.averages))
        self.average_steps += present
        return (self.step_size * gains).clamp(-_MAX_EXPONENT, _MAX_EXPONENT)

    def _watch_saturation(self, weights: Tensor) -> None:
        if self.rule == "fixed" or self._n_active < 2:
            return
        self.saturated_steps.add_(1).mul_(weights > SATURATED)  # in a row, up to now
        self._calls += 1
        if self._calls % PATIENCE:  # reading a counter waits for the device: once in a while
            return
        # From the second look on it has been told.
        saturated = (self.saturated_steps >= PATIENCE) & (self.saturated_steps < 2 * PATIENCE)
        if bool(saturated.any()):
            group = int(saturated.long().argmax())
            name, share = self._names[group], float(weights[group])
            warnings.warn(
                f"group {name} has held {share:.0%} of the weight for {PATIENCE} steps: the other "
                "groups are hardly trained. A floor, a smaller step_size or weight_rule='excess' "
                "keeps them in.",
                FairPOWarning,
                stacklevel=2,
            )

    def extra_repr(self) -> str:
        """Show the options."""
        return f"rule={self.rule!r}, step_size={self.step_size}, floor={self.floor}"


def _count_on(weights: GroupWeights, _: object) -> None:
    """Watch a restored state for saturation at the steps at which it would have been."""
    weights._calls = int(weights.steps)


def _initial_weights(initial: Sequence[float] | None, members: Tensor, floor: float) -> Tensor:
    if initial is None:
        weights = members.double()
        return weights / weights.sum().clamp_min(1)
    weights = torch.tensor(list(initial), dtype=torch.float64)
    if weights.shape != members.shape or not bool((weights.isfinite() & (weights > 0)).all()):
        raise value_error(
            "initial group weights",
            must=f"be {len(members)} positive numbers, one a group",
            got=list(initial),
        )
    weights = weights * members
    weights = weights / weights.sum().clamp_min(torch.finfo(torch.float64).tiny)
    if bool((weights[members] < floor * _ROUNDED).any()):
        raise value_error(
            "initial group weights", must=f"be at least the floor {floor}", got=list(initial)
        )
    return weights
