"""A study file for people: every setting with its default and what it means."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel

from fairpo._checks import value_error
from fairpo.decisions import DecisionSettings
from fairpo.experiments.commented import block, entry
from fairpo.experiments.plan import MAIN_METHODS
from fairpo.experiments.study import Kind, Study
from fairpo.models.head import HeadSettings
from fairpo.objectives.settings import FairPOSettings
from fairpo.training.settings import TrainingSettings

_GRID = {
    "beta": [0.5, 2.0],
    "slack": [0.0, 0.05],
    "margin": [0.5, 1.0],
    "nll_weight": [0.3, 3.0],
    "step_size": [0.001, 0.01],
    "learning_rate": [0.0002, 0.001],
}
"""What the paper's methods are asked about first; the settings as given stand beside it."""


def commented(kind: str) -> str:
    """Write a study of a kind on the embedded data, ready to be run and to be changed.

    Raises
    ------
    FairPOValueError
        There is no such kind.
    """
    kinds = [name for name in get_args(Kind) if name != "sweep"]  # those are written by sweeps
    if kind not in kinds:
        raise value_error("--kind", must=f"be one of {', '.join(kinds)}", got=repr(kind))
    parts = [
        "# A study for `fairpo study run`. What is commented out stands at its default.\n",
        entry("kind", kind, Study.model_fields["kind"].description),
        entry("data", "digits", "Name, file or folder, as on the command line."),
        block("data_options", "How DATA is read; see `fairpo data formats`.", {}),
        entry("privileged", "rarest:20%", "rarest:F, frequent:F, random:F, worst:K, or names."),
        entry("methods", [*MAIN_METHODS], "See `fairpo methods`; the reference is always there."),
        entry("seeds", [0, 1], "A reference and all methods for each; 5 and more for a claim."),
        entry("preset", "paper-v1", "Objective settings of paper-v1 or paper-v2."),
    ]
    for name in ("reference", "reference_kind"):
        field = Study.model_fields[name]
        parts.append(entry(name, field.default, field.description))
    if kind == "partitions":
        choices = ["rarest:10%", "rarest:20%", "frequent:20%", "worst:20%"]
        parts.append(entry("partitions", choices, Study.model_fields["partitions"].description))
    if kind == "sensitivity":
        parts.append(entry("grid", _GRID, Study.model_fields["grid"].description))
    if kind == "setups":
        setups = {"paper-v1": {}, "longer": {"training": {"epochs": 20}, "options": {"beta": 2.0}}}
        parts.append(entry("setups", setups, Study.model_fields["setups"].description))
    parts += [
        block("options", "Of the objectives, over the preset's.", _defaults(FairPOSettings)),
        block("training", "Of reference and methods.", _of_training()),
        block("head", "The network on the features.", _defaults(HeadSettings)),
        block("decisions", "Probabilities and thresholds.", _defaults(DecisionSettings)),
        block(
            "overrides",
            "Settings of single methods, such as {fairpo-dpo: {learning_rate: 0.0001}}.",
            {},
        ),
        entry("n_resamples", 1000, "Of the bootstrap."),
        entry("n_permutations", 1000, Study.model_fields["n_permutations"].description),
    ]
    return "\n".join(parts)


def _defaults(model: type[BaseModel]) -> dict[str, tuple[Any, str]]:
    values = model().model_dump(mode="json")
    return {name: (values[name], f.description or "") for name, f in model.model_fields.items()}


def _of_training() -> dict[str, tuple[Any, str]]:
    """All but the seed, which is one of the study's."""
    return {name: about for name, about in _defaults(TrainingSettings).items() if name != "seed"}
