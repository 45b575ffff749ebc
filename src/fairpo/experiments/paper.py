"""The paper's experiments as studies, on its data sets and on any other.

Source: FairPO (first version, May 2025); partitions and settings as the authors' public code has
them (github.com/soumenkm/FairPO, commits 4247df1 and 4bae24a).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from fairpo._checks import build_settings, value_error
from fairpo.experiments.study import Study
from fairpo.training.settings import training_preset

Benchmark = Literal["coco", "nuswide", "other"]

N_LABELS: dict[Benchmark, int] = {"coco": 80, "nuswide": 81}

PARTITIONS: dict[Benchmark, dict[str, str | tuple[int, ...]]] = {
    "coco": {
        "first 20": tuple(range(20)),
        "tail": (
            *(78, 70, 12, 21, 76, 79, 52, 54, 68, 18),
            *(31, 47, 51, 10, 11, 49, 64, 22, 50, 19),
        ),
    },
    "nuswide": {"first 16": tuple(range(16))},
    "other": {"rarest 20%": "rarest:20%"},
}
"""Privileged labels by their place in the order of category numbers, or by a rule."""

_METHODS = (
    "bce",
    "bce-continued",
    "bce-reweighted",
    "group-dro",
    "fairpo-dpo",
    "fairpo-simpo",
    "fairpo-cpo",
)
_PRESETS = ("paper-v1", "paper-v2")


def reproduction(
    benchmark: Benchmark,
    source: str,
    label_names: Sequence[str],
    *,
    seeds: Sequence[int] = (0,),
    changes: Mapping[str, Any] | None = None,
) -> Study:
    """Build the paper's study: its partitions under the settings of both versions.

    The epoch is selected by privileged validation mAP alone, as in the authors' code, and decisions
    are taken at 0.5 of the probabilities as they are. Unlike there, the reference is epoch 0: it is
    returned where no epoch beats it.

    Parameters
    ----------
    benchmark : "coco", "nuswide" or "other"
        The last takes any data.
    source : str
        The data; images embedded by a frozen ViT.
    label_names : sequence of str
        In the order of category numbers, as the readers give them.
    seeds : sequence of int
        The paper has one run.
    changes : mapping, optional
        Training settings over the presets', such as fewer epochs for a trial.

    Raises
    ------
    FairPOValueError
        The data have another number of labels.
    """
    n_labels = N_LABELS.get(benchmark, len(label_names))
    if len(label_names) != n_labels:
        raise value_error(
            "DATA",
            must=f"have the {n_labels} labels of {benchmark}",
            got=f"{len(label_names)}",
            do="Give the store that `fairpo embed` made of the official folder, or say other.",
        )
    setups = {
        f"{name}, {preset}": {
            "privileged": _spec(choice, label_names),
            "preset": preset,
            "training": {
                **training_preset(preset),
                "tolerance_points": 100.0,
                "reference_is_candidate": False,
                **(changes or {}),
            },
        }
        for name, choice in PARTITIONS[benchmark].items()
        for preset in _PRESETS
    }
    return build_settings(
        Study,
        {
            "kind": "setups",
            "data": source,
            "methods": _METHODS,
            "seeds": tuple(seeds),
            "decisions": {"recalibration": "none"},
            "setups": setups,
        },
    )


def _spec(choice: str | tuple[int, ...], names: Sequence[str]) -> str:
    return choice if isinstance(choice, str) else ",".join(names[place] for place in choice)
