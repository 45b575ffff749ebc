"""Which parameters are trained: all, the head, the head and the last blocks, or adapters."""

from __future__ import annotations

from typing import Any

from torch import nn

from fairpo._checks import type_error, value_error
from fairpo._optional import require

_NORMS = (nn.modules.batchnorm._BatchNorm,)


def with_trainable(model: Any, trainable: str, peft_config: Any) -> Any:
    """Put adapters on a model where they are given, freeze what is not to be trained otherwise.

    Raises
    ------
    FairPOError
        Adapters beside a ``trainable`` that is not "all", twice, or not of peft.
    """
    if peft_config is None and not has_adapters(model):
        freeze(model, trainable)
        return model
    if trainable != "all":
        raise value_error(
            "trainable", must="be 'all' with adapters, which decide it", got=repr(trainable)
        )
    if peft_config is None:
        return model
    if has_adapters(model):
        raise value_error(
            "peft_config", must="be left out for a model that has adapters", got="a configuration"
        )
    peft = require("peft", extra="vision", purpose="adapters")
    if not isinstance(peft_config, peft.PeftConfig):
        raise type_error(
            "peft_config",
            must="be a peft.PeftConfig, such as peft.LoraConfig(...)",
            got=type(peft_config).__name__,
        )
    return peft.get_peft_model(model, peft_config)


def has_adapters(model: Any) -> bool:
    """Whether a model carries adapters of peft."""
    return hasattr(model, "disable_adapter")


def freeze(model: Any, trainable: str) -> None:
    """Freeze what is not to be trained.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        With a backbone, ``model.base_model``, and a head beside it.
    trainable : "all", "head" or "last:N"
        ``all`` changes nothing. ``last:N`` trains the last N blocks, what the backbone has behind
        its blocks (norms, a pooler) and the head. A block is an entry of the list of layers that
        holds most of the backbone's weights: layers of a transformer, stages of a hierarchical
        one.

    Raises
    ------
    FairPOValueError
        The backbone has no such list or fewer blocks.
    """
    if trainable == "all":
        return
    backbone = model.base_model
    if backbone is model:
        raise value_error(
            "trainable",
            must="be 'all': this model does not tell its head from its backbone",
            got=repr(trainable),
            do="Freeze by hand: parameter.requires_grad_(False).",
        )
    backbone.requires_grad_(False)
    if trainable == "head":
        return
    name, blocks = _blocks(backbone)
    n = int(trainable.partition(":")[2])
    if n > len(blocks):
        raise value_error(
            "trainable",
            must=f"be last:N with N from 1 to {len(blocks)}, the length of {name}",
            got=repr(trainable),
        )
    names = [parameter for parameter, _ in backbone.named_parameters()]
    first_trained = next(
        index
        for index, parameter in enumerate(names)
        if parameter.startswith(_entry(name, -n, blocks))
    )
    for parameter in names[first_trained:]:
        backbone.get_parameter(parameter).requires_grad_(True)


def keep_frozen_statistics(model: nn.Module) -> None:
    """Put batch norms without a trained parameter in evaluation mode: frozen means frozen."""
    for module in model.modules():
        if isinstance(module, _NORMS) and not any(p.requires_grad for p in module.parameters()):
            module.eval()


def _entry(name: str, index: int, blocks: nn.ModuleList) -> str:
    return f"{name}.{index % len(blocks)}."


def _blocks(backbone: nn.Module) -> tuple[str, nn.ModuleList]:
    """The outermost list of layers that holds most weights: its name and itself."""
    lists = {
        name: module
        for name, module in backbone.named_modules()
        if isinstance(module, nn.ModuleList)
    }
    outermost = {
        name: module
        for name, module in lists.items()
        if not any(name.startswith(f"{other}.") for other in lists if other != name)
    }
    if not outermost:
        raise value_error(
            "trainable",
            must="be 'all' or 'head': this backbone has no list of layers",
            got="last:N",
            do=f"Its parts are {', '.join(name for name, _ in backbone.named_children())}.",
        )
    name = max(outermost, key=lambda name: sum(p.numel() for p in outermost[name].parameters()))
    return name, outermost[name]
