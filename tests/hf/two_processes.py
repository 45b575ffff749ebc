"""What each process of test_distributed runs: trainings and evaluations, told as JSON."""

import json
import os
import sys
from pathlib import Path

import torch

from fairpo.training.distributed import is_main
from tests.hf import tiny

torch.set_num_threads(1)
n_processes = int(os.environ.get("WORLD_SIZE", "1"))
folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])


def build(name, options):
    torch.manual_seed(0)
    return tiny.trainer(
        folder / f"{name}-{n_processes}",
        data=tiny.Images(50),
        evaluated=tiny.Images(37, seed=1),
        per_device_train_batch_size=8 // n_processes,
        per_device_eval_batch_size=8,
        ddp_backend="gloo" if n_processes > 1 else None,
        max_steps=3,
        max_grad_norm=0.0,
        save_strategy="steps",
        save_steps=2,
        **options,
    )


def weights(trainer):
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


found = {}
for name, more in options.items():
    trainer = build(name, more)
    trainer.train()
    metrics = trainer.evaluate()
    predictions = trainer.predict(trainer.eval_dataset).predictions
    resumed = build(name, more)
    resumed.train(resume_from_checkpoint=str(Path(trainer.args.output_dir) / "checkpoint-2"))
    found[name] = {
        "loss": tiny.logged(trainer, "loss"),
        "group_losses": tiny.logged(trainer, "group_losses/privileged"),
        "group_weights": tiny.logged(trainer, "group_weights/privileged"),
        "metrics": {k: v for k, v in metrics.items() if "second" not in k and "time" not in k},
        "rows": len(predictions),
        "weights": weights(trainer).tolist(),
        "resumed_differs_by": float((weights(trainer) - weights(resumed)).abs().max()),
        "steps": int(trainer.objective.group_weights.steps),
        "privileged": trainer.groups.privileged.tolist(),
    }
if is_main():
    Path(folder, f"found-{n_processes}.json").write_text(json.dumps(found))
if n_processes > 1:
    trainer.end()
