"""What a sweep is: a method, the settings of it that are searched, and what counts as good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from fairpo._checks import build_settings
from fairpo.experiments.plan import Plan, Seeds
from fairpo.experiments.search import SearchSpace, default_space, setting_type
from fairpo.experiments.study import Study, names_in, with_reference
from fairpo.objectives.catalogue import REFERENCE, trial_objective
from fairpo.training.settings import TrainingSettings

_NO_TOLERANCE = 100.0
_OF_THE_END = {"n_trials", "seeds", "n_resamples", "n_permutations", "decisions"}
"""What may change without a search anew."""


class Sweep(Plan):
    """A method whose settings are searched; ``methods`` names it, the reference beside it."""

    file_name: ClassVar[str] = "sweep.yaml"
    """What it is called in its folder."""

    search: SearchSpace = Field(
        {},
        description="Settings to vary, such as beta: {low: 0.1, high: 4, log: true} or "
        "weight_rule: {choices: [raw, excess]}; those of default_space when not given.",
    )
    objective: Literal["constrained", "pareto"] = Field(
        "constrained",
        description="constrained: privileged mAP on validation of the best epoch within "
        "tolerance_points; pruned. pareto: that and the change of non-privileged mAP, both as high "
        "as can be; tolerance_points is then 100 unless given.",
    )
    n_trials: int = Field(20, ge=1, description="In all, whoever ran them.")
    tuning_seeds: Seeds = Field(
        (0,), description="Seeds that a trial is trained under and averaged over."
    )
    sampler_seed: int = Field(0, ge=0, description="Of the choice of settings.")

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        """Add the reference, the space of the method, and the tolerance of a front."""
        if not isinstance(values, dict) or not names_in(values, "methods"):
            return values
        others = [name for name in values["methods"] if name != REFERENCE]
        values = {**values, "methods": with_reference(others)}
        if not values.get("search") and len(others) == 1:
            values["search"] = default_space(others[0])
        training = values.get("training", {})
        if isinstance(training, TrainingSettings):
            training = training.model_dump(exclude_unset=True)
        if values.get("objective") == "pareto" and "tolerance_points" not in training:
            values["training"] = {**training, "tolerance_points": _NO_TOLERANCE}
        return values

    @model_validator(mode="after")
    def _one_method(self) -> Self:
        if len(self.methods) != 2:
            raise ValueError(
                "methods must name one method beside the reference, "
                f"got {', '.join(self.methods[1:]) or 'none'}."
            )
        return self

    @property
    def method(self) -> str:
        """The method that is tuned."""
        return self.methods[1]

    def continues(self, before: Plan) -> bool:
        """Whether it goes on with the search of another one: more trials, other final seeds."""
        apart = {name: getattr(self, name) for name in _OF_THE_END}
        return before.model_copy(update=apart) == self

    def check(self) -> None:
        """Refuse what is wrong in it or anywhere in its search space, before any work.

        Raises
        ------
        FairPOValueError
        """
        super().check()
        for name, dimension in self.search.items():
            setting_type(self.method, name)
            for value in dimension.ends:
                self.with_settings({name: value}).check()

    def with_settings(self, settings: Mapping[str, Any]) -> Plan:
        """Return the plan with other settings of the method."""
        own = {**self.overrides.get(self.method, {}), **settings}
        return build_settings(
            Plan, {**self._plan_fields(), "overrides": {**self.overrides, self.method: own}}
        )

    def given(self) -> dict[str, Any] | None:
        """Return the settings as given, where the search space holds them: the first trial."""
        options = self.options_for(self.method)
        objective: Any = trial_objective(self.method, self.preset, **options)
        training = self.training_for(self.method)
        values = {
            name: getattr(training if name in _TRAINING else objective.settings, name)
            for name in self.search
        }
        held = all(self.search[name].holds(value) for name, value in values.items())
        return values if held else None

    def study(self, chosen: Mapping[int, Mapping[str, Any]]) -> Study:
        """Return the study of what was chosen, by number of trial, beside the settings as given."""
        if not chosen:
            return build_settings(Study, self._plan_fields())
        named = {f"trial {number}": {self.method: own} for number, own in chosen.items()}
        return build_settings(Study, {**self._plan_fields(), "kind": "sweep", "chosen": named})

    def _plan_fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in Plan.model_fields}


_TRAINING = TrainingSettings.model_fields
