"""What the user says about probabilities and decisions."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

_WITH_VALUE = ("precision", "recall", "cost")


class Threshold(NamedTuple):
    """A threshold rule: its kind (probability, f1, precision, recall, cost) and its number."""

    kind: str
    value: float = float("nan")


class DecisionSettings(BaseModel):
    """How logits become probabilities and decisions; fitted on validation rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recalibration: Literal["none", "platt", "isotonic"] = Field(
        "platt",
        description="Strictly increasing map of each label's logits that makes probabilities "
        "true: a line (platt), a curve (isotonic; needs more positives), or none.",
    )
    threshold: str = Field(
        "0.5",
        description="Probability above which a label is predicted, such as 0.5; or for each label: "
        "f1 (best F1), precision:0.9 or recall:0.8 (at least), cost:5 (a miss costs 5 false "
        "alarms).",
    )
    guard: float = Field(
        20.0,
        gt=0,
        description="Pseudo-positives of the prior that keeps labels with few validation positives "
        "from overfitting. 20 leaves room for drift; 100 does better where there is none.",
    )

    @field_validator("threshold", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return f"{value:g}" if isinstance(value, int | float) else value

    @field_validator("threshold")
    @classmethod
    def _can_be_read(cls, value: str) -> str:
        read_threshold(value)
        return value

    @property
    def rule(self) -> Threshold:
        """The threshold rule, read."""
        return read_threshold(self.threshold)


def read_threshold(text: str) -> Threshold:
    """Read a threshold rule.

    Raises
    ------
    ValueError
        It is none; pydantic makes it one of the settings' faults.

    Examples
    --------
    >>> read_threshold("precision:0.9")
    Threshold(kind='precision', value=0.9)
    """
    kind, colon, number = text.partition(":")
    if text == "f1":
        return Threshold("f1")
    if not colon:
        kind, number = "probability", text
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    upper = float("inf") if kind == "cost" else 1.0
    if kind in ("probability", *_WITH_VALUE) and 0 < value < upper:
        return Threshold(kind, value)
    raise ValueError(
        "a probability between 0 and 1, f1, precision:P, recall:R (P, R between 0 and 1), or "
        "cost:C (C above 0)"
    )
