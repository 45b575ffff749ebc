"""Some of the labels, drawn for one step, so that the step costs the same with a million of them.

Sums over all labels become sums over a sample whose columns are weighted by the inverse of the
probability that they are in it (Horvitz and Thompson 1952), which keeps the sums unbiased.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairpo._checks import value_error
from fairpo._random import SAMPLE, random_bits


class LabelSample(NamedTuple):
    """Labels of one step, and how many labels each of them stands for.

    Every label that is positive or missing in some example of the step is in it, with weight 1:
    positives are never estimated, and what is missing is known exactly.
    """

    labels: Tensor
    """Label numbers, ascending, int64 (sampled,)."""
    weights: Tensor
    """1 for a label that is in surely, else labels to draw from / labels drawn; (sampled,)."""

    def to(self, device: torch.device | str) -> LabelSample:
        """Return the same sample on another device."""
        return LabelSample(self.labels.to(device), self.weights.to(device))


def draw_labels(
    in_batch: NDArray[np.int64], n_labels: int, n_drawn: int, *, seed: int, step: int
) -> LabelSample:
    """Take the labels of a batch, and draw some of the others uniformly, without replacement.

    Parameters
    ----------
    in_batch : int array, ascending, each label once
        The labels that are positive or missing in some example of the step. Labels that apply to
        other examples of the batch are the frequent ones, and the negatives hardest to tell
        apart: they are all in, so nothing needs to search for hard negatives.
    n_labels : int
        Size of the label space.
    n_drawn : int
        How many of the other labels to draw, at least 1; all of them where there are fewer.
        Without any, most negatives would have no say at all.
    seed, step : int
        The draw is a function of these, ``in_batch`` and the numbers: the same on every process,
        and after a resume.

    Raises
    ------
    FairPOValueError
        ``n_drawn`` is below 1, or ``in_batch`` does not ascend within the label space.

    Notes
    -----
    Cost and memory grow with ``in_batch`` and ``n_drawn``, not with ``n_labels``.

    Examples
    --------
    >>> import numpy as np
    >>> sample = draw_labels(np.array([1, 4]), n_labels=1_000_000, n_drawn=2, seed=0, step=0)
    >>> len(sample.labels), sample.weights[:2].tolist(), sample.weights[2:].tolist()
    (4, [1.0, 1.0], [499999.0, 499999.0])
    """
    if n_drawn < 1:
        raise value_error(
            "n_drawn",
            must="be at least 1",
            got=n_drawn,
            do="Negatives outside the batch are estimated from the labels drawn.",
        )
    if (np.diff(in_batch, prepend=-1, append=n_labels) < 1).any():
        raise value_error(
            "in_batch",
            must=f"hold label numbers from 0 to {n_labels - 1}, ascending, each once",
            got=", ".join(map(str, in_batch[:5])),
        )
    n_others = n_labels - len(in_batch)
    places = _draw_places(n_others, min(n_drawn, n_others), seed, step)
    # The r-th of the other labels is r plus the number of in-batch labels that come before it.
    drawn = places + np.searchsorted(in_batch - np.arange(len(in_batch)), places, side="right")
    labels = np.concatenate([in_batch, drawn])
    weights = np.ones(len(labels), dtype=np.float32)
    weights[len(in_batch) :] = n_others / max(1, len(drawn))
    order = np.argsort(labels)
    return LabelSample(torch.from_numpy(labels[order]), torch.from_numpy(weights[order]))


def _draw_places(n: int, size: int, seed: int, step: int) -> NDArray[np.int64]:
    """Draw ``size`` of ``range(n)`` without replacement, ascending; every set equally likely."""
    if 2 * size > n:  # fewer are left out than taken: draw those
        left_out = _first_distinct(n, n - size, seed, step)
        return np.setdiff1d(np.arange(n), left_out, assume_unique=True)
    return np.sort(_first_distinct(n, size, seed, step))


def _first_distinct(n: int, size: int, seed: int, step: int) -> NDArray[np.int64]:
    """The first ``size`` distinct numbers of an endless uniform sequence over ``range(n)``.

    By symmetry every set is equally likely. With ``size`` at most half of ``n``, 1.4 draws for
    each number are enough on average.
    """
    length = 2 * size
    while True:
        # The remainder of 63 bits is uniform to one part in 2**63 / n, over 10**12.
        drawn = random_bits(seed, SAMPLE, step, torch.arange(length)).numpy() % max(1, n)
        values, first = np.unique(drawn, return_index=True)
        if len(values) >= size:
            distinct: NDArray[np.int64] = values[np.argsort(first)[:size]]
            return distinct
        length *= 2
