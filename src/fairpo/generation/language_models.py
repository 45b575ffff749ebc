"""Language models by name: the tiny one, a folder, a finished run, or one of the hub."""

from __future__ import annotations

import warnings
from pathlib import Path

from fairpo._checks import FairPOWarning, file_error
from fairpo._optional import require
from fairpo.generation.preferences import PreferencePairs
from fairpo.generation.readers import EMBEDDED
from fairpo.generation.texts import plain_text
from fairpo.generation.tiny import TINY, LanguageModel, make_tiny
from fairpo.generation.tokens import check_tokenizer
from fairpo.models.checkpoint import CHECKSUMS, verify_checksums
from fairpo.models.pretrained import load_with_tokenizer


def load_language_model(
    name: str, pairs: PreferencePairs | None = None, *, fetch: bool = False, seed: int = 0
) -> LanguageModel:
    """Load a causal language model and its tokenizer.

    Parameters
    ----------
    name : str
        ``tiny``, made on the spot; a folder that ``save_pretrained`` or ``fairpo lm`` wrote; or a
        name on the hub.
    pairs : PreferencePairs, optional
        Training pairs, on whose texts the tokenizer of ``tiny`` is trained.
    fetch : bool
        Whether a model may be downloaded.
    seed : int
        Of the weights of ``tiny``.

    Raises
    ------
    FairPOFileError
        No such model here, or its files are damaged.
    FairPOValueError
        Its tokenizer has no end token.
    FairPOImportError
        transformers is not installed.

    Warns
    -----
    FairPOWarning
        The tokenizer has no pad token, as those of GPT-2 and of most Llamas: the end token stands
        in, as in TRL.

    Notes
    -----
    No code that a model's folder brings is ever run, and no pickle is loaded.
    """
    if name == TINY and pairs is not None:
        return make_tiny(_texts(pairs), _vocabulary(pairs), seed)
    if name == TINY:
        raise file_error(name, "is made of training pairs, and is not trained yet")
    transformers = require("transformers", extra="generation", purpose="language models")
    if (Path(name) / CHECKSUMS).is_file():
        verify_checksums(Path(name))
    from fairpo.generation.quiet import quiet_transformers

    auto = transformers.AutoModelForCausalLM
    with quiet_transformers():
        model, tokenizer = load_with_tokenizer(
            auto, name, fetch=fetch, lacks="no causal language model"
        )
    if tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
        tokenizer.pad_token = tokenizer.eos_token
        words = "its tokenizer has no pad token, the end token stands in; padding is masked."
        warnings.warn(f"{name}: {words}", FairPOWarning, stacklevel=2)
    check_tokenizer(tokenizer)
    return LanguageModel(model, tokenizer)


def _texts(pairs: PreferencePairs) -> list[str]:
    sides = (pairs.prompts, pairs.chosen, pairs.rejected)
    return [plain_text(text) for side in sides for text in side]


def _vocabulary(pairs: PreferencePairs) -> tuple[str, ...] | None:
    """Words of the embedded task, which are its tokens."""
    if pairs.name != EMBEDDED:
        return None
    from fairpo.generation.verses import VOCABULARY

    return VOCABULARY
