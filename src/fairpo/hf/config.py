"""``FairPOConfig``: ``transformers.TrainingArguments`` with the options of the objective."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fairpo.groups import parse_privileged
from fairpo.objectives.catalogue import accepts, get_method, option_fields, trial_objective
from fairpo.training.objective_arguments import ObjectiveArguments, options_dataclass

OBJECTIVE_FIELDS = option_fields()
"""Every option of an objective by name."""

_SHARED = {"seed"}
"""Options that TrainingArguments have as well; they serve both."""

_ObjectiveOptions = options_dataclass(
    "_ObjectiveOptions",
    __name__,
    [(name, about) for name, about in OBJECTIVE_FIELDS.items() if name not in _SHARED],
)


@dataclass
class FairPOConfig(_ObjectiveOptions, ObjectiveArguments):  # type: ignore[misc, valid-type]
    """Arguments of a :class:`~fairpo.hf.trainer.FairPOTrainer`.

    All of ``transformers.TrainingArguments``; below; and every field of
    :class:`~fairpo.objectives.FairPOSettings` and of the settings in
    :mod:`fairpo.objectives.baselines` under its own name (``beta``, ``slack``, ``step_size``,
    ``weight_rule``, ``floor``, ``privileged_weight``, ``gamma_negative``, ...). Those are None
    unless given, which is the value of the preset or of the method. ``seed`` also seeds the draws
    of pairs.

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

    def objective_options(self) -> dict[str, Any]:
        """Return the options that :func:`fairpo.make_objective` takes over the preset's."""
        options = {
            name: value
            for name in OBJECTIVE_FIELDS
            if name not in _SHARED and (value := getattr(self, name)) is not None
        }
        return {**options, "seed": self.seed} if accepts(self.method, "seed") else options

    def checks(self) -> tuple[Callable[[], Any], ...]:
        """What is checked; see :meth:`ObjectiveArguments.checks`."""
        return (
            self._check_objective,
            lambda: parse_privileged(self.privileged),
            self._check_trainable,
            *super().checks(),
        )

    def _check_objective(self) -> None:
        trial_objective(self.method, self.preset, **self.objective_options())
        if get_method(self.method).needs_closed_form:
            raise self.fault(
                "method",
                must="be trained by steps alone",
                got=repr(self.method),
                do="It needs a regression on features: `fairpo embed`, then `fairpo train`.",
            )

    def _check_trainable(self) -> None:
        if not re.fullmatch(r"all|head|last:[1-9]\d*", self.trainable):
            raise self.fault(
                "trainable",
                must="be 'all', 'head' or 'last:N' with N of 1 or more",
                got=repr(self.trainable),
            )
