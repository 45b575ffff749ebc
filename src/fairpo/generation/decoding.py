"""What a language model writes: batches of prompts, padded on the left, to the end token."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from fairpo._checks import FairPOWarning, value_error
from fairpo.generation.plans import DecodingSettings
from fairpo.generation.texts import Text
from fairpo.generation.tiny import LanguageModel
from fairpo.generation.tokens import check_tokenizer
from fairpo.training.random_state import same_random_state_after


def write_completions(
    language_model: LanguageModel,
    prompts: Sequence[Text],
    settings: DecodingSettings | None = None,
    *,
    seed: int = 0,
    on_batch: Callable[[int], object] | None = None,
) -> list[str]:
    """Complete prompts.

    Parameters
    ----------
    language_model : LanguageModel
        Run where it is, in evaluation mode, and given back in the mode it had.
    prompts : sequence of Text, length n
        Plain text, which is continued, or messages, which are answered.
    settings : DecodingSettings, optional
        Greedy, 64 tokens, when not given. What a model's own ``generation_config.json`` says of
        decoding (``top_p``, a penalty on repetition) is left aside but for its end tokens, so
        that models are compared under one rule.
    seed : int
        Of the draws.
    on_batch : callable, optional
        Told the number of prompts that are done, batch by batch.

    Returns
    -------
    list of str, length n
        Completions alone, as they follow their prompts; without special tokens.

    Raises
    ------
    FairPOValueError
        Messages and no chat template, or a tokenizer without a pad or end token.

    Warns
    -----
    FairPOWarning
        Prompts lost their beginning, since the model has no places for them.
    """
    model, tokenizer = language_model
    told = settings or DecodingSettings()
    check_tokenizer(tokenizer)
    tokens = _within([_numbers(tokenizer, prompt) for prompt in prompts], model.config, told)
    order = np.argsort([-len(numbers) for numbers in tokens], kind="stable")
    completions = [""] * len(prompts)
    training = model.training
    model.eval()
    try:
        with same_random_state_after(), torch.inference_mode():
            torch.manual_seed(seed)
            for start in range(0, len(order), told.batch_size):
                rows = order[start : start + told.batch_size].tolist()
                written = _continue(model, tokenizer, [tokens[row] for row in rows], told)
                for row, text in zip(rows, written, strict=True):
                    completions[row] = text
                if on_batch is not None:
                    on_batch(len(rows))
    finally:
        model.train(training)
    return completions


def _numbers(tokenizer: Any, prompt: Text) -> list[int]:
    """Tokens of a prompt, as training has them."""
    numbers: list[int]
    if isinstance(prompt, str):
        numbers = tokenizer(text=prompt)["input_ids"]
    elif tokenizer.chat_template:
        numbers = tokenizer.apply_chat_template(
            prompt, tokenize=True, return_dict=True, add_generation_prompt=True
        )["input_ids"]
    else:
        raise value_error(
            "the tokenizer",
            must="have a chat template for prompts of messages",
            got="none",
            do="Set tokenizer.chat_template, or bring the prompts as plain text.",
        )
    return numbers


def _within(tokens: list[list[int]], config: Any, told: DecodingSettings) -> list[list[int]]:
    """Prompts that leave room for a completion: the end of each that is too long."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    if positions is None:
        return tokens
    room = positions - told.max_new_tokens
    if room < 1:
        raise value_error(
            "max_new_tokens",
            must=f"be below {positions}, the places that the model has",
            got=told.max_new_tokens,
        )
    n_long = sum(len(numbers) > room for numbers in tokens)
    if n_long:
        warnings.warn(
            f"{n_long} of {len(tokens)} prompts are longer than {room} tokens and lose their "
            "beginning.",
            FairPOWarning,
            stacklevel=3,
        )
    return [numbers[-room:] for numbers in tokens]


def _continue(
    model: Any, tokenizer: Any, tokens: list[list[int]], told: DecodingSettings
) -> list[str]:
    import transformers

    length = max(1, *map(len, tokens))
    inputs = torch.full((len(tokens), length), tokenizer.pad_token_id)
    attention = torch.zeros_like(inputs)
    for row, numbers in enumerate(tokens):
        if numbers:
            inputs[row, -len(numbers) :] = torch.tensor(numbers)
            attention[row, -len(numbers) :] = 1
    ends = model.generation_config.eos_token_id  # of chat models there may be several
    config = transformers.GenerationConfig(
        max_new_tokens=told.max_new_tokens,
        do_sample=told.sample,
        temperature=told.temperature if told.sample else None,
        top_k=0 if told.sample else None,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id if ends is None else ends,
    )
    device = model.get_input_embeddings().weight.device
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    own, inner.generation_config = inner.generation_config, config  # what we leave open is not its
    try:
        written = model.generate(
            input_ids=inputs.to(device),
            attention_mask=attention.to(device),
            generation_config=config,
        )
    finally:
        inner.generation_config = own
    return [
        _behind(tokenizer, numbers, row[length:].tolist())
        for numbers, row in zip(tokens, written.cpu(), strict=True)
    ]


def _behind(tokenizer: Any, prompt: list[int], completion: list[int]) -> str:
    """Text of a completion with the blank that it begins with, which a decoder drops by itself."""

    def text(numbers: list[int]) -> str:
        plain: str = tokenizer.decode(
            numbers, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return plain

    before, whole = text(prompt), text([*prompt, *completion])
    return whole[len(before) :] if whole.startswith(before) else text(completion)
