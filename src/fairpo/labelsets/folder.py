"""A set generator on disk: a folder of weights, names and settings, sealed by checksums.

``config.yaml``, ``model.safetensors``, ``reference.safetensors``, ``labels.json``,
``features.json``, ``history.jsonl`` and ``checksums.json``: the files of a run, without pickle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from fairpo._checks import file_error
from fairpo._files import write_atomic
from fairpo.data.base import FeatureName
from fairpo.data.options import DataOptions
from fairpo.groups import LabelGroup, LabelGroups
from fairpo.labelsets.generator import GeneratorSettings, LabelSetGenerator
from fairpo.labelsets.settings import SetTrainingSettings
from fairpo.models.checkpoint import (
    load_weights,
    read_json,
    verify_checksums,
    write_json,
    write_weights,
)
from fairpo.training.run import CONFIG, FEATURES, write_folder, write_jsonl

_TRAIN = "Give a folder that `fairpo labelsets train` or a generator's `save` wrote."


class SetRunConfig(BaseModel):
    """Everything needed to rebuild a set generator, and to train it again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["labelsets"] = "labelsets"
    version: str
    method: str
    options: dict[str, Any] = {}
    privileged: str
    data: str = ""
    data_options: DataOptions = DataOptions()
    n_features: int
    n_labels: int
    generator: GeneratorSettings
    training: SetTrainingSettings


@dataclass(frozen=True)
class SetRun:
    """A trained set generator with its reference.

    Parameters
    ----------
    config : SetRunConfig
    label_names : tuple of str
    groups : LabelGroups
    generator, reference : LabelSetGenerator
        In eval mode.
    feature_names : tuple of FeatureName or None
        Where it was trained on a table.
    backbone : dict or None
        What made the features, where it was trained on a store of embeddings.
    history : list of dict
        One record an epoch of the reference and then of the method; none in a loaded run.
    notes : list of str
        What the user should know about the training; none in a loaded run.
    """

    config: SetRunConfig
    label_names: tuple[str, ...]
    groups: LabelGroups
    generator: LabelSetGenerator
    reference: LabelSetGenerator
    feature_names: tuple[FeatureName, ...] | None = None
    backbone: dict[str, Any] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def save_set_run(folder: str | Path, run: SetRun, *, overwrite: bool = False) -> None:
    """Write a set generator; the folder is there whole or not at all.

    Raises
    ------
    FairPOFileError
        The folder is not empty and ``overwrite`` is false, or it cannot be written.
    """

    def fill(temporary: Path) -> None:
        text = yaml.safe_dump(
            run.config.model_dump(mode="json"), sort_keys=False, allow_unicode=True
        )
        write_atomic(temporary / CONFIG, text.encode())
        groups = [
            {"name": group.name, "role": group.role, "indices": list(group.indices)}
            for group in run.groups.groups
        ]
        names = {"label_names": list(run.label_names), "groups": groups}
        write_json(temporary / "labels.json", names)
        columns = None
        if run.feature_names is not None:
            columns = [list(name) for name in run.feature_names]
        write_json(temporary / FEATURES, {"names": columns, "backbone": run.backbone})
        write_weights(temporary / "model.safetensors", run.generator.state_dict())
        write_weights(temporary / "reference.safetensors", run.reference.state_dict())
        write_jsonl(temporary / "history.jsonl", [_defined(row) for row in run.history])

    write_folder(Path(folder), fill, overwrite=overwrite)


def load_set_run(folder: str | Path) -> SetRun:
    """Load a set generator; what it says is identical to what the saved one said.

    Raises
    ------
    FairPOFileError
        The folder does not hold a set generator, or one of its files is missing, truncated or
        altered; says which.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        raise file_error(folder, "does not hold a set generator", _TRAIN)
    verify_checksums(folder)
    try:
        values = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise file_error(folder / CONFIG, f"cannot be read ({error})") from error
    if not isinstance(values, dict) or values.get("kind") != "labelsets":
        raise file_error(folder, "holds another kind of run, not a set generator", _TRAIN)
    try:
        config = SetRunConfig(**values)
    except ValidationError as error:
        raise file_error(folder / CONFIG, f"is not a set generator's ({error})") from error
    labels = read_json(folder / "labels.json")
    made = read_json(folder / FEATURES)
    groups = [
        LabelGroup(item["name"], tuple(item["indices"]), item["role"]) for item in labels["groups"]
    ]
    networks = []
    for name in ("model", "reference"):
        network = LabelSetGenerator(config.n_features, config.n_labels, config.generator)
        load_weights(network, folder / f"{name}.safetensors")
        networks.append(network.eval())
    return SetRun(
        config,
        tuple(labels["label_names"]),
        LabelGroups(groups, config.n_labels),
        networks[0],
        networks[1],
        tuple(FeatureName(*name) for name in made["names"]) if made["names"] else None,
        made["backbone"],
    )


def _defined(record: dict[str, Any]) -> dict[str, Any]:
    """Leave out what was not defined in an epoch, such as the loss of a group without pairs."""
    return {
        name: value
        for name, value in record.items()
        if not (isinstance(value, float) and math.isnan(value))
    }
