"""What a comparison is: data, privileged labels, methods, seeds, settings; checked as a whole."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fairpo._checks import value_error
from fairpo.data.options import DataOptions
from fairpo.decisions import DecisionSettings
from fairpo.groups import LabelPartition, parse_privileged
from fairpo.models.head import HeadSettings
from fairpo.objectives.catalogue import accepts, make_objective
from fairpo.training.settings import TrainingSettings

MAIN_METHODS = (
    "bce",
    "bce-continued",
    "bce-reweighted",
    "group-dro",
    "group-dro-excess",
    "fairpo-dpo",
    "fairpo-simpo",
    "fairpo-cpo",
)
"""The reference and the seven methods that start from it."""


class Plan(BaseModel):
    """A comparison of methods on one data set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str = Field(description="Name or path, as on the command line.")
    data_options: DataOptions = DataOptions()
    methods: tuple[str, ...] = Field(MAIN_METHODS, min_length=1)
    privileged: str = "rarest:20%"
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    preset: str = "paper-v1"
    options: dict[str, Any] = {}
    training: TrainingSettings = TrainingSettings()
    head: HeadSettings = HeadSettings()
    decisions: DecisionSettings = DecisionSettings()
    n_resamples: int = Field(1000, ge=100, description="Of the bootstrap.")

    def options_for(self, method: str) -> dict[str, Any]:
        """Return the options a method has; the others belong to other methods of the plan."""
        return {name: value for name, value in self.options.items() if accepts(method, name)}

    def check(self) -> None:
        """Refuse unknown methods, options nobody has, and values out of range, before any work.

        Raises
        ------
        FairPOValueError
        """
        parse_privileged(self.privileged)
        groups = LabelPartition.from_indices([0], 2)
        for method in self.methods:
            objective = make_objective(method, groups, self.preset, **self.options_for(method))
            if self.training.sampled_labels:
                objective.check_sampled()
        if self.training.sampled_labels and self.head.kind == "per-label":
            raise value_error(
                "HeadSettings.kind",
                must="be 'mlp' or 'linear' where labels are sampled",
                got="'per-label'",
                do="Its network for each label does not scale to so many labels.",
            )
        if len(set(self.methods)) < len(self.methods):
            raise value_error("methods", must="be named once each", got=", ".join(self.methods))
        for option, value in self.options.items():
            if not any(accepts(method, option) for method in self.methods):
                make_objective(self.methods[-1], groups, self.preset, **{option: value})
