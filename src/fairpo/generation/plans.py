"""What each command about language models is told: one model of options a command.

The command line takes its flags from these fields and a YAML file its keys, so that both say the
same and are checked the same way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _names(value: Any) -> Any:
    """Names with commas between, or a list of them."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]

_PAIRS = (
    "verses (comes with fairpo), or a file, folder or hf:NAME of preference pairs with an attribute"
)
_READING = "How the pairs are read, such as attribute=aspect or invalid=drop."
_SEED = "Of initial weights, order and draws."
_SETTINGS = (
    "Any setting of a training by name, such as beta=0.05, learning_rate=1e-4 or num_train_epochs=3"
)
_PRIVILEGED = (
    "Names of attributes such as rhyme,clean; worst:2 by the reference's accuracy on "
    "validation; rarest:20%; or @file with one name a line."
)


class _Plan(BaseModel):
    """Frozen, and without room for an option that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SFTPlan(_Plan):
    """Fine-tune a model on the chosen completions; on verses, on its demonstrations."""

    pairs: str = Field("verses", description=f"{_PAIRS}.")
    out: Path = Field(description="Folder to write; must be new or empty.")
    model: str = Field("tiny", description="tiny (made on the spot), a folder, or a hub name.")
    seed: int = Field(0, ge=0, description=_SEED)
    data_options: dict[str, Any] = Field({}, description=_READING)
    settings: dict[str, Any] = Field({}, description=f"{_SETTINGS}.")


class TrainPlan(_Plan):
    """Train a method over pairs from a model, which is the reference."""

    pairs: str = Field("verses", description=f"{_PAIRS}.")
    out: Path = Field(description="Folder to write; must be new or empty.")
    model: str = Field(
        description="Folder that `fairpo lm sft` wrote, any folder of a causal language model, or "
        "a hub name: policy at the start, and reference."
    )
    method: str = Field(
        "fairpo-dpo", description="dpo, group-dro, fairpo-dpo, fairpo-simpo, fairpo-cpo, ..."
    )
    privileged: str | None = Field(None, description=_PRIVILEGED)
    per_attribute: bool = Field(
        False, description="Whether each attribute is a group of its own, in place of two groups."
    )
    seed: int = Field(0, ge=0, description=_SEED)
    data_options: dict[str, Any] = Field({}, description=_READING)
    settings: dict[str, Any] = Field({}, description=f"{_SETTINGS}.")


class DecodingSettings(_Plan):
    """How completions are written."""

    max_new_tokens: int = Field(64, ge=1, description="Longest completion, in tokens.")
    sample: bool = Field(
        False, description="Whether tokens are drawn; the likeliest is taken otherwise."
    )
    temperature: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="Where tokens are drawn: below 1 the likely becomes likelier.",
    )
    batch_size: int = Field(64, ge=1, description="Prompts or pairs at a time.")


class GeneratePlan(DecodingSettings):
    """Write completions of prompts."""

    model: str = Field(description="Run folder, any folder of a model, or a hub name.")
    prompts: str = Field(
        "verses",
        description="verses (its test prompts), or a .jsonl file with a column prompt; other "
        "columns are kept.",
    )
    out: Path = Field(description="File to write: .jsonl, one prompt a line.")
    seed: int = Field(0, ge=0, description="Of the draws.")


class JudgedPlan(DecodingSettings):
    """How models are judged on test pairs."""

    max_length: int | None = Field(
        1024, ge=2, description="Longest test prompt and completion together, in tokens."
    )
    n_resamples: int = Field(1000, ge=1, description="Of the intervals.")


class EvaluatePlan(JudgedPlan):
    """Judge models on test pairs, attribute by attribute and group by group."""

    models: Names = Field(min_length=1, description="Run folders, folders of models or hub names.")
    pairs: str | None = Field(
        None,
        description=f"{_PAIRS}: what the last run was trained on when not given. Its test split is "
        "used, and all of a source without splits that no model was trained on.",
    )
    judge: str = Field(
        "reward-accuracy",
        description="reward-accuracy (no judge: which completion of a test pair is likelier), "
        "oracle (verses), reward-model:FOLDER, llm:MODEL or human:FILE.csv.",
    )
    baseline: str | None = Field(
        None,
        description="Model that the others are compared with; for reward-accuracy the reference of "
        "their implicit rewards. The first model for other judges.",
    )
    attributes: Names = Field((), description="Attributes to judge by; all when not given.")
    privileged: str | None = Field(
        None, description="Names of attributes; those of the last run that has any if not given."
    )
    data_options: dict[str, Any] = Field({}, description=_READING)
    seed: int = Field(0, ge=0, description="Of the draws.")
    out: Path | None = Field(None, description="Folder for figures and completions.")


class ComparePlan(JudgedPlan):
    """Compare methods over pairs: SFT once a seed, then every method from it, on one budget."""

    pairs: str = Field("verses", description=f"{_PAIRS}.")
    out: Path = Field(description="Folder to write; what is done in it is not done again.")
    methods: Names = Field(
        ("sft", "dpo", "fairpo-dpo"),
        min_length=1,
        description="With commas between; sft is always there. "
        "fairpo-dpo/fixed-weights takes a part out.",
    )
    seeds: int = Field(3, ge=1, description="Number of seeds, from 0 up.")
    model: str = Field("tiny", description="tiny (made on the spot), a folder, or a hub name.")
    privileged: str | None = Field(None, description=_PRIVILEGED)
    per_attribute: bool = Field(
        False, description="Whether each attribute is a group of its own, in place of two groups."
    )
    judge: str | None = Field(
        None,
        description="Beside reward accuracy: oracle, reward-model:FOLDER, llm:MODEL or "
        "human:FILE.csv. The oracle for verses, none for others, when not given.",
    )
    sample: bool = Field(
        True, description="Whether tokens are drawn; the likeliest is taken otherwise."
    )
    n_prompts: int | None = Field(
        None, ge=2, description="Most test prompts to be completed and judged; all if not given."
    )
    sft: dict[str, Any] = Field({}, description="Settings of SFT by name.")
    settings: dict[str, Any] = Field({}, description=f"{_SETTINGS}, of every method but sft.")
    overrides: dict[str, dict[str, Any]] = Field(
        {}, description="Settings of single methods, such as {fairpo-simpo: {beta: 2.0}}."
    )
    data_options: dict[str, Any] = Field({}, description=_READING)


PLANS: dict[str, type[_Plan]] = {
    "sft": SFTPlan,
    "train": TrainPlan,
    "generate": GeneratePlan,
    "evaluate": EvaluatePlan,
    "compare": ComparePlan,
}
"""Options of each command."""
