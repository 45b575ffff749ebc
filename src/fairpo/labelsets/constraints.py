"""Hard constraints: which sets may be generated at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from fairpo._checks import value_error
from fairpo.groups import label_indices

Label = str | int


class SetConstraints:
    """What every generated set must hold, must not hold, and may hold one of at most.

    They are masks on single choices: a choice after which no allowed set could be reached is
    never offered, and the end is offered when everything that must be in is in. No walk runs into
    a dead end, and probabilities over the allowed sets sum to 1. They are those of the masked
    walk, NOT those of the free walk given that the constraints hold.

    Parameters
    ----------
    n_labels : int
    must_have, must_not : sequence of int
        Label indices.
    exclusive : sequence of sequences of int
        Of each group of labels at most one may be in a set. Groups may overlap.

    Raises
    ------
    FairPOValueError
        An index is out of range, a label must and must not be in, or two labels that exclude one
        another must both be in.

    Examples
    --------
    >>> names = ["cat", "dog", "indoor", "outdoor"]
    >>> one_place = SetConstraints.from_names(names, exclusive=[["indoor", "outdoor"]])
    >>> one_place.allows(torch.tensor([[1, 0, 1, 1], [1, 1, 1, 0]]).bool()).tolist()
    [False, True]
    """

    def __init__(
        self,
        n_labels: int,
        *,
        must_have: Sequence[int] = (),
        must_not: Sequence[int] = (),
        exclusive: Sequence[Sequence[int]] = (),
    ) -> None:
        self.n_labels = n_labels
        self.required = _mask(must_have, n_labels, "must_have")
        self.members = torch.stack(
            [_mask(group, n_labels, "a group of exclusive") for group in exclusive]
            or [torch.zeros(n_labels, dtype=torch.bool)]
        )
        forbidden = _mask(must_not, n_labels, "must_not")
        both = self.required & forbidden
        if both.any():
            raise value_error(
                "must_have and must_not",
                must="share no label",
                got=f"label {int(both.nonzero()[0])} in both",
            )
        if ((self.members & self.required).sum(1) > 1).any():
            raise value_error(
                "must_have",
                must="hold at most one label of each exclusive group",
                got="two of one group",
            )
        # What excludes a label that must be in could never end.
        self.forbidden = forbidden | (self._excluded(self.required[None])[0] & ~self.required)

    @classmethod
    def from_names(
        cls,
        label_names: Sequence[str],
        *,
        must_have: Sequence[Label] = (),
        must_not: Sequence[Label] = (),
        exclusive: Sequence[Sequence[Label]] = (),
    ) -> Self:
        """Build from names or indices of labels; an unknown name is refused."""
        return cls(
            len(label_names),
            must_have=_indices(must_have, label_names),
            must_not=_indices(must_not, label_names),
            exclusive=[_indices(group, label_names) for group in exclusive],
        )

    def blocked(self, chosen: Tensor) -> Tensor:
        """Choices that are not allowed, (states, labels + 1), after labels (states, labels)."""
        missing = (self.required.to(chosen.device) & ~chosen).any(1, keepdim=True)
        forbidden = self.forbidden.to(chosen.device)
        return torch.cat([chosen | forbidden | self._excluded(chosen), missing], dim=1)

    def allows(self, sets: Tensor) -> Tensor:
        """Whether sets (n, labels) may be generated, (n,)."""
        required, forbidden = self.required.to(sets.device), self.forbidden.to(sets.device)
        counts = sets.float() @ self.members.to(sets.device).float().T
        return (sets | ~required).all(1) & ~(sets & forbidden).any(1) & (counts <= 1).all(1)

    def _excluded(self, chosen: Tensor) -> Tensor:
        """Labels that share an exclusive group with a chosen one, themselves included."""
        members = self.members.to(chosen.device).float()
        return ((chosen.float() @ members.T).clamp_max(1) @ members) > 0


def _mask(labels: Sequence[int], n_labels: int, what: str) -> Tensor:
    mask = torch.zeros(n_labels, dtype=torch.bool)
    for label in labels:
        if not 0 <= label < n_labels:
            raise value_error(what, must=f"hold labels from 0 to {n_labels - 1}", got=label)
        mask[label] = True
    return mask


def _indices(labels: Sequence[Label], label_names: Sequence[str]) -> list[int]:
    named = [label for label in labels if isinstance(label, str)]
    found = dict(zip(named, label_indices(named, label_names), strict=True))
    return [found[label] if isinstance(label, str) else label for label in labels]
