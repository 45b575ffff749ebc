"""Named sets of labels: which ones a training improves and which ones it protects.

A *group* is a named set of labels with a role. ``improve`` groups get the preference objective,
``protect`` groups the constraint against the reference. Groups may overlap. The paper's case,
privileged labels against all others, is :class:`LabelPartition`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairpo._checks import check_unique, unknown_name, value_error

Role = Literal["improve", "protect"]

PRIVILEGED = "privileged"
NON_PRIVILEGED = "non_privileged"

ALL = "all"
"""What the set of all labels is called where a name is needed."""
RESERVED = (ALL, "group_min", "group_max", "difference")
"""They would collide in keys ``<metric>/<group>``."""


@dataclass(frozen=True)
class LabelGroup:
    """A named set of labels with a role.

    Parameters
    ----------
    name : str
    indices : tuple of int
        Label indices, sorted and unique. Empty is allowed: such a group takes no part.
    role : "improve" or "protect"
    """

    name: str
    indices: tuple[int, ...]
    role: Role

    def __post_init__(self) -> None:
        """Sort the indices; refuse duplicates and unknown roles."""
        if self.role not in ("improve", "protect"):
            raise value_error(
                f"the role of group {self.name!r}",
                must="be 'improve' or 'protect'",
                got=repr(self.role),
            )
        indices = tuple(sorted(int(index) for index in self.indices))
        check_unique([str(index) for index in indices], f"the label indices of group {self.name!r}")
        object.__setattr__(self, "indices", indices)


class LabelGroups:
    """Label groups over one label space.

    Parameters
    ----------
    groups : sequence of LabelGroup
        In the order of every per-group vector. They may overlap and need not cover all labels.
    n_labels : int
        Size of the label space, at least 1.

    Raises
    ------
    FairPOValueError
        No group, a name twice, or an index outside ``0 .. n_labels - 1``.
    """

    def __init__(self, groups: Sequence[LabelGroup], n_labels: int) -> None:
        if n_labels < 1:
            raise value_error("n_labels", must="be at least 1", got=n_labels)
        if not groups:
            raise value_error("groups", must="hold at least one group", got="none")
        check_unique([group.name for group in groups], "group names")
        for group in groups:
            outside = [index for index in group.indices if not 0 <= index < n_labels]
            if outside:
                raise value_error(
                    f"the label indices of group {group.name!r}",
                    must=f"be from 0 to {n_labels - 1}",
                    got=", ".join(map(str, outside[:5])),
                )
        self.groups = tuple(groups)
        self.n_labels = n_labels

    @property
    def names(self) -> tuple[str, ...]:
        """Group names, in order."""
        return tuple(group.name for group in self.groups)

    @property
    def roles(self) -> tuple[Role, ...]:
        """Group roles, in order."""
        return tuple(group.role for group in self.groups)

    @property
    def membership(self) -> NDArray[np.bool_]:
        """Which label is in which group, shape (groups, labels)."""
        mask = np.zeros((len(self.groups), self.n_labels), dtype=bool)
        for row, group in enumerate(self.groups):
            mask[row, list(group.indices)] = True
        return mask

    @property
    def names_by_label(self) -> list[tuple[str, ...]]:
        """Names of the groups that each label is in."""
        names: list[tuple[str, ...]] = [()] * self.n_labels
        for group in self.groups:
            for index in group.indices:
                names[index] += (group.name,)
        return names

    @property
    def privileged(self) -> NDArray[np.int64]:
        """Indices of the labels that some group improves (the paper's P)."""
        return self._with_role("improve")

    @property
    def non_privileged(self) -> NDArray[np.int64]:
        """Indices of the labels that no group improves (the paper's P-bar)."""
        return np.setdiff1d(np.arange(self.n_labels), self.privileged)

    def as_mapping(self) -> dict[str, NDArray[np.int64]]:
        """Label indices by group name, the form metrics take."""
        return {group.name: np.array(group.indices, dtype=np.int64) for group in self.groups}

    def judged(self) -> dict[str, NDArray[np.int64]]:
        """Label indices by name of what metrics are told of: P, its complement, and each group."""
        both = {PRIVILEGED: self.privileged, NON_PRIVILEGED: self.non_privileged}
        return both | self.as_mapping()

    def _with_role(self, role: Role) -> NDArray[np.int64]:
        chosen = {index for group in self.groups if group.role == role for index in group.indices}
        return np.array(sorted(chosen), dtype=np.int64)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, LabelGroups)
            and self.groups == other.groups
            and self.n_labels == other.n_labels
        )

    def __hash__(self) -> int:
        return hash((self.groups, self.n_labels))

    def __repr__(self) -> str:
        parts = ", ".join(f"{g.name} ({g.role}): {len(g.indices)}" for g in self.groups)
        return f"{type(self).__name__}({parts}; {self.n_labels} labels)"


class LabelPartition(LabelGroups):
    """Privileged labels against all others: the two groups of the paper, privileged first.

    Use one of the constructors; all of them take the privileged labels and give the rest to the
    non-privileged group. No privileged label, or all of them, is allowed here: the empty group
    then takes no part in the training.

    Examples
    --------
    >>> groups = LabelPartition.from_names(["cat"], ["cat", "dog", "emu"])
    >>> groups.privileged.tolist(), groups.non_privileged.tolist()
    ([0], [1, 2])
    """

    @classmethod
    def from_indices(cls, indices: Iterable[int], n_labels: int) -> Self:
        """Build from the indices of the privileged labels."""
        privileged = LabelGroup(PRIVILEGED, tuple(indices), "improve")
        rest = sorted(set(range(n_labels)) - set(privileged.indices))
        return cls((privileged, LabelGroup(NON_PRIVILEGED, tuple(rest), "protect")), n_labels)

    @classmethod
    def from_names(cls, names: Iterable[str], label_names: Sequence[str]) -> Self:
        """Build from the names of the privileged labels; an unknown name is refused."""
        return cls.from_indices(label_indices(names, label_names), len(label_names))

    @classmethod
    def from_mask(cls, mask: ArrayLike) -> Self:
        """Build from a boolean vector of shape (labels,), true for privileged."""
        flags = np.asarray(mask)
        if flags.ndim != 1 or flags.dtype != bool:
            raise value_error(
                "mask",
                must="be a boolean vector, one entry a label",
                got=f"dtype {flags.dtype}, shape {flags.shape}",
            )
        return cls.from_indices(np.flatnonzero(flags).tolist(), flags.size)

    @classmethod
    def rarest(cls, targets: Any, fraction: float) -> Self:
        """Privilege the rarest labels: ``ceil(fraction * n)`` of the ``n`` that occur.

        A label without a positive cannot be learnt, and is never chosen.

        Parameters
        ----------
        targets : array or CSR, shape (rows, labels)
            1 positive, anything else is not counted.
        fraction : float
            In (0, 1]. Ties are broken by label order.

        Raises
        ------
        FairPOValueError
            No label has a positive.
        """
        counts, occurring, size = _share_of_occurring(targets, fraction)
        rarest = occurring[np.argsort(counts[occurring], kind="stable")[:size]]
        return cls.from_indices(rarest.tolist(), counts.size)

    @classmethod
    def most_frequent(cls, targets: Any, fraction: float) -> Self:
        """Privilege the most frequent labels: ``ceil(fraction * n)`` of the ``n`` that occur.

        Parameters
        ----------
        targets, fraction
            As in :meth:`rarest`.
        """
        counts, occurring, size = _share_of_occurring(targets, fraction)
        frequent = occurring[np.argsort(-counts[occurring], kind="stable")[:size]]
        return cls.from_indices(frequent.tolist(), counts.size)

    @classmethod
    def random(cls, targets: Any, fraction: float, seed: int = 0) -> Self:
        """Privilege labels at random: ``ceil(fraction * n)`` of the ``n`` that occur.

        Parameters
        ----------
        targets, fraction
            As in :meth:`rarest`.
        seed : int
            Of the choice.
        """
        counts, occurring, size = _share_of_occurring(targets, fraction)
        chosen = np.random.default_rng(seed).permutation(occurring)[:size]
        return cls.from_indices(sorted(chosen.tolist()), counts.size)

    @classmethod
    def worst(cls, reference_ap: ArrayLike, k: int) -> Self:
        """Privilege the ``k`` labels on which the reference has the lowest average precision.

        Parameters
        ----------
        reference_ap : array, shape (labels,)
            Fractions; NaN where a label has no positive. Such labels are never chosen.
        k : int
            From 1 to the number of labels with a defined average precision.
        """
        ap = np.asarray(reference_ap, dtype=float)
        defined = int(np.isfinite(ap).sum())
        if not 1 <= k <= defined:
            raise value_error(
                "k",
                must=f"be from 1 to {defined}, the number of labels with a defined reference AP",
                got=k,
            )
        return cls.from_indices(np.argsort(ap, kind="stable")[:k].tolist(), ap.size)


def _share_of_occurring(
    targets: Any, fraction: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Positives of each label, the labels that have any, and how many a fraction of those is."""
    if not 0 < fraction <= 1:
        raise value_error("fraction", must="be in (0, 1]", got=fraction)
    counts = np.asarray((targets == 1).sum(axis=0)).ravel()
    occurring = np.flatnonzero(counts)
    if not len(occurring):
        raise value_error("the targets", must="hold a positive", got="none for any label")
    # The small term keeps 0.2 * 35 = 7.000000000000001 from rounding up to 8.
    return counts, occurring, math.ceil(fraction * len(occurring) - 1e-9)


def label_indices(names: Iterable[str], label_names: Sequence[str]) -> list[int]:
    """Indices of names in ``label_names``; an unknown name is refused with the nearest ones."""
    position = {name: index for index, name in enumerate(label_names)}
    chosen = list(names)
    for name in chosen:
        if name not in position:
            raise unknown_name("label", name, label_names, of="label names")
    return [position[name] for name in chosen]
