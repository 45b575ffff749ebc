"""Random numbers by position: the same however a batch is split, on any device, after a resume.

A generator hands numbers out in the order they are asked for, so a draw depends on what was drawn
before it, and with it on micro-batches and processes. Here a number is a hash of what it is for:
seed, step, row, label.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Constants of SplitMix64 (Steele, Lea and Flood 2014), as signed 64-bit integers.
_INCREMENT = 0x9E3779B97F4A7C15 - 2**64
_FIRST = 0xBF58476D1CE4E5B9 - 2**64
_SECOND = 0x94D049BB133111EB - 2**64


PAIRS, DROPOUT, LABELS, ORDER, SAMPLE, SETS = range(6)
"""What numbers are for: a key, so that no two purposes share any."""


class Draw(NamedTuple):
    """Where a part of a training step stands: what all its draws depend on."""

    seed: int
    step: int | Tensor
    first_row: int = 0
    """Place of the part's first example in the whole step."""


def random_bits(*keys: Tensor | int) -> Tensor:
    """Hash keys to 63 random bits.

    Parameters
    ----------
    *keys : int or int64 tensor
        They broadcast.

    Returns
    -------
    int64 tensor of the broadcast shape, in ``[0, 2**63)``
    """
    bits = torch.zeros((), dtype=torch.int64)
    for key in keys:
        bits = _mix(bits + key)
    return bits & (2**63 - 1)


def random_keep(share: float, *keys: Tensor | int) -> Tensor:
    """Mark, at random, a share of the positions that the keys make: bool tensor."""
    return random_bits(*keys) < min(int(share * 2**63), 2**63 - 1)


def random_uniform(*keys: Tensor | int) -> Tensor:
    """Hash keys to numbers in ``[0, 1)``: float64 tensor, below 1 also after rounding."""
    return (random_bits(*keys) >> 10).double() / 2**53


def _mix(bits: Tensor) -> Tensor:
    """SplitMix64's output function; integer overflow wraps, as it should."""
    bits = bits + _INCREMENT
    bits = (bits ^ _logical_shift(bits, 30)) * _FIRST
    bits = (bits ^ _logical_shift(bits, 27)) * _SECOND
    return bits ^ _logical_shift(bits, 31)


def _logical_shift(bits: Tensor, places: int) -> Tensor:
    """Shift right without the sign, which torch would carry along."""
    shifted: Tensor = torch.bitwise_right_shift(bits, places) & (2 ** (64 - places) - 1)
    return shifted
