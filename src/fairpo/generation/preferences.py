"""Preference pairs, each driven by an attribute: what readers return and trainers take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairpo._checks import check_same_length, check_unique, value_error
from fairpo.data.base import row_numbers
from fairpo.data.splits import stratified_split
from fairpo.generation.faults import (
    LONG_PROMPT,
    Invalid,
    PairRows,
    PromptLength,
    find_text_faults,
    require_texts,
    settle_faults,
)
from fairpo.generation.texts import Message as Message
from fairpo.generation.texts import Text as Text
from fairpo.generation.texts import text_numbers


@dataclass(frozen=True)
class PreferencePairs:
    """Pairs of a preferred and a rejected completion, and the attribute that drives each pair.

    Parameters
    ----------
    prompts : sequence of Text, length n
        Plain text or messages; of one kind with the completions of its row.
    chosen, rejected : sequences of Text, length n
        The completions alone, never with the prompt in front.
    attributes : int64 array, shape (n,)
        Index into ``attribute_names``: what drives each pair, and so which group it is in.
    attribute_names : sequence of str
        Unique. An attribute may be without pairs.
    agreement : int8 array, shape (n, attributes), optional
        What each attribute says of a pair: 1 it prefers chosen, -1 rejected, 0 no difference or
        not known. 1 for the driving attribute; -1 anywhere makes the pair a conflict.
    name : str
        What tables call the pairs.
    notes : tuple of str
        What a reader dropped, counted or decided.

    Raises
    ------
    FairPOValueError
        Different numbers of rows; a completion that is empty, equal to the other or no text; an
        attribute out of range. Rows are counted from 0.

    Examples
    --------
    >>> pairs = PreferencePairs(["2 + 2 ="], [" 4"], [" 5"], np.array([0]), ("correct", "short"))
    >>> len(pairs), pairs.counts.tolist()
    (1, [1, 0])
    """

    prompts: tuple[Text, ...]
    chosen: tuple[Text, ...]
    rejected: tuple[Text, ...]
    attributes: NDArray[np.int64]
    attribute_names: tuple[str, ...]
    agreement: NDArray[np.int8] | None = None
    name: str = "pairs"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check everything before any work is done on it."""
        for field in ("prompts", "chosen", "rejected", "attribute_names"):
            require_texts(getattr(self, field), field)
            object.__setattr__(self, field, tuple(getattr(self, field)))
        attributes = np.asarray(self.attributes)
        counts = {name: len(getattr(self, name)) for name in ("prompts", "chosen", "rejected")}
        check_same_length({**counts, "attributes": len(attributes)})
        check_unique(self.attribute_names, "attribute names")
        if attributes.ndim != 1 or (len(attributes) and attributes.dtype.kind not in "iu"):
            raise value_error(
                "attributes",
                must="be whole numbers, one for each pair",
                got=f"dtype {attributes.dtype}, shape {attributes.shape}",
                do="Number names by their place in attribute_names.",
            )
        outside = np.flatnonzero((attributes < 0) | (attributes >= len(self.attribute_names)))
        if len(outside):
            raise value_error(
                "attributes",
                must=f"be from 0 to {len(self.attribute_names) - 1}, places in attribute_names",
                got=f"{attributes[outside[0]]} in row {outside[0]}",
            )
        object.__setattr__(self, "attributes", attributes.astype(np.int64, copy=False))
        rows = self._rows()
        if len(rows):
            faults = find_text_faults(self.prompts, self.chosen, self.rejected)
            settle_faults(rows, faults, "error")
        if self.agreement is not None:
            object.__setattr__(self, "agreement", self._checked_agreement(self.agreement))

    def _checked_agreement(self, values: Any) -> NDArray[np.int8]:
        agreement = np.asarray(values)
        shape = (len(self), len(self.attribute_names))
        if agreement.shape != shape or not np.isin(agreement, (-1, 0, 1)).all():
            raise value_error(
                "agreement",
                must=f"be -1, 0 or 1 for each pair and attribute, shape {shape}",
                got=f"shape {agreement.shape}, values {np.unique(agreement)[:5].tolist()}",
            )
        wrong = np.flatnonzero(agreement[np.arange(len(self)), self.attributes] != 1)
        if len(wrong):
            raise value_error(
                "agreement of the driving attribute",
                must="be 1: it prefers chosen",
                got=f"{len(wrong)} other entries, the first in row {wrong[0]}",
            )
        return agreement.astype(np.int8, copy=False)

    def _rows(self) -> PairRows:
        return PairRows(
            source=self.name,
            prompts=self.prompts,
            chosen=self.chosen,
            rejected=self.rejected,
            attributes=[self.attribute_names[index] for index in self.attributes.tolist()],
            places=range(len(self)),
        )

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Pairs that each attribute drives, shape (attributes,)."""
        return np.bincount(self.attributes, minlength=len(self.attribute_names)).astype(np.int64)

    @property
    def targets(self) -> NDArray[np.int8]:
        """Attributes one-hot, shape (n, attributes), as rules for privileged labels count them."""
        return np.eye(len(self.attribute_names), dtype=np.int8)[self.attributes]

    @property
    def conflicts(self) -> NDArray[np.bool_]:
        """Pairs of which another attribute prefers the rejected completion, shape (n,)."""
        if self.agreement is None:
            raise value_error(
                f"conflicts of {self.name}",
                must="have agreement to be read from",
                got="none",
                do="Ratings and the embedded task bring it; chosen and rejected alone do not.",
            )
        return np.asarray((self.agreement < 0).any(axis=1))

    def subset(self, rows: Any) -> PreferencePairs:
        """Pairs of some rows: a slice, numbers or a mask, in their order."""
        numbers = row_numbers(rows, len(self))
        return replace(
            self,
            prompts=tuple(self.prompts[row] for row in numbers),
            chosen=tuple(self.chosen[row] for row in numbers),
            rejected=tuple(self.rejected[row] for row in numbers),
            attributes=self.attributes[numbers],
            agreement=None if self.agreement is None else self.agreement[numbers],
        )

    def split(self, fraction: float, *, seed: int = 0) -> tuple[PreferencePairs, PreferencePairs]:
        """Split in two by prompt, so that no prompt is on both sides.

        Parameters
        ----------
        fraction : float
            Share of the second part, of the prompts, in (0, 1).
        seed : int

        Returns
        -------
        (first, second) : PreferencePairs
            An attribute whose pairs have two prompts or more is on both sides wherever the
            prompts leave a choice.

        Raises
        ------
        FairPOValueError
            ``fraction`` out of range, or fewer than two prompts.
        """
        prompt = self.prompt_numbers
        n_prompts = int(prompt.max()) + 1 if len(self) else 0
        if n_prompts < 2:
            raise value_error(f"the prompts of {self.name}", must="be at least 2", got=n_prompts)
        driven = sparse.csr_array(
            (np.ones(len(self), dtype=np.int8), (prompt, self.attributes)),
            shape=(n_prompts, len(self.attribute_names)),
        )
        driven.sum_duplicates()
        driven.data[:] = 1
        _, second = stratified_split(driven, np.arange(n_prompts), fraction, seed=seed)
        on_second = np.isin(prompt, second)
        return self.subset(~on_second), self.subset(on_second)

    @property
    def prompt_numbers(self) -> NDArray[np.int64]:
        """A number for each pair, the same where the prompt is, shape (n,), from 0 up."""
        return text_numbers(self.prompts)

    def within(
        self, max_prompt_length: int, prompt_length: PromptLength, *, invalid: Invalid = "error"
    ) -> PreferencePairs:
        """Refuse or drop pairs whose prompt is too long.

        Parameters
        ----------
        max_prompt_length : int
            Longest prompt that may stay.
        prompt_length : callable
            Length of a prompt, such as its number of tokens.
        invalid : "error" or "drop"
            What becomes of longer ones. Dropped rows are counted and named in ``notes``.

        Raises
        ------
        FairPOValueError
            There are longer ones, or none is short enough.
        """
        rows = self._rows()
        lengths = [prompt_length(prompt) for prompt in self.prompts]
        long = [row for row, length in enumerate(lengths) if length > max_prompt_length]
        kept, notes = settle_faults(rows, {LONG_PROMPT: long} if long else {}, invalid)
        return replace(self.subset(kept), notes=(*self.notes, *notes))
