"""One training of a language model, from pairs and a few words to a trained trainer."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

from fairpo._checks import FairPOError, unknown_name, value_error
from fairpo.generation.config import FairPOGenerationConfig
from fairpo.generation.preferences import PreferencePairs
from fairpo.generation.quiet import quiet_transformers
from fairpo.generation.readers import EMBEDDED
from fairpo.generation.tiny import LanguageModel
from fairpo.generation.trainer import FairPOGenerationTrainer
from fairpo.groups import LabelGroups, parse_privileged
from fairpo.objectives.pair_catalogue import get_pair_method

SFT = "sft"

QUIET = {
    "report_to": "none",
    "disable_tqdm": True,
    "save_strategy": "no",
    "dataloader_pin_memory": torch.cuda.is_available(),
}
"""Of every training here: what it finds is written by ourselves."""

OWN = ("output_dir", "method", "privileged", "per_attribute", "seed")
"""Arguments that are said elsewhere, and not among the settings."""

OF_TINY: dict[str, dict[str, Any]] = {
    SFT: {
        "learning_rate": 5e-3,
        "num_train_epochs": 10,
        "per_device_train_batch_size": 32,
        "warmup_steps": 50,
        "adam_beta2": 0.95,
    },
    "pairs": {
        "learning_rate": 2e-4,
        "num_train_epochs": 2,
        "per_device_train_batch_size": 32,
        "precompute_ref_log_probs": True,
    },
}
"""What a tiny model is trained with, unless told otherwise: chosen on the validation pairs of the
embedded task. For other models the defaults are TRL's, which suit billions of parameters."""

OF_OTHERS: dict[str, dict[str, Any]] = {SFT: {"learning_rate": 2e-5}, "pairs": {}}

OnStep = Callable[[int, int], object]


def training_arguments(
    method: str,
    settings: Mapping[str, Any],
    *,
    tiny: bool,
    folder: str | Path = "unused",
    privileged: str | None = None,
    per_attribute: bool = False,
    seed: int = 0,
) -> FairPOGenerationConfig:
    """Build the arguments of a training; settings over what is usual for the model.

    Parameters
    ----------
    method : str
        A method over pairs.
    settings : mapping
        Fields of :class:`~fairpo.generation.config.FairPOGenerationConfig`.
    tiny : bool
        Whether the model is the tiny one.
    folder : path
        Where a training may leave what it needs on the way.
    privileged, per_attribute, seed
        As there.

    Raises
    ------
    FairPOValueError
        An unknown setting, one that is said elsewhere, or a value out of range.
    """
    fields = {one.name: one for one in dataclasses.fields(FairPOGenerationConfig) if one.init}
    for name in settings:
        if name in OWN:
            raise value_error(f"setting {name!r}", must="be said by its own option", got="--set")
        if name not in fields:
            raise unknown_name("setting", name, fields, of="settings of a training")
    kind = SFT if method == SFT else "pairs"
    values = {**QUIET, **(OF_TINY if tiny else OF_OTHERS)[kind]}
    values |= {name: _number(name, value, fields[name].default) for name, value in settings.items()}
    given: dict[str, Any] = {
        "method": method,
        "privileged": privileged,
        "per_attribute": per_attribute,
    }
    try:
        return FairPOGenerationConfig(str(folder), seed=seed, **given, **values)
    except FairPOError:
        raise
    except (TypeError, ValueError, ImportError) as error:  # of transformers' own checks
        raise value_error(
            "the settings of the training", must="be what transformers takes", got=str(error)
        ) from error


def check_privileged(method: str, privileged: str | None) -> None:
    """Refuse, before any work, a method that knows groups without privileged attributes.

    Raises
    ------
    FairPOValueError
    """
    if privileged is not None:
        parse_privileged(privileged)
    elif get_pair_method(method).mean_of is None:
        raise value_error(
            "--privileged",
            must=f"be given for {method}",
            got="nothing",
            do="Names of attributes, or such as worst:2.",
        )


def train_language_model(
    start: LanguageModel,
    train: Any,
    validation: PreferencePairs | None,
    arguments: Callable[[Path], FairPOGenerationConfig],
    *,
    groups: LabelGroups | None = None,
    on_step: OnStep | None = None,
) -> FairPOGenerationTrainer:
    """Train a language model in place, quietly.

    Parameters
    ----------
    start : LanguageModel
        The model becomes the policy; what it was is the reference.
    train : PreferencePairs or Demonstrations
    validation : PreferencePairs, optional
    arguments : callable
        From the folder of the training, which is gone when it ends, to its arguments.
    groups : LabelGroups, optional
        Over the attributes of the training pairs; the arguments may name them instead.
    on_step : callable, optional
        Told the step and the number of steps, after each.

    Returns
    -------
    FairPOGenerationTrainer
        Trained, with its groups, evaluations and ``state.log_history``.

    Raises
    ------
    FairPOError
        Model, pairs and arguments that do not fit.
    """
    callbacks: list[transformers.TrainerCallback] = [_Told(on_step)] if on_step else []
    with quiet_transformers(), tempfile.TemporaryDirectory(prefix="fairpo-lm-") as folder:
        trainer = FairPOGenerationTrainer(
            start.model,
            arguments(Path(folder)),
            train,
            validation,
            start.tokenizer,
            groups=groups,
            callbacks=callbacks,
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    return trainer


def demonstrations_of(pairs: Mapping[str, PreferencePairs]) -> Any:
    """What SFT learns from: the embedded task's demonstrations, else the chosen completions."""
    if pairs["train"].name != EMBEDDED:
        return pairs["train"]
    from fairpo.generation.verses import make_verses

    return make_verses().sft["train"]


class _Told(transformers.TrainerCallback):  # type: ignore[misc]
    """Tells how far a training is."""

    def __init__(self, on_step: OnStep) -> None:
        self._on_step = on_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell."""
        self._on_step(state.global_step, state.max_steps)


def _number(name: str, value: Any, default: Any) -> Any:
    """Read a number that YAML takes for text, such as 1e-3."""
    if not isinstance(value, str) or isinstance(default, bool):
        return value
    try:
        return float(value)
    except ValueError:
        if isinstance(default, int | float):
            raise value_error(f"setting {name!r}", must="be a number", got=repr(value)) from None
        return value
