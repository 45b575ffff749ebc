"""Sets for features as arrays: what every model of sets can be asked, and ours."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairpo._checks import value_error
from fairpo.data.base import Features, block_rows, feature_rows
from fairpo.labelsets.beam import WIDTH, beam_search
from fairpo.labelsets.constraints import SetConstraints
from fairpo.labelsets.generator import LabelSetGenerator
from fairpo.labelsets.probability import set_log_probs
from fairpo.labelsets.sampling import draw_sets, sample_different
from fairpo.labelsets.sets import GeneratedSets

Sets = NDArray[np.bool_]


class SetModel(Protocol):
    """A distribution over label sets for each row of features."""

    def draw(self, features: Features, k: int, seed: int = 0) -> Sets:
        """Draw k sets a row independently, repetitions included: bool (n, k, labels)."""

    def most_probable(self, features: Features, k: int) -> GeneratedSets:
        """Find the k most probable sets of each row, all different."""

    def log_probs(self, features: Features, sets: Sets) -> NDArray[np.float64]:
        """Log-probabilities of given sets (n, m, labels) of each row: (n, m)."""


class NetworkSets:
    """The sets of a :class:`LabelSetGenerator`.

    Computed in float64 on the CPU, block by block: what comes out for a row does not depend on
    the rows beside it, but for the draws, which depend on the row's place.

    Parameters
    ----------
    generator : LabelSetGenerator
        Copied.
    constraints : SetConstraints, optional
        Of everything that is drawn, found or scored.
    """

    def __init__(
        self, generator: LabelSetGenerator, constraints: SetConstraints | None = None
    ) -> None:
        self.generator = copy.deepcopy(generator).cpu().double().eval().requires_grad_(False)
        self.constraints = constraints
        if constraints is not None and constraints.n_labels != generator.n_labels:
            raise value_error(
                "constraints",
                must=f"be over the {generator.n_labels} labels of the generator",
                got=f"{constraints.n_labels} labels",
            )

    def draw(self, features: Features, k: int, seed: int = 0, *, temperature: float = 1.0) -> Sets:
        """Draw k sets a row independently, repetitions included: bool (n, k, labels)."""
        _check_draws(k, temperature)
        blocks = [
            draw_sets(
                self.generator,
                context,
                numbers,
                n_draws=k,
                seed=seed,
                temperature=temperature,
                constraints=self.constraints,
            )
            for context, numbers in self._blocks(features)
        ]
        return _joined(blocks, (k, self.generator.n_labels))

    def sample(
        self, features: Features, k: int, seed: int = 0, *, temperature: float = 1.0
    ) -> GeneratedSets:
        """Draw k different sets a row; see :func:`sample_different`.

        Their probabilities are those at temperature 1.
        """
        _check_draws(k, temperature)
        parts = []
        for context, numbers in self._blocks(features):
            sets, present = sample_different(
                self.generator,
                context,
                numbers,
                k,
                seed=seed,
                temperature=temperature,
                constraints=self.constraints,
            )
            values, errors = self._scored(context, sets, numbers)
            parts.append(
                GeneratedSets(
                    sets.numpy(),
                    values.masked_fill(~present, -torch.inf).numpy(),
                    errors.masked_fill(~present, 0.0).numpy(),
                )
            )
        return self._together(parts, k)

    def most_probable(self, features: Features, k: int, *, width: int = WIDTH) -> GeneratedSets:
        """Find the k most probable sets a row, the most probable first; see :func:`beam_search`."""
        _check_draws(k, 1.0)
        parts = []
        for context, _ in self._blocks(features):
            found = beam_search(
                self.generator, context, k, width=width, constraints=self.constraints
            )
            parts.append(GeneratedSets(*(part.numpy() for part in found)))
        return self._together(parts, k)

    def log_probs(self, features: Features, sets: Sets) -> NDArray[np.float64]:
        """Log-probabilities of given sets (n, m, labels) of each row: (n, m)."""
        n_labels = self.generator.n_labels
        if sets.ndim != 3 or len(sets) != features.shape[0] or sets.shape[2] != n_labels:
            raise value_error(
                "sets",
                must=f"have shape ({features.shape[0]}, sets, {n_labels})",
                got=sets.shape,
            )
        parts = [
            self._scored(context, torch.from_numpy(sets[numbers.numpy()]), numbers)[0]
            for context, numbers in self._blocks(features)
        ]
        return _joined(parts, sets.shape[1:2])

    def _scored(self, context: Tensor, sets: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        n_rows, k = sets.shape[:2]
        known = set_log_probs(
            self.generator,
            context.repeat_interleave(k, 0),
            sets.flatten(0, 1),
            constraints=self.constraints,
            numbers=(numbers[:, None] * k + torch.arange(k)).flatten(),
        )
        return known.values.view(n_rows, k), known.standard_errors.view(n_rows, k)

    def _blocks(self, features: Features) -> Iterator[tuple[Tensor, Tensor]]:
        size = block_rows(self.generator.n_features)
        n_rows = int(features.shape[0])
        for start in range(0, n_rows, size):
            rows = np.arange(start, min(start + size, n_rows))
            block = np.asarray(feature_rows(features, rows), dtype=np.float64)
            with torch.no_grad():
                yield self.generator.context(torch.from_numpy(block)), torch.from_numpy(rows)

    def _together(self, parts: list[GeneratedSets], k: int) -> GeneratedSets:
        if parts:
            return GeneratedSets.join(parts)
        nothing = np.zeros((0, k))
        return GeneratedSets(
            np.zeros((0, k, self.generator.n_labels), dtype=bool), nothing, nothing
        )


def _check_draws(k: int, temperature: float) -> None:
    if k < 1:
        raise value_error("k", must="be at least 1", got=k)
    if not 0 < temperature < np.inf:
        raise value_error("temperature", must="be a finite number > 0", got=temperature)


def _joined(parts: list[Tensor], rest: tuple[int, ...]) -> NDArray[Any]:
    return torch.cat(parts).numpy() if parts else np.zeros((0, *rest))
