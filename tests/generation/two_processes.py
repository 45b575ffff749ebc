"""What each process of test_distributed runs: trainings and evaluations, told as JSON."""

import json
import os
import sys
from pathlib import Path

import peft
import torch

from fairpo.training.distributed import is_main
from tests.generation import tiny_lm


def build(folder, name, options):
    n_processes = processes()
    parts = {}
    if name == "adapters":
        torch.manual_seed(0)
        parts["peft_config"] = peft.LoraConfig(r=4, task_type="CAUSAL_LM")
    return tiny_lm.trainer(
        folder / f"{name}-{n_processes}",
        data=tiny_lm.pairs(40),
        evaluated=tiny_lm.pairs(13, seed=1),
        parts=parts,
        per_device_train_batch_size=8 // n_processes,
        per_device_eval_batch_size=8,
        ddp_backend="gloo" if n_processes > 1 else None,
        max_grad_norm=0.0,
        save_strategy="steps",
        save_steps=2,
        **options,
    )


def processes():
    return int(os.environ.get("WORLD_SIZE", "1"))


def weights(trainer):
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


def found(folder, name, options):
    trainer = build(folder, name, options)
    trainer.train()
    metrics = trainer.evaluate()
    predictions = trainer.predict(tiny_lm.pairs(13, seed=1)).predictions
    resumed = build(folder, name, options)
    resumed.train(resume_from_checkpoint=str(Path(trainer.args.output_dir) / "checkpoint-2"))
    return {
        "loss": tiny_lm.logged(trainer, "loss"),
        "group_losses": tiny_lm.logged(trainer, "group_losses/privileged"),
        "group_weights": tiny_lm.logged(trainer, "group_weights/privileged"),
        "margins": tiny_lm.logged(trainer, "rewards/margins/non_privileged"),
        "metrics": {k: v for k, v in metrics.items() if "second" not in k and "time" not in k},
        "rows": len(predictions),
        "weights": weights(trainer).tolist(),
        "resumed_differs_by": float((weights(trainer) - weights(resumed)).abs().max()),
    }


def main(folder, options):
    torch.set_num_threads(1)
    everything = {name: found(folder, name, more) for name, more in options.items()}
    if is_main():
        (folder / f"found-{processes()}.json").write_text(json.dumps(everything))
    if processes() > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
