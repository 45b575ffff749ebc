"""Settings to try for each method and head: its defaults, and others drawn at random."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from fairpo.experiments.search import Choices, Dimension, Range, SearchSpace, default_space

N_TRIALS, N_SCRATCH = 10, 5
HEADS = ("linear", "mlp")
RIDGE, SOAP, OURS = "ridge", "soap", "fairpo-crossfit"
"""Ridge regression on the features, and average precision by SOAP, stand outside the catalogue."""
PAPER = "fairpo-dpo"
"""The paper's form, shown at its last epoch: no baseline, for selection hides what it does."""
CONTINUED = (
    "bce-continued",
    "bce-reweighted",
    "group-dro",
    "group-dro-excess",
    "asl",
    "bce-class-balanced",
    "bce-distribution-balanced",
    SOAP,
)
"""The baselines that start from the reference."""

FROM_SCRATCH = (
    "bce-reweighted",
    "asl",
    "bce-class-balanced",
    "bce-distribution-balanced",
)
"""The losses that their papers train a network by from the start: more trials do so here."""

ALIKE = "both models, all labels alike"
"""Ours without what is of FairPO: cross-entropy and the closed form, weighed."""

VARIANTS: dict[str, dict[str, Any]] = {
    OURS: {},
    ALIKE: {
        "privileged_weight": 1.0,
        "preference_share": 0.0,
        "step_size": 0.0,
    },
    "and privileged labels 3 times": {"preference_share": 0.0, "step_size": 0.0},
    "and preferences": {"step_size": 0.0},
    "judged by its own training rows": {"in_sample": True},
}
"""Ours, and ours with parts taken out; the last in all its parts, but against in-sample scores."""

_OF_REFERENCE: SearchSpace = {
    "reference_learning_rate": Range(low=3e-4, high=5e-3, log=True),
    "weight_decay": Range(low=1e-3, high=1, log=True),
    "dropout": Range(low=0.0, high=0.6),
    "hidden": Choices(choices=(128, 256, 512, 1024)),
    "scaling": Choices(choices=("standard", "none")),
}
_OF_SOAP: SearchSpace = {
    "learning_rate": Range(low=1e-4, high=1e-2, log=True),
    "memory": Choices(choices=(0.1, 0.5, 0.9)),
}
_PENALTIES = np.logspace(-1, 3, N_TRIALS // 2)


def trials_of(method: str) -> range:
    """Trials of a method under one head: from the reference, and from scratch where that is."""
    return range(N_TRIALS + N_SCRATCH * (method in FROM_SCRATCH))


def settings_of(method: str, trial: int) -> dict[str, Any]:
    """Return the settings of a trial, by name; the first of each kind has none: the defaults.

    Parameters
    ----------
    method : str
    trial : int
        Of :func:`trials_of`.

    Returns
    -------
    dict
        For ridge regression ``penalty`` and ``scaling``, all of the grid; for ours a variant's;
        with ``from_scratch`` where the network does not start as the reference.
    """
    if method == OURS:
        return [*VARIANTS.values()][trial]
    if method == RIDGE:
        scaling = ("none", "standard")[trial % 2]
        return {"penalty": float(_PENALTIES[trial // 2]), "scaling": scaling}
    if trial >= N_TRIALS:
        drawn = {} if trial == N_TRIALS else _settings(method, trial)
        drawn.pop("learning_rate", None)  # it has its reference's
        return {"from_scratch": True, **drawn}
    return _settings(method, trial) if trial else {}


def _settings(method: str, trial: int) -> dict[str, Any]:
    space = {"bce": _OF_REFERENCE, SOAP: _OF_SOAP}.get(method) or default_space(method)
    generator = np.random.default_rng([trial, zlib.crc32(method.encode())])
    return {name: _drawn(dimension, generator) for name, dimension in space.items()}


def _drawn(dimension: Dimension, generator: np.random.Generator) -> Any:
    if isinstance(dimension, Choices):
        return dimension.choices[generator.integers(len(dimension.choices))]
    if dimension.log:
        low, high = np.log([dimension.low, dimension.high])
        return float(np.exp(generator.uniform(low, high)))
    return float(generator.uniform(dimension.low, dimension.high))
