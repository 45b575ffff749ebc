"""How groups of labels are written: rules, names or files, read before data and reference."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import ArrayLike, NDArray

from fairpo._checks import file_error, value_error
from fairpo.groups.label_groups import (
    NON_PRIVILEGED,
    PRIVILEGED,
    RESERVED,
    LabelGroup,
    LabelGroups,
    LabelPartition,
    Role,
)

OTHERS = "others"
"""Written for the labels of no other group."""


@dataclass(frozen=True)
class PrivilegedRule:
    """How the privileged labels are found once targets and reference are known.

    Parameters
    ----------
    choose : callable
        ``(training targets, label names, reference AP or None) -> LabelGroups``.
    needs_reference_ap : bool
        Whether the reference's AP per label must be given.
    needs_targets : bool
        Whether the training targets are read; others may give anything for them.
    names : tuple of str
        Those it was written as, where it was.
    """

    choose: Callable[[Any, Sequence[str], NDArray[np.float64] | None], LabelGroups]
    needs_reference_ap: bool = False
    needs_targets: bool = False
    names: tuple[str, ...] = ()

    def resolve(
        self,
        targets: Any,
        label_names: Sequence[str],
        reference_ap: NDArray[np.float64] | None = None,
    ) -> LabelGroups:
        """Return the groups of these labels; a partition unless several were written.

        Raises
        ------
        FairPOValueError
            A name that is not a label, more labels than there are, or no reference AP where the
            rule needs one.
        """
        if self.needs_reference_ap and reference_ap is None:
            raise value_error(
                "a rule by reference AP",
                must="get the reference's average precision per label",
                got="none",
            )
        return self.choose(targets, label_names, reference_ap)


_HOW = (
    "Write rarest:20%, worst:10, names such as cat,dog, @file.txt with one name a line, or "
    "@file.yaml with groups."
)

_SHARES = {
    "rarest": LabelPartition.rarest,
    "frequent": LabelPartition.most_frequent,
    "random": LabelPartition.random,
}


def parse_privileged(
    spec: str | Sequence[str] | Sequence[int] | ArrayLike | Mapping[str, Any],
) -> PrivilegedRule:
    """Read how the privileged labels are to be chosen, or several groups of labels.

    Parameters
    ----------
    spec : str, sequence of str, sequence of int, boolean vector, or mapping
        Text: ``rarest:20%`` (or ``rarest:0.2``), ``frequent:20%``, ``random:20%``, ``worst:10``
        (or ``worst:20%``), names separated by commas, or ``@file.txt`` with one name a line. A
        sequence holds names, indices or booleans. A mapping, or ``@file.yaml`` that holds one, has
        several groups, which may overlap, each to improve or to protect: ``{"tail": {"improve":
        "rarest:33%"}, "head": {"protect": "frequent:33%"}, "middle": {"protect": "others"}}``;
        ``others`` are the labels of no other group.

    Raises
    ------
    FairPOValueError
        The text cannot be read or selects nothing.
    FairPOFileError
        The file cannot be read.
    """
    if isinstance(spec, Mapping):
        return _groups_rule(spec)
    if not isinstance(spec, str):
        return _parse_sequence(spec)
    text = spec.strip()
    if text.startswith("@") and text.endswith((".yaml", ".yml")):
        return _groups_rule(_read_groups(Path(text[1:])))
    rule, _, argument = text.partition(":")
    if rule in _SHARES and argument:
        fraction = _parse_fraction(rule, argument, spec)
        share = _SHARES[rule]
        return PrivilegedRule(lambda targets, _, __: share(targets, fraction), needs_targets=True)
    if rule == "worst" and argument:
        return _worst_rule(argument.strip(), spec)
    names = _read_names(Path(text[1:])) if text.startswith("@") else text.split(",")
    return _names_rule(names, spec)


def _groups_rule(written: Mapping[str, Any]) -> PrivilegedRule:
    """Several groups of labels, each by a rule of its own."""
    rules: dict[str, tuple[Role, PrivilegedRule | None]] = {}
    for name, told in written.items():
        role, spec = _role_of(name, told)
        rules[name] = role, None if spec == OTHERS else parse_privileged(spec)
    of_others = [name for name, (_, rule) in rules.items() if rule is None]
    if len(of_others) > 1:
        raise value_error(
            "others", must="be written for one group at most", got=", ".join(of_others)
        )
    if not any(role == "improve" for role, _ in rules.values()):
        raise value_error(
            "the groups of labels", must="hold one to improve", got=", ".join(rules) or "none"
        )

    def choose(targets: Any, names: Sequence[str], ap: NDArray[np.float64] | None) -> LabelGroups:
        found = {
            name: rule.choose(targets, names, ap).privileged.tolist()
            for name, (_, rule) in rules.items()
            if rule is not None
        }
        taken = {index for indices in found.values() for index in indices}
        others = [index for index in range(len(names)) if index not in taken]
        return LabelGroups(
            [
                LabelGroup(name, tuple(found.get(name, others)), role)
                for name, (role, _) in rules.items()
            ],
            len(names),
        )

    own = [rule for _, rule in rules.values() if rule is not None]
    return PrivilegedRule(
        choose,
        needs_reference_ap=any(rule.needs_reference_ap for rule in own),
        needs_targets=any(rule.needs_targets for rule in own),
        names=tuple(name for rule in own for name in rule.names),
    )


def _role_of(name: Any, told: Any) -> tuple[Role, Any]:
    """The role of a group and the rule of its labels, as they were written."""
    taken = (PRIVILEGED, NON_PRIVILEGED, *RESERVED)
    if not isinstance(name, str) or name in ("", *taken) or "/" in name:
        raise value_error(
            "the name of a group",
            must=f"be text without '/', and not {', '.join(taken)}: figures have these names",
            got=repr(name),
        )
    if isinstance(told, Mapping) and len(told) == 1:
        ((role, spec),) = told.items()
        if role in ("improve", "protect"):
            return role, spec
    raise value_error(
        f"group {name!r}",
        must="be improve: LABELS or protect: LABELS",
        got=repr(told),
        do="LABELS are as for --privileged, or others.",
    )


def _read_groups(path: Path) -> Mapping[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise file_error(path, f"the file of groups cannot be read ({error})") from error
    if not isinstance(found, Mapping):
        raise file_error(path, "does not hold groups: NAME: {improve: LABELS} or {protect: LABELS}")
    return found


def _worst_rule(argument: str, spec: str) -> PrivilegedRule:
    if argument.endswith("%"):
        fraction = _parse_fraction("worst", argument, spec)

        def share(_: Any, __: Any, reference_ap: NDArray[np.float64] | None) -> LabelPartition:
            assert reference_ap is not None
            defined = int(np.isfinite(reference_ap).sum())
            return LabelPartition.worst(reference_ap, math.ceil(fraction * defined - 1e-9))

        return PrivilegedRule(share, needs_reference_ap=True)
    if not argument.isdecimal() or int(argument) < 1:
        raise value_error(
            "the privileged labels",
            must="be worst:K with K of 1 or more, or worst:F%",
            got=repr(spec),
            do=_HOW,
        )
    k = int(argument)
    return PrivilegedRule(
        lambda _, __, reference_ap: LabelPartition.worst(reference_ap, k),  # type: ignore[arg-type]
        needs_reference_ap=True,
    )


def _parse_fraction(rule: str, argument: str, spec: str) -> float:
    number = argument.strip()
    try:
        fraction = float(number[:-1]) / 100 if number.endswith("%") else float(number)
    except ValueError:
        fraction = math.nan
    if not 0 < fraction <= 1:
        raise value_error(
            "the privileged labels",
            must=f"be {rule}:F with F over 0% and up to 100%",
            got=repr(spec),
            do=_HOW,
        )
    return fraction


def _read_names(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise file_error(path, f"the file of privileged labels cannot be read ({error})") from error


def _names_rule(written: Iterable[str], spec: object) -> PrivilegedRule:
    chosen = tuple(dict.fromkeys(name.strip() for name in written if name.strip()))
    if not chosen:
        raise value_error(
            "the privileged labels", must="select at least one label", got=repr(spec), do=_HOW
        )
    return PrivilegedRule(
        lambda _, names, __: LabelPartition.from_names(chosen, names), names=chosen
    )


def _indices_rule(indices: list[int]) -> PrivilegedRule:
    chosen = tuple(dict.fromkeys(indices))
    return PrivilegedRule(lambda _, names, __: LabelPartition.from_indices(chosen, len(names)))


def _parse_sequence(spec: Any) -> PrivilegedRule:
    values = np.asarray(spec)
    if values.ndim == 1 and values.dtype == bool:
        return _indices_rule(np.flatnonzero(values).tolist())
    if values.ndim == 1 and values.dtype.kind in "iu":
        return _indices_rule(values.tolist())
    if values.ndim == 1 and values.dtype.kind in "UO" and all(isinstance(v, str) for v in spec):
        return _names_rule(list(spec), spec)
    raise value_error(
        "the privileged labels",
        must="be text, a list of names, a list of indices or a boolean vector",
        got=repr(spec),
        do=_HOW,
    )
