"""Time and memory of one optimizer step of FairPOGenerationTrainer beside TRL's DPOTrainer.

    python benchmarks/generation_step.py

Random Llama weights from a configuration, random tokens, all pairs privileged, so that both
trainers take the same step (parameters after it are compared), AdamW, one thread. A pair has a
prompt of 32 tokens and completions of 32. Both trainers take the same batch in turn in one process,
so that other load hits both; ratios are taken turn by turn. A step is what the Trainer's loop does:
``training_step``, clipping, the optimizer. Checkpointing of activations and bf16, which TRL has on
by default, are off in both.

``with forward`` runs the reference model in the step; ``kept`` has its log-probabilities in the
batch. Memory is measured at a vocabulary of 128,000, each trainer in a process of its own with the
same imports: the largest resident size of three steps, less that before the first.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers
import trl
from datasets import Dataset

from fairpo.generation import FairPOGenerationConfig, FairPOGenerationTrainer, PreferencePairs

N_PAIRS, N_PROMPT, N_COMPLETION, TURNS, BEFORE = 8, 32, 32, 40, 3
QUIET = {"use_cpu": True, "report_to": "none", "disable_tqdm": True, "learning_rate": 1e-4}
QUIET |= {"per_device_train_batch_size": N_PAIRS, "save_strategy": "no"}

Step = Callable[[], None]


def main(*part: str) -> None:
    """Print times, ratios and peaks."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if part:
        print(json.dumps(peak_growth(part[0])))
        return
    for size in (64, 256):
        print_times(size)
    grown = {name: in_a_process(name) for name in ("TRL", "FairPO")}
    print("peak memory         hidden 64, vocabulary 128,000, over what was held before the step")
    for name, megabytes in grown.items():
        print(f"  {name:18}{megabytes:.0f} MB")
    print(f"  {'FairPO / TRL':18}{grown['FairPO'] / grown['TRL']:.2f}")


def print_times(size: int) -> None:
    """Time the steps of one size in turn."""
    vocabulary = 4000
    trainers = {
        f"{name}, {reference}": make(size, vocabulary, reference == "kept")
        for reference in ("with forward", "kept")
        for name, make in (("TRL", of_trl), ("FairPO", of_ours))
    }
    steps = {name: step_of(trainer) for name, trainer in trainers.items()}
    seconds = np.empty((TURNS, len(steps)))
    for turn in range(-BEFORE, TURNS):
        for column, step in enumerate(steps.values()):
            start = time.perf_counter()
            step()
            seconds[turn, column] = time.perf_counter() - start
    times = dict(zip(steps, seconds.T, strict=True))
    print(f"model               Llama, hidden {size}, 4 layers, vocabulary {vocabulary:,}, 8 pairs")
    for name, values in times.items():
        print(f"  {name:22}{1e3 * np.median(values):.1f} ms   (median of {TURNS}, interleaved)")
    for reference in ("with forward", "kept"):
        ratios = times[f"FairPO, {reference}"] / times[f"TRL, {reference}"]
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        print(f"  FairPO / TRL, {reference:14}{middle:.3f}   (quartiles {low:.3f} to {high:.3f})")
        weights = [
            torch.cat(
                [p.detach().flatten() for p in trainers[f"{name}, {reference}"].model.parameters()]
            )
            for name in ("TRL", "FairPO")
        ]
        apart = float((weights[0] - weights[1]).abs().max())
        print(f"  parameters after {TURNS + BEFORE} steps differ by {apart:.1e} at most")


def in_a_process(name: str) -> float:
    """Growth of the peak of a process that takes steps of one trainer, in MB."""
    words = [sys.executable, __file__, name]
    run = subprocess.run(words, capture_output=True, text=True, check=True, env=os.environ)
    return float(json.loads(run.stdout.splitlines()[-1]))


def peak_growth(name: str) -> float:
    """Peak of three steps over what was held before, in MB; TRL's words for it are its own."""
    step = step_of({"TRL": of_trl, "FairPO": of_ours}[name](64, 128_000, True))
    before = resident_megabytes()
    for _ in range(3):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before


def resident_megabytes() -> float:
    """Memory this process holds now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def of_trl(size: int, vocabulary: int, kept: bool) -> Any:
    """TRL's trainer with one batch of pairs."""
    rows = [
        {"prompt": p, "chosen": c, "rejected": r}
        for p, c, r in zip(*random_texts(vocabulary), strict=True)
    ]
    with contextlib.redirect_stderr(io.StringIO()):
        return trl.DPOTrainer(
            model_of(size, vocabulary),
            None if kept else model_of(size, vocabulary),
            trl.DPOConfig(
                tempfile.mkdtemp(),
                gradient_checkpointing=False,
                bf16=False,
                precompute_ref_log_probs=kept,
                **QUIET,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer_of(vocabulary),
        )


def of_ours(size: int, vocabulary: int, kept: bool) -> Any:
    """Our trainer with the same batch."""
    prompts, chosen, rejected = random_texts(vocabulary)
    pairs = PreferencePairs(prompts, chosen, rejected, np.zeros(N_PAIRS, np.int64), ("all",))
    return FairPOGenerationTrainer(
        model_of(size, vocabulary),
        FairPOGenerationConfig(
            tempfile.mkdtemp(), privileged="all", precompute_ref_log_probs=kept, **QUIET
        ),
        pairs,
        None,
        tokenizer_of(vocabulary),
        reference_model=None if kept else model_of(size, vocabulary),
    )


def model_of(size: int, vocabulary: int) -> Any:
    """The same model each time."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=size,
        intermediate_size=4 * size,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=256,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=0,
    )
    return transformers.LlamaForCausalLM(config)


def tokenizer_of(vocabulary: int) -> Any:
    """A tokenizer of numbers: the word 17 is token 17."""
    words = {"</s>": 0, "<pad>": 1, **{str(number): number for number in range(2, vocabulary)}}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<pad>"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="</s>", pad_token="<pad>"
    )


def random_texts(vocabulary: int) -> tuple[list[str], list[str], list[str]]:
    """Prompts, chosen and rejected completions."""
    draw = np.random.default_rng(0)

    def texts(length: int) -> list[str]:
        numbers = draw.integers(2, vocabulary, (N_PAIRS, length))
        return ["".join(f" {number}" for number in row) for row in numbers]

    return texts(N_PROMPT), texts(N_COMPLETION - 1), texts(N_COMPLETION - 1)


def step_of(trainer: Any) -> Step:
    """Return what the Trainer's loop does for one optimizer step."""
    trainer.create_optimizer()
    model = trainer.model.train()
    (batch,) = trainer.get_train_dataloader()

    def step() -> None:
        batches, n_items = trainer.get_batch_samples(iter([batch]), 1, trainer.args.device)
        trainer.current_gradient_accumulation_steps = 1
        for inputs in batches:
            trainer.training_step(model, inputs, n_items)
        torch.nn.utils.clip_grad_norm_(model.parameters(), trainer.args.max_grad_norm)
        trainer.optimizer.step()
        model.zero_grad()

    return step


if __name__ == "__main__":
    main(*sys.argv[1:])
