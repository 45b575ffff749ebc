"""Pairs as tokens, made as TRL makes them, and batches of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from fairpo._checks import FairPOWarning, type_error, value_error
from fairpo.generation.preferences import PreferencePairs
from fairpo.generation.scorer import ATTENTION, COMPLETION, TOKENS
from fairpo.generation.texts import Text
from fairpo.generation.verses import Demonstrations

ATTRIBUTES, REFERENCE = "attributes", "reference_log_probs"
"""Keys of a batch: what drives each pair (batch,), what the reference says (batch, 2)."""

_TOGETHER = 1024

Numbers = NDArray[np.int32]


@dataclass(frozen=True)
class PairTokens:
    """Preference pairs, or demonstrations, as numbers of tokens.

    Parameters
    ----------
    prompts : sequence of int32 arrays, length n
    sides : one or two sequences of int32 arrays, length n
        The completions alone: chosen, and rejected where there are any.
    attributes : int64 array, shape (n,)
    rows : int64 array, shape (n,)
        Which of the rows given they are: those whose prompt leaves no room are left out.
    notes : tuple of str
        What is to be cut or was left out, counted.
    """

    prompts: Sequence[Numbers]
    sides: tuple[Sequence[Numbers], ...]
    attributes: NDArray[np.int64]
    rows: NDArray[np.int64]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.prompts)


def tokenize_pairs(
    pairs: PreferencePairs, tokenizer: Any, max_length: int | None, name: str = "the pairs"
) -> PairTokens:
    """Turn pairs into tokens.

    Prompt and completion are tokenized together, plain text with the end token behind it and
    messages by the tokenizer's chat template; a completion begins where that parts from the prompt
    tokenized alone.

    Parameters
    ----------
    pairs : PreferencePairs
    tokenizer : transformers.PreTrainedTokenizerBase
    max_length : int, optional
        Longest prompt and completion together, of which a batch cuts the end.
    name : str
        What messages call the pairs.

    Raises
    ------
    FairPOValueError
        No pair is left, or messages and no chat template.

    Warns
    -----
    FairPOWarning
        Sequences will be cut or were left out, or the end of a prompt is not that of the prompt
        alone.
    """
    sides = (pairs.chosen, pairs.rejected)
    return _tokenize(pairs.prompts, sides, pairs.attributes, tokenizer, max_length, name)


def tokenize_demonstrations(
    demonstrations: Demonstrations,
    attribute: int,
    tokenizer: Any,
    max_length: int | None,
    name: str = "the demonstrations",
) -> PairTokens:
    """Turn demonstrations into tokens, with one side; see :func:`tokenize_pairs`.

    Parameters
    ----------
    demonstrations : Demonstrations
    attribute : int
        What stands for the attribute, which they have not.
    tokenizer, max_length, name
        As for pairs.
    """
    attributes = np.full(len(demonstrations.prompts), attribute, dtype=np.int64)
    sides = (demonstrations.completions,)
    return _tokenize(demonstrations.prompts, sides, attributes, tokenizer, max_length, name)


def _tokenize(
    prompts: Sequence[Text],
    sides: tuple[Sequence[Text], ...],
    attributes: NDArray[np.int64],
    tokenizer: Any,
    max_length: int | None,
    name: str,
) -> PairTokens:
    plain = np.array([isinstance(prompt, str) for prompt in prompts], dtype=bool)
    if not plain.all() and not tokenizer.chat_template:
        raise value_error(
            "the tokenizer",
            must="have a chat template for pairs of messages",
            got="none",
            do="Set tokenizer.chat_template, or bring the pairs as plain text.",
        )
    of_prompts: list[Numbers] = [np.empty(0, np.int32)] * len(prompts)
    of_sides = tuple(list(of_prompts) for _ in sides)
    for kind, tokenized in ((plain, _plain), (~plain, _conversations)):
        for rows in _blocks(np.flatnonzero(kind)):
            given = [[side[row] for row in rows] for side in (prompts, *sides)]
            found = tokenized(given[0], given[1:], tokenizer)
            for whole, part in zip((of_prompts, *of_sides), found, strict=True):
                for row, numbers in zip(rows, part, strict=True):
                    whole[row] = np.array(numbers, dtype=np.int32)
    n_parted = 0
    for row, prompt in enumerate(of_prompts):
        shared = min(_shared(prompt, side[row]) for side in of_sides)
        n_parted += shared < len(prompt)
        of_prompts[row] = prompt[:shared]
        for side in of_sides:
            side[row] = side[row][shared:]
    kept, notes = _within(of_prompts, of_sides, max_length)
    if n_parted:
        notes.append(
            f"{n_parted} prompts are tokenized differently with a completion behind them; the "
            "completion begins where they part"
        )
    if not len(kept):
        raise value_error(name, must="hold a pair that can be trained on", got="; ".join(notes))
    for note in notes:
        warnings.warn(f"{name}: {note}.", FairPOWarning, stacklevel=4)
    return PairTokens(
        [of_prompts[row] for row in kept],
        tuple([side[row] for row in kept] for side in of_sides),
        attributes[kept],
        kept,
        tuple(notes),
    )


def check_tokenizer(tokenizer: Any) -> None:
    """Refuse what is no tokenizer, or one without a pad or an end token."""
    if not callable(tokenizer) or not hasattr(tokenizer, "eos_token_id"):
        raise type_error(
            "processing_class",
            must="be the model's tokenizer, such as AutoTokenizer.from_pretrained(...)",
            got=type(tokenizer).__name__,
        )
    if tokenizer.eos_token_id is None:
        raise value_error(
            "the tokenizer",
            must="have an end token, which completions learn to end with",
            got="none",
            do="Set tokenizer.eos_token to one of its tokens, such as '</s>'.",
        )
    if tokenizer.pad_token_id is None:
        raise value_error(
            "the tokenizer",
            must="have a pad token",
            got="none",
            do="tokenizer.pad_token = tokenizer.eos_token will do: padding is masked.",
        )


def _blocks(rows: NDArray[np.int64]) -> list[list[int]]:
    """Rows that are tokenized in one call."""
    return [rows[start : start + _TOGETHER].tolist() for start in range(0, len(rows), _TOGETHER)]


def _plain(prompts: list[Any], sides: list[list[Any]], tokenizer: Any) -> list[list[list[int]]]:
    """Numbers of prompts alone, then of prompts with each side's completions."""
    end = tokenizer.eos_token

    def with_end(text: str) -> str:
        return text if text.endswith(end) else text + end

    wholes = [
        [with_end(prompt + completion) for prompt, completion in zip(prompts, side, strict=True)]
        for side in sides
    ]
    return [tokenizer(text=texts)["input_ids"] for texts in (prompts, *wholes)]


def _conversations(
    prompts: list[Any], sides: list[list[Any]], tokenizer: Any
) -> list[list[list[int]]]:
    """The same for messages; a prompt alone ends with what opens the answer."""

    def numbers(conversations: list[Any], **options: Any) -> list[list[int]]:
        found: list[list[int]] = tokenizer.apply_chat_template(
            conversations, tokenize=True, return_dict=True, **options
        )["input_ids"]
        return found

    wholes = [
        [prompt + completion for prompt, completion in zip(prompts, side, strict=True)]
        for side in sides
    ]
    return [numbers(prompts, add_generation_prompt=True), *map(numbers, wholes)]


def _shared(prompt: Numbers, whole: Numbers) -> int:
    """How many tokens of the prompt the whole begins with."""
    same = prompt[: len(whole)] == whole[: len(prompt)]
    return len(same) if same.all() else int(same.argmin())


def _within(
    prompts: list[Numbers], sides: tuple[list[Numbers], ...], max_length: int | None
) -> tuple[NDArray[np.int64], list[str]]:
    """Rows with something to score on every side, and what happens to the others."""
    of_prompt = np.array([len(numbers) for numbers in prompts], dtype=np.int64)
    of_sides = np.array([[len(numbers) for numbers in side] for side in sides], dtype=np.int64)
    limit = np.inf if max_length is None else max_length
    unscored = of_prompt.clip(1)  # the first token of a sequence has nothing before it
    full = unscored >= limit
    empty = ~full & (of_prompt + of_sides.min(0) <= unscored)
    kept = ~full & ~empty
    cut = kept & (of_prompt + of_sides.max(0) > limit)
    notes = []
    if cut.any():
        notes.append(
            f"{int(cut.sum())} of {len(prompts)} pairs are longer than max_length={max_length} "
            "tokens and are cut at the end"
        )
    if full.any():
        notes.append(
            f"{int(full.sum())} of {len(prompts)} pairs are left out: their prompts alone fill "
            f"max_length={max_length} tokens"
        )
    if empty.any():
        notes.append(f"{int(empty.sum())} of {len(prompts)} pairs are left out: no token to score")
    return np.flatnonzero(kept), notes


class PairExamples(Dataset[dict[str, Any]]):
    """Tokenized pairs, one by one.

    Parameters
    ----------
    tokens : PairTokens
    reference : float32 array, shape (n, 2), optional
        What the reference says of chosen and rejected.
    with_rejected : bool
        Whether rejected completions are wanted.
    """

    def __init__(
        self,
        tokens: PairTokens,
        reference: NDArray[np.float32] | None = None,
        *,
        with_rejected: bool = True,
    ) -> None:
        self.tokens = tokens
        self.reference = reference
        self.with_rejected = with_rejected

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One pair: its attribute, and prompt and completion of each side."""
        tokens = self.tokens
        sides = tokens.sides if self.with_rejected else tokens.sides[:1]
        example: dict[str, Any] = {
            ATTRIBUTES: int(tokens.attributes[index]),
            "sides": [(tokens.prompts[index], side[index]) for side in sides],
        }
        if self.reference is not None:
            example[REFERENCE] = np.array(self.reference[index])
        return example


@dataclass(frozen=True)
class PairCollator:
    """From a list of examples to a batch, padded on the right.

    A batch holds :data:`ATTRIBUTES` (batch,); tokens, attention mask and completion mask
    (batch, sides, length), chosen before rejected; and :data:`REFERENCE` (batch, 2) where examples
    bring it.

    Parameters
    ----------
    pad_token_id : int
    max_length : int, optional
        Sequences are cut behind it.
    pad_to_multiple_of : int, optional
        The length of a batch is rounded up to a multiple of it.
    """

    pad_token_id: int
    max_length: int | None = None
    pad_to_multiple_of: int | None = None

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Collate."""
        sides = [side for example in examples for side in example["sides"]]
        sequences = [np.concatenate(side)[: self.max_length] for side in sides]
        length = max(map(len, sequences))
        if self.pad_to_multiple_of:
            length = -(-length // self.pad_to_multiple_of) * self.pad_to_multiple_of
        tokens = np.full((len(sides), length), self.pad_token_id, dtype=np.int64)
        attention = np.zeros((len(sides), length), dtype=np.int64)
        completion = np.zeros((len(sides), length), dtype=np.int64)
        for row, (sequence, (prompt, _)) in enumerate(zip(sequences, sides, strict=True)):
            tokens[row, : len(sequence)] = sequence
            attention[row, : len(sequence)] = 1
            completion[row, len(prompt) : len(sequence)] = 1
        shape = (len(examples), -1, length)
        batch = {
            ATTRIBUTES: torch.tensor([example[ATTRIBUTES] for example in examples]),
            TOKENS: torch.from_numpy(tokens).view(shape),
            ATTENTION: torch.from_numpy(attention).view(shape),
            COMPLETION: torch.from_numpy(completion).view(shape),
        }
        if REFERENCE in examples[0]:
            rows = np.stack([example[REFERENCE] for example in examples])
            batch[REFERENCE] = torch.from_numpy(rows)
        return batch


def sequences_of(batch: dict[str, Tensor], *, chosen_only: bool = False) -> dict[str, Tensor]:
    """Sequences of a batch as a model takes them, (sides * batch, length), all chosen ones first.

    Parameters
    ----------
    batch : mapping
        Of :class:`PairCollator`.
    chosen_only : bool
        Whether rejected ones are left out.
    """
    keys = (TOKENS, ATTENTION, COMPLETION)
    sides = 1 if chosen_only else None
    return {key: batch[key][:, :sides].transpose(0, 1).flatten(0, 1) for key in keys}
