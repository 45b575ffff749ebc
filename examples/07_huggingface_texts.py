"""A small encoder with our head on comments with 28 emotions (GoEmotions), adapters on a reference.

Run: FAIRPO_DATA=FOLDER python examples/07_huggingface_texts.py
with goemotions.parquet in FOLDER. Needs: pip install "fairpo[text]"
"""

import os
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from fairpo import FairPOConfig, FairPOTrainer, load_data
from fairpo.models.classifier import BackboneClassifier

source = Path(os.environ.get("FAIRPO_DATA", ""), "goemotions.parquet")
if not source.is_file():
    sys.exit(print("FAIRPO_DATA names no folder with goemotions.parquet: nothing to show"))
data = load_data(source)


def rows_of(split, n):
    rows = data.rows(split)[:n]
    labels = data.targets_of(rows).astype("float32").tolist()
    return {"text": [data.items.load(row) for row in rows], "labels": labels}


words = Tokenizer(models.WordLevel(unk_token="[UNK]"))  # in earnest: AutoTokenizer
words.normalizer = normalizers.Lowercase()
words.pre_tokenizer = pre_tokenizers.Whitespace()
special = ["[PAD]", "[UNK]"]
texts = rows_of("train", 6000)["text"]
words.train_from_iterator(texts, trainers.WordLevelTrainer(vocab_size=3000, special_tokens=special))
tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]", model_max_length=48
)


def tokens(split, n):
    return Dataset.from_dict(rows_of(split, n)).map(
        lambda rows: tokenizer(rows["text"], truncation=True), batched=True
    )


sizes = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
config = transformers.BertConfig(vocab_size=3000, intermediate_size=128, **sizes)
torch.manual_seed(0)
backbone = transformers.BertModel(config)  # in earnest: AutoModel.from_pretrained
model = BackboneClassifier.on(backbone, data.label_names)  # mean pooling, a linear head
train, validation = tokens("train", 6000), tokens("validation", 1500)

with tempfile.TemporaryDirectory() as folder:
    common = {"report_to": "none", "save_strategy": "no", "logging_strategy": "no"}
    common |= {"use_cpu": True, "per_device_train_batch_size": 64}
    args = FairPOConfig(folder, method="bce", learning_rate=2e-3, num_train_epochs=7, **common)
    FairPOTrainer(model, args, train, validation, processing_class=tokenizer).train()

    args = FairPOConfig(
        folder, method="fairpo-dpo", privileged="anger,sadness,fear", num_train_epochs=1,
        learning_rate=1e-3, precompute_reference_logits=True, **common,
    )  # fmt: skip
    lora = LoraConfig(target_modules=["query", "value"], modules_to_save=["head"])
    trainer = FairPOTrainer(
        model, args, train, validation, processing_class=tokenizer, peft_config=lora
    )
    trainer.train()
    found = trainer.evaluate()
    print("improved:", ", ".join(data.label_names[index] for index in trainer.groups.privileged))
    for group in ("privileged", "non_privileged"):
        before, after = found[f"eval_reference/map/{group}"], found[f"eval_map/{group}"]
        print(f"{group:15} mAP {100 * before:.1f} -> {100 * after:.1f}")
