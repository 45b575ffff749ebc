"""Tiny models of Hugging Face, built from a configuration and saved as users have them."""

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

WORDS = ["[PAD]", "[UNK]", "[CLS]", "the", "a", "is", "i", "you", "good", "bad", "love", "hate"]


def image_model(folder, *, size=32, seed=0, **changes):
    config = transformers.ViTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=size,
        patch_size=8,
        **changes,
    )
    torch.manual_seed(seed)
    transformers.ViTModel(config).save_pretrained(folder)
    processor = transformers.ViTImageProcessorPil(size={"height": size, "width": size})
    processor.save_pretrained(folder)
    return str(folder)


def text_model(folder, seed=0):
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    torch.manual_seed(seed)
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", model_max_length=64
    ).save_pretrained(folder)
    return str(folder)
