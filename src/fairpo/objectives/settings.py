"""Options of the objectives, and the presets that bundle them for each version of the paper."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fairpo._checks import unknown_name


class GroupWeightSettings(BaseModel):
    """Options of the group weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step_size: float = Field(
        1e-4,
        ge=0,
        allow_inf_nan=False,
        description="Step of the group weights (mirror ascent); 0 holds them. Some methods have "
        "their own: 0.01 for group-dro, 1 for group-dro-excess, 0.001 for fairpo-crossfit.",
    )
    floor: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Least weight of a group, below 1 / groups; 0 lets a group vanish.",
    )


class FairPOSettings(GroupWeightSettings):
    """Options of FairPO and of the baselines built from its parts.

    One set serves all of them, so that methods can be compared under the same settings; each
    method reads what its formula holds.
    """

    beta: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="It scales the preference margin of a pair; 0.1 to 2 is usual.",
    )
    slack: float = Field(
        0.01,
        ge=0,
        allow_inf_nan=False,
        description="Nats by which an entry may be worse than the reference before it costs.",
    )
    margin: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="SimPO only: how far ahead the preferred label should be.",
    )
    nll_weight: float = Field(
        1.0,
        ge=0,
        allow_inf_nan=False,
        description="CPO only: weight of the likelihood term beside the preference term.",
    )
    weight_rule: Literal["raw", "relative", "excess", "fixed"] = Field(
        "raw",
        description="What moves the group weights: the raw group loss, the loss relative to its "
        "running average, the excess over the reference, or nothing.",
    )
    score_space: Literal["log-probability", "log-odds"] = Field(
        "log-probability",
        description="What pairs compare: log-probability (the paper's) or log-odds.",
    )
    pairs: Literal["negatives", "both"] = Field(
        "negatives",
        description="Confusing negatives of true positives, or confusing positives as well.",
    )
    sampling: Literal["all", "one"] = Field(
        "all", description="Use every confusing label of an entry, or draw one."
    )
    fallback: Literal["none", "bce"] = Field(
        "none", description="What an entry without a confusing label contributes."
    )
    reduction: Literal["pairs", "entries", "positives"] = Field(
        "pairs",
        description="What the sum over pairs is divided by: the pairs (with the entries that fell "
        "back), all observed privileged entries, or the privileged positives.",
    )
    likelihood: Literal["positives", "entries"] = Field(
        "positives",
        description="CPO only: the likelihood term runs over privileged positives or over all "
        "privileged entries.",
    )
    target_gain: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="Rule excess only: nats by which groups to improve should beat the reference.",
    )
    seed: int = Field(0, ge=0, description="Seed of the pair draws (sampling: one).")

    @field_validator("weight_rule", "score_space", mode="before")
    @classmethod
    def _hyphens(cls, value: Any) -> Any:
        return value.replace("_", "-") if isinstance(value, str) else value


PRESETS: dict[str, dict[str, Any]] = {
    # First version of the paper (5 May 2025) and its code.
    "paper-v1": {
        "beta": 1.0,
        "slack": 0.01,
        "margin": 0.0,
        "nll_weight": 1.0,
        "step_size": 1e-4,
        "weight_rule": "raw",
        "pairs": "negatives",
        "sampling": "all",
        "fallback": "none",
        "reduction": "pairs",
        "likelihood": "positives",
        "floor": 0.0,
    },
    # The authors' later code (May 2025).
    "paper-v2": {
        "beta": 0.5,
        "slack": 0.05,
        "margin": 0.0,
        "nll_weight": 0.5,
        "step_size": 0.05,
        "weight_rule": "relative",
        "pairs": "both",
        "sampling": "one",
        "fallback": "bce",
        "reduction": "entries",
        "likelihood": "entries",
        "floor": 0.0,
    },
}


def preset_settings(preset: str) -> dict[str, Any]:
    """Options of a preset by name; an unknown name is refused."""
    if preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS, of="presets")
    return dict(PRESETS[preset])
