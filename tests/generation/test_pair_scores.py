"""Scores of held-out pairs against one sequence at a time."""

import warnings

import numpy as np
import pytest
import torch

from fairpo._checks import FairPOWarning
from fairpo.generation.pair_scores import score_pairs
from fairpo.generation.tiny import LanguageModel
from tests.generation.tiny_lm import model, pairs, tokenizer


@pytest.fixture(scope="module")
def tiny():
    return LanguageModel(model(), tokenizer())


def slowly(language_model, prompt, completion):
    policy, words = language_model
    start = len(words(prompt).input_ids)
    numbers = words(prompt + completion + words.eos_token).input_ids
    logits = policy.double()(torch.tensor([numbers])).logits[0].log_softmax(-1)
    policy.float()
    steps = range(start, len(numbers))
    return sum(float(logits[at - 1, numbers[at]]) for at in steps), len(numbers) - start


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_scores_are_those_of_a_double_loop(tiny, batch_size):
    data = pairs(9)
    found = score_pairs(tiny, data, batch_size=batch_size)
    with torch.no_grad():
        for side, lengths, texts in (
            (found.chosen, found.chosen_lengths, data.chosen),
            (found.rejected, found.rejected_lengths, data.rejected),
        ):
            expected = [slowly(tiny, *row) for row in zip(data.prompts, texts, strict=True)]
            np.testing.assert_allclose(side, [total for total, _ in expected], atol=1e-4)
            assert lengths.tolist() == [length for _, length in expected]


def test_a_pair_without_room_is_missing_and_the_others_stay_in_place(tiny):
    data = pairs(9)
    lengths = [len(tiny.tokenizer(prompt).input_ids) for prompt in data.prompts]
    limit = max(lengths)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", FairPOWarning)
        found = score_pairs(tiny, data, max_length=limit)
    assert any("are left out" in str(warning.message) for warning in told)
    missing = np.isnan(found.chosen)
    assert missing.tolist() == [length >= limit for length in lengths]
    assert (found.chosen_lengths[missing] == 0).all() and np.isnan(found.rejected[missing]).all()
