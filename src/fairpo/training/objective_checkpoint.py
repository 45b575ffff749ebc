"""The objective's state beside a checkpoint of ``transformers.Trainer``, which it seals.

Two files, ``fairpo_objective.safetensors`` and ``fairpo_objective.json``. The second is written
after weights, optimizer, scheduler and generators of every process, and lists their sizes; only
``trainer_state.json`` comes after it. A folder is complete if all of that is there.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

import fairpo
from fairpo._checks import FairPOFileError, FairPOWarning, file_error, value_error
from fairpo.models.checkpoint import read_json, read_weights, write_json, write_weights

TENSORS = "fairpo_objective.safetensors"
SEAL = "fairpo_objective.json"
_LAST = "trainer_state.json"
_FOLDER = re.compile(r"checkpoint-(\d+)")


def seal_checkpoint(
    folder: Path, step: int, tensors: Mapping[str, Tensor], identity: Mapping[str, Any]
) -> None:
    """Write the state and seal the folder.

    Parameters
    ----------
    folder : Path
        With everything of the checkpoint but ``trainer_state.json``.
    step : int
        Optimizer steps so far.
    tensors : mapping
        Everything the objective needs to go on.
    identity : mapping
        What a training that goes on must have in common with this one; JSON.
    """
    write_weights(folder / TENSORS, tensors)
    sizes = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (SEAL, _LAST)
    }
    about = {"fairpo": fairpo.__version__, "step": step, "identity": dict(identity)}
    write_json(folder / SEAL, {**about, "files": sizes})


def read_checkpoint(folder: Path, identity: Mapping[str, Any]) -> dict[str, Tensor]:
    """Read the state of a complete checkpoint that fits.

    Parameters
    ----------
    folder : Path
    identity : mapping
        Of this training; see :func:`seal_checkpoint`.

    Raises
    ------
    FairPOFileError
        The folder holds no such state, or is not complete.
    FairPOValueError
        It belongs to a training with other groups, another reference, or the like.
    """
    fault = what_is_missing(folder)
    if fault:
        raise file_error(
            folder,
            f"is not a complete checkpoint of this trainer ({fault})",
            "resume_from_checkpoint=True takes the newest complete one of output_dir.",
        )
    written = read_json(folder / SEAL)["identity"]
    for key, value in identity.items():
        then = written.get(key)
        if then == value:
            continue
        if isinstance(value, dict) and isinstance(then, dict):
            changed = next(k for k in (*value, *then) if value.get(k) != then.get(k))
            key, then, value = f"{key} ({changed})", then.get(changed), value.get(changed)
        raise value_error(
            f"the {key} of a training that goes on from {folder}",
            must=f"be the checkpoint's, {_shown(then)}",
            got=_shown(value),
            do="Build the trainer as it was built at the start, from the same model.",
        )
    return read_weights(folder / TENSORS)


def _shown(value: Any) -> str:
    if isinstance(value, list) and len(value) > 5:
        return f"{len(value)}: {', '.join(map(str, value[:5]))}, ..."
    return repr(value)


def newest_checkpoint(folder: Path) -> Path:
    """Newest complete checkpoint of an output folder; tells of newer ones that are not.

    Raises
    ------
    FairPOFileError
        There is none.
    """
    found = [path for path in folder.glob("checkpoint-*") if _FOLDER.fullmatch(path.name)]
    found.sort(key=lambda path: int(path.name.partition("-")[2]), reverse=True)
    for index, path in enumerate(found):
        if what_is_missing(path):
            continue
        for newer in found[:index]:
            warnings.warn(
                f"{newer} is not complete ({what_is_missing(newer)}) and is passed over: training "
                f"goes on from {path}.",
                FairPOWarning,
                stacklevel=2,
            )
        return path
    raise file_error(
        folder, "holds no complete checkpoint of this trainer", "Train without resume first."
    )


def what_is_missing(folder: Path) -> str:
    """Say why a checkpoint is not complete; empty where it is."""
    if not folder.is_dir():
        return "there is no such folder"
    if not (folder / SEAL).is_file():
        return f"{SEAL}, the objective's state, is missing"
    try:
        seal = read_json(folder / SEAL)
        for name, size in seal["files"].items():
            if not (folder / name).is_file() or (folder / name).stat().st_size != size:
                return f"{name} is missing or truncated"
        if read_json(folder / _LAST)["global_step"] != seal["step"]:
            return f"{_LAST} is of another step"
    except (FairPOFileError, KeyError, TypeError, AttributeError) as error:
        return f"a file cannot be read: {error}"
    return ""
