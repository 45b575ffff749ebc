"""Options of the training of set generators."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from fairpo.training.settings import TrainingSettings


class SetTrainingSettings(BaseModel):
    """How the reference and then the policy are trained. Words as in ``TrainingSettings``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference_epochs: int = Field(60, ge=1, description="Most epochs of the reference.")
    reference_learning_rate: float = Field(
        2e-3, gt=0, allow_inf_nan=False, description="Peak rate of AdamW for the reference."
    )
    epochs: int = Field(10, ge=1, description="Extra epochs of the method after the reference.")
    learning_rate: float = Field(
        1e-4, gt=0, allow_inf_nan=False, description="Peak rate of AdamW for the method."
    )
    batch_size: int = Field(
        256,
        ge=1,
        description="Rows a step, at most; small data sets take an eighth of their rows (16 or "
        "more), so that an epoch is more than one step.",
    )
    weight_decay: float = Field(0.01, ge=0, allow_inf_nan=False, description="Of AdamW.")
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="How the rate falls over the epochs: to zero, or not."
    )
    patience: int = Field(
        10, ge=1, description="Epochs without a new best validation figure before training stops."
    )
    tolerance_points: float = Field(
        0.5,
        ge=0,
        allow_inf_nan=False,
        description="Points of non-privileged pair accuracy on validation that a selected epoch "
        "may lose against the reference.",
    )
    summed_labels: int = Field(
        3,
        ge=0,
        le=12,
        description="Largest set whose orders are all summed in training (2^labels states a "
        "row); of larger sets one random order a step bounds the loss. 0 bounds all.",
    )
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N."
    )
    seed: int = Field(0, ge=0, description="Of initial weights, order of rows, dropout and draws.")

    def torch_device(self) -> torch.device:
        """Return the device; one that is not there is refused."""
        return TrainingSettings(device=self.device).torch_device()
