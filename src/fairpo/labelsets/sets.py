"""Sets as arrays: several a row, compared by codes, drawn and cut into blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairpo._random import SETS, random_bits

ORDERS, ESTIMATES, DRAWS, EDITS, _CODES = range(5)
"""What random numbers are for, below the purpose SETS."""

STATE_ENTRIES = 2**23
"""Numbers in the largest array of a block of states: what bounds the memory of inference."""


@dataclass(frozen=True)
class GeneratedSets:
    """Different sets for each row, each with its probability.

    Parameters
    ----------
    sets : bool array, shape (rows, k, labels)
        From a search the most probable first; from sampling in the order of drawing.
    log_probs : float64 array, shape (rows, k)
        Natural logarithms, summed over orders. -inf marks a place without a set, where fewer than
        k different ones are allowed or were found.
    standard_errors : float64 array, shape (rows, k)
        Of ``log_probs``; 0 where they are exact.
    """

    sets: NDArray[np.bool_]
    log_probs: NDArray[np.float64]
    standard_errors: NDArray[np.float64]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Places that hold a set, (rows, k)."""
        return self.log_probs > -np.inf

    @property
    def probs(self) -> NDArray[np.float64]:
        """Probabilities, (rows, k); 0 in a place without a set."""
        return np.exp(self.log_probs)

    @classmethod
    def join(cls, parts: list[GeneratedSets]) -> GeneratedSets:
        """Put the rows of several one after the other."""
        return cls(
            np.concatenate([part.sets for part in parts]),
            np.concatenate([part.log_probs for part in parts]),
            np.concatenate([part.standard_errors for part in parts]),
        )


def set_codes(sets: Tensor) -> Tensor:
    """Numbers for sets (..., labels), int64 (...): different, but for a chance of 2^-64 a pair."""
    of_labels = label_codes(sets.shape[-1]).to(sets.device)
    return torch.where(sets, of_labels, 0).sum(-1)


def label_codes(n_labels: int) -> Tensor:
    """Numbers for labels, int64 (labels,); those of a set add up to the set's."""
    return random_bits(SETS, _CODES, torch.arange(n_labels)) * 2 + 1


def first_different(sets: Tensor, present: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Keep the first k different sets of each row, in their order.

    Parameters
    ----------
    sets : bool tensor, shape (rows, m, labels)
    present : bool tensor, shape (rows, m)
        Places that hold a set.
    k : int, at most m

    Returns
    -------
    sets : bool tensor, shape (rows, k, labels)
    present : bool tensor, shape (rows, k)
    """
    codes = set_codes(sets)
    order = codes.sort(dim=1, stable=True).indices
    # Empty places go last, so that no set counts as a repetition of one.
    order = order.gather(
        1, present.gather(1, order).long().argsort(dim=1, descending=True, stable=True)
    )
    ordered = codes.gather(1, order)
    new = torch.ones_like(present)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    keep = torch.zeros_like(present).scatter(1, order, new) & present
    kept = keep.long().argsort(dim=1, descending=True, stable=True)[:, :k]
    rows = torch.arange(len(sets), device=sets.device)[:, None]
    return sets[rows, kept] & keep[rows, kept][..., None], keep[rows, kept]


def draw(shares: Tensor, uniform: Tensor) -> Tensor:
    """Draw a column of each row in proportion to its shares, by numbers in [0, 1): (rows,).

    Computed in float64; a share of 0 is never drawn.
    """
    reached = shares.double().cumsum(1)
    below = reached / reached[:, -1:] <= uniform[:, None]
    return below.sum(1)


def block_size(entries_a_row: int) -> int:
    """Rows of a block whose largest array has at most ``STATE_ENTRIES`` numbers."""
    return max(1, STATE_ENTRIES // max(entries_a_row, 1))
