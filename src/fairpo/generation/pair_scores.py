"""Log-probabilities of both completions of held-out pairs under a language model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fairpo.generation.preferences import PreferencePairs
from fairpo.generation.scorer import TOKENS, CompletionScorer
from fairpo.generation.tiny import LanguageModel
from fairpo.generation.tokens import PairCollator, PairExamples, sequences_of, tokenize_pairs

_PROBE = 16
"""Tokens on which the model's head is tried."""


class PairScores(NamedTuple):
    """Scores of pairs; float64 arrays of shape (n,).

    Attributes
    ----------
    chosen, rejected : nats
        Summed over the tokens of a completion; NaN for a pair that the length limit left out.
    chosen_lengths, rejected_lengths : tokens
        0 for such a pair.
    """

    chosen: NDArray[np.float64]
    rejected: NDArray[np.float64]
    chosen_lengths: NDArray[np.float64]
    rejected_lengths: NDArray[np.float64]


def score_pairs(
    language_model: LanguageModel,
    pairs: PreferencePairs,
    *,
    max_length: int | None = 1024,
    batch_size: int = 64,
) -> PairScores:
    """Score both completions of every pair.

    Parameters
    ----------
    language_model : LanguageModel
        Run where it is, in evaluation mode, and given back in the mode it had.
    pairs : PreferencePairs
    max_length : int, optional
        As in :class:`~fairpo.generation.config.FairPOGenerationConfig`.
    batch_size : int
        Pairs at a time, of about one length. It changes scores by rounding only.

    Returns
    -------
    PairScores

    Raises
    ------
    FairPOValueError
        No pair can be scored.

    Warns
    -----
    FairPOWarning
        Pairs are cut or left out by the limit.
    """
    model, tokenizer = language_model
    tokens = tokenize_pairs(pairs, tokenizer, max_length, pairs.name)
    examples = PairExamples(tokens)
    collate = PairCollator(tokenizer.pad_token_id, max_length)
    device = model.get_input_embeddings().weight.device
    scores = np.full((len(pairs), 4), np.nan)
    scores[:, 2:] = 0.0
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            probe = collate([examples[0]])[TOKENS][0, 0, :_PROBE].to(device)
            scorer = CompletionScorer(model, probe)
            for places in _batches(examples, batch_size):
                batch = collate([examples[place] for place in places])
                sequences = sequences_of(batch)
                found = scorer(model, {key: part.to(device) for key, part in sequences.items()})
                log_probs, lengths = (part.double().cpu().view(2, -1) for part in found)
                scores[tokens.rows[places]] = torch.cat([log_probs, lengths]).T.numpy()
    finally:
        model.train(training)
    return PairScores(*scores.T)


def _batches(examples: PairExamples, batch_size: int) -> Iterator[list[int]]:
    """Neighbours in length together, so that little is padded."""
    tokens = examples.tokens
    lengths = [
        len(prompt) + max(len(side[place]) for side in tokens.sides)
        for place, prompt in enumerate(tokens.prompts)
    ]
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size].tolist()
