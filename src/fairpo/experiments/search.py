"""Which settings a sweep tries: a range or a list of choices for each, checked as settings are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, model_validator
from pydantic import ValidationError as _Invalid

from fairpo._checks import FairPOValueError, file_error, unknown_name, value_error
from fairpo.objectives.catalogue import get_method
from fairpo.training.settings import TrainingSettings


class Range(BaseModel):
    """Numbers from a lowest to a highest one; whole where the setting is."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: int | float = Field(description="Lowest value, itself included.")
    high: int | float = Field(description="Highest value, itself included.")
    log: bool = Field(False, description="Whether ratios count, as for rates; low is then above 0.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be above 0 where log is true, got {self.low}")
        return self

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that must be legal for all between them to be."""
        return self.low, self.high

    def holds(self, value: Any) -> bool:
        """Whether a value can be tried."""
        return isinstance(value, int | float) and self.low <= value <= self.high


class Choices(BaseModel):
    """Values of a list, in no order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    choices: tuple[bool | int | float | str | None, ...] = Field(
        min_length=2, description="Two values or more."
    )

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that must be legal: all."""
        return self.choices

    def holds(self, value: Any) -> bool:
        """Whether a value can be tried."""
        return value in self.choices


def _which(values: Any) -> str:
    known = isinstance(values, Choices) or (isinstance(values, Mapping) and "choices" in values)
    return "choices" if known else "range"


Dimension: TypeAlias = Annotated[
    Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")], Discriminator(_which)
]
SearchSpace: TypeAlias = dict[str, Dimension]
"""Settings to vary, by name: options of the method's objective, or of its training."""

_RATE: SearchSpace = {"learning_rate": Range(low=1e-4, high=1e-2, log=True)}
_BETA: SearchSpace = {"beta": Range(low=0.1, high=4, log=True)}
_SLACK: SearchSpace = {"slack": Range(low=0.0, high=0.2)}
_WEIGHTS: SearchSpace = {
    "step_size": Range(low=1e-4, high=1, log=True),
    "weight_rule": Choices(choices=("raw", "relative", "excess")),
}
_OF_CROSSFIT: SearchSpace = {
    "privileged_weight": Range(low=1, high=20, log=True),
    "preference_share": Range(low=0.0, high=1.0),
    "step_size": Range(low=1e-4, high=1e-1, log=True),
}
_OF_PREFERENCE: dict[str, SearchSpace] = {
    "dpo": _BETA,
    "simpo": {**_BETA, "margin": Range(low=0.0, high=2.0)},
    "cpo": {**_BETA, "nll_weight": Range(low=0.1, high=4, log=True)},
}
_OF_BASELINES: dict[str, SearchSpace] = {
    "bce-reweighted": {"privileged_weight": Range(low=1, high=20, log=True)},
    "bce-class-balanced": {"effective_beta": Choices(choices=(0.9, 0.99, 0.999, 0.9999))},
    "bce-distribution-balanced": {
        "weight_centre": Range(low=0.1, high=0.5),
        "negative_scale": Range(low=1, high=5),
    },
    "focal": {"focusing": Range(low=0.5, high=5), "positive_share": Range(low=0.1, high=0.9)},
    "asl": {"gamma_negative": Range(low=0, high=6), "clip": Range(low=0.0, high=0.2)},
    "group-dro": {"step_size": Range(low=1e-3, high=1, log=True)},
    "group-dro-excess": {"step_size": Range(low=0.1, high=10, log=True)},
}


def default_space(method: str) -> SearchSpace:
    """Return what is worth varying of a method: five settings at most, its defaults among them.

    Parameters
    ----------
    method : str
        Of an ablation, settings of the part that is taken out are left out.
    """
    found = get_method(method)
    parts = found.parts
    base, _, _ = method.partition("/")
    if found.cross_fits:
        return {name: space for name, space in _OF_CROSSFIT.items() if name not in parts}
    if not base.startswith("fairpo-"):
        return _RATE | _OF_BASELINES.get(base, {})
    space = _RATE | _OF_PREFERENCE.get(parts["preference"], {})
    if parts.get("constraint") != "bce":
        space |= _SLACK
    if parts.get("weight_rule") != "fixed":
        space |= _WEIGHTS
    return space


def read_search(texts: list[str]) -> SearchSpace:
    """Read a search space as the command line gives it.

    Parameters
    ----------
    texts : list of str
        Each a YAML file, or ``NAME=LOW:HIGH``, ``NAME=LOW:HIGH:log``, ``NAME=VALUE,VALUE``; a
        later one stands over an earlier one.

    Raises
    ------
    FairPOFileError
        A file cannot be read.
    FairPOValueError
        Says what is wrong with each setting.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        values |= {name.strip(): _dimension(text, rest)} if equals else _read_file(Path(text))
    return build_search(values)


def build_search(values: Mapping[str, Any]) -> SearchSpace:
    """Check a search space; all faults come in one error.

    Raises
    ------
    FairPOValueError
    """
    space: SearchSpace = {}
    faults: list[str] = []
    for name, value in values.items():
        try:
            space[name] = _DIMENSION.validate_python(value)
        except _Invalid as error:
            for fault in error.errors():
                part = ".".join(str(place) for place in fault["loc"][1:])
                where = f"search.{name}" + (f".{part}" if part else "")
                faults.append(f"{where}: {fault['msg'].removeprefix('Value error, ')}.")
    if faults:
        raise FairPOValueError("\n".join(faults))
    return space


_DIMENSION: TypeAdapter[Any] = TypeAdapter(Dimension)


def setting_type(method: str, name: str) -> Any:
    """Return the type of a method's or a training's setting.

    Raises
    ------
    FairPOValueError
        The method has no such setting, answered with the nearest names.
    """
    fields = TrainingSettings.model_fields | get_method(method).settings_model.model_fields
    if name not in fields:
        raise unknown_name("setting", name, fields, of=f"settings of {method} and its training")
    return fields[name].annotation


def _dimension(text: str, rest: str) -> dict[str, Any]:
    if "," in rest:
        return {"choices": [_value(value) for value in rest.split(",")]}
    parts = rest.split(":")
    if len(parts) not in (2, 3) or parts[2:] not in ([], ["log"]):
        raise value_error(
            "--search",
            must="be a YAML file, NAME=LOW:HIGH, NAME=LOW:HIGH:log or NAME=VALUE,VALUE",
            got=repr(text),
        )
    return {"low": _value(parts[0]), "high": _value(parts[1]), "log": len(parts) == 3}


def _value(text: str) -> Any:
    """A number, which YAML takes for text in 1e-4, or what YAML reads."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return yaml.safe_load(text)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise file_error(path, f"cannot be read as a search space ({error})") from error
    if isinstance(values, dict) and isinstance(values.get("search"), dict):
        values = values["search"]
    if not isinstance(values, dict) or not values:
        raise file_error(path, "is not a search space: it must hold NAME: {low: , high: } lines")
    return {str(name): value for name, value in values.items()}
