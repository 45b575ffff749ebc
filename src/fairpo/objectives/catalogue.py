"""Every method by name: one literal table, each entry built of the same parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fairpo._checks import build_settings, unknown_name, value_error
from fairpo.groups import LabelGroups
from fairpo.objectives.base import Objective
from fairpo.objectives.baselines import BCEObjective, BCESettings
from fairpo.objectives.fairpo import FairPOObjective
from fairpo.objectives.settings import FairPOSettings, preset_settings


@dataclass(frozen=True)
class Method:
    """An entry of the catalogue.

    Parameters
    ----------
    summary : str
        One line for tables.
    parts : mapping
        Arguments of :class:`FairPOObjective`; empty for the cross-entropy objectives.
    defaults : mapping
        Settings that go over the preset's and under the caller's.
    continues : bool
        Whether training starts from the reference; false for the reference's own method.
    """

    summary: str
    parts: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    continues: bool = True


METHODS: dict[str, Method] = {
    "bce": Method("binary cross-entropy: the reference itself", continues=False),
    "bce-continued": Method("cross-entropy continued for the same extra budget"),
    "bce-reweighted": Method(
        "cross-entropy with privileged labels weighted 5 times", defaults={"privileged_weight": 5.0}
    ),
    "group-dro": Method(
        "group-robust cross-entropy over the label groups (Group DRO)",
        parts={"preference": "bce", "constraint": "bce"},
        # Sagawa et al. 2019 (1911.08731): step sizes near 0.01 for losses near 1 nat.
        defaults={"weight_rule": "raw", "step_size": 0.01},
    ),
    "group-dro-excess": Method(
        "the same, weights moved by the excess over the reference",
        parts={"preference": "bce", "constraint": "bce"},
        # Excess losses are near 0.01 nat, a hundredth of raw ones, so the step is 100 times larger.
        defaults={"weight_rule": "excess", "step_size": 1.0},
    ),
    "fairpo-dpo": Method("FairPO with the DPO preference (Eq. 10)", parts={"preference": "dpo"}),
    "fairpo-simpo": Method(
        "FairPO with the SimPO preference (Eq. 16)", parts={"preference": "simpo"}
    ),
    "fairpo-cpo": Method("FairPO with the CPO preference (Eq. 19)", parts={"preference": "cpo"}),
}

ABLATIONS: dict[str, dict[str, Any]] = {
    "no-preference": {"preference": "bce"},
    "no-constraint": {"constraint": "bce"},
    "fixed-weights": {"weight_rule": "fixed"},
}


def method_names() -> tuple[str, ...]:
    """Return every legal method name, ablations (``<method>/<ablation>``) included."""
    ablated = [
        f"{name}/{part}" for name in METHODS if name.startswith("fairpo-") for part in ABLATIONS
    ]
    return (*METHODS, *ablated)


def get_method(name: str) -> Method:
    """Look a method up; ``<method>/<ablation>`` has one part exchanged.

    Raises
    ------
    FairPOValueError
        No such method, answered with the nearest names.
    """
    if name not in method_names():
        raise unknown_name("method", name, method_names(), of="methods")
    base, _, ablation = name.partition("/")
    method = METHODS[base]
    if not ablation:
        return method
    return Method(f"{method.summary}, {ablation}", {**method.parts, **ABLATIONS[ablation]})


def option_names() -> tuple[str, ...]:
    """Return every option that a method has."""
    return tuple({**FairPOSettings.model_fields, **BCESettings.model_fields})


def accepts(name: str, option: str) -> bool:
    """Whether a method has an option."""
    model = FairPOSettings if get_method(name).parts else BCESettings
    return option in model.model_fields


def make_objective(
    name: str, groups: LabelGroups, preset: str = "paper-v1", **settings: Any
) -> Objective:
    """Build the objective of a method.

    Parameters
    ----------
    name : str
        A name of :func:`method_names`, such as ``"fairpo-dpo"`` or
        ``"fairpo-dpo/no-constraint"``.
    groups : LabelGroups
        Such as ``LabelPartition.from_indices([0, 3], n_labels=80)``.
    preset : "paper-v1" or "paper-v2"
        Bundle of objective settings: the paper's first version, or the authors' later code.
        Cross-entropy methods have none of them.
    **settings
        Fields of :class:`~fairpo.objectives.settings.FairPOSettings` over the preset's, or
        ``privileged_weight`` for the cross-entropy methods.

    Raises
    ------
    FairPOValueError
        Unknown method, preset or option, or a value out of range; all faults in one error.

    Examples
    --------
    >>> from fairpo import LabelPartition, make_objective
    >>> groups = LabelPartition.from_indices([0, 3], n_labels=80)
    >>> objective = make_objective("fairpo-dpo", groups, beta=0.5)
    """
    method = get_method(name)
    bundle = preset_settings(preset)
    if not isinstance(groups, LabelGroups):
        raise value_error("groups", must="be LabelGroups or a LabelPartition", got=repr(groups))
    if not method.parts:
        return BCEObjective(groups, **{**method.defaults, **settings})
    values = {**bundle, **method.defaults, **settings}
    parts = dict(method.parts)
    if "weight_rule" in parts and "weight_rule" in settings:
        raise value_error(
            "weight_rule", must=f"not be set for {name}", got=repr(settings["weight_rule"])
        )
    if "weight_rule" in parts:
        values["weight_rule"] = parts.pop("weight_rule")
    return FairPOObjective(groups, **parts, settings=build_settings(FairPOSettings, values))
