"""What a study is: a plan, and how it is varied; a YAML file, checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, Field, model_validator

from fairpo._checks import build_settings, check_unique, file_error, unknown_name, value_error
from fairpo._files import write_atomic
from fairpo.experiments.plan import NOT_ITS_RESULT, Plan
from fairpo.models.head import HeadSettings
from fairpo.objectives.catalogue import REFERENCE, ablations, option_fields
from fairpo.training.settings import TrainingSettings

Kind = Literal["compare", "ablate", "partitions", "sensitivity", "setups", "sweep"]
Content = TypeVar("Content", bound=Plan)


@dataclass(frozen=True)
class Variant:
    """A plan of a study.

    Parameters
    ----------
    name : str
        What was varied, such as "beta=0.5"; "" where a study has one plan.
    plan : Plan
    """

    name: str
    plan: Plan


class Study(Plan):
    """Plans that are run side by side, and written up as one."""

    file_name: ClassVar[str] = "study.yaml"
    """What it is called in its folder."""

    kind: Kind = Field(
        "compare",
        description="compare: methods side by side. ablate: each FairPO method with a part taken "
        "out. partitions: the same methods under other choices of privileged labels. sensitivity: "
        "one setting after the other. setups: other changes, by name. sweep: what a sweep chose, "
        "beside the settings as given.",
    )
    partitions: tuple[str, ...] = Field(
        (),
        description="Of partitions: choices of privileged labels, such as rarest:10%, "
        "frequent:20%, worst:5, random:20%, or names.",
    )
    grid: dict[str, tuple[Any, ...]] = Field(
        {},
        description="Of sensitivity: values of each setting, varied alone, such as beta: "
        "[0.5, 1, 2].",
    )
    setups: dict[str, dict[str, Any]] = Field(
        {},
        description="Of setups: changes by name, such as v2: {preset: paper-v2, training: {epochs: "
        "25}}.",
    )
    chosen: dict[str, dict[str, dict[str, Any]]] = Field(
        {},
        description="Of sweep: by the name of a trial, overrides such as fairpo-dpo: {beta: 2}.",
    )

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        """Add what every study needs: the reference, and the ablations of the methods named."""
        if not isinstance(values, dict):
            return values
        values = {name: value for name, value in values.items() if value is not None}
        if "methods" in values and not names_in(values, "methods"):
            return values  # refused for what it is
        methods = [*values.get("methods", cls.model_fields["methods"].default)]
        if values.get("kind") == "ablate":
            methods = [
                name
                for method in methods
                for name in (
                    method,
                    *(f"{method}/{part}" for part in ablations(method)),
                )
            ]
        return {**values, "methods": with_reference(methods)}

    @model_validator(mode="after")
    def _varied(self) -> Self:
        for kind, name in _VARIED:
            given = bool(getattr(self, name))
            if given != (self.kind == kind):
                raise ValueError(f"{name} must be given for kind {kind!r}, and only there.")
        return self

    def variants(self) -> tuple[Variant, ...]:
        """Return the plans of this study, each with the name of what is varied."""
        if self.kind == "partitions":
            return tuple(Variant(spec, self._plan(privileged=spec)) for spec in self.partitions)
        if self.kind == "setups":
            return tuple(Variant(name, self._changed(own)) for name, own in self.setups.items())
        if self.kind == "sweep":
            return (
                Variant("as given", self._plan()),
                *(
                    Variant(name, self._plan(overrides=_over(self.overrides, overrides)))
                    for name, overrides in self.chosen.items()
                ),
            )
        if self.kind == "sensitivity":
            return (
                Variant("as given", self._plan()),
                *(
                    Variant(f"{name}={value}", self._with_setting(name, value))
                    for name, values in self.grid.items()
                    for value in values
                ),
            )
        return (Variant("", self._plan()),)

    def continues(self, before: Plan) -> bool:
        """Whether it may go on in the folder of another one."""
        return self == before

    def check(self) -> None:
        """Refuse what is wrong in any of its plans, before any work.

        Raises
        ------
        FairPOValueError
        """
        for name, changes in self.setups.items():
            shared = sorted(_OF_ALL_SETUPS & changes.keys())
            if shared:
                raise value_error(
                    f"setups: {name}",
                    must=f"leave {', '.join(sorted(_OF_ALL_SETUPS))} to the study",
                    got=", ".join(shared),
                )
        variants = self.variants()
        check_unique([variant.name for variant in variants], "the variants of a study")
        for variant in variants:
            variant.plan.check()

    def _plan(self, **changes: Any) -> Plan:
        shared = {name: getattr(self, name) for name in Plan.model_fields}
        if isinstance(changes.get("methods"), list | tuple):
            changes["methods"] = with_reference(changes["methods"])
        return build_settings(Plan, {**shared, **changes})

    def _changed(self, changes: dict[str, Any]) -> Plan:
        """Return the plan with changes, which may name some settings of a part alone."""
        whole = {
            name: {**getattr(self, name).model_dump(), **value}
            if isinstance(getattr(self, name, None), BaseModel) and isinstance(value, Mapping)
            else value
            for name, value in changes.items()
            if value is not None  # as where nothing is written behind a name of the study's own
        }
        return self._plan(**whole)

    def _with_setting(self, name: str, value: Any) -> Plan:
        if name in NOT_ITS_RESULT | {"seed"}:
            raise value_error("grid", must="name settings that change a result", got=name)
        # Of all methods, those with a setting of their own too.
        overrides = {
            method: {key: own[key] for key in own if key != name}
            for method, own in self.overrides.items()
        }
        for field, model in (("training", TrainingSettings), ("head", HeadSettings)):
            if name in model.model_fields:
                changed = {**getattr(self, field).model_dump(), name: value}
                part = build_settings(model, changed)
                return self._plan(**{field: part, "overrides": overrides})
        options = option_fields()
        if name not in options:
            known = [*TrainingSettings.model_fields, *HeadSettings.model_fields, *options]
            raise unknown_name("setting", name, known, of="settings of a grid")
        return self._plan(options={**self.options, name: value}, overrides=overrides)


_VARIED: tuple[tuple[Kind, str], ...] = (
    ("partitions", "partitions"),
    ("sensitivity", "grid"),
    ("setups", "setups"),
    ("sweep", "chosen"),
)
"""Kinds of study, and the field that holds what is varied in them."""

_OF_ALL_SETUPS = {"data", "data_options", "reference", "reference_kind"}
"""They are read once for all variants."""


def read_study(path: Path) -> Study:
    """Read a study and check it as a whole.

    Raises
    ------
    FairPOFileError
        It cannot be read, or is not YAML.
    FairPOValueError
        Names every faulty setting.
    """
    return read_plan(path, Study)


def read_plan(path: Path, kind: type[Content]) -> Content:
    """Read a plan of a kind and check it as a whole.

    Raises
    ------
    FairPOFileError
        It cannot be read, or is not YAML.
    FairPOValueError
        Names every faulty setting.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise file_error(path, "does not exist") from error
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise file_error(path, f"cannot be read ({error})") from error
    if not isinstance(values, dict):
        raise file_error(path, "is not a study: it must hold NAME: VALUE lines")
    plan = build_settings(kind, values)
    plan.check()
    return plan


def write_study(path: Path, study: Plan) -> None:
    """Write a study with all its settings."""
    text = yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_atomic(path, text.encode())


def names_in(values: Mapping[str, Any], field: str) -> bool:
    """Whether a field, which is not checked yet, holds a list of names, and any."""
    found = values.get(field)
    whole = isinstance(found, list | tuple) and all(isinstance(name, str) for name in found)
    return whole and bool(found)


def with_reference(methods: Iterable[Any]) -> tuple[Any, ...]:
    """Methods, each once, after the reference, which they start from."""
    return tuple(dict.fromkeys([REFERENCE, *methods]))


def _over(
    shared: dict[str, dict[str, Any]], own: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Overrides of a variant over those of the study, method by method."""
    return {name: shared.get(name, {}) | own.get(name, {}) for name in shared | own}
