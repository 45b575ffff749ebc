"""Groups over attributes, from what a configuration says and what the training pairs hold."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import FairPOWarning, type_error, unknown_name, value_error
from fairpo.generation.config import FairPOGenerationConfig
from fairpo.groups import (
    LabelGroup,
    LabelGroups,
    PrivilegedRule,
    parse_privileged,
)
from fairpo.objectives.pair_catalogue import get_pair_method

POOLED = "pooled"
"""Name of the only group, where no attribute is privileged."""


def choose_groups(
    given: LabelGroups | None,
    args: FairPOGenerationConfig,
    attribute_names: tuple[str, ...],
    attributes: NDArray[np.int64] | None,
    accuracy_of_reference: Callable[[], NDArray[np.float64]],
) -> LabelGroups:
    """Take the groups that are given, or those that the arguments describe.

    Parameters
    ----------
    given : LabelGroups, optional
    args : FairPOGenerationConfig
        ``privileged``, ``per_attribute`` and ``method`` are read.
    attribute_names : tuple of str
    attributes : int64 array, shape (n,), optional
        What drives each training pair; without training pairs, and for methods that know no
        groups, nothing is checked by them.
    accuracy_of_reference : callable
        Gives the accuracies (attributes,), NaN where an attribute has no pair; asked only where
        the rule needs it.

    Raises
    ------
    FairPOValueError
        Nothing says which attributes are privileged and the method must know; groups over other
        attributes; or no privileged attribute drives a training pair.

    Warns
    -----
    FairPOWarning
        Some privileged attributes drive none.
    """
    groups = _given(given, args, attribute_names)
    if groups is None:
        rule = parse_privileged(args.privileged or "")
        of_reference = accuracy_of_reference() if rule.needs_reference_ap else None
        targets = np.eye(len(attribute_names), dtype=np.int8)
        targets = targets[[] if attributes is None else attributes]
        groups = resolve_attributes(rule, targets, attribute_names, of_reference)
    if args.per_attribute:
        groups = one_each(groups, attribute_names)
    if attributes is not None and get_pair_method(args.method).mean_of is None:
        _check_trained(groups, np.unique(attributes), attribute_names)
    return groups


def _given(
    given: LabelGroups | None, args: FairPOGenerationConfig, names: tuple[str, ...]
) -> LabelGroups | None:
    if given is None and args.privileged is None:
        if get_pair_method(args.method).mean_of is None:
            raise value_error(
                "the privileged attributes",
                must=f"be named for method={args.method!r}",
                got="none",
                do=f"Give privileged={names[0]!r} (the attributes are {', '.join(names)}), "
                "or groups.",
            )
        return together(len(names))
    if given is None:
        return None
    if not isinstance(given, LabelGroups):
        raise type_error(
            "groups", must="be LabelGroups or a LabelPartition", got=type(given).__name__
        )
    if given.n_labels != len(names):
        raise value_error(
            "groups",
            must=f"be over the {len(names)} attributes {', '.join(names)}",
            got=given.n_labels,
        )
    return given


def together(n_attributes: int) -> LabelGroups:
    """All attributes in one group, where none is privileged."""
    return LabelGroups([LabelGroup(POOLED, tuple(range(n_attributes)), "improve")], n_attributes)


def resolve_attributes(
    rule: PrivilegedRule,
    targets: NDArray[np.int8],
    names: tuple[str, ...],
    accuracy: NDArray[np.float64] | None = None,
) -> LabelGroups:
    """Find the privileged attributes, as :meth:`PrivilegedRule.resolve` does labels.

    Raises
    ------
    FairPOValueError
        As there; a name that is none is called an attribute.
    """
    for name in rule.names:
        if name not in names:
            raise unknown_name("attribute", name, names, of="attributes")
    return rule.resolve(targets, names, accuracy)


def one_each(groups: LabelGroups, names: tuple[str, ...]) -> LabelGroups:
    """Each attribute as a group of its own, to improve where it is privileged."""
    improved = set(groups.privileged.tolist())
    each: list[Any] = [
        LabelGroup(name, (index,), "improve" if index in improved else "protect")
        for index, name in enumerate(names)
    ]
    return LabelGroups(each, len(names))


def _check_trained(groups: LabelGroups, trained: NDArray[np.int64], names: tuple[str, ...]) -> None:
    without = [names[index] for index in groups.privileged if index not in trained]
    if not without:
        return
    if len(without) == len(groups.privileged):
        raise value_error(
            "the privileged attributes",
            must="drive a training pair",
            got=f"none for {', '.join(without[:5])}",
            do=f"Attributes that do: {', '.join(names[index] for index in trained[:10])}.",
        )
    warnings.warn(
        f"{len(without)} privileged attributes drive no training pair and cannot be learnt: "
        f"{', '.join(without[:10])}.",
        FairPOWarning,
        stacklevel=4,
    )
