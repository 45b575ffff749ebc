"""Every method by name: one literal table, each entry built of the same parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fairpo._checks import build_settings, unknown_name, value_error
from fairpo.groups import LabelGroups, LabelPartition
from fairpo.objectives.across_examples import AcrossExamplesObjective
from fairpo.objectives.base import Objective
from fairpo.objectives.baselines import (
    AsymmetricObjective,
    BCEObjective,
    ClassBalancedObjective,
    DistributionBalancedObjective,
    FocalObjective,
    SquaredErrorObjective,
)
from fairpo.objectives.competition import Competition
from fairpo.objectives.fairpo import FairPOObjective
from fairpo.objectives.label_counts import LabelCounts
from fairpo.objectives.mean import MeanObjective
from fairpo.objectives.settings import FairPOSettings, preset_settings


@dataclass(frozen=True)
class Method:
    """An entry of the catalogue.

    Parameters
    ----------
    summary : str
        One line for tables.
    objective : type
        What is built.
    parts : mapping
        What makes it this method: its arguments, or options of its objective; they cannot be set.
    defaults : mapping
        Settings that go over the preset's and under the caller's. An objective that is built
        directly does not have them: ``AcrossExamplesObjective`` weighs privileged labels 1 times,
        ``fairpo-crossfit`` 3 times.
    head, training : mapping
        How its network is shaped and trained where that is not given and not as usual: fields of
        ``HeadSettings`` and ``TrainingSettings``.
    continues : bool
        Whether training starts from the reference, for some extra epochs; false for a reference's
        own method and for one that is trained beside it.
    solves : bool
        Whether it is solved for in closed form.
    """

    summary: str
    objective: type[MeanObjective | FairPOObjective | AcrossExamplesObjective] = FairPOObjective
    parts: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    head: dict[str, Any] = field(default_factory=dict)
    training: dict[str, float] = field(default_factory=dict)
    continues: bool = True
    solves: bool = False

    @property
    def settings_model(self) -> type[BaseModel]:
        """Its options."""
        return self.objective.settings_model

    @property
    def needs_label_counts(self) -> bool:
        """Whether its objective is built with the label counts of the training rows."""
        return self.objective.needs_label_counts

    @property
    def needs_closed_form(self) -> bool:
        """Whether it is, or is trained beside, a closed form on the features."""
        return self.cross_fits or self.solves

    @property
    def prefers(self) -> bool:
        """Whether it has a preference term, which baselines have not."""
        return self.cross_fits or self.parts.get("preference", "bce") != "bce"

    @property
    def cross_fits(self) -> bool:
        """Whether it is trained from scratch beside a closed-form reference."""
        return self.objective.needs_competition


REFERENCE = "bce"
"""The method that a reference is trained by."""
CLOSED_FORM = "kernel-ridge"
"""The method that tells how a reference does on rows it was not fitted to."""

METHODS: dict[str, Method] = {
    "bce": Method("binary cross-entropy: the reference itself", BCEObjective, continues=False),
    "kernel-ridge": Method(
        "kernel ridge regression, solved for: the reference of fairpo-crossfit",
        SquaredErrorObjective,
        continues=False,
        solves=True,
    ),
    "bce-continued": Method("cross-entropy continued for the same extra budget", BCEObjective),
    "bce-reweighted": Method(
        "cross-entropy with privileged labels weighted 5 times",
        BCEObjective,
        defaults={"privileged_weight": 5.0},
    ),
    "bce-class-balanced": Method(
        "cross-entropy, labels weighted by effective number of positives (Cui et al. 2019)",
        ClassBalancedObjective,
    ),
    "bce-distribution-balanced": Method(
        "cross-entropy re-balanced for co-occurrence, negatives tolerated (Wu et al. 2020)",
        DistributionBalancedObjective,
    ),
    "focal": Method("focal loss: well-scored entries count less (Lin et al. 2017)", FocalObjective),
    "asl": Method(
        "asymmetric loss: easy negatives count less or not at all (Ridnik et al. 2021)",
        AsymmetricObjective,
    ),
    "group-dro": Method(
        "group-robust cross-entropy over the label groups (Group DRO)",
        parts={"preference": "bce", "constraint": "bce", "weight_rule": "raw"},
        # Sagawa et al. 2019 (1911.08731): step sizes near 0.01 for losses near 1 nat.
        defaults={"step_size": 0.01},
    ),
    "group-dro-excess": Method(
        "the same, weights moved by the excess over the reference",
        parts={"preference": "bce", "constraint": "bce", "weight_rule": "excess"},
        # Excess losses are near 0.01 nat, a hundredth of raw ones, so the step is 100 times larger.
        defaults={"step_size": 1.0},
    ),
    "fairpo-dpo": Method("FairPO with the DPO preference (Eq. 10)", parts={"preference": "dpo"}),
    "fairpo-simpo": Method(
        "FairPO with the SimPO preference (Eq. 16)", parts={"preference": "simpo"}
    ),
    "fairpo-cpo": Method("FairPO with the CPO preference (Eq. 19)", parts={"preference": "cpo"}),
    "fairpo-crossfit": Method(
        "preferences across examples, cross-fitted against kernel ridge regression: the default",
        AcrossExamplesObjective,
        defaults={"privileged_weight": 3.0, "step_size": 1e-3},
        # No method continues its network, so it may be wider and more firmly held than the usual
        # head. Chosen on rows held out of the training rows: docs/LOG.md, "A network of its own".
        head={"hidden": (512,), "dropout": 0.5},
        training={"reference_learning_rate": 2e-3, "weight_decay": 0.9},
        continues=False,
    ),
}

DEFAULT = "fairpo-crossfit"
"""The method where none is named."""

_NEEDED = {
    "label_counts": (
        "which weighs labels by how often they apply in training",
        "fairpo.training.count_labels(targets) counts them.",
    ),
    "competition": (
        "which compares examples as a reference scores them",
        "fairpo.training.measure_competition(logits, targets) takes it from scores of rows that "
        "the reference was not fitted to.",
    ),
}
"""What some objectives are built with: for what, and where it is from."""

_OF_FAIRPO: dict[str, dict[str, Any]] = {
    "no-preference": {"preference": "bce"},
    "no-constraint": {"constraint": "bce"},
    "fixed-weights": {"weight_rule": "fixed"},
}
_OF_CROSSFIT: dict[str, dict[str, Any]] = {
    "no-preference": {"preference_share": 0.0},
    "no-weighting": {"privileged_weight": 1.0},
    "fixed-weights": {"step_size": 0.0},
}


def ablations(name: str) -> dict[str, dict[str, Any]]:
    """Return what a method can be trained without, by name, and what then stands in its place."""
    if not name.startswith("fairpo-") or name not in METHODS:
        return {}
    return _OF_CROSSFIT if METHODS[name].cross_fits else _OF_FAIRPO


def method_names() -> tuple[str, ...]:
    """Return every legal method name, ablations (``<method>/<ablation>``) included."""
    return (*METHODS, *(f"{name}/{part}" for name in METHODS for part in ablations(name)))


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
    parts = {**method.parts, **ablations(base)[ablation]}
    return replace(method, summary=f"{method.summary}, {ablation}", parts=parts)


def reference_method(method: str) -> str:
    """Return by which method the reference of one is made, where none is given."""
    return CLOSED_FORM if get_method(method).needs_closed_form else REFERENCE


def accepts(name: str, option: str) -> bool:
    """Whether a method has an option, and does not fix it."""
    method = get_method(name)
    return option in method.settings_model.model_fields and option not in method.parts


def option_fields() -> dict[str, FieldInfo]:
    """Return every option that some method has; a name is the same option wherever it occurs."""
    models: list[type[BaseModel]] = [FairPOSettings]
    models += [method.settings_model for method in METHODS.values()]
    return {name: option for model in models for name, option in model.model_fields.items()}


def make_objective(
    name: str,
    groups: LabelGroups,
    preset: str = "paper-v1",
    *,
    label_counts: LabelCounts | None = None,
    competition: Competition | None = None,
    **settings: Any,
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
        The other methods have none of them.
    label_counts : LabelCounts, optional
        Of the training rows (:func:`fairpo.training.count_labels`), for the methods that weigh
        labels by frequency; the others do not read it.
    competition : Competition, optional
        Of a reference, for the methods that compare examples
        (:func:`fairpo.training.measure_competition`); the others do not read it.
    **settings
        Fields of :class:`~fairpo.objectives.settings.FairPOSettings` over the preset's, or those
        of the method's own settings in :mod:`~fairpo.objectives.baselines`.

    Raises
    ------
    FairPOValueError
        Unknown method, preset or option, or a value out of range, all faults in one error; or
        label counts or a competition are needed and missing.

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
    fixed = sorted(method.parts.keys() & settings.keys())
    if fixed:
        raise value_error(fixed[0], must=f"not be set for {name}", got=repr(settings[fixed[0]]))
    values = {**method.defaults, **settings}
    if method.objective is FairPOObjective:
        built = build_settings(FairPOSettings, {**bundle, **values}, of=name)
        return FairPOObjective(groups, **method.parts, settings=built)
    needed: dict[str, Any] = {}
    if method.needs_label_counts:
        needed["label_counts"] = label_counts
    if method.cross_fits:
        needed["competition"] = competition
    for argument, given in needed.items():
        if given is None:
            why, do = _NEEDED[argument]
            raise value_error(argument, must=f"be given for {name}, {why}", got="None", do=do)
    values |= method.parts
    build_settings(method.settings_model, values, of=name)  # a fault names the method
    build: Callable[..., Objective] = method.objective
    return build(groups, **needed, **values)


def trial_objective(name: str, preset: str = "paper-v1", **settings: Any) -> Objective:
    """Build a method's objective for two labels, which checks name, preset and options.

    Raises
    ------
    FairPOValueError
        As :func:`make_objective`.
    """
    anything = LabelPartition.from_indices([0], 2)
    return make_objective(
        name,
        anything,
        preset,
        label_counts=LabelCounts([1, 1], [2, 2]),
        competition=Competition(
            log_partition=torch.zeros(2),
            n_positives=torch.ones(2),
            n_rows=2,
            preference_losses=torch.ones(2),
            cross_entropies=torch.ones(2),
        ),
        **settings,
    )
