"""How much of each of several models: weights of their logits, fitted on new rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

_STEPS = 60
_ENTRIES = 2**20  # of a block of labels, which alone is held in float64


class Interpolation(NamedTuple):
    """``sum_m weights_m * logits_m + shift`` with one weight for each model.

    Attributes
    ----------
    weights : tuple of float
        Above 0; all the same where the rows tell nothing.
    shift : float64 array, shape (L,)
    """

    weights: tuple[float, ...]
    shift: NDArray[np.float64]


def interpolate(
    logits: Sequence[NDArray[np.float32]], targets: NDArray[np.int8], *, prior: float = 3.0
) -> Interpolation:
    """Fit the weights by likelihood on rows that no model was fitted to.

    One weight a model for all labels together: a rare label has too few positives there to say
    which model knows it better, and all of them have enough.

    Parameters
    ----------
    logits : sequence of float32 arrays, shape (n, L)
        Of each model.
    targets : int8 array, shape (n, L)
        1, 0, or -1 for not known.
    prior : float
        Nats that it costs to take a weight ``e`` times an even share, and half a nat a unit of
        shift.
    """
    models, truth = [torch.from_numpy(each) for each in logits], torch.from_numpy(targets)
    even = -math.log(len(models))
    log_weights = torch.full((len(models),), even, dtype=torch.float64, requires_grad=True)
    shift = torch.zeros(truth.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [log_weights, shift], max_iter=_STEPS, line_search_fn="strong_wolfe"
    )
    size = max(_ENTRIES // max(len(truth), 1), 1)

    def cost() -> Tensor:
        optimizer.zero_grad()
        value = prior * ((log_weights - even) ** 2).sum() + 0.5 * (shift**2).sum()
        value.backward()  # type: ignore[no-untyped-call]
        for start in range(0, truth.shape[1], size):
            block = slice(start, start + size)
            mixed = torch.tensordot(
                log_weights.exp(), torch.stack([each[:, block] for each in models]).double(), 1
            )
            known = truth[:, block]
            likelihood = F.binary_cross_entropy_with_logits(
                mixed + shift[block],
                known.clamp_min(0).double(),
                (known >= 0).double(),
                reduction="sum",
            )
            likelihood.backward()  # type: ignore[no-untyped-call]
            value = value + likelihood.detach()
        return value.detach()

    optimizer.step(cost)  # type: ignore[no-untyped-call]
    return Interpolation(tuple(log_weights.detach().exp().tolist()), shift.detach().numpy())
