"""A vision transformer on scenes of digits: first a reference, then its rarest labels improved.

Run: python examples/06_huggingface_images.py
Needs: pip install "fairpo[vision]"
"""

import tempfile

import numpy as np
import torch
import transformers

from fairpo import FairPOConfig, FairPOTrainer, load_data

data = load_data("digits")  # 30 labels: "red 7", "blue 4", ...


class Scenes(torch.utils.data.Dataset):
    """What a Trainer reads: pixels and a 0/1 vector an example."""

    def __init__(self, split, n):
        self.rows = data.rows(split)[:n]
        self.labels = data.targets_of(self.rows).astype(np.float32)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        pixels = np.asarray(data.items.load(self.rows[index]), dtype=np.float32)  # Pillow, RGB
        return {
            "pixel_values": torch.from_numpy(pixels.transpose(2, 0, 1) / 127.5 - 1),
            "labels": torch.from_numpy(self.labels[index]),  # (labels,); -1 would be missing
        }


size = data.items.load(0).size[0]
config = transformers.ViTConfig(
    image_size=size,
    patch_size=8,
    hidden_size=48,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
    num_labels=data.n_labels,
    id2label=dict(enumerate(data.label_names)),
    label2id={name: index for index, name in enumerate(data.label_names)},
    problem_type="multi_label_classification",
)
torch.manual_seed(0)
model = transformers.ViTForImageClassification(config)
train, validation = Scenes("train", 3000), Scenes("validation", 400)

with tempfile.TemporaryDirectory() as folder:
    common = {
        "per_device_train_batch_size": 32,
        "per_device_eval_batch_size": 200,
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "use_cpu": True,
    }
    args = FairPOConfig(folder, method="bce", learning_rate=2e-3, num_train_epochs=8, **common)
    FairPOTrainer(model, args, train, validation).train()  # the reference

    args = FairPOConfig(
        folder, method="fairpo-dpo", learning_rate=5e-4, num_train_epochs=2, **common
    )
    trainer = FairPOTrainer(model, args, train, validation)  # the initial policy is the reference
    trainer.train()
    found = trainer.evaluate()
    trainer.save_pretrained()  # weights, configuration and a model card
    print("improved:", ", ".join(data.label_names[index] for index in trainer.groups.privileged))
    for group in ("privileged", "non_privileged"):
        before, after = found[f"eval_reference/map/{group}"], found[f"eval_map/{group}"]
        print(f"{group:15} mAP {100 * before:.1f} -> {100 * after:.1f}")
