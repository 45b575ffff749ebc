"""How much each label counts in each group."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fairpo.objectives.sample import LabelSample


class Membership(nn.Module):
    """How much each label counts in each group, and what that adds up to.

    Parameters
    ----------
    matrix : float tensor, shape (groups, labels)
        1 for a member, 0 for another label, or a weight.
    """

    matrix: Tensor
    sizes: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix, persistent=False)
        self.register_buffer("sizes", matrix.sum(1, dtype=torch.float64), persistent=False)

    def columns(self, sample: LabelSample | None, dtype: torch.dtype) -> Tensor:
        """Columns (groups, labels), or those of a sample; nothing here grows with the rest."""
        matrix = self.matrix if sample is None else self.matrix.index_select(1, sample.labels)
        return matrix.to(dtype)
