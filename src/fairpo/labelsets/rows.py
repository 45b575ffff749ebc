"""The rows a set generator trains on: those whose set is known whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairpo._checks import value_error
from fairpo.data.base import MultiLabelData, block_rows, feature_rows


@dataclass(frozen=True)
class SetRows:
    """Some rows of a data set, their sets known whole.

    Parameters
    ----------
    data : MultiLabelData
    rows : int64 array, shape (m,)
    """

    data: MultiLabelData
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, positions: NDArray[np.int64], device: torch.device) -> tuple[Tensor, Tensor]:
        """Features (batch, d), float32, and sets (batch, L), bool, at positions among the rows."""
        rows = self.rows[positions]
        features = np.asarray(feature_rows(self.data.features, rows), dtype=np.float32)
        sets = torch.from_numpy(self.data.targets_of(rows) == 1)
        return torch.from_numpy(features).to(device), sets.to(device)


def complete_rows(data: MultiLabelData, split: str) -> tuple[SetRows, str]:
    """Rows of a split whose labels are all known, and a note on those left out.

    A set known in part is not a set: its probability would be a sum over everything that the rest
    may be.

    Raises
    ------
    FairPOValueError
        No row is left.
    """
    rows = data.rows(split)
    blocks = np.split(rows, range(block_rows(data.n_labels), len(rows), block_rows(data.n_labels)))
    whole = np.concatenate([(data.targets_of(part) >= 0).all(axis=1) for part in blocks])
    left_out = int((~whole).sum())
    if not whole.any():
        raise value_error(
            f"the {split} rows of {data.name}",
            must="hold one at least whose labels are all known",
            got=f"{left_out} with unknown labels",
            do="A set known in part has no probability: fill the gaps, or drop labels that are "
            "seldom known.",
        )
    note = ""
    if left_out:
        note = f"{left_out} of {len(rows)} {split} rows have unknown labels and are left out."
    return SetRows(data, rows[whole]), note
