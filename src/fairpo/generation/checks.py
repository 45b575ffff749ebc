"""What is checked of models and pairs before a training begins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from fairpo._checks import type_error, unknown_name, value_error
from fairpo.generation.preferences import PreferencePairs


def check_model(model: Any, tokenizer: Any) -> None:
    """Refuse what is no causal language model, or has no place for all tokens.

    Raises
    ------
    FairPOError
    """
    config = getattr(model, "config", None)
    known = isinstance(model, nn.Module) and hasattr(model, "get_output_embeddings")
    if not known or config is None or config.is_encoder_decoder:
        raise type_error(
            "model",
            must="be a causal language model of transformers",
            got=type(model).__name__,
            do="Load it with AutoModelForCausalLM.from_pretrained(...).",
        )
    if model.get_output_embeddings() is None:
        raise value_error(
            "model",
            must="have a head that gives logits of tokens",
            got=type(model).__name__,
            do="Load it with AutoModelForCausalLM.from_pretrained(...).",
        )
    places = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > places:
        raise value_error(
            "the vocabulary of the model",
            must=f"hold the tokenizer's {len(tokenizer)} tokens",
            got=places,
            do="Call model.resize_token_embeddings(len(tokenizer)).",
        )


def check_same_tokens(reference: Any, policy: Any) -> None:
    """Refuse a reference with another vocabulary than the policy's.

    Raises
    ------
    FairPOValueError
    """
    theirs, ours = (m.get_input_embeddings().num_embeddings for m in (reference, policy))
    if theirs != ours:
        raise value_error(
            "the vocabulary of the reference", must=f"be the model's, {ours} tokens", got=theirs
        )


def renamed(pairs: PreferencePairs, names: tuple[str, ...], what: str) -> PreferencePairs:
    """Pairs whose attributes are numbered as those of the training pairs.

    Raises
    ------
    FairPOValueError
        An attribute that is not among those in training.
    """
    place = {name: index for index, name in enumerate(names)}
    for index in np.unique(pairs.attributes):
        if pairs.attribute_names[index] not in place:
            name = pairs.attribute_names[index]
            raise unknown_name(f"attribute of {what}", name, names, of="attributes in training")
    numbers = np.array([place.get(name, 0) for name in pairs.attribute_names], dtype=np.int64)
    return replace(
        pairs, attributes=numbers[pairs.attributes], attribute_names=names, agreement=None
    )
