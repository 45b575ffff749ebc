"""Fifty steps of several methods, by however many processes torchrun starts; the first one saves.

Run: torchrun --nproc_per_node=N tests/training/steps_of_processes.py OUT
"""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from fairpo.groups import LabelPartition
from fairpo.models.head import HeadSettings, Policy
from fairpo.objectives import make_objective
from fairpo.training.distributed import is_main, processes
from fairpo.training.optimizer import LazyAdam
from fairpo.training.rows import TrainingRows, predict_logits
from fairpo.training.settings import TrainingSettings
from fairpo.training.step import Stepper

N_STEPS = 50
CASES = {
    "dpo": ("fairpo-dpo", {"step_size": 0.1}, {}),
    "dpo exact": (
        "fairpo-dpo",
        {"step_size": 0.1},
        {"accumulation_steps": 2, "accumulation": "exact"},
    ),
    "cpo v2": ("fairpo-cpo", {"preset": "paper-v2"}, {"gradient_clip": 0.5}),
    "excess": ("group-dro-excess", {}, {}),
    "sampled": (
        "fairpo-dpo",
        {"reduction": "positives"},
        {"sampled_labels": 2, "gradient_clip": 0.5, "accumulation_steps": 2},
    ),
    "one label": ("bce-reweighted", {}, {"label_draw": "one"}),
}


def main(out):
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(101, 12)).astype(np.float32)
    targets = (rng.random((101, 10)) < 0.3).astype(np.int8)
    targets[rng.random(targets.shape) < 0.1] = -1
    reference = rng.normal(size=targets.shape).astype(np.float32)
    rows = TrainingRows(features, targets, np.arange(101), reference, rng.random(101))
    groups = LabelPartition.from_indices([0, 4, 7], 10)
    found = {}
    with processes(torch.device("cpu")):
        for name, (method, options, changes) in CASES.items():
            torch.manual_seed(0)
            policy = Policy(12, 10, HeadSettings(hidden=(16,), dropout=0.3)).double().train()
            objective = make_objective(method, groups, **options)
            settings = TrainingSettings(device="cpu", **changes)
            lazy = settings.sampled_labels > 0
            adam = torch.optim.AdamW(policy.parameters(), fused=True)
            optimizer = LazyAdam(policy, 1e-2) if lazy else adam
            stepper = Stepper(policy, objective, optimizer, rows, settings)
            for step in range(N_STEPS):
                # Batches of 37, the last one of three of 27; one batch of 1 row: most have none.
                start = step % 3 * 37
                positions = np.arange(start, min(start + 37, 101)) if step != 20 else np.arange(1)
                output = stepper.step(step, positions, 1e-2)
            found |= {f"{name}/{key}": value.clone() for key, value in policy.state_dict().items()}
            found[f"{name}/group_weights"] = output.group_weights.clone()
            found[f"{name}/group_losses"] = output.group_losses.clone()
        found["logits"] = torch.from_numpy(predict_logits(policy.float(), rows))
        if is_main():
            save_file(found, out)
    left = [thread for thread in threads() if "gloo" in thread]
    if left:
        sys.exit(f"threads of the process group outlive it: {left}")


def threads():
    """Names of the threads of this process, where the system tells (Linux)."""
    return [name.read_text() for name in Path("/proc/self/task").glob("*/comm")]


if __name__ == "__main__":
    main(sys.argv[1])
