"""From a data set to a set generator: the reference, then the method from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import fairpo
from fairpo._checks import value_error
from fairpo.data.base import MultiLabelData
from fairpo.groups import PrivilegedRule
from fairpo.labelsets.folder import SetRun, SetRunConfig
from fairpo.labelsets.generator import GeneratorSettings
from fairpo.labelsets.likelihood import train_generator
from fairpo.labelsets.preference import set_objective, train_preferences
from fairpo.labelsets.settings import SetTrainingSettings
from fairpo.training.fit import choose_groups

REFERENCE = "likelihood"
"""The method that is the reference itself."""

EpochCallback = Callable[[dict[str, Any]], None]


def fit_label_sets(
    data: MultiLabelData,
    privileged: PrivilegedRule,
    method: str,
    settings: GeneratorSettings,
    training: SetTrainingSettings,
    *,
    options: Mapping[str, Any] | None = None,
    on_reference_epoch: EpochCallback | None = None,
    on_epoch: EpochCallback | None = None,
    described: Mapping[str, Any] | None = None,
) -> SetRun:
    """Train a reference by maximum likelihood, and a method over pairs of sets from it.

    Parameters
    ----------
    data : MultiLabelData
        With a train and a validation split.
    privileged : PrivilegedRule
        Of :func:`fairpo.groups.parse_privileged`.
    method : str
        ``"likelihood"`` stops at the reference; or a name of
        :func:`fairpo.objectives.pair_catalogue.pair_method_names`, such as ``"fairpo-dpo"``.
    settings : GeneratorSettings
    training : SetTrainingSettings
    options : mapping, optional
        Fields of :class:`~fairpo.objectives.pair_settings.PairSettings`.
    on_reference_epoch, on_epoch : callable, optional
        Given each epoch's record.
    described : mapping, optional
        ``privileged``, ``data`` and ``data_options`` as they were said, for the folder.

    Returns
    -------
    SetRun

    Raises
    ------
    FairPOValueError
        Unknown method or option, a rule that needs a classifier's average precision, no row
        whose labels are all known.
    """
    if privileged.needs_reference_ap:
        raise value_error(
            "privileged",
            must="be a rule that needs no classifier, such as rarest:20% or names",
            got="a worst: rule",
            do="A set generator has no average precision; name the labels.",
        )
    data.require_features()
    groups = choose_groups(privileged, data, None)
    if method != REFERENCE:  # every mistake is told before the reference is trained
        set_objective(method, groups, data.label_names, options or {})
    reference = train_generator(data, settings, training, on_epoch=on_reference_epoch)
    history = [{"of": "reference", **record} for record in reference.descent.epochs]
    trained, notes = reference, list(reference.notes)
    if method != REFERENCE:
        trained = train_preferences(
            data,
            reference.generator,
            groups,
            method,
            training,
            options=options,
            on_epoch=on_epoch,
        )
        history += [{"of": method, **record} for record in trained.descent.epochs]
        notes += [note for note in trained.notes if note not in notes]
    config = SetRunConfig(
        version=fairpo.__version__,
        method=method,
        options=dict(options or {}),
        n_features=data.n_features,
        n_labels=data.n_labels,
        generator=settings,
        training=training,
        **{"privileged": "", **(described or {})},
    )
    return SetRun(
        config,
        data.label_names,
        groups,
        trained.generator,
        reference.generator,
        data.feature_names,
        None if data.backbone is None else dict(data.backbone),
        history,
        notes,
    )
