"""References as files: a trained one, from which methods start, and a closed form."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from fairpo._checks import FairPOFileError
from fairpo.data.base import MultiLabelData
from fairpo.models.checkpoint import read_metadata, read_weights, write_weights
from fairpo.models.head import HeadSettings, Policy
from fairpo.training.loop import Training
from fairpo.training.reference import Reference, head_reference
from fairpo.training.reference_scores import HeadScores
from fairpo.training.selection import Selector
from fairpo.training.settings import TrainingSettings

_SELECTED, _LAST = "selected.", "last."
_LEFT_OUT = "left_out"


def write_reference(path: Path, reference: Reference, seconds: float) -> None:
    """Write the selected and the last weights of a reference that was trained here."""
    training = reference.training
    assert training is not None
    weights = {_SELECTED + name: value for name, value in training.selected_state.items()}
    weights |= {_LAST + name: value for name, value in training.last_state.items()}
    about = {
        "epochs": training.epochs,
        "best_epoch": training.selector.best_epoch,
        "notes": reference.notes,
        "seconds": seconds,
    }
    write_weights(path, weights, {"training": json.dumps(about)})


def holds_reference(path: Path) -> bool:
    """Whether there is a whole file of a reference; one that is torn is made again."""
    try:
        return "training" in read_metadata(path)
    except FairPOFileError:
        return False


def read_reference(
    path: Path, data: MultiLabelData, head: HeadSettings, settings: TrainingSettings
) -> Reference:
    """Read what :func:`write_reference` wrote, and score the rows of the data with it.

    Raises
    ------
    FairPOFileError
        The file is missing or not whole.
    """
    stored = read_weights(path)
    about = json.loads(read_metadata(path)["training"])
    selected, last = (
        {name.removeprefix(part): value for name, value in stored.items() if name.startswith(part)}
        for part in (_SELECTED, _LAST)
    )
    policy = Policy(data.n_features, data.n_labels, head)
    policy.load_state_dict(selected)
    selector = Selector(None, best_epoch=about["best_epoch"])
    training = Training(selector, selected, last, epochs=about["epochs"], seconds=about["seconds"])
    return head_reference(policy, data, settings, training, about["notes"])


def write_closed_form(path: Path, reference: Reference) -> None:
    """Write a reference that was solved for, with what it says of rows left out."""
    assert reference.policy is not None
    assert reference.left_out is not None
    weights = reference.policy.state_dict() | {_LEFT_OUT: torch.from_numpy(reference.left_out)}
    write_weights(path, weights, {"training": json.dumps({"notes": reference.notes})})


def read_closed_form(path: Path, data: MultiLabelData, head: HeadSettings) -> Reference:
    """Read what :func:`write_closed_form` wrote.

    Raises
    ------
    FairPOFileError
        The file is missing or not whole.
    """
    stored = read_weights(path)
    left_out = stored.pop(_LEFT_OUT).numpy()
    policy = Policy.from_state(stored, data.n_features, data.n_labels, head)
    notes = json.loads(read_metadata(path)["training"])["notes"]
    return Reference(HeadScores(policy, data.features), policy, notes=notes, left_out=left_out)
