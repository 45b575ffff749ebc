"""The model that must not get worse: a given one, a saved one, or the policy as it began."""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from fairpo._checks import file_error, value_error
from fairpo.models.backbone import weights_digest


class Reference:
    """Logits of a frozen model.

    Parameters
    ----------
    model : torch.nn.Module
        Called with a batch's inputs; its output has ``logits``. Run in evaluation mode and without
        gradient, and left in the mode it was in.
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

    @torch.no_grad()
    def logits(self, inputs: dict[str, Any]) -> Tensor:
        """Logits (batch, labels), float32."""
        model: Any = self._model
        training = model.training
        off = model.disable_adapter() if self._adapters_off else contextlib.nullcontext()
        model.eval()
        with off:
            logits: Tensor = model(**inputs).logits.float()
        if training:
            model.train()
        return logits

    def digest(self) -> str:
        """Digest of its weights."""
        if not self._adapters_off:
            return weights_digest(self._model.state_dict())
        frozen = {name: p for name, p in self._model.named_parameters() if not p.requires_grad}
        return weights_digest(frozen)


def initial_reference(model: nn.Module, example: dict[str, Any] | None) -> Reference:
    """Take the policy as it is now.

    Parameters
    ----------
    model : torch.nn.Module
        The policy. With adapters that have changed nothing yet, its base model is used with the
        adapters off, which needs no second copy; anything else is copied.
    example : mapping, optional
        Inputs of a small batch, to see whether adapters have changed anything; without one they
        are taken to.
    """
    if hasattr(model, "disable_adapter") and example is not None:
        off = Reference(model, adapters_off=True)
        if torch.equal(off.logits(example), Reference(model).logits(example)):
            return off
    return Reference.copy_of(model)


def saved_reference(folder: str, policy: Any, device: torch.device) -> Reference:
    """Load a saved model of the policy's class; nothing is downloaded.

    Raises
    ------
    FairPOFileError
        No such folder, or no such model in it.
    FairPOValueError
        It has other labels.
    """
    if not Path(folder).is_dir():
        raise file_error(
            folder, "is not a folder", "reference is 'initial', 'column' or the folder of a model."
        )
    kind = type(policy.get_base_model() if hasattr(policy, "get_base_model") else policy)
    if (Path(folder) / "adapter_config.json").is_file():
        raise file_error(
            folder,
            "holds adapters, not a whole model",
            "Load it with peft and give it as reference_model.",
        )
    try:
        model, found = kind.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except Exception as error:  # transformers raises errors of many kinds here
        reason = str(error).strip().splitlines()[0][:200]
        raise file_error(folder, f"is not a saved {kind.__name__} ({reason})") from error
    lost = sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]]))
    if lost:
        raise file_error(folder, f"is not a saved {kind.__name__}: it lacks {', '.join(lost[:3])}")
    check_same_labels(model, policy)
    return Reference.frozen(model, device)


def check_same_labels(reference: Any, policy: Any) -> None:
    """Refuse a reference whose labels are not the policy's, by number or by name."""
    theirs: Any = getattr(reference, "config", None)
    ours = policy.config
    if theirs is None:  # any module that returns logits will do
        return
    if theirs.num_labels != ours.num_labels or theirs.id2label != ours.id2label:
        raise value_error(
            "the labels of the reference",
            must=f"be those of the model: {_shown(ours)}",
            got=_shown(theirs),
        )


def _shown(config: Any) -> str:
    names = [str(config.id2label[index]) for index in sorted(config.id2label)]
    more = ", ..." if len(names) > 5 else ""
    return f"{len(names)} ({', '.join(names[:5])}{more})"
