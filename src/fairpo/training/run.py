"""A run on disk: a folder of weights, names, settings and results, sealed by checksums.

``config.yaml``, ``model.safetensors``, ``reference.safetensors``, ``decisions.safetensors``,
``labels.json``, ``metrics.json``, ``history.jsonl``, ``results.jsonl``, ``report.html`` and
``checksums.json``.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict
from scipy import sparse

from fairpo._checks import (
    FairPOFileError,
    FairPOValueError,
    build_settings,
    check_finite,
    file_error,
    value_error,
)
from fairpo._files import write_atomic
from fairpo.data.base import (
    FeatureName,
    Features,
    MultiLabelData,
    block_rows,
    feature_rows,
)
from fairpo.data.options import DataOptions
from fairpo.data.store import StoredFeatures
from fairpo.decisions import DecisionRule, DecisionSettings
from fairpo.groups import LabelGroup, LabelGroups
from fairpo.models.checkpoint import (
    CHECKSUMS,
    read_json,
    read_weights,
    verify_checksums,
    write_checksums,
    write_json,
    write_weights,
)
from fairpo.models.head import HeadSettings, Policy
from fairpo.training.fitted import FittedMethod
from fairpo.training.reference import Reference
from fairpo.training.settings import TrainingSettings

CONFIG = "config.yaml"
METRICS = "metrics.json"
UNFINISHED = "unfinished"
"""Folder inside a run that holds what a training under way has reached."""

FEATURES = "features.json"
DECISIONS = "decisions.safetensors"


class RunDecisions(NamedTuple):
    """How the logits of a run's model, and of its reference, become decisions."""

    model: DecisionRule
    reference: DecisionRule


class LogitBlock(NamedTuple):
    """Numbers of some rows, (m,), and their logits, (m, L)."""

    rows: NDArray[np.int64]
    logits: NDArray[np.float64]


class RunConfig(BaseModel):
    """Everything needed to rebuild the model of a run and to run it again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    method: str
    preset: str = "paper-v1"
    options: dict[str, Any] = {}
    privileged: str
    data: str
    data_options: DataOptions = DataOptions()
    data_fingerprint: str
    n_features: int
    n_labels: int
    residual: bool = False
    head: HeadSettings = HeadSettings()
    training: TrainingSettings = TrainingSettings()
    # Runs of before decisions were fitted took logits as they are.
    decisions: DecisionSettings = DecisionSettings(recalibration="none")
    reference: str | None = None
    reference_kind: str = "logits"


@dataclass(frozen=True)
class Run:
    """A loaded run.

    Parameters
    ----------
    folder : Path
    config : RunConfig
    label_names : tuple of str
    groups : LabelGroups
    policy : Policy
        In eval mode.
    reference : Policy or None
        ``None`` where the reference was scores only.
    reference_logits : float32 array, shape (n, L), or None
        Those scores, for the rows of the run's data set.
    decisions : RunDecisions
        Of the model and of the reference, fitted on validation rows. The identity in runs of
        before there were any, and where labels are sampled.
    feature_names : tuple of FeatureName or None
        Where the run was trained on a table.
    backbone : dict or None
        What made the features, where the run was trained on a store of embeddings.
    """

    folder: Path
    config: RunConfig
    label_names: tuple[str, ...]
    groups: LabelGroups
    policy: Policy
    reference: Policy | None
    reference_logits: NDArray[np.float32] | None
    decisions: RunDecisions
    feature_names: tuple[FeatureName, ...] | None = None
    backbone: dict[str, Any] | None = None

    def predict_logits(
        self,
        features: ArrayLike | Features,
        reference_logits: ArrayLike | None = None,
        *,
        rows: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float64]:
        """Logits (rows, labels) for features (rows, n_features), as the network gives them.

        Parameters
        ----------
        features : array, CSR or store, shape (rows, n_features)
        reference_logits : array, shape (rows, labels), optional
            Needed where the run is a residual on scores of another model, and only there.
        rows : int array, optional
            Only these rows, read block by block; all when not given.

        Raises
        ------
        FairPOValueError
            Wrong shapes, NaN or infinity, or missing reference scores.
        """
        return exact_logits(self.policy, *self._inputs(features, reference_logits), rows)

    def logit_blocks(
        self,
        features: ArrayLike | Features,
        reference_logits: ArrayLike | None = None,
        *,
        rows: NDArray[np.int64] | None = None,
    ) -> Iterator[LogitBlock]:
        """Logits block by block, so that many rows of many labels need the memory of a block.

        Parameters and errors as for :meth:`predict_logits`; errors come before the first block.
        """
        return exact_logit_blocks(self.policy, *self._inputs(features, reference_logits), rows)

    def _inputs(
        self, features: ArrayLike | Features, reference_logits: ArrayLike | None
    ) -> tuple[Features, ArrayLike | None]:
        """Check features and, where the run is a residual, reference scores."""
        by_block = sparse.issparse(features) or isinstance(features, StoredFeatures)
        array: Any = features if by_block else np.asarray(features)
        if array.ndim != 2 or array.shape[1] != self.config.n_features:
            raise value_error(
                "X", must=f"have shape (rows, {self.config.n_features})", got=array.shape
            )
        if isinstance(array, np.ndarray):
            check_finite(array, "X")
        if self.config.residual and reference_logits is None:
            raise value_error(
                "reference scores",
                must="be given: this run is a residual on the scores of another model",
                got="none",
                do="Give its scores for these rows (--reference scores.npy).",
            )
        if not self.config.residual and reference_logits is not None:
            raise value_error(
                "reference scores",
                must="be left out: this run has a reference of its own, or needs none",
                got="some",
            )
        expected = (array.shape[0], len(self.label_names))
        if reference_logits is not None and np.shape(reference_logits) != expected:
            raise value_error(
                "reference scores",
                must=f"have shape {expected}, a row for each row of the data",
                got=np.shape(reference_logits),
            )
        return array, reference_logits

    def predict_proba(
        self, features: ArrayLike | Features, reference_logits: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Recalibrated probabilities (rows, labels)."""
        logits = self.predict_logits(features, reference_logits)
        return self.decisions.model.probabilities(logits)

    def predict(
        self, features: ArrayLike | Features, reference_logits: ArrayLike | None = None
    ) -> NDArray[np.bool_]:
        """Labels (rows, labels) whose recalibrated logit is above their threshold."""
        return self.decisions.model.decide(self.predict_logits(features, reference_logits))


def exact_logits(
    policy: Policy,
    features: Features,
    reference_logits: ArrayLike | None = None,
    rows: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Logits in float64, so that a row's do not depend on the rows it is predicted with.

    Parameters
    ----------
    policy : Policy
    features : array, CSR or store, shape (n, d)
    reference_logits : array, shape (n, L), optional
    rows : int array, shape (m,), optional
        Only these rows; all when not given.

    Returns
    -------
    float64 array, shape (m, L)
    """
    n_rows = features.shape[0] if rows is None else len(rows)
    logits = np.empty((n_rows, policy.n_labels))
    start = 0
    for at, block in exact_logit_blocks(policy, features, reference_logits, rows):
        logits[start : start + len(at)] = block
        start += len(at)
    return logits


@torch.no_grad()
def exact_logit_blocks(
    policy: Policy,
    features: Features,
    reference_logits: ArrayLike | None = None,
    rows: NDArray[np.int64] | None = None,
) -> Iterator[LogitBlock]:
    """The same as :func:`exact_logits`, a block of rows after the other."""
    exact = copy.deepcopy(policy).double().eval()
    chosen = np.arange(features.shape[0]) if rows is None else rows
    known = None if reference_logits is None else np.asarray(reference_logits)
    size = block_rows(max(int(features.shape[1]), policy.n_labels))
    for start in range(0, len(chosen), size):
        at = chosen[start : start + size]
        block = torch.from_numpy(np.asarray(feature_rows(features, at), dtype=np.float64))
        scores = None if known is None else torch.from_numpy(known[at].astype(np.float64))
        yield LogitBlock(at, exact(block, scores).numpy())


def check_output(
    folder: Path, *, overwrite: bool, marks: tuple[str, ...] = (CONFIG, METRICS)
) -> None:
    """Refuse, before any work, a folder that holds something or cannot be written.

    Parameters
    ----------
    folder : Path
    overwrite : bool
        Whether a run that is there is to be replaced.
    marks : tuple of str
        Files of which any says that the folder is a run.

    Raises
    ------
    FairPOFileError
        The folder is not empty and ``overwrite`` is false, it holds something that is not a run,
        or its parent cannot be written.
    """
    check_writable(folder)
    if folder.exists() and not folder.is_dir():
        raise file_error(folder, "is a file, not a folder")
    entries = list(folder.iterdir()) if folder.is_dir() else []
    if any(not entry.name.endswith((".tmp", ".lock")) for entry in entries):
        unfinished = (folder / UNFINISHED).is_dir()
        ours = unfinished or any((folder / name).is_file() for name in marks)
        if not ours:
            raise file_error(
                folder, "is not empty and does not hold a run", "Choose another folder."
            )
        if not overwrite and unfinished:
            raise file_error(
                folder,
                "holds a run that is not finished",
                f"Go on with `fairpo train --resume {folder}`, or say --overwrite.",
            )
        if not overwrite:
            raise file_error(
                folder, "already holds a run", "Choose another folder, or say --overwrite."
            )


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written, or made.

    Raises
    ------
    FairPOFileError
    """
    try:
        parent = next(path for path in [folder, *folder.absolute().parents] if path.exists())
        writable = os.access(parent, os.W_OK)
    except PermissionError:  # to enter a folder above
        writable = False
    if not writable:
        raise file_error(folder, "cannot be written", "Choose a folder you may write to.")


def write_folder(
    folder: Path,
    fill: Callable[[Path], None],
    *,
    overwrite: bool,
    marks: tuple[str, ...] = (CONFIG, METRICS),
) -> None:
    """Write a folder so that it is there whole or not at all.

    ``fill`` writes into a folder beside it, which is sealed and then renamed into place.
    ``marks`` are those of :func:`check_output`.
    """
    check_output(folder, overwrite=overwrite, marks=marks)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        fill(temporary)
        write_checksums(temporary)
        _swap_in(temporary, folder)
    except FairPOFileError:
        raise
    except OSError as error:
        raise file_error(folder, f"cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap_in(temporary: Path, folder: Path) -> None:
    """Put a finished folder in place; an old one is deleted only when the new one stands."""
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    if folder.exists():
        folder.rename(old)
    try:
        temporary.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_run(
    folder: Path,
    config: RunConfig,
    fitted: FittedMethod,
    reference: Reference,
    data: MultiLabelData,
    decisions: RunDecisions,
) -> None:
    """Write the model part of a run on a data set into an existing folder."""
    write_config(folder, config.model_copy(update={"head": fitted.policy.settings}))
    groups = [
        {"name": group.name, "role": group.role, "indices": list(group.indices)}
        for group in fitted.groups.groups
    ]
    write_json(folder / "labels.json", {"label_names": list(data.label_names), "groups": groups})
    if data.feature_names is not None or data.backbone is not None:
        names = None if data.feature_names is None else [list(name) for name in data.feature_names]
        backbone = None if data.backbone is None else dict(data.backbone)
        write_json(folder / FEATURES, {"names": names, "backbone": backbone})
    write_weights(folder / "model.safetensors", fitted.policy.state_dict())
    if reference.policy is not None:
        write_weights(folder / "reference.safetensors", reference.policy.state_dict())
    else:
        write_weights(
            folder / "reference.safetensors",
            {"logits": torch.from_numpy(np.asarray(reference.logits))},
        )
    if not config.training.sampled_labels:  # the identity needs no file of a million labels
        write_weights(
            folder / DECISIONS,
            {
                f"{of}.{name}": torch.tensor(values)  # a copy: files hold no tensor twice
                for of, rule in decisions._asdict().items()
                for name, values in rule.to_arrays().items()
            },
        )
    write_jsonl(folder / "history.jsonl", fitted.training.epochs)


def write_config(folder: Path, config: RunConfig) -> None:
    """Write a run's settings."""
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_atomic(folder / CONFIG, text.encode())


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write one JSON object a line, atomically."""
    write_atomic(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode())


def load(folder: str | Path) -> Run:
    """Load a run; its predictions are identical to those of the model that was saved.

    Parameters
    ----------
    folder : path
        As written by ``fairpo train``.

    Raises
    ------
    FairPOFileError
        The folder is not a run, or one of its files is missing, truncated or altered; says which.
    """
    folder = Path(folder)
    if (folder / UNFINISHED).is_dir() and not (folder / CHECKSUMS).is_file():
        raise file_error(
            folder,
            "holds a run that is not finished",
            f"Go on with `fairpo train --resume {folder}`.",
        )
    if not (folder / CONFIG).is_file():
        raise file_error(folder, "does not hold a run", "Give a folder that `fairpo train` wrote.")
    verify_checksums(folder)
    config = read_config(folder)
    labels = read_json(folder / "labels.json")
    groups = LabelGroups(
        [
            LabelGroup(item["name"], tuple(item["indices"]), item["role"])
            for item in labels["groups"]
        ],
        config.n_labels,
    )
    policy = _read_policy(folder / "model.safetensors", config, residual=config.residual)
    reference, logits = None, None
    path = folder / "reference.safetensors"
    if "logits" in (stored := read_weights(path)):
        logits = stored["logits"].numpy()
    else:
        reference = _read_policy(path, config, residual=False)
    made: dict[str, Any] = {}
    if (folder / FEATURES).is_file():
        made = read_json(folder / FEATURES)
    return Run(
        folder,
        config,
        tuple(labels["label_names"]),
        groups,
        policy,
        reference,
        logits,
        _read_decisions(folder / DECISIONS, config.n_labels),
        tuple(FeatureName(*name) for name in made["names"]) if made.get("names") else None,
        made.get("backbone"),
    )


def _read_policy(path: Path, config: RunConfig, *, residual: bool) -> Policy:
    state = read_weights(path)
    try:
        policy = Policy.from_state(
            state, config.n_features, config.n_labels, config.head, residual=residual
        )
    except RuntimeError as error:
        raise file_error(path, f"does not fit the model its run describes ({error})") from error
    return policy.eval()


def _read_decisions(path: Path, n_labels: int) -> RunDecisions:
    if not path.is_file():
        return RunDecisions(DecisionRule.identity(n_labels), DecisionRule.identity(n_labels))
    arrays = {name: tensor.numpy() for name, tensor in read_weights(path).items()}
    try:
        rules = [
            DecisionRule.from_arrays(
                {
                    name.removeprefix(f"{of}."): values
                    for name, values in arrays.items()
                    if name.startswith(f"{of}.")
                }
            )
            for of in RunDecisions._fields
        ]
    except FairPOValueError as error:
        raise file_error(path, f"holds no decision rules ({error})") from error
    if any(len(rule.threshold_logits) != n_labels for rule in rules):
        raise file_error(path, f"does not fit the {n_labels} labels its run describes")
    return RunDecisions(*rules)


def read_config(folder: Path) -> RunConfig:
    """Read a run's settings."""
    path = folder / CONFIG
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise file_error(path, f"cannot be read ({error})") from error
    if isinstance(values, dict) and values.get("kind") == "labelsets":
        raise file_error(
            folder, "holds a set generator", "Read it with FairPOLabelSetGenerator.load."
        )
    return build_settings(RunConfig, values)
