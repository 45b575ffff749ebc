"""One epoch of head training from a memory-mapped store over one from RAM: wanted at most 1.2.

40,000 rows of 768 features, 80 labels, a head 768-256-80, cross-entropy and FairPO-DPO. Both in
one process, in turns; the store's pages are in the page cache, as after a first epoch.

Run: python benchmarks/store_epoch.py
"""

import statistics
import tempfile
import time
from dataclasses import replace

import numpy as np
import torch

from fairpo import MultiLabelData, load_data
from fairpo.data.embed import embed_data
from fairpo.data.items import Texts
from fairpo.groups import LabelPartition
from fairpo.models import HeadSettings
from fairpo.models.backbone import ModuleBackbone
from fairpo.training.fit import train_method, train_reference
from fairpo.training.settings import TrainingSettings

N_ROWS, N_VALIDATION, N_LABELS, WIDTH = 40_000, 200, 80, 768
REPEATS = 7


class Random(torch.nn.Module):
    """Embeddings drawn by a seed."""

    def forward(self, seeds):
        """Draw a batch."""
        generator = torch.Generator().manual_seed(int(seeds[0]))
        return torch.randn(len(seeds), WIDTH, generator=generator)


def numbers(texts):
    return torch.tensor([float(text) for text in texts])


def make_store(folder):
    rng = np.random.default_rng(0)
    n = N_ROWS + N_VALIDATION
    data = MultiLabelData(
        np.empty((n, 0), dtype=np.float32),
        (rng.random((n, N_LABELS)) < 3 / N_LABELS).astype(np.int8),
        tuple(f"label {number}" for number in range(N_LABELS)),
        {
            "train": np.arange(N_ROWS),
            "validation": np.arange(N_ROWS, n - 10),
            "test": np.arange(n - 10, n),
        },
        items=Texts([str(row) for row in range(n)]),
    )
    backbone = ModuleBackbone(Random(), numbers, WIDTH, kind="text")
    embed_data(data, backbone, folder, batch_size=1024)


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        make_store(f"{name}/store")
        store = load_data(f"{name}/store")
        memory = replace(store, features=np.asarray(store.features))
        settings = TrainingSettings(epochs=1, reference_epochs=1)
        head = HeadSettings()
        groups = LabelPartition.rarest(store.targets[store.rows("train")], 0.2)
        references = {id(data): train_reference(data, head, settings) for data in (store, memory)}
        shards = len(list(store.features.folder.glob("shard-*.npy")))
        print(f"rows x features     {N_ROWS:,} x {WIDTH}, {shards} shards, 1 torch thread")
        for method in ("bce-continued", "fairpo-dpo"):
            seconds = {id(store): [], id(memory): []}
            for _ in range(REPEATS):
                for data in (store, memory):
                    start = time.perf_counter()
                    train_method(data, references[id(data)], groups, method, settings)
                    seconds[id(data)].append(time.perf_counter() - start)
            disk, ram = (seconds[id(data)] for data in (store, memory))
            ratios = sorted(d / r for d, r in zip(disk, ram, strict=True))
            print(f"{method:20}{statistics.median(disk):.3f} s from the store", end="")
            print(f", {statistics.median(ram):.3f} s from RAM", end="")
            print(f", ratio {statistics.median(ratios):.3f}", end="")
            print(f"   (of {REPEATS}: {ratios[0]:.3f} to {ratios[-1]:.3f})")


if __name__ == "__main__":
    main()
