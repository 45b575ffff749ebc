"""Tiny language models of several families, a tokenizer made on the spot, and pairs to learn."""

import functools

import numpy as np
import tokenizers
import torch
import transformers

from fairpo.generation import FairPOGenerationConfig, FairPOGenerationTrainer
from fairpo.generation.preferences import PreferencePairs

NAMES = ("polite", "short", "rhymes", "kind")
WORDS = "please thanks hello sir madam go away now the sea is blue red green and tea for me"
WORDS = WORDS.split()
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
SIZES = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "vocab_size": 320,
    "pad_token_id": 3,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES = {
    "Llama": (transformers.LlamaConfig, {}),
    "Gemma": (transformers.GemmaConfig, {"head_dim": 8, "tie_word_embeddings": True}),
    "Gemma2": (
        transformers.Gemma2Config,
        {"head_dim": 8, "final_logit_softcapping": 2.0, "query_pre_attn_scalar": 8},
    ),
    "Mistral": (transformers.MistralConfig, {"head_dim": 8, "sliding_window": 8}),
}


@functools.cache
def _trained_tokenizer():
    model = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<unk>", "<s>", "</s>", "<pad>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator([" ".join(WORDS)] * 5, trainer)
    return model.to_str()


def tokenizer(**changes):
    options = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", **changes}
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer.from_str(_trained_tokenizer()), **options
    )
    made.chat_template = TEMPLATE
    return made


def model(family="Llama", seed=0, **changes):
    torch.manual_seed(seed)
    kind, more = FAMILIES[family]
    config = kind(**{**SIZES, **more, **changes})
    made = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    made.generation_config.pad_token_id = 3
    return made


def pairs(n=24, seed=0, conversational=False, names=NAMES):
    """Pairs of random words, of which attribute k prefers completions with word k in them."""
    rng = np.random.default_rng(seed)

    def words(low, high):
        return " ".join(rng.choice(WORDS, rng.integers(low, high)))

    attributes = rng.integers(0, len(names), n)
    attributes[: len(names)] = np.arange(len(names))[:n]
    prompts = [f"{words(2, 5)} {row}" for row in range(n)]
    chosen = [f" {words(1, 6)} {WORDS[k]}" for k in attributes]
    rejected = [f" {words(1, 6)} tea away" for _ in range(n)]
    if conversational:
        prompts = [[{"role": "user", "content": text}] for text in prompts]
        chosen = [[{"role": "assistant", "content": text.strip()}] for text in chosen]
        rejected = [[{"role": "assistant", "content": text.strip()}] for text in rejected]
    return PreferencePairs(prompts, chosen, rejected, attributes, names)


def rows(given):
    """Pairs as TRL's rows, with the attribute."""
    return [
        {"prompt": p, "chosen": c, "rejected": r, "attribute": given.attribute_names[a]}
        for p, c, r, a in zip(
            given.prompts, given.chosen, given.rejected, given.attributes, strict=True
        )
    ]


def config(folder, **options):
    defaults = {
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 8,
        "learning_rate": 1e-2,
        "max_steps": 3,
        "logging_steps": 1,
        "save_strategy": "no",
        "privileged": "polite,short",
    }
    return FairPOGenerationConfig(str(folder), **{**defaults, **options})


def trainer(folder, policy=None, data=None, *, evaluated=None, parts=None, **options):
    return FairPOGenerationTrainer(
        model() if policy is None else policy,
        config(folder, **options),
        pairs() if data is None else data,
        evaluated,
        tokenizer(),
        **(parts or {}),
    )


def trained(*arguments, **options):
    made = trainer(*arguments, **options)
    made.train()
    return made


def logged(made, key):
    return [record[key] for record in made.state.log_history if key in record]


def weights(policy):
    return {name: value.clone() for name, value in policy.state_dict().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def assert_close(first, second, atol=1e-5):
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], atol=atol, rtol=0, msg=name)
