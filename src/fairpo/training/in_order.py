"""A dataset in its order, in batches that processes share: for what is asked of every example."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from transformers.trainer_utils import has_length

from fairpo.training.distributed import share, sum_over_processes


class InOrder:
    """A dataset in its order, in batches, each process taking its share of them.

    Parameters
    ----------
    examples : dataset with a length
    collate : callable
        From a list of examples to a batch.
    batch_size : int
    n_workers : int
        Processes that load.
    """

    def __init__(
        self, examples: Any, collate: Callable[[list[Any]], Any], batch_size: int, n_workers: int
    ) -> None:
        self.n_examples = len(examples)
        starts = range(0, self.n_examples, batch_size)
        batches = [range(start, min(start + batch_size, self.n_examples)) for start in starts]
        self._share = [list(batch) for batch in batches[share(len(batches))]]
        self._examples, self._collate, self._n_workers = examples, collate, n_workers

    def __iter__(self) -> Iterator[tuple[slice, Any]]:
        """Rows and batch, one by one."""
        loader = DataLoader(
            self._examples,
            batch_sampler=self._share,
            collate_fn=self._collate,
            num_workers=self._n_workers,
        )
        for rows, batch in zip(self._share, loader, strict=True):
            yield slice(rows[0], rows[-1] + 1), batch

    def first(self) -> Any:
        """Batch of the first example, made anew at each call."""
        return self._collate([self._examples[0]])

    def put_together(
        self, pieces: Iterable[tuple[slice, Tensor]], n_columns: int, device: torch.device
    ) -> NDArray[np.float32]:
        """Rows (examples, columns) of all processes from the pieces of this one.

        Parameters
        ----------
        pieces : iterable of (rows, tensor)
        n_columns : int
        device : torch.device
            Where processes exchange.
        """
        whole = torch.zeros(self.n_examples, n_columns)
        for rows, values in pieces:
            whole[rows] = values.float().cpu()
        together: NDArray[np.float32] = sum_over_processes(whole.to(device)).cpu().numpy()
        return together


def is_indexed(dataset: Any) -> bool:
    """Whether a dataset has a length and examples by number; a stream has not."""
    return has_length(dataset) and not isinstance(dataset, IterableDataset | dict)


def has_column(dataset: Any, name: str) -> bool:
    """Whether a dataset of Hugging Face has a column of its own, not made by a transform."""
    return name in (getattr(dataset, "column_names", None) or ())
