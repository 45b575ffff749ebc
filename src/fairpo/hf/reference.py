"""The reference of a multi-label model: its logits, and whether its labels are the policy's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fairpo._checks import value_error
from fairpo.training.reference_model import ReferenceModel, load_saved


class Reference(ReferenceModel):
    """Logits of a frozen model, which is called with a batch's inputs."""

    def logits(self, inputs: dict[str, Any]) -> Tensor:
        """Logits (batch, labels), float32."""
        logits: Tensor = self.run(lambda model: model(**inputs).logits.float())
        return logits


def saved_reference(folder: str, policy: Any, device: torch.device) -> Reference:
    """Load a saved model of the policy's class; nothing is downloaded.

    Raises
    ------
    FairPOFileError
        No such folder, or no such model in it.
    FairPOValueError
        It has other labels.
    """
    advice = "reference is 'initial', 'column' or the folder of a model."
    model = load_saved(folder, policy, advice)
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
