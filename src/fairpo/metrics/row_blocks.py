"""Rows cut into blocks, so that what is computed of them fits into memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

BLOCK_ENTRIES = 2**22


def row_blocks(targets: NDArray[Any]) -> Iterator[slice]:
    """Cut rows (n, L) into blocks of at most ``BLOCK_ENTRIES`` entries, and at least one row."""
    n_rows, n_labels = targets.shape
    height = max(1, BLOCK_ENTRIES // max(1, n_labels))
    for start in range(0, n_rows, height):
        yield slice(start, start + height)
