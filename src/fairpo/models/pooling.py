"""From the last layer of a model to one vector an input."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from fairpo._checks import value_error

POOLINGS = ("cls", "mean")


class Pooling:
    """How the last layer of a model of transformers is pooled.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    kind : "image" or "text"
        What it reads.
    name : str
        What errors call it.
    how : "cls" or "mean", optional
        The first token, or the mean of all: of the patches of an image, of a text's tokens without
        padding. Images take "cls" where the model has such a token, texts "mean". The map of a
        convolutional network is averaged.

    Raises
    ------
    FairPOValueError
        There is no such pooling, or no such token.
    """

    def __init__(
        self, model: Any, kind: Literal["image", "text"], name: str, how: str | None = None
    ) -> None:
        self._prefix = _tokens_before_patches(model) if kind == "image" else 0
        has_cls = kind == "text" or self._prefix > 0
        if how not in (None, *POOLINGS):
            raise value_error("pooling", must=f"be one of {', '.join(POOLINGS)}", got=repr(how))
        if how == "cls" and not has_cls:
            raise value_error(
                "pooling", must="be mean", got="'cls'", do=f"{name} has no class token."
            )
        self.how = how or ("cls" if kind == "image" and has_cls else "mean")

    def __call__(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool (batch, tokens, width) or (batch, width, height, width of the map)."""
        if states.ndim == 4:  # a convolutional network's map
            return states.mean((2, 3))
        if self.how == "cls":
            return states[:, 0]
        if mask is None:
            return states[:, self._prefix :].mean(1)
        weight = mask.unsqueeze(2).to(states.dtype)
        return (states * weight).sum(1) / weight.sum(1).clamp(min=1)


def _tokens_before_patches(model: Any) -> int:
    """Number of class, register and distillation tokens in front of the patches of an image."""
    names = {parameter for parameter, _ in model.named_parameters()}
    extra = [n for n in names if n.endswith(("cls_token", "class_embedding", "distillation_token"))]
    registers = int(getattr(model.config, "num_register_tokens", 0) or 0)
    return len(extra) + (registers if extra else 0)
