"""One training of the suite: from settings to scores in a file."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fairpo._checks import build_settings
from fairpo.data.base import MultiLabelData, feature_rows
from fairpo.experiments.rare_labels.ridge import RidgeRegression
from fairpo.experiments.rare_labels.scratch import train_from_scratch
from fairpo.experiments.rare_labels.soap import train_soap
from fairpo.experiments.rare_labels.suite import RareLabelSet
from fairpo.experiments.rare_labels.trials import OURS, PAPER, RIDGE, SOAP, settings_of
from fairpo.experiments.references import holds_reference, read_reference, write_reference
from fairpo.metrics import average_precision
from fairpo.models.checkpoint import read_metadata, read_weights, write_weights
from fairpo.models.head import HeadSettings, Policy
from fairpo.objectives.catalogue import CLOSED_FORM, REFERENCE
from fairpo.training.fit import make_reference, train_method
from fairpo.training.reference import Reference
from fairpo.training.rows import feature_moments, predict_logits, training_rows
from fairpo.training.selection import ValidationScores
from fairpo.training.settings import TrainingSettings


class Unit(NamedTuple):
    """A training: which method, head, trial of settings, seed and fold; the last of them is final.

    Of a final one the test rows are scored as well.
    """

    method: str
    head: str = ""
    trial: int = 0
    seed: int = 0
    fold: int = 0
    final: bool = False

    @property
    def stem(self) -> str:
        """Name of its file."""
        parts = (self.method, self.head, f"trial{self.trial}", f"seed{self.seed}")
        return "-".join(part for part in (*parts, f"fold{self.fold}") if part) + (
            "-final" if self.final else ""
        )


class Scored(NamedTuple):
    """What is left of a training.

    Attributes
    ----------
    validation : float32 array, shape (rows of the fold, L)
    test : float32 array, shape (rows, L), or None
        Only of final ones.
    about : dict
        ``seconds`` of the processor, ``settings``, ``fell_back``, ``epochs``; of references
        ``in_sample`` and ``left_out``, what they say of their training rows.
    """

    validation: NDArray[np.float32]
    test: NDArray[np.float32] | None
    about: dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """A set, and where its trainings are kept.

    Parameters
    ----------
    subject : RareLabelSet
    folder : Path
    references : mapping from head to trial
        The settings chosen for the references.
    """

    subject: RareLabelSet
    folder: Path
    references: Mapping[str, int]

    def path(self, unit: Unit) -> Path:
        """File of a training."""
        return self.folder / f"{unit.stem}.safetensors"

    def is_done(self, unit: Unit) -> bool:
        """Whether its file is there; files are whole or absent."""
        return self.path(unit).is_file() and (
            not (unit.method == REFERENCE and (unit.final or unit.fold))
            or holds_reference(self.reference_path(unit))
        )

    def read(self, unit: Unit) -> Scored:
        """Read what a training left."""
        stored = {name: value.numpy() for name, value in read_weights(self.path(unit)).items()}
        about = json.loads(read_metadata(self.path(unit))["about"])
        return Scored(stored["validation"], stored.get("test"), about)

    def reference_path(self, unit: Unit) -> Path:
        """File of the reference with the head, the seed and the fold of a training."""
        trial = unit.trial if unit.method == REFERENCE else self.references[unit.head]
        name = f"{unit.head}-trial{trial}-seed{unit.seed}-fold{unit.fold}.safetensors"
        return self.folder / "references" / name

    def scores(self, units: list[Unit]) -> ValidationScores:
        """Validation scores of trainings: means over seeds, then over folds.

        Scores of different models are never ranked together.
        """
        by_fold: dict[int, list[ValidationScores]] = {}
        for unit in units:
            data = self.subject.folds[unit.fold]
            truth = data.targets_of(data.rows("validation"))
            own = ValidationScores.from_logits(
                self.read(unit).validation, truth, self.subject.groups
            )
            by_fold.setdefault(unit.fold, []).append(own)
        folds = [
            np.mean([(own.privileged, own.non_privileged, own.overall) for own in scores], axis=0)
            for scores in by_fold.values()
        ]
        return ValidationScores(*np.nanmean(folds, axis=0).tolist())


def run_unit(bench: Bench, unit: Unit) -> None:
    """Train, and write the scores."""
    torch.set_num_threads(1)
    data = bench.subject.folds[unit.fold]
    settings = settings_of(unit.method, unit.trial)
    start = time.process_time()
    score, about = _TRAINED.get(unit.method, _continued)(bench, unit, data, settings)
    about = {"seconds": time.process_time() - start, **about, "settings": settings}
    scores = {"validation": score("validation")}
    if unit.final:
        scores["test"] = score("test")
    tensors = {name: torch.from_numpy(values) for name, values in scores.items()}
    write_weights(bench.path(unit), tensors, {"about": json.dumps(about)})


def _ridge(bench: Bench, unit: Unit, data: MultiLabelData, settings: dict[str, Any]) -> Any:
    rows = data.rows("train")
    mean, deviation = feature_moments(data.features, rows)
    scale = deviation if settings["scaling"] == "standard" else np.ones_like(deviation)

    def scaled(part: NDArray[np.int64]) -> NDArray[np.float32]:
        return (np.asarray(feature_rows(data.features, part), dtype=np.float32) - mean) / scale

    model = RidgeRegression(scaled(rows), data.targets_of(rows), settings["penalty"])
    return lambda split: model.logits(scaled(data.rows(split))), {}


def _reference(bench: Bench, unit: Unit, data: MultiLabelData, settings: dict[str, Any]) -> Any:
    training, head = _settings(bench, unit, {})
    start = time.process_time()
    reference = make_reference(REFERENCE, data, head, training)
    seconds = time.process_time() - start
    if unit.final or unit.fold:
        path = bench.reference_path(unit)
        path.parent.mkdir(exist_ok=True)
        write_reference(path, reference, seconds)
    assert reference.training is not None
    about: dict[str, Any] = {"epochs": len(reference.training.epochs), "seconds": seconds}
    if unit.final:
        about["in_sample"] = _own_rows(bench, data, reference.logits[data.rows("train")])
    return lambda split: np.asarray(reference.logits[data.rows(split)]), about


def _soap(bench: Bench, unit: Unit, data: MultiLabelData, settings: dict[str, Any]) -> Any:
    memory = {name: value for name, value in settings.items() if name == "memory"}
    rest = {name: value for name, value in settings.items() if name != "memory"}
    training, head = _settings(bench, unit, rest)
    reference = read_reference(bench.reference_path(unit), data, head, training)
    policy, selector, epochs = train_soap(data, reference, bench.subject.groups, training, **memory)
    return _scores(policy, data), {"epochs": epochs, "fell_back": selector.fell_back}


def _ours(bench: Bench, unit: Unit, data: MultiLabelData, settings: dict[str, Any]) -> Any:
    training, head = TrainingSettings(seed=unit.seed), HeadSettings()
    reference = make_reference(CLOSED_FORM, data, head, training)
    options = {name: value for name, value in settings.items() if name != "in_sample"}
    if settings.get("in_sample"):
        reference.left_out = np.asarray(reference.logits[data.rows("train")])
    return _trained(bench, unit, data, reference, training, options)


def _closed_form(bench: Bench, unit: Unit, data: MultiLabelData, settings: dict[str, Any]) -> Any:
    training, head = TrainingSettings(seed=unit.seed), HeadSettings()
    reference = make_reference(CLOSED_FORM, data, head, training)
    about = {
        "in_sample": _own_rows(bench, data, reference.logits[data.rows("train")]),
        "left_out": _own_rows(bench, data, reference.left_out),
    }
    return lambda split: np.asarray(reference.logits[data.rows(split)]), about


def _own_rows(bench: Bench, data: MultiLabelData, logits: Any) -> dict[str, float]:
    """What scores say of privileged labels on the training rows.

    Their mAP, and of the entries that apply the share with a negative of its row above (Eq. 8).
    """
    truth, privileged = data.targets_of(data.rows("train")), bench.subject.groups.privileged
    scores = np.asarray(logits)
    highest = np.where(truth == 0, scores, -np.inf).max(1, keepdims=True)
    positive = truth[:, privileged] == 1
    precision = average_precision(scores[:, privileged], truth[:, privileged])
    return {
        "map": float(np.nanmean(precision)),
        "confused": float((highest >= scores[:, privileged])[positive].mean()),
    }


def _continued(bench: Bench, unit: Unit, data: MultiLabelData, settings: dict[str, Any]) -> Any:
    of_training = {k: v for k, v in settings.items() if k in TrainingSettings.model_fields}
    options = {k: v for k, v in settings.items() if k not in of_training}
    training, head = _settings(bench, unit, of_training)
    reference = read_reference(bench.reference_path(unit), data, head, training)
    if options.pop("from_scratch", False):
        policy, selector, epochs = train_from_scratch(
            data, reference, bench.subject.groups, unit.method, training, options
        )
        return _scores(policy, data), {"epochs": epochs, "fell_back": selector.fell_back}
    return _trained(bench, unit, data, reference, training, options)


def _paper(bench: Bench, unit: Unit, data: MultiLabelData, settings: dict[str, Any]) -> Any:
    """Where the paper's form ends, from cross-entropy as it comes."""
    bench = replace(bench, references={unit.head: 0})
    training, head = _settings(bench, unit, settings)
    reference = read_reference(bench.reference_path(unit), data, head, training)
    fitted = train_method(data, reference, bench.subject.groups, unit.method, training)
    return _scores(fitted.last_policy(), data), {"epochs": len(fitted.training.epochs)}


_TRAINED = {
    RIDGE: _ridge,
    REFERENCE: _reference,
    SOAP: _soap,
    OURS: _ours,
    PAPER: _paper,
    CLOSED_FORM: _closed_form,
}


def _trained(
    bench: Bench,
    unit: Unit,
    data: MultiLabelData,
    reference: Reference,
    training: TrainingSettings,
    options: dict[str, Any],
) -> Any:
    fitted = train_method(
        data, reference, bench.subject.groups, unit.method, training, options=options
    )
    about = {"epochs": len(fitted.training.epochs), "fell_back": fitted.fell_back}
    return _scores(fitted.policy, data), {**about, "notes": fitted.notes}


def _scores(policy: Policy, data: MultiLabelData) -> Any:
    return lambda split: predict_logits(policy, training_rows(data, split))


def _settings(
    bench: Bench, unit: Unit, own: Mapping[str, Any]
) -> tuple[TrainingSettings, HeadSettings]:
    """Settings of a training: those chosen for its reference, and its own over them."""
    trial = unit.trial if unit.method == REFERENCE else bench.references[unit.head]
    values = settings_of(REFERENCE, trial)
    shape: dict[str, Any] = {n: values[n] for n in ("dropout", "scaling") if n in values}
    if "hidden" in values:
        shape["hidden"] = (values["hidden"],)
    training = {k: v for k, v in values.items() if k in TrainingSettings.model_fields}
    return (
        build_settings(TrainingSettings, {**training, **own, "seed": unit.seed}).filled(),
        build_settings(HeadSettings, {**shape, "kind": unit.head}),
    )
