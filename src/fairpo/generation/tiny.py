"""A language model for two CPU cores: a small Llama, and a tokenizer trained on the spot.

No file and no network is needed. Words of a closed vocabulary are tokens as they are; any other
text is cut by a byte-level BPE that is trained on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch

from fairpo._optional import require
from fairpo.training.random_state import same_random_state_after

TINY = "tiny"
"""Its name, where models are named."""

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"

VOCABULARY_SIZE = 2000
"""Tokens of a byte-level BPE: enough for short texts in one language."""

LAYERS, HIDDEN, INTERMEDIATE, HEADS, POSITIONS = 2, 64, 160, 4, 1024
"""About 94,000 parameters, and 64 for each token: what a core trains in half a minute."""

_CHAT = (
    "{% for turn in messages %}{{ turn['role'] }}: {{ turn['content'] }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)


class LanguageModel(NamedTuple):
    """A causal language model of transformers and its tokenizer."""

    model: Any
    tokenizer: Any


def make_tiny(
    texts: Iterable[str], vocabulary: Sequence[str] | None = None, seed: int = 0
) -> LanguageModel:
    """Make an untrained model.

    Parameters
    ----------
    texts : iterable of str
        What the tokenizer is trained on; not read where there is a vocabulary.
    vocabulary : sequence of str, optional
        Every word there is, where blanks separate them; each is a token then.
    seed : int
        Of the weights. The tokenizer has no randomness.

    Returns
    -------
    LanguageModel
        The same for the same texts and seed. The state of random generators is left as it was.

    Raises
    ------
    FairPOImportError
        transformers is not installed.

    Examples
    --------
    >>> made = make_tiny([], ["a", "line", ":"])
    >>> made.tokenizer.decode(made.tokenizer("a line : </s>").input_ids)
    'a line : </s>'
    """
    transformers = require("transformers", extra="generation", purpose="language models")
    inner = _words(vocabulary) if vocabulary is not None else _byte_pairs(texts)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        model_max_length=POSITIONS,
    )
    tokenizer.chat_template = _CHAT
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=INTERMEDIATE,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=POSITIONS,
        # At the usual 0.02 so narrow a model hardly learns to copy a word from its prompt.
        initializer_range=HIDDEN**-0.5,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    with same_random_state_after():
        torch.manual_seed(seed)
        model = transformers.LlamaForCausalLM(config)
    return LanguageModel(model, tokenizer)


def _words(vocabulary: Sequence[str]) -> Any:
    import tokenizers

    tokens = [PAD, END, UNKNOWN, *vocabulary]
    numbers = {token: number for number, token in enumerate(tokens)}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(numbers, unk_token=UNKNOWN))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return inner


def _byte_pairs(texts: Iterable[str]) -> Any:
    import tokenizers

    inner = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=UNKNOWN))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[PAD, END, UNKNOWN],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    return inner
