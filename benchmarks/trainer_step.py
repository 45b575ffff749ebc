"""Time one optimizer step of FairPOTrainer against one of the stock Trainer with cross-entropy.

    python benchmarks/trainer_step.py [tiny|base]

Random weights from a configuration, random pixels, 80 labels of which 16 are privileged, 3
positives an example, AdamW, one thread. The trainers take the same batch in turn in one process, so
that other load hits all of them; ratios are taken turn by turn. A step is what the Trainer's loop
does: the micro-batches' ``training_step``, clipping, the optimizer.

``cached`` has the reference logits in the batch, ``with forward`` runs a reference model (a frozen
copy). ``lagged`` and ``exact`` split the same batch into 4 micro-batches with cached logits;
``stock x 4`` is the stock Trainer on them. What a reference can cost is measured beside them: a
forward pass without gradient.
"""

from __future__ import annotations

import copy
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers

from fairpo import FairPOConfig, FairPOTrainer, LabelPartition

N_LABELS, N_PRIVILEGED, N_POSITIVES, PARTS = 80, 16, 3, 4
TINY = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "image_size": 64,
    "patch_size": 16,
}
# Configuration (the defaults are ViT-Base/16 at 224 pixels), batch, turns, turns before.
SIZES: dict[str, tuple[dict[str, int], int, int, int]] = {
    "tiny": (TINY, 32, 60, 5),
    "base": ({}, 4, 6, 1),
}

Step = Callable[[], None]


def main(size: str = "tiny") -> None:
    """Print the times and their ratios."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes, rows, turns, before = SIZES[size]
    config = transformers.ViTConfig(
        **sizes, num_labels=N_LABELS, problem_type="multi_label_classification"
    )
    model = transformers.ViTForImageClassification(config)
    batch = random_batch(config, rows)
    with tempfile.TemporaryDirectory() as folder:
        steps = all_steps(folder, model, batch)
        seconds = np.empty((turns, len(steps)))
        for turn in range(-before, turns):
            for column, step in enumerate(steps.values()):
                start = time.perf_counter()
                step()
                seconds[turn, column] = time.perf_counter() - start
    times = dict(zip(steps, seconds.T, strict=True))
    print(
        f"model               ViT {size}, {config.image_size} px, batch {rows}, {N_LABELS} labels"
    )
    for name, values in times.items():
        print(f"{name:20}{1e3 * np.median(values):.1f} ms   (median of {turns}, interleaved)")
    for over, under in (
        ("cached", "stock"),
        ("with forward", "stock"),
        ("forward alone", "stock"),
        ("lagged x 4", "stock x 4"),
        ("exact x 4", "lagged x 4"),
    ):
        low, middle, high = np.quantile(times[over] / times[under], [0.25, 0.5, 0.75])
        ratio = f"{over} / {under}"
        print(f"{ratio:30}{middle:.3f}   (quartiles {low:.3f} to {high:.3f})")
    print(f"peak memory         {peak_megabytes():.0f} MB   (six models with their AdamW states)")


def random_batch(config: Any, rows: int) -> dict[str, torch.Tensor]:
    """Pixels, labels, and logits to take for the reference's."""
    labels = torch.zeros(rows, N_LABELS)
    labels.scatter_(1, torch.rand(rows, N_LABELS).topk(N_POSITIVES).indices, 1.0)
    pixels = torch.randn(rows, 3, config.image_size, config.image_size)
    return {"pixel_values": pixels, "labels": labels}


def all_steps(
    folder: str, model: transformers.PreTrainedModel, batch: dict[str, torch.Tensor]
) -> dict[str, Step]:
    """Return a step of each kind, over one batch."""
    reference = copy.deepcopy(model).requires_grad_(False).eval()
    with torch.no_grad():
        logits = reference(pixel_values=batch["pixel_values"]).logits
    cached = {**batch, "reference_logits": logits}

    def stock(**options: Any) -> transformers.Trainer:
        args = transformers.TrainingArguments(folder, use_cpu=True, report_to="none", **options)
        return transformers.Trainer(copy.deepcopy(model), args)

    def ours(**options: Any) -> FairPOTrainer:
        args = FairPOConfig(folder, use_cpu=True, report_to="none", **options)
        groups = LabelPartition.from_indices(range(N_PRIVILEGED), N_LABELS)
        return FairPOTrainer(copy.deepcopy(model), args, groups=groups)

    def forward_alone() -> None:
        with torch.no_grad():
            reference(pixel_values=batch["pixel_values"])

    return {
        "stock": step_of(stock(), batch, 1),
        "cached": step_of(ours(reference="column"), cached, 1),
        "with forward": step_of(ours(), batch, 1),
        "forward alone": forward_alone,
        "stock x 4": step_of(stock(), batch, PARTS),
        "lagged x 4": step_of(ours(reference="column"), cached, PARTS),
        "exact x 4": step_of(ours(reference="column", accumulation="exact"), cached, PARTS),
    }


def step_of(trainer: transformers.Trainer, batch: dict[str, torch.Tensor], parts: int) -> Step:
    """Return what the Trainer's loop does for one optimizer step of some micro-batches."""
    trainer.create_optimizer()
    model = trainer.model
    rows = len(batch["labels"]) // parts
    micro = [
        {key: value[part * rows : (part + 1) * rows] for key, value in batch.items()}
        for part in range(parts)
    ]

    def step() -> None:
        batches, n_items = trainer.get_batch_samples(iter(micro), parts, trainer.args.device)
        trainer.current_gradient_accumulation_steps = parts
        for inputs in batches:
            trainer.training_step(model, inputs, n_items)
        torch.nn.utils.clip_grad_norm_(model.parameters(), trainer.args.max_grad_norm)
        trainer.optimizer.step()
        model.zero_grad()

    return step


def peak_megabytes() -> float:
    """Largest memory this process has held (ru_maxrss is in kilobytes on Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
