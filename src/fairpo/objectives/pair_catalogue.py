"""Every method over pairs of completions by name: one literal table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fairpo._checks import build_settings, unknown_name, value_error
from fairpo.groups import LabelGroups
from fairpo.objectives.pair_settings import PairSettings
from fairpo.objectives.pairs import FairPOPairObjective, MeanPairObjective, PairObjective


@dataclass(frozen=True)
class PairMethod:
    """An entry of the catalogue.

    Parameters
    ----------
    summary : str
        One line for tables.
    mean_of : "dpo" or "sft", optional
        The loss, of a method that knows no groups.
    parts : mapping
        Arguments of :class:`~fairpo.objectives.pairs.FairPOPairObjective`, of one that does.
    defaults : mapping
        Settings under the caller's.
    """

    summary: str
    mean_of: Literal["dpo", "sft"] | None = None
    parts: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)


PAIR_METHODS: dict[str, PairMethod] = {
    "sft": PairMethod("likelihood of the chosen completions: the reference itself", "sft"),
    "dpo": PairMethod("DPO over all pairs alike", "dpo"),
    "group-dro": PairMethod(
        "group-robust DPO, without a constraint",
        parts={"preference": "dpo", "constraint": "dpo"},
    ),
    "fairpo-dpo": PairMethod(
        "FairPO with the DPO preference (Eq. 20-21)", parts={"preference": "dpo"}
    ),
    "fairpo-simpo": PairMethod(
        "FairPO with the SimPO preference, per token",
        parts={"preference": "simpo"},
        # Log-probabilities per token are tens of times smaller than their sums (SimPO: 2 to 10).
        defaults={"beta": 2.0, "constraint_beta": 0.1},
    ),
    "fairpo-cpo": PairMethod(
        "FairPO with the CPO preference and the likelihood of the chosen",
        parts={"preference": "cpo"},
    ),
}

PAIR_ABLATIONS: dict[str, dict[str, Any]] = {
    "no-constraint": {"constraint": "dpo"},
    "fixed-weights": {"weight_rule": "fixed"},
}


def pair_method_names() -> tuple[str, ...]:
    """Return every legal name, ablations (``<method>/<ablation>``) included."""
    ablated = [
        f"{name}/{part}"
        for name in PAIR_METHODS
        if name.startswith("fairpo-")
        for part in PAIR_ABLATIONS
    ]
    return (*PAIR_METHODS, *ablated)


def get_pair_method(name: str) -> PairMethod:
    """Look a method up; ``<method>/<ablation>`` has one part exchanged.

    Raises
    ------
    FairPOValueError
        No such method, answered with the nearest names.
    """
    if name not in pair_method_names():
        raise unknown_name("method", name, pair_method_names(), of="methods over pairs")
    base, _, ablation = name.partition("/")
    method = PAIR_METHODS[base]
    if not ablation:
        return method
    parts = {**method.parts, **PAIR_ABLATIONS[ablation]}
    return PairMethod(f"{method.summary}, {ablation}", parts=parts, defaults=method.defaults)


def make_pair_objective(
    name: str,
    groups: LabelGroups,
    *,
    attribute_names: Sequence[str] | None = None,
    **settings: Any,
) -> PairObjective:
    """Build the objective of a method over pairs.

    Parameters
    ----------
    name : str
        A name of :func:`pair_method_names`, such as ``"fairpo-dpo"`` or
        ``"fairpo-cpo/fixed-weights"``.
    groups : LabelGroups
        Over attributes, such as ``LabelPartition.from_names(["harmless"], attribute_names)``.
    attribute_names : sequence of str, optional
        What the logs call the attributes.
    **settings
        Fields of :class:`~fairpo.objectives.pair_settings.PairSettings`.

    Raises
    ------
    FairPOValueError
        Unknown method or option, or a value out of range, all faults in one error.

    Examples
    --------
    >>> from fairpo import LabelPartition
    >>> groups = LabelPartition.from_names(["harmless"], ["helpful", "harmless"])
    >>> objective = make_pair_objective("fairpo-dpo", groups, beta=0.05)
    """
    method = get_pair_method(name)
    if not isinstance(groups, LabelGroups):
        raise value_error("groups", must="be LabelGroups or a LabelPartition", got=repr(groups))
    fixed = sorted(method.parts.keys() & settings.keys())
    if fixed:
        raise value_error(fixed[0], must=f"not be set for {name}", got=repr(settings[fixed[0]]))
    built = build_settings(PairSettings, {**method.defaults, **settings}, of=name)
    names = None if attribute_names is None else tuple(attribute_names)
    if method.mean_of is not None:
        return MeanPairObjective(groups, method.mean_of, built, names)
    return FairPOPairObjective(groups, **method.parts, settings=built, attribute_names=names)
