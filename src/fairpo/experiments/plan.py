"""What a comparison is: data, privileged labels, methods, seeds, settings; checked as a whole."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from fairpo._checks import build_settings, unknown_name, value_error
from fairpo.data.options import DataOptions
from fairpo.decisions import DecisionSettings
from fairpo.groups import parse_privileged
from fairpo.models.head import HeadSettings
from fairpo.objectives.catalogue import (
    REFERENCE,
    accepts,
    get_method,
    reference_method,
    trial_objective,
)
from fairpo.training.settings import TrainingSettings

MAIN_METHODS = (
    "bce",
    "kernel-ridge",
    "bce-continued",
    "bce-reweighted",
    "group-dro",
    "group-dro-excess",
    "asl",
    "focal",
    "bce-class-balanced",
    "bce-distribution-balanced",
    "fairpo-dpo",
    "fairpo-simpo",
    "fairpo-cpo",
    "fairpo-crossfit",
)
"""The reference, the baselines, and FairPO."""


def _each_once(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError("one seed or more, none twice")
    return seeds


Seeds: TypeAlias = Annotated[tuple[Annotated[int, Field(ge=0)], ...], AfterValidator(_each_once)]
"""A seed given twice would count as two."""


class Plan(BaseModel):
    """A comparison of methods on one data set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str = Field(description="Name or path, as on the command line.")
    data_options: DataOptions = DataOptions()
    methods: tuple[str, ...] = Field(
        MAIN_METHODS, min_length=1, description="A list of names; see `fairpo methods`."
    )
    privileged: str = "rarest:20%"
    seeds: Seeds = (0,)
    preset: str = "paper-v1"
    options: dict[str, Any] = {}
    training: TrainingSettings = TrainingSettings()
    head: HeadSettings = HeadSettings()
    reference: str | None = Field(
        None,
        description="A model that exists already and must not get worse, the same for all seeds: a "
        "run folder, or scores in an .npy file. Trained once a seed when not given.",
    )
    reference_kind: Literal["logits", "probs"] = Field(
        "logits", description="What scores in a file are: logits, or probabilities."
    )
    overrides: dict[str, dict[str, Any]] = Field(
        {}, description="Settings of single methods, over those that all share."
    )
    decisions: DecisionSettings = DecisionSettings()
    n_resamples: int = Field(1000, ge=100, description="Of the bootstrap.")
    n_permutations: int = Field(
        1000,
        ge=100,
        description="Of the tests; a label can be called better only from 20 times the number of "
        "labels on.",
    )

    @property
    def reference_method(self) -> str:
        """By which method the reference is made: the first one, unless bce is among them."""
        if self.reference is not None or REFERENCE in self.methods:
            return REFERENCE  # which stands for a given one too
        first = self.methods[0]
        return first if first == reference_method(first) else REFERENCE

    def options_for(self, method: str) -> dict[str, Any]:
        """Return the options a method has; the others belong to other methods of the plan."""
        shared = {name: value for name, value in self.options.items() if accepts(method, name)}
        own = self.overrides.get(method, {})
        return shared | {k: v for k, v in own.items() if k not in TrainingSettings.model_fields}

    def training_for(self, method: str) -> TrainingSettings:
        """Return how a method is trained, with what is not given filled in."""
        own = self.overrides.get(method, {})
        changes = {name: own[name] for name in own if name in TrainingSettings.model_fields}
        training = build_settings(TrainingSettings, {**self.training.model_dump(), **changes})
        return training.filled(**get_method(method).training)

    def check(self) -> None:
        """Refuse unknown methods, options nobody has, and values out of range, before any work.

        Raises
        ------
        FairPOValueError
        """
        parse_privileged(self.privileged)
        if self.training.seed != TrainingSettings().seed:
            raise value_error(
                "TrainingSettings.seed",
                must="be left to the seeds of the plan",
                got=self.training.seed,
                do="Give --seed or --seeds, or seeds in a file.",
            )
        for method in self.methods:
            objective = trial_objective(method, self.preset, **self.options_for(method))
            if self.training_for(method).sampled_labels:
                objective.check_sampled()
        for method, own in self.overrides.items():
            _check_override(method, own, self.methods)
        if self.training.sampled_labels and self.head.kind == "per-label":
            raise value_error(
                "HeadSettings.kind",
                must="be 'mlp' or 'linear' where labels are sampled",
                got="'per-label'",
                do="Its network for each label does not scale to so many labels.",
            )
        solved = next((m for m in self.methods if get_method(m).needs_closed_form), None)
        if solved and self.head.kind == "per-label":
            raise value_error(
                "HeadSettings.kind",
                must=f"be 'mlp' or 'linear' for {solved}",
                got="'per-label'",
                do="Labels with a network each have no last layer that could be weighed.",
            )
        if solved and self.training.sampled_labels:
            raise value_error(
                "TrainingSettings.sampled_labels",
                must=f"be 0 for {solved}, whose closed form is of all labels",
                got=self.training.sampled_labels,
                do="Train a method for so many labels, such as bce-reweighted.",
            )
        for option, value in self.options.items():
            if not any(accepts(method, option) for method in self.methods):
                trial_objective(self.methods[-1], self.preset, **{option: value})


NOT_ITS_RESULT = {"device", "checkpoint_seconds", "reference_cache_mb"}
"""Training settings that change how a result comes about, not what it is."""

_OF_ALL = {
    "seed",
    "epochs",
    "device",
    "sampled_labels",
    "tolerance_points",
    "reference_is_candidate",
    "reference_epochs",
    "reference_learning_rate",
    "reference_cache_mb",
    "checkpoint_seconds",
}
"""Training settings that methods must share: of the reference, the budget, and the selection."""


def _check_override(method: str, own: dict[str, Any], methods: tuple[str, ...]) -> None:
    if method not in methods:
        raise unknown_name("method", method, methods, of="methods of this plan, in overrides")
    if method == REFERENCE and own:
        raise value_error(
            f"overrides of {method}",
            must="not be given: it is the reference, and has the settings that all share",
            got=", ".join(own),
            do="Such as reference_learning_rate, in training.",
        )
    if "learning_rate" in own and get_method(method).cross_fits:
        raise value_error(
            f"overrides of {method}",
            must="not have learning_rate: it is for methods that start from the reference",
            got=own["learning_rate"],
            do="Set reference_learning_rate, in training.",
        )
    shared = sorted(_OF_ALL & own.keys())
    if shared:
        raise value_error(
            f"overrides of {method}",
            must=f"leave {', '.join(sorted(_OF_ALL))} to all methods",
            got=", ".join(shared),
        )
