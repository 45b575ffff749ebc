"""``FairPOConfig``: ``transformers.TrainingArguments`` with the options of the objective."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from typing import Any, Optional

import transformers

from fairpo._checks import FairPOValueError, value_error
from fairpo.groups import LabelPartition, parse_privileged
from fairpo.objectives.baselines import BCESettings
from fairpo.objectives.catalogue import accepts, make_objective
from fairpo.objectives.settings import FairPOSettings
from fairpo.training.accumulation import Accumulation

OBJECTIVE_FIELDS = {**FairPOSettings.model_fields, **BCESettings.model_fields}
"""Every option of an objective by name."""

_SHARED = {"seed"}
"""Options that TrainingArguments have as well; they serve both."""

# None is the preset's value, or the method's own. Written from the settings models, so that a new
# option is here at once, with the help that it has everywhere.
_ObjectiveOptions = make_dataclass(
    "_ObjectiveOptions",
    [
        (
            name,
            Optional[described.annotation],  # noqa: UP045 - built at run time
            field(default=None, metadata={"help": described.description}),
        )
        for name, described in OBJECTIVE_FIELDS.items()
        if name not in _SHARED
    ],
    namespace={"__module__": __name__},
)


@dataclass
class FairPOConfig(_ObjectiveOptions, transformers.TrainingArguments):  # type: ignore[misc, valid-type]
    """Arguments of a :class:`~fairpo.hf.trainer.FairPOTrainer`.

    All of ``transformers.TrainingArguments``; below; and every field of
    :class:`~fairpo.objectives.FairPOSettings` and
    :class:`~fairpo.objectives.baselines.BCESettings` under its own name (``beta``, ``slack``,
    ``step_size``, ``weight_rule``, ``floor``, ``privileged_weight``, ...). Those are None unless
    given, which is the value of the preset or of the method. ``seed`` also seeds the draws of
    pairs.

    Parameters
    ----------
    method : str, default "fairpo-dpo"
        See :func:`fairpo.method_names`.
    preset : "paper-v1" or "paper-v2"
        Bundle of objective settings.
    privileged : str, default "rarest:20%"
        ``rarest:20%`` of the labels by positives in the training set, ``worst:10`` by the
        reference's average precision on the evaluation set, names of labels (those of
        ``model.config.id2label``) separated by commas, or ``@file.txt``. Ignored where the trainer
        is given ``groups``.
    accumulation : "lagged" or "exact"
        Read where an optimizer step has several micro-batches. ``lagged``: group weights of the
        step before, denominators as far as targets tell them (numbers of pairs are guessed); no
        cost. ``exact``: a first pass without gradient collects what the whole step's weights and
        denominators need, so that 1 x 32 rows are 2 x 16; it costs a forward pass.
    reference : str, default "initial"
        Left out where the trainer is given a ``reference_model``. ``initial``: the model as it is
        given, for methods that have a reference. ``column``: logits in a column
        ``reference_logits`` of the data. Anything else is the folder of a saved model.
    precompute_reference_logits : bool, default False
        Whether the reference, if there is one, runs once over the training and evaluation sets,
        before training, and its logits are kept in ``output_dir``. The data must give the same
        example each time: no random augmentation.
    trainable : "all", "head" or "last:N"
        ``head`` freezes the backbone, ``last:N`` all but its last N blocks and what comes after
        them, ``all`` freezes nothing. With ``peft_config`` the adapters decide.

    Raises
    ------
    FairPOValueError
        All faults of the options above in one error.

    Examples
    --------
    >>> from fairpo import FairPOConfig
    >>> args = FairPOConfig("out", method="fairpo-cpo", beta=0.5, use_cpu=True, report_to="none")
    >>> args.objective_options()
    {'beta': 0.5, 'seed': 42}
    """

    method: str = field(default="fairpo-dpo", metadata={"help": "A method of `fairpo methods`."})
    preset: str = field(
        default="paper-v1",
        metadata={"help": "Bundle of objective settings: paper-v1 or paper-v2."},
    )
    privileged: str = field(
        default="rarest:20%",
        metadata={"help": "rarest:F, worst:K, names of labels separated by commas, or @file.txt."},
    )
    accumulation: Accumulation = field(
        default="lagged",
        metadata={
            "help": "With several micro-batches a step: weights of the step before, or a first "
            "pass that makes them exact."
        },
    )
    reference: str = field(
        default="initial",
        metadata={"help": "initial, column, or the folder of a saved model."},
    )
    precompute_reference_logits: bool = field(
        default=False,
        metadata={"help": "Run the reference once, before training, and keep its logits."},
    )
    trainable: str = field(
        default="all",
        metadata={"help": "all, head, or last:N blocks of the backbone and the head."},
    )

    def __post_init__(self) -> None:
        """Check everything; all faults of our own come in one error."""
        super().__post_init__()
        faults = [fault for check in self._checks() if (fault := _fault(check))]
        if faults:
            raise FairPOValueError("\n".join(faults))

    def objective_options(self) -> dict[str, Any]:
        """Return the options that :func:`fairpo.make_objective` takes over the preset's."""
        options = {
            name: value
            for name in OBJECTIVE_FIELDS
            if name not in _SHARED and (value := getattr(self, name)) is not None
        }
        return {**options, "seed": self.seed} if accepts(self.method, "seed") else options

    def _checks(self) -> tuple[Callable[[], Any], ...]:
        return (
            self._check_objective,
            lambda: parse_privileged(self.privileged),
            self._check_precision,
            self._check_accumulation,
            self._check_trainable,
            self._check_evaluation,
            self._check_parallelism,
            self._check_label_smoothing,
        )

    def _check_objective(self) -> None:
        anything = LabelPartition.from_indices([0], 2)
        make_objective(self.method, anything, self.preset, **self.objective_options())

    def _check_precision(self) -> None:
        if self.fp16 and self.device.type == "cpu":
            raise value_error(
                "FairPOConfig.fp16",
                must="be False without a GPU",
                got=True,
                do="bf16=True runs on a CPU.",
            )

    def _check_accumulation(self) -> None:
        if self.accumulation not in ("lagged", "exact"):
            raise value_error(
                "FairPOConfig.accumulation",
                must="be 'lagged' or 'exact'",
                got=repr(self.accumulation),
            )

    def _check_trainable(self) -> None:
        if not re.fullmatch(r"all|head|last:[1-9]\d*", self.trainable):
            raise value_error(
                "FairPOConfig.trainable",
                must="be 'all', 'head' or 'last:N' with N of 1 or more",
                got=repr(self.trainable),
            )

    def _check_evaluation(self) -> None:
        wanted = {
            "prediction_loss_only": False,
            "batch_eval_metrics": False,
            "eval_do_concat_batches": True,
        }
        for name, value in wanted.items():
            if getattr(self, name) is not value:
                raise value_error(
                    f"FairPOConfig.{name}",
                    must=f"be {value}",
                    got=getattr(self, name),
                    do="Average precision is that of the whole set, never a mean of batches.",
                )

    def _check_parallelism(self) -> None:
        if self.parallelism_config is not None:
            raise value_error(
                "FairPOConfig.parallelism_config",
                must="be None: every process must hold rows of its own",
                got=type(self.parallelism_config).__name__,
            )

    def _check_label_smoothing(self) -> None:
        if self.label_smoothing_factor:
            raise value_error(
                "FairPOConfig.label_smoothing_factor",
                must="be 0: it belongs to a loss that is not used here",
                got=self.label_smoothing_factor,
            )


def _fault(check: Callable[[], Any]) -> str:
    try:
        check()
    except FairPOValueError as error:
        return str(error)
    return ""
