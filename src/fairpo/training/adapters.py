"""Adapters on a model, with peft."""

from __future__ import annotations

from typing import Any

from fairpo._checks import type_error, value_error
from fairpo._optional import require


def has_adapters(model: Any) -> bool:
    """Whether a model is one of peft, whose adapters can be switched off."""
    return hasattr(model, "disable_adapter")


def with_adapters(model: Any, peft_config: Any, *, extra: str) -> Any:
    """Put adapters on a model; the rest is frozen.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    peft_config : peft.PeftConfig
    extra : str
        The extra of ``fairpo`` that brings peft.

    Raises
    ------
    FairPOValueError
        It has adapters.
    FairPOTypeError
        The configuration is none.
    """
    if has_adapters(model):
        raise value_error(
            "peft_config", must="be left out for a model that has adapters", got="a configuration"
        )
    peft = require("peft", extra=extra, purpose="adapters")
    if not isinstance(peft_config, peft.PeftConfig):
        raise type_error(
            "peft_config",
            must="be a peft.PeftConfig, such as peft.LoraConfig(...)",
            got=type(peft_config).__name__,
        )
    return peft.get_peft_model(model, peft_config)
