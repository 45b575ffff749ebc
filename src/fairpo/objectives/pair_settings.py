"""Options of the objectives over pairs of completions."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class PairSettings(BaseModel):
    """Options of FairPO over pairs of completions, and of the baselines built from its parts.

    Names are those of :class:`~fairpo.objectives.settings.FairPOSettings`; defaults are those of
    sequence models, whose log-probabilities are sums over tokens.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    beta: float = Field(
        0.1,
        gt=0,
        allow_inf_nan=False,
        description="It scales the preference margin of a pair; 0.01 to 0.5 is usual, 2 to 10 for "
        "SimPO, whose scores are per token.",
    )
    constraint_beta: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Beta of the DPO loss of protected pairs, and of the rewards in logs; as beta "
        "when not given.",
    )
    slack: float = Field(
        0.01,
        ge=0,
        allow_inf_nan=False,
        description="Nats by which the DPO loss of a protected pair may exceed log 2, which it has "
        "under the reference, before it costs.",
    )
    margin: float = Field(
        0.5,
        ge=0,
        allow_inf_nan=False,
        description="SimPO only: how far ahead the chosen completion should be, after beta.",
    )
    nll_weight: float = Field(
        1.0,
        ge=0,
        allow_inf_nan=False,
        description="CPO only: weight of the negative log-likelihood of chosen tokens.",
    )
    loss_type: Literal["sigmoid"] = Field(
        "sigmoid",
        description="Form of the preference loss. Under no other one does every pair cost the "
        "reference log 2, the bound of Eq. 21.",
    )
    step_size: float = Field(
        0.01,
        ge=0,
        allow_inf_nan=False,
        description="Step of the group weights (mirror ascent); 0 holds them.",
    )
    weight_rule: Literal["raw", "relative", "excess", "fixed"] = Field(
        "raw",
        description="What moves the group weights: the raw group loss, the loss relative to its "
        "running average, the DPO loss above log 2, or nothing.",
    )
    floor: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Least weight of a group, below 1 / groups; 0 lets a group vanish.",
    )
    target_gain: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="Rule excess only: nats by which groups to improve should beat the reference.",
    )

    @property
    def reward_beta(self) -> float:
        """Beta of implicit rewards, which compare sums of log-probabilities with a reference."""
        return self.beta if self.constraint_beta is None else self.constraint_beta
