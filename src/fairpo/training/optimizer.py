"""An optimizer for a last layer of a million rows, of which a step moves a few thousand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fairpo.models.head import Policy

_EPSILON = 1e-12
"""Far below torch's 1e-8: a mean over the entries of a million labels has gradients near 1e-9 a
weight, which 1e-8 would drown."""


class LazyAdam:
    """AdamW, lazy on the last layer: a label outside the step's sample costs nothing.

    The rows of the last layer that have a gradient take a step of Adam with their own moments
    (``torch.optim.SparseAdam``); the other rows and their moments stay as they are. All other
    layers take steps of AdamW. Gradients of the last layer must be sparse: see
    :meth:`~fairpo.models.head.Policy.logits_at`.

    Parameters
    ----------
    policy : Policy
        Of kind ``mlp`` or ``linear``.
    learning_rate : float
    weight_decay : float
        Decoupled, as AdamW's. A row of the last layer decays in the steps that move it, so that
        labels seldom sampled decay seldom.

    Raises
    ------
    FairPOValueError
        The head is ``per-label``.

    Notes
    -----
    Memory is two moments a weight, as AdamW's, and no gradient of all rows.
    """

    def __init__(self, policy: Policy, learning_rate: float, weight_decay: float = 0.0) -> None:
        self._last = list(policy.last_layer.parameters())
        self.weight_decay = weight_decay
        lazy = torch.optim.SparseAdam(self._last, lr=learning_rate, eps=_EPSILON)
        self._optimizers: dict[str, torch.optim.Optimizer] = {"lazy": lazy}
        of_last = set(map(id, self._last))
        others = [each for each in policy.parameters() if id(each) not in of_last]
        if others:  # a linear head has a last layer only
            self._optimizers["dense"] = torch.optim.AdamW(
                others, lr=learning_rate, eps=_EPSILON, weight_decay=weight_decay, fused=True
            )

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of parameters, whose ``lr`` a schedule sets."""
        return [group for each in self._optimizers.values() for group in each.param_groups]

    def zero_grad(self) -> None:
        """Forget the gradients; none is ever made dense."""
        for optimizer in self._optimizers.values():
            optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def step(self) -> None:
        """Move what has a gradient."""
        rate = self._optimizers["lazy"].param_groups[0]["lr"]
        for parameter in self._last:
            if self.weight_decay and parameter.grad is not None:
                parameter.grad = parameter.grad.coalesce()
                rows = parameter.grad.indices()[0]
                moved = parameter.index_select(0, rows)
                parameter.index_add_(0, rows, moved, alpha=-rate * self.weight_decay)
        for optimizer in self._optimizers.values():
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Moments and step counts, by optimizer."""
        return {name: each.state_dict() for name, each in self._optimizers.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take a :meth:`state_dict`."""
        for name, optimizer in self._optimizers.items():
            optimizer.load_state_dict(state[name])


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
    """Scale gradients, dense or sparse, so that their norm is at most ``max_norm``.

    ``torch.nn.utils.clip_grad_norm_`` where all of them are dense, which is all that it takes.

    Returns
    -------
    scalar tensor; the norm before
    """
    values = []
    for parameter in parameters:
        if parameter.grad is None:
            continue
        if parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            values.append(parameter.grad.values())
        else:
            values.append(parameter.grad)
    norm = nn.utils.get_total_norm(values)
    scale = (max_norm / (norm + 1e-6)).clamp_max(1.0)
    for each in values:
        each.mul_(scale)
    return norm
