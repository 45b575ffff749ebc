"""Random small batches for the tests of losses."""

import torch
from torch import Tensor


def random_batch(
    seed: int, n_rows: int, n_labels: int, *, missing: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Float64 logits (many tied), reference logits, and targets, some missing as -1 and as NaN."""
    generator = torch.Generator().manual_seed(seed)
    shape = (n_rows, n_labels)
    logits = (4 * torch.randn(shape, generator=generator, dtype=torch.float64)).round() / 2
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    targets = (torch.rand(shape, generator=generator) < 0.4).double()
    draw = torch.rand(shape, generator=generator)
    targets[draw < missing] = -1.0
    targets[draw < missing / 2] = torch.nan
    return logits, logits + 0.5 * noise, targets
