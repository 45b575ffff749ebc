"""Options of the loop, and the presets that bundle them for each version of the paper."""

from __future__ import annotations

import os
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fairpo._checks import unknown_name, value_error


class TrainingSettings(BaseModel):
    """How a reference and a policy are trained.

    The defaults were chosen on validation sets with the reference alone; the extra budget of
    every method is ``epochs``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(
        10, ge=1, description="Extra epochs of each method that starts from the reference."
    )
    learning_rate: float = Field(
        5e-4, gt=0, allow_inf_nan=False, description="Peak rate of AdamW in these extra epochs."
    )
    batch_size: int = Field(
        256,
        ge=1,
        description="Rows a step, at most; small data sets take an eighth of their rows (16 or "
        "more), so that an epoch is more than one step.",
    )
    weight_decay: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="Of AdamW. If not given 0.01, and 0.9 for the network of fairpo-crossfit.",
    )
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="How the rate falls over the epochs: to zero, or not."
    )
    patience: int = Field(
        5, ge=1, description="Epochs without a new best validation figure before training stops."
    )
    tolerance_points: float = Field(
        0.5,
        ge=0,
        allow_inf_nan=False,
        description="Points of non-privileged validation mAP a selected epoch may lose against "
        "the reference.",
    )
    reference_is_candidate: bool = Field(
        True,
        description="Whether the reference is returned where no epoch beats it; the authors' code "
        "returns the best epoch all the same.",
    )
    gradient_clip: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="Largest gradient norm; 0 does not clip."
    )
    label_draw: Literal["all", "one"] = Field(
        "all",
        description="Use every label of an example, or draw one per example and step, as the "
        "paper's Algorithm 1 is printed.",
    )
    sampled_labels: int = Field(
        0,
        ge=0,
        description="Labels drawn for a step besides those of its rows, for 10,000 labels and "
        "more; 0 uses all. 1000 is usual.",
    )
    accumulation_steps: int = Field(
        1, ge=1, description="Micro-batches a step; they share its rows, for less memory."
    )
    accumulation: Literal["lagged", "exact"] = Field(
        "lagged",
        description="What micro-batches know of their step: group weights of the step before and "
        "denominators as the targets tell them, or, from a first pass without gradients, all of "
        "it.",
    )
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="bf16 runs the head under bfloat16 autocast; losses stay in fp32."
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="auto, cpu, cuda or cuda:N; auto takes cuda where there is one, of several "
        "processes each its own.",
    )
    reference_epochs: int = Field(
        200,
        ge=1,
        description="Most epochs of the reference, which stops by patience long before: methods "
        "that start from one cut short gain what it would have learnt. The network of "
        "fairpo-crossfit, which does not start from one, has as many.",
    )
    reference_learning_rate: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Peak rate of AdamW for the reference, and for the network of fairpo-crossfit. "
        "If not given 1e-3, and 2e-3 for the latter.",
    )
    reference_cache_mb: int = Field(
        2048,
        ge=0,
        description="Most megabytes of reference logits to keep, in memory or beside a store of "
        "embeddings; beyond it the reference head runs on each batch.",
    )
    checkpoint_seconds: float = Field(
        30.0,
        ge=0,
        allow_inf_nan=False,
        description="Of a run, between writes of the state from which --resume goes on; 0 writes "
        "after every step.",
    )
    seed: int = Field(0, ge=0, description="Of initial weights, order of rows, dropout and draws.")

    @model_validator(mode="after")
    def _one_choice_of_labels(self) -> Self:
        if self.sampled_labels and self.label_draw == "one":
            raise ValueError(
                "sampled_labels draws labels for a step, label_draw='one' for a row: "
                "choose one of them."
            )
        return self

    def filled(self, reference_learning_rate: float = 1e-3, weight_decay: float = 0.01) -> Self:
        """Return the same with what is not given: what is usual, or a method's own."""
        rate, decay = self.reference_learning_rate, self.weight_decay
        return self.model_copy(
            update={
                "reference_learning_rate": reference_learning_rate if rate is None else rate,
                "weight_decay": weight_decay if decay is None else decay,
            }
        )

    def torch_device(self) -> torch.device:
        """Return the device of this process.

        Raises
        ------
        FairPOValueError
            The device is not there.
        """
        if self.device == "cpu" or (self.device == "auto" and not torch.cuda.is_available()):
            return torch.device("cpu")
        if not torch.cuda.is_available():
            raise value_error(
                "device",
                must="be there",
                got=f"{self.device}, and torch sees no GPU",
                do="Say cpu or auto.",
            )
        if self.device in ("auto", "cuda"):
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise value_error(
                "device",
                must="be auto or cuda where several processes train: each takes its own",
                got=self.device,
            )
        return torch.device(self.device)


TRAINING_PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # Settings found with the first version of the authors' code.
    "paper-v1": {
        "epochs": 10,
        "learning_rate": 5e-4,
        "batch_size": 32,
        "schedule": "constant",
    },
    # And with the later one.
    "paper-v2": {
        "epochs": 25,
        "learning_rate": 1e-4,
        "weight_decay": 0.01,
        "batch_size": 32,
        "schedule": "constant",
        "gradient_clip": 1.0,
        "patience": 5,
    },
}


def training_preset(name: str) -> dict[str, Any]:
    """Options of a training preset by name; an unknown name is refused."""
    if name not in TRAINING_PRESETS:
        raise unknown_name("training preset", name, TRAINING_PRESETS, of="training presets")
    return dict(TRAINING_PRESETS[name])
