"""Pairs as tokens, made as TRL makes them, and batches of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from fairpo._checks import FairPOWarning, type_error, value_error
from fairpo.generation.faults import PromptLength
from fairpo.generation.preferences import PreferencePairs
from fairpo.generation.scorer import ATTENTION, COMPLETION, TOKENS
from fairpo.generation.texts import Text

ATTRIBUTES, REFERENCE = "attributes", "reference_log_probs"
"""Keys of a batch: what drives each pair (batch,), what the reference says (batch, 2)."""

_TOGETHER = 1024

Numbers = list[int]


@dataclass(frozen=True)
class PairTokens:
    """Preference pairs as numbers of tokens.

    Parameters
    ----------
    prompts, chosen, rejected : sequences of lists of int, length n
        The completions alone.
    attributes : int64 array, shape (n,)
    rows : int64 array, shape (n,)
        Which of the pairs they are: those whose prompt leaves no room are left out.
    max_length : int or None
        Longest prompt and completion together, of which more is cut at the end.
    notes : tuple of str
        What was cut or left out, counted.
    """

    prompts: Sequence[Numbers]
    chosen: Sequence[Numbers]
    rejected: Sequence[Numbers]
    attributes: NDArray[np.int64]
    rows: NDArray[np.int64]
    max_length: int | None
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
        See :class:`PairTokens`.
    name : str
        What messages call the pairs.

    Raises
    ------
    FairPOValueError
        No pair is left, or messages and no chat template.

    Warns
    -----
    FairPOWarning
        Sequences were cut or left out, or the end of a prompt is not that of the prompt alone.
    """
    plain = np.array([isinstance(prompt, str) for prompt in pairs.prompts], dtype=bool)
    if not plain.all() and not tokenizer.chat_template:
        raise value_error(
            "the tokenizer",
            must="have a chat template for pairs of messages",
            got="none",
            do="Set tokenizer.chat_template, or bring the pairs as plain text.",
        )
    prompts: list[Numbers] = [[]] * len(pairs)
    chosen, rejected = list(prompts), list(prompts)
    for rows in _blocks(np.flatnonzero(plain)):
        _place(rows, (prompts, chosen, rejected), _plain(pairs, rows, tokenizer))
    for rows in _blocks(np.flatnonzero(~plain)):
        _place(rows, (prompts, chosen, rejected), _conversations(pairs, rows, tokenizer))
    n_parted = 0
    for row, prompt in enumerate(prompts):
        shared = min(_shared(prompt, chosen[row]), _shared(prompt, rejected[row]))
        n_parted += shared < len(prompt)
        prompts[row] = prompt[:shared]
        chosen[row], rejected[row] = chosen[row][shared:], rejected[row][shared:]
    kept, notes = _within(prompts, chosen, rejected, max_length)
    if n_parted:
        notes.append(
            f"{n_parted} prompts are tokenized differently with a completion behind them; the "
            "completion begins where they part"
        )
    if not len(kept):
        raise value_error(name, must="hold a pair that can be trained on", got="; ".join(notes))
    for note in notes:
        warnings.warn(f"{name}: {note}.", FairPOWarning, stacklevel=3)
    return PairTokens(
        [prompts[row] for row in kept],
        [chosen[row] for row in kept],
        [rejected[row] for row in kept],
        pairs.attributes[kept],
        kept,
        max_length,
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


def _place(
    rows: list[int], lists: tuple[list[Numbers], ...], values: tuple[list[Numbers], ...]
) -> None:
    for whole, part in zip(lists, values, strict=True):
        for row, numbers in zip(rows, part, strict=True):
            whole[row] = numbers


def _plain(
    pairs: PreferencePairs, rows: list[int], tokenizer: Any
) -> tuple[list[Numbers], list[Numbers], list[Numbers]]:
    end = tokenizer.eos_token

    def numbers(texts: list[str]) -> list[Numbers]:
        found: list[Numbers] = tokenizer(text=texts)["input_ids"]
        return found

    def with_prompt(completions: Sequence[Text]) -> list[Numbers]:
        texts = [f"{pairs.prompts[row]}{completions[row]}" for row in rows]
        return numbers([text if text.endswith(end) else text + end for text in texts])

    prompts = [str(pairs.prompts[row]) for row in rows]
    return numbers(prompts), with_prompt(pairs.chosen), with_prompt(pairs.rejected)


def _conversations(
    pairs: PreferencePairs, rows: list[int], tokenizer: Any
) -> tuple[list[Numbers], list[Numbers], list[Numbers]]:
    def numbers(conversations: list[Any], **options: Any) -> list[Numbers]:
        found: list[Numbers] = tokenizer.apply_chat_template(
            conversations, tokenize=True, return_dict=True, **options
        )["input_ids"]
        return found

    prompts: list[Any] = [pairs.prompts[row] for row in rows]

    def with_prompt(completions: Sequence[Any]) -> list[Numbers]:
        together = zip(prompts, rows, strict=True)
        return numbers([prompt + completions[row] for prompt, row in together])

    return (
        numbers(prompts, add_generation_prompt=True),
        with_prompt(pairs.chosen),
        with_prompt(pairs.rejected),
    )


def _shared(prompt: Numbers, whole: Numbers) -> int:
    """How many tokens of the prompt the whole begins with."""
    if whole[: len(prompt)] == prompt:
        return len(prompt)
    both = zip(prompt, whole, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], both))


def _within(
    prompts: list[Numbers],
    chosen: list[Numbers],
    rejected: list[Numbers],
    max_length: int | None,
) -> tuple[NDArray[np.int64], list[str]]:
    """Pairs with something to score on either side, and what happens to the others."""
    of_prompt = np.array([len(numbers) for numbers in prompts], dtype=np.int64)
    longest, shortest = (
        np.array(
            [of(len(a), len(b)) for a, b in zip(chosen, rejected, strict=True)], dtype=np.int64
        )
        for of in (max, min)
    )
    limit = np.inf if max_length is None else max_length
    unscored = of_prompt.clip(1)  # the first token of a sequence has nothing before it
    full = unscored >= limit
    empty = ~full & (of_prompt + shortest <= unscored)
    kept = ~full & ~empty
    cut = kept & (of_prompt + longest > limit)
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
        sides = (tokens.chosen, tokens.rejected) if self.with_rejected else (tokens.chosen,)
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
        sequences = [(prompt + completion)[: self.max_length] for prompt, completion in sides]
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


def prompt_length(tokenizer: Any) -> PromptLength:
    """Length of a prompt in tokens, as :func:`fairpo.generation.load_pairs` takes it."""

    def length(prompt: Text) -> int:
        if isinstance(prompt, str):
            return len(tokenizer(text=prompt)["input_ids"])
        numbers = tokenizer.apply_chat_template(
            prompt, tokenize=True, return_dict=True, add_generation_prompt=True
        )
        return len(numbers["input_ids"])

    return length
