"""A trained language model on disk: what transformers saves, and one file of ours beside it.

``config.json``, ``model.safetensors``, the tokenizer's files, ``README.md`` (the model card),
``fairpo_lm.json`` and ``checksums.json``. Anything that loads a model of transformers loads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

import fairpo
from fairpo._checks import build_settings, file_error, value_error
from fairpo.generation.quiet import quiet_transformers
from fairpo.generation.trainer import FairPOGenerationTrainer
from fairpo.groups import LabelGroup, LabelGroups
from fairpo.models.backbone import weights_digest
from fairpo.models.checkpoint import read_json, verify_checksums, write_json
from fairpo.training.run import write_folder

FILE = "fairpo_lm.json"

_TRAIN = "Give a folder that `fairpo lm sft` or `fairpo lm train` wrote."


class LMRun(BaseModel):
    """What a run folder says of its language model: the content of ``fairpo_lm.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["language-model"] = "language-model"
    method: str = Field(description="A method over pairs.")
    start: str = Field(description="What the model began as: tiny, a folder, or a hub name.")
    tiny: bool = Field(description="Whether it descends from the tiny model.")
    reference: str | None = Field(None, description="Digest of the weights it was held to.")
    data: str = Field(description="Pairs it was trained on.")
    data_options: dict[str, Any] = Field({}, description="How they were read.")
    n_pairs: int = Field(description="Training pairs or demonstrations.")
    attribute_names: tuple[str, ...]
    groups: tuple[dict[str, Any], ...] = Field(description="Name, role and attribute numbers.")
    seed: int
    settings: dict[str, Any] = Field(description="Settings that were given.")
    versions: dict[str, str] = Field(description="Of fairpo, torch and transformers.")
    digest: str = Field(description="Digest of the weights.")
    log_history: tuple[dict[str, Any], ...] = Field(description="Every record of the training.")

    def label_groups(self) -> LabelGroups:
        """Groups over the attributes."""
        return LabelGroups(
            [
                LabelGroup(group["name"], tuple(group["indices"]), group["role"])
                for group in self.groups
            ],
            len(self.attribute_names),
        )


def describe_run(
    trainer: FairPOGenerationTrainer,
    *,
    start: str,
    tiny: bool,
    reference: str | None,
    data: str,
    data_options: dict[str, Any],
    settings: dict[str, Any],
) -> LMRun:
    """Say what a trained model is, before it is written.

    Parameters
    ----------
    trainer : FairPOGenerationTrainer
        Trained.
    start, tiny, reference, data, data_options, settings
        As in :class:`LMRun`.
    """
    import transformers

    groups = trainer.groups.groups
    return LMRun(
        method=trainer.args.method,
        start=start,
        tiny=tiny,
        reference=reference,
        data=data,
        data_options=data_options,
        n_pairs=len(trainer.train_dataset),
        attribute_names=trainer.attribute_names,
        groups=tuple(
            {"name": group.name, "role": group.role, "indices": list(group.indices)}
            for group in groups
        ),
        seed=trainer.args.seed,
        settings=settings,
        versions={
            "fairpo": fairpo.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        digest=weights_digest(trainer.model.state_dict()),
        log_history=tuple(_defined(trainer.state.log_history)),
    )


def write_lm_run(
    folder: Path, trainer: FairPOGenerationTrainer, run: LMRun, *, overwrite: bool = False
) -> None:
    """Write a run; the folder is there whole or not at all.

    Raises
    ------
    FairPOFileError
        The folder is not empty and ``overwrite`` is false, it holds something that is not a run
        of a language model, or it cannot be written.
    """

    def fill(temporary: Path) -> None:
        with quiet_transformers():
            trainer.save_pretrained(str(temporary))
        (temporary / "training_args.bin").unlink(missing_ok=True)  # a pickle; FILE says it all
        write_json(temporary / FILE, run.model_dump(mode="json"))

    write_folder(folder, fill, overwrite=overwrite, marks=(FILE,))


def read_lm_run(folder: str | Path) -> LMRun:
    """Read what a run folder says of itself.

    Raises
    ------
    FairPOFileError
        It is no run of a language model, or one of its files is missing, truncated or altered.
    """
    folder = Path(folder)
    if not (folder / FILE).is_file():
        raise file_error(folder, "does not hold a run of a language model", _TRAIN)
    verify_checksums(folder)
    return build_settings(LMRun, read_json(folder / FILE))


def is_lm_run(folder: str | Path) -> bool:
    """Whether a folder says that it is a run of a language model."""
    return (Path(folder) / FILE).is_file()


def reading_of(pairs: str, models: Iterable[str], told: Mapping[str, Any]) -> dict[str, Any]:
    """How pairs are to be read: as runs that were trained on them did, and what is told over it.

    Splits that are drawn otherwise would test a model on pairs that it has learnt.

    Parameters
    ----------
    pairs : str
        As on the command line.
    models : iterable of str
        Of which those are looked at that are run folders.
    told : mapping
        Options by name, which stand over the runs'.

    Raises
    ------
    FairPOValueError
        Runs that read the same pairs in different ways, and nothing is told.
    """
    reading: dict[str, Any] = {}
    runs = [read_lm_run(model) for model in models if is_lm_run(model)]
    runs = [run for run in runs if is_same_source(run.data, pairs)]
    for name in sorted({name for run in runs for name in run.data_options} - set(told)):
        values = [run.data_options.get(name) for run in runs]
        if any(value != values[0] for value in values):
            raise value_error(
                f"option {name!r} of the pairs",
                must="be told where runs have read them in different ways",
                got=" and ".join(dict.fromkeys(map(repr, values))),
                do=f"Say --data-option {name}=...; of other splits a run has learnt test pairs.",
            )
        reading[name] = values[0]
    return {**reading, **told}


def is_same_source(one: str, other: str) -> bool:
    """Whether two names of pairs are one, or paths of one file, or files of one name."""
    if one == other:
        return True
    first, second = Path(one), Path(other)
    return first.resolve() == second.resolve() or (bool(first.suffix) and first.name == second.name)


def _defined(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records without numbers that JSON has no word for."""
    return [
        {
            key: value
            for key, value in record.items()
            if not isinstance(value, float) or abs(value) < float("inf")
        }
        for record in history
    ]
