"""Pretrain the convolutional backbone of the digit scenes and write it as safetensors.

The backbone sees canvases with one coloured digit each, shifted, among scraps and noise, drawn
from the training pool only, every digit and ink equally often. It learns to name the digit and the
ink. It sees no scene, no scene label, no label frequency, and no image of the validation or test
pools. Deterministic on one thread; about two minutes on one core:

    OMP_NUM_THREADS=1 python scripts/pretrain_digits_backbone.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from fairpo.data.digits import (
    LABEL_NAMES,
    DigitScenesSettings,
    digit_pools,
    draw_scenes,
    render_scenes,
)
from fairpo.models.digits_backbone import DigitsBackbone

TARGET = Path(__file__).parents[1] / "src/fairpo/models/digits_backbone.safetensors"
SINGLE_DIGITS = DigitScenesSettings(min_digits=1, max_digits=1, canvas=24, jitter=10)
BATCH = 128


def draw_singles(
    count: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw canvases of one digit each from the training pool, with the label of each."""
    uniform = np.full(len(LABEL_NAMES), 1 / len(LABEL_NAMES))
    contents = draw_scenes(count, digit_pools(SINGLE_DIGITS).train, uniform, rng, SINGLE_DIGITS)
    return render_scenes(contents, rng, SINGLE_DIGITS), contents.labels.max(axis=1)


class SingleDigitModel(nn.Module):
    """The backbone's last layer, its strongest response per channel, and one linear layer."""

    def __init__(self, backbone: DigitsBackbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.name = nn.Linear(backbone.channels, len(LABEL_NAMES))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, 30) of the pairs of ink and digit."""
        logits: Tensor = self.name(self.backbone.layers(images).amax(dim=(2, 3)))
        return logits


def train(model: SingleDigitModel, steps: int, rng: np.random.Generator) -> None:
    """Train with AdamW under a one-cycle learning rate, each batch drawn afresh."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    for step in range(steps):
        if step % 50 == 0:
            pixels, labels = draw_singles(50 * BATCH, rng)
        rows = slice(step % 50 * BATCH, (step % 50 + 1) * BATCH)
        images = torch.from_numpy(pixels[rows]).permute(0, 3, 1, 2).float() / 255
        target = torch.from_numpy(labels[rows])
        logits = model(images)
        loss = functional.cross_entropy(logits, target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            right = (logits.argmax(dim=1) == target).float().mean()
            print(f"step {step + 1}: loss {loss.item():.3f}, right {right:.3f}", flush=True)


def main() -> None:
    """Train and write the backbone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--steps", type=int, default=1200, help="optimizer steps of 128 canvases each"
    )
    parser.add_argument("--output", type=Path, default=TARGET, help="file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    model = SingleDigitModel(DigitsBackbone())
    train(model, options.steps, np.random.default_rng(0))
    weights = {name: value.contiguous() for name, value in model.backbone.state_dict().items()}
    options.output.write_bytes(save(weights))
    print(f"{options.output}: {options.output.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
