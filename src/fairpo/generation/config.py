"""``FairPOGenerationConfig``: ``transformers.TrainingArguments`` with TRL's words and ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fairpo.groups import LabelPartition, parse_privileged
from fairpo.objectives.pair_catalogue import make_pair_objective
from fairpo.objectives.pair_settings import PairSettings
from fairpo.training.objective_arguments import ObjectiveArguments, options_dataclass

OBJECTIVE_FIELDS = PairSettings.model_fields
"""Every option of an objective over pairs by name."""

_ObjectiveOptions = options_dataclass("_ObjectiveOptions", __name__, OBJECTIVE_FIELDS.items())


@dataclass
class FairPOGenerationConfig(_ObjectiveOptions, ObjectiveArguments):  # type: ignore[misc, valid-type]
    """Arguments of a :class:`~fairpo.generation.trainer.FairPOGenerationTrainer`.

    All of ``transformers.TrainingArguments``; below; and every field of
    :class:`~fairpo.objectives.pair_settings.PairSettings` under its own name (``beta``, ``slack``,
    ``step_size``, ``weight_rule``, ...). Those are None unless given, which is the value of the
    method. Where TRL's ``DPOConfig`` has an option, it has the same name here.

    Parameters
    ----------
    method : str, default "fairpo-dpo"
        See :func:`fairpo.objectives.pair_catalogue.pair_method_names`.
    privileged : str, optional
        Names of attributes separated by commas; ``worst:2`` by the reference's accuracy on the
        evaluation set (the share of an attribute's pairs whose chosen completion has the higher
        log-probability per token); ``rarest:20%`` of them by training pairs; or ``@file.txt``.
        Left out where the trainer is given ``groups``, and by methods that know none.
    per_attribute : bool, default False
        Whether each attribute is a group of its own, improved if it is privileged and held
        otherwise, in place of two groups.
    accumulation : "lagged" or "exact"
        See :class:`~fairpo.hf.config.FairPOConfig`.
    reference : str, default "initial"
        ``initial``: the model as it is given, for methods that have a reference; or the folder of
        a saved model of the same class. Left out where the trainer is given ``reference_model``.
    precompute_ref_log_probs : bool, default False
        Whether the reference, if there is one, runs once over the training and evaluation sets,
        before training, and its log-probabilities are kept in ``output_dir``.
    precompute_ref_batch_size : int, optional
        Pairs at a time then; ``per_device_eval_batch_size`` when not given.
    max_length : int, optional, default 1024
        Longest prompt and completion together, in tokens; None cuts nothing.
    truncation_mode : "keep_start"
        The end of what is longer is cut. TRL is to lose its other mode in version 2.
    pad_to_multiple_of : int, optional
        The length of a batch is rounded up to a multiple of it.
    disable_dropout : bool, default True
        Whether dropout layers of the model are switched off for good.
    learning_rate : float, default 1e-6
        As in TRL; so is ``logging_steps``, 10.

    Raises
    ------
    FairPOValueError
        All faults of the options above in one error.

    Examples
    --------
    >>> from fairpo.generation import FairPOGenerationConfig
    >>> args = FairPOGenerationConfig("out", privileged="harmless", beta=0.05, report_to="none")
    >>> args.objective_options()
    {'beta': 0.05}
    """

    learning_rate: float = field(
        default=1e-6, metadata={"help": "The initial learning rate for AdamW."}
    )
    logging_steps: float = field(default=10, metadata={"help": "Steps between two logs."})
    method: str = field(default="fairpo-dpo", metadata={"help": "A method over pairs."})
    privileged: str | None = field(
        default=None,
        metadata={"help": "Names of attributes separated by commas, worst:K, or @file.txt."},
    )
    per_attribute: bool = field(
        default=False, metadata={"help": "Whether each attribute is a group of its own."}
    )
    reference: str = field(
        default="initial", metadata={"help": "initial, or the folder of a saved model."}
    )
    precompute_ref_log_probs: bool = field(
        default=False,
        metadata={
            "help": "Run the reference once, before training, and keep its log-probabilities."
        },
    )
    precompute_ref_batch_size: int | None = field(
        default=None, metadata={"help": "Pairs at a time when the reference runs ahead."}
    )
    max_length: int | None = field(
        default=1024, metadata={"help": "Longest prompt and completion together, in tokens."}
    )
    truncation_mode: str = field(
        default="keep_start", metadata={"help": "keep_start: the end of what is longer is cut."}
    )
    pad_to_multiple_of: int | None = field(
        default=None, metadata={"help": "Round the length of a batch up to a multiple of this."}
    )
    disable_dropout: bool = field(
        default=True, metadata={"help": "Switch the dropout layers of the model off."}
    )

    def __post_init__(self) -> None:
        """Check everything; all faults of our own come in one error."""
        loss_type: Any = getattr(self, "loss_type", None)
        if isinstance(loss_type, list) and len(loss_type) == 1:  # as TRL has it
            (self.loss_type,) = loss_type
        super().__post_init__()

    def objective_options(self) -> dict[str, Any]:
        """Return the options that ``make_pair_objective`` takes."""
        values = {name: getattr(self, name) for name in OBJECTIVE_FIELDS}
        return {name: value for name, value in values.items() if value is not None}

    def checks(self) -> tuple[Callable[[], Any], ...]:
        """What is checked; see :meth:`ObjectiveArguments.checks`."""
        return (
            self._check_objective,
            self._check_privileged,
            self._check_lengths,
            self._check_truncation,
            self._check_sampling,
            *super().checks(),
        )

    def _check_objective(self) -> None:
        two = LabelPartition.from_indices([0], 2)
        make_pair_objective(self.method, two, **self.objective_options())

    def _check_privileged(self) -> None:
        if self.privileged is not None:
            parse_privileged(self.privileged)

    def _check_lengths(self) -> None:
        least = {"max_length": 2, "precompute_ref_batch_size": 1, "pad_to_multiple_of": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise self.fault(name, must=f"be {bound} or more, or None", got=value)

    def _check_truncation(self) -> None:
        if self.truncation_mode != "keep_start":
            raise self.fault(
                "truncation_mode",
                must="be 'keep_start'",
                got=repr(self.truncation_mode),
                do="Without its prompt a completion is not the one that was preferred.",
            )

    def _check_sampling(self) -> None:
        if self.train_sampling_strategy == "group_by_length":
            raise self.fault(
                "train_sampling_strategy",
                must="be 'random' or 'sequential': pairs have two lengths",
                got=repr(self.train_sampling_strategy),
            )
