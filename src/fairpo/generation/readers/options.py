"""What a reader of preference pairs can be told."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fairpo.data.options import DataOptions

ATTRIBUTE_COLUMN = "attribute"
SPLIT_COLUMN = "split"


class PairOptions(BaseModel):
    """Options of :func:`fairpo.generation.load_pairs`; each reader uses those that concern it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str | None = Field(None, description="Kind of data, where it is not to be recognised.")
    prompt: str = Field(
        "prompt",
        description="Column of prompts; where it is not there, the prompt is what chosen and "
        "rejected begin with.",
    )
    chosen: str = Field("chosen", description="Column of preferred completions.")
    rejected: str = Field("rejected", description="Column of rejected completions.")
    attribute: str | None = Field(
        None,
        description=f"Column of what drives each pair; {ATTRIBUTE_COLUMN} when not given.",
    )
    constant_attribute: str | None = Field(
        None, description="What drives every pair, where no column says it."
    )
    attribute_names: tuple[str, ...] | None = Field(
        None,
        description="The attributes there are, in their order; those that occur, sorted, when not "
        "given. Any other is then unknown.",
    )
    split: str | None = Field(
        None,
        description=f"Column of train, validation and test; {SPLIT_COLUMN}, if there is one, when "
        "not given.",
    )
    margin: float = Field(
        1.0, gt=0, description="Ratings: least difference of an aspect's ratings that makes a pair."
    )
    pairs_per_prompt: int | None = Field(
        1,
        ge=1,
        description="Ratings: most pairs of a prompt and aspect, those of the largest difference; "
        "none means all.",
    )
    invalid: Literal["error", "drop"] = Field(
        "error", description="Whether pairs that are not sound are refused, or left out and named."
    )
    max_prompt_length: int | None = Field(
        None, ge=1, description="Longest prompt, in the unit of prompt_length."
    )
    validation_fraction: float = Field(
        0.1, gt=0, lt=1, description="Of the training prompts, where the source has no such split."
    )
    test_fraction: float = Field(
        0.1, gt=0, lt=1, description="Of all prompts, where the source has no such split."
    )
    split_seed: int = Field(0, ge=0, description="Of those splits.")
    root: str | None = Field(
        None, description="Folder in which a source is looked up that is not a path here."
    )
    fetch: bool = Field(False, description="Whether hf: may use the network.")

    @model_validator(mode="after")
    def _check_between_options(self) -> PairOptions:
        if self.attribute is not None and self.constant_attribute is not None:
            raise ValueError(
                "attribute names a column and constant_attribute stands in for one; give one of "
                f"them, got {self.attribute!r} and {self.constant_attribute!r}."
            )
        return self

    def of_files(self) -> DataOptions:
        """How a source is found: what this and :class:`DataOptions` have in common."""
        return DataOptions(root=self.root, fetch=self.fetch)
