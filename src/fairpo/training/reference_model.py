"""The model that must not get worse: a given one, a saved one, or the policy as it began."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn

from fairpo._checks import file_error, type_error, value_error
from fairpo.models.backbone import weights_digest
from fairpo.training.adapters import has_adapters

Answer = TypeVar("Answer")


class ReferenceModel:
    """A frozen model.

    Parameters
    ----------
    model : torch.nn.Module
        Run in evaluation mode and without gradient, and left in the mode it was in.
    adapters_off : bool
        Whether the model is a policy with adapters, whose base model is the reference.
    """

    def __init__(self, model: nn.Module, *, adapters_off: bool = False) -> None:
        self._model = model
        self._adapters_off = adapters_off

    @classmethod
    def copy_of(cls, model: nn.Module) -> Self:
        """Freeze a copy."""
        return cls(copy.deepcopy(model).requires_grad_(False).eval())

    @classmethod
    def frozen(cls, model: nn.Module, device: torch.device) -> Self:
        """Freeze a model that is the caller's, on a device."""
        return cls(model.requires_grad_(False).eval().to(device))

    @classmethod
    def initial(cls, model: nn.Module, ask: Callable[[nn.Module], Tensor] | None) -> Self:
        """Take the policy as it is now.

        Parameters
        ----------
        model : torch.nn.Module
            The policy. With adapters that have changed nothing yet, its base model is used with
            the adapters off, which needs no second copy; anything else is copied.
        ask : callable, optional
            From a model to its answer to a small batch, to see whether adapters have changed
            anything; without one they are taken to.
        """
        if has_adapters(model) and ask is not None:
            off = cls(model, adapters_off=True)
            if torch.equal(off.run(ask), cls(model).run(ask)):
                return off
        return cls.copy_of(model)

    @property
    def model(self) -> nn.Module:
        """The model, adapters and all."""
        return self._model

    @torch.no_grad()
    def run(self, ask: Callable[[nn.Module], Answer]) -> Answer:
        """What the model answers, as the reference it is."""
        model: Any = self._model
        training = model.training
        off = model.disable_adapter() if self._adapters_off else contextlib.nullcontext()
        model.eval()
        with off:
            answer = ask(model)
        if training:
            model.train()
        return answer

    def digest(self) -> str:
        """Digest of its weights."""
        if not self._adapters_off:
            return weights_digest(self._model.state_dict())
        frozen = {name: p for name, p in self._model.named_parameters() if not p.requires_grad}
        return weights_digest(frozen)


def check_given(reference_model: Any, model: Any, told: str, *, must: str, config: str) -> None:
    """Refuse, of a reference given to a trainer, what is no model, the policy itself, or a second.

    Parameters
    ----------
    reference_model : object
        None where none is given.
    model : object
        The policy.
    told : str
        What the configuration says of the reference; "initial" is nothing.
    must : str
        What a reference must be, for the error.
    config : str
        Name of the configuration's class.

    Raises
    ------
    FairPOError
    """
    if reference_model is None:
        return
    if not isinstance(reference_model, nn.Module):
        raise type_error(
            "reference_model",
            must=must,
            got=type(reference_model).__name__,
            do=f"The folder of a saved model is {config}(reference=...).",
        )
    if reference_model is model:
        raise value_error(
            "reference_model",
            must="be another object than model, which is trained",
            got="the same",
            do="Leave it out: the policy as it begins is the reference then.",
        )
    if told != "initial":
        raise value_error(
            f"{config}.reference",
            must="be left out where reference_model is given",
            got=repr(told),
        )


def load_saved(folder: str, policy: Any, advice: str) -> Any:
    """Load a saved model of the policy's class; nothing is downloaded.

    Parameters
    ----------
    folder : str
    policy : transformers.PreTrainedModel or peft.PeftModel
    advice : str
        What else may be said in place of a folder.

    Raises
    ------
    FairPOFileError
        No such folder, or no such model in it.
    """
    if not Path(folder).is_dir():
        raise file_error(folder, "is not a folder", advice)
    kind = type(policy.get_base_model() if hasattr(policy, "get_base_model") else policy)
    if (Path(folder) / "adapter_config.json").is_file():
        raise file_error(
            folder,
            "holds adapters, not a whole model",
            "Load it with peft and give it as reference_model.",
        )
    try:
        model, found = kind.from_pretrained(
            folder,
            attn_implementation=policy.config._attn_implementation,  # to round as it does
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:  # transformers raises errors of many kinds here
        reason = str(error).strip().splitlines()[0][:200]
        raise file_error(folder, f"is not a saved {kind.__name__} ({reason})") from error
    lost = sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]]))
    if lost:
        raise file_error(folder, f"is not a saved {kind.__name__}: it lacks {', '.join(lost[:3])}")
    return model
