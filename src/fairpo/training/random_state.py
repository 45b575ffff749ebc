"""Leave random generators as they were found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def same_random_state_after() -> Iterator[None]:
    """Restore the generators of Python, numpy and torch (CPU and CUDA) when the block ends.

    What runs before a training (a look at the data, reference logits) then changes nothing in it,
    and a pass that is run twice draws the same both times.
    """
    python, of_numpy = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(of_numpy)
