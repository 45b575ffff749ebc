"""Tiny multi-label models and data, learnable, with labels from rare to common."""

import numpy as np
import torch
import transformers
from torch.utils.data import Dataset

from fairpo import FairPOConfig
from fairpo.hf.trainer import FairPOTrainer

N_LABELS = 6
NAMES = [f"l{index}" for index in range(N_LABELS)]
LABELS = {
    "num_labels": N_LABELS,
    "id2label": dict(enumerate(NAMES)),
    "label2id": {name: index for index, name in enumerate(NAMES)},
    "problem_type": "multi_label_classification",
}
VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 8,
    "patch_size": 4,
}


def vit(seed=0, **changes):
    torch.manual_seed(seed)
    config = transformers.ViTConfig(**VIT, **{**LABELS, **changes})
    return transformers.ViTForImageClassification(config)


def bert(seed=0, **changes):
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        **{**LABELS, **changes},
    )
    return transformers.BertForSequenceClassification(config)


class Images(Dataset):
    """Noise images whose mean tells the labels, rare ones first."""

    def __init__(self, n, seed=0, missing=0.0):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(n, 3, 8, 8)).astype(np.float32)
        scores = x.reshape(n, -1)[:, :N_LABELS] + 0.5 * rng.normal(size=(n, N_LABELS))
        y = (scores > np.linspace(1.0, -0.3, N_LABELS)).astype(np.float32)
        y[rng.random(y.shape) < missing] = -1
        self.x, self.y = torch.from_numpy(x), torch.from_numpy(y)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return {"pixel_values": self.x[index], "labels": self.y[index]}


class Texts(Dataset):
    """Token sequences of several lengths, where a label is a token that occurs."""

    def __init__(self, n, seed=0):
        rng = np.random.default_rng(seed)
        lengths = rng.integers(3, 12, n)
        self.rows = [rng.integers(1, 20, length).tolist() for length in lengths]
        self.y = np.array(
            [[float(label + 1 in row) for label in range(N_LABELS)] for row in self.rows]
        )

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        row = self.rows[index]
        return {
            "input_ids": row,
            "attention_mask": [1] * len(row),
            "labels": self.y[index].astype(np.float32),
        }


def pad(examples):
    longest = max(len(example["input_ids"]) for example in examples)
    batch = {
        key: torch.tensor([e[key] + [0] * (longest - len(e[key])) for e in examples])
        for key in ("input_ids", "attention_mask")
    }
    batch["labels"] = torch.tensor(np.stack([example["labels"] for example in examples]))
    return batch


def config(folder, **options):
    defaults = {
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 16,
        "learning_rate": 1e-2,
        "max_steps": 3,
        "logging_steps": 1,
        "save_strategy": "no",
        "step_size": 0.5,
    }
    if options.get("method", "").startswith("bce"):
        del defaults["step_size"]
    return FairPOConfig(str(folder), **{**defaults, **options})


def trainer(folder, model=None, data=None, *, evaluated=None, parts=None, **options):
    return FairPOTrainer(
        vit() if model is None else model,
        config(folder, **options),
        Images(64) if data is None else data,
        evaluated,
        **(parts or {}),
    )


class Gradients(transformers.TrainerCallback):
    """Keeps the gradient of each optimizer step, before it is used."""

    def __init__(self):
        self.steps = []

    def on_pre_optimizer_step(self, args, state, control, model, **_):
        self.steps.append(
            torch.cat([p.grad.flatten().clone() for p in model.parameters() if p.grad is not None])
        )


def logged(trainer, key):
    return [record[key] for record in trainer.state.log_history if key in record]


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
