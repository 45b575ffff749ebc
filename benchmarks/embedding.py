"""Embedding throughput over that of the bare forward pass: wanted 0.95 in fp32, 0.90 in bf16.

ViT-Base/16 with random weights, JPEG files of 640 x 480, both in one process, in turns: the
forward pass gets batches that were prepared before; embedding reads, decodes, resizes, runs the
same model, writes the shards with their progress, and seals the store.

Run: python benchmarks/embedding.py
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image

from fairpo import load_data
from fairpo.data.embed import embed_data
from fairpo.models.backbones import load_backbone

BATCH = 16
IMAGES = {"fp32": 64, "bf16": 192}
REPEATS = 3


def write_images(folder, count):
    """Photographs' spectrum, more or less: coarse colours with some fine noise."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    lines = ["path,labels"]
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((640, 480), Image.Resampling.BICUBIC), dtype=np.float32)
        pixels = (pixels + rng.normal(0, 12, pixels.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=90)
        lines.append(f"{number}.jpg,{'a' if number % 2 else 'b'}")
    (folder / "metadata.csv").write_text("\n".join(lines))


def write_model(folder):
    torch.manual_seed(0)
    transformers.ViTModel(transformers.ViTConfig()).save_pretrained(folder)
    transformers.ViTImageProcessorPil().save_pretrained(folder)


def main():
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_model(root / "vit")
        for dtype, count in IMAGES.items():
            write_images(root / dtype, count)
            data = load_data(root / dtype)
            backbone = load_backbone(str(root / "vit"), dtype=dtype)
            images = [data.items.load(row) for row in range(count)]
            batches = [backbone.prepare(images[at : at + BATCH]) for at in range(0, count, BATCH)]
            backbone.embed(batches[0])
            forward, embedding = [], []
            for repeat in range(REPEATS):
                start = time.perf_counter()
                for batch in batches:
                    backbone.embed(batch)
                forward.append(time.perf_counter() - start)
                store = root / f"{dtype}-{repeat}"
                embedding.append(embed_data(data, backbone, store, batch_size=BATCH).seconds)
            ratios = sorted(f / e for f, e in zip(forward, embedding, strict=True))
            print(f"{dtype}                {torch.get_num_threads()} torch thread, 2 that read")
            print(f"  forward           {count / statistics.median(forward):.2f} images/s")
            print(f"  embedding         {count / statistics.median(embedding):.2f} images/s")
            print(f"  ratio             {statistics.median(ratios):.3f}", end="")
            print(f"   (of {REPEATS}: {ratios[0]:.3f} to {ratios[-1]:.3f})")


if __name__ == "__main__":
    main()
