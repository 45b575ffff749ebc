"""Training arguments of an objective: ``transformers.TrainingArguments`` with checks of our own.

Importing this module imports transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, make_dataclass
from typing import Any, Optional

import transformers
from pydantic.fields import FieldInfo

from fairpo._checks import FairPOValueError, value_error
from fairpo.training.accumulation import Accumulation


@dataclass
class ObjectiveArguments(transformers.TrainingArguments):  # type: ignore[misc]
    """Arguments of an :class:`~fairpo.training.objective_trainer.ObjectiveTrainer`.

    Parameters
    ----------
    accumulation : "lagged" or "exact"
        Read where an optimizer step has several micro-batches.
    """

    accumulation: Accumulation = field(
        default="lagged",
        metadata={
            "help": "With several micro-batches a step: weights of the step before, or a first "
            "pass that makes them exact."
        },
    )

    def __post_init__(self) -> None:
        """Check everything; all faults of our own come in one error."""
        super().__post_init__()
        faults = [fault for check in self.checks() if (fault := _fault(check))]
        if faults:
            raise FairPOValueError("\n".join(faults))

    def checks(self) -> tuple[Callable[[], Any], ...]:
        """What is checked, in this order; each raises a FairPOValueError."""
        return (
            self._check_precision,
            self._check_accumulation,
            self._check_evaluation,
            self._check_parallelism,
            self._check_label_smoothing,
        )

    def fault(self, option: str, **words: Any) -> FairPOValueError:
        """Word the error of an option."""
        return value_error(f"{type(self).__name__}.{option}", **words)

    def _check_precision(self) -> None:
        if self.fp16 and self.device.type == "cpu":
            raise self.fault(
                "fp16", must="be False without a GPU", got=True, do="bf16=True runs on a CPU."
            )

    def _check_accumulation(self) -> None:
        if self.accumulation not in ("lagged", "exact"):
            raise self.fault(
                "accumulation", must="be 'lagged' or 'exact'", got=repr(self.accumulation)
            )

    def _check_evaluation(self) -> None:
        wanted = {
            "prediction_loss_only": False,
            "batch_eval_metrics": False,
            "eval_do_concat_batches": True,
        }
        for name, value in wanted.items():
            if getattr(self, name) is not value:
                raise self.fault(
                    name,
                    must=f"be {value}",
                    got=getattr(self, name),
                    do="Metrics are those of the whole set, never a mean of batches.",
                )

    def _check_parallelism(self) -> None:
        if self.parallelism_config is not None:
            raise self.fault(
                "parallelism_config",
                must="be None: every process must hold rows of its own",
                got=type(self.parallelism_config).__name__,
            )

    def _check_label_smoothing(self) -> None:
        if self.label_smoothing_factor:
            raise self.fault(
                "label_smoothing_factor",
                must="be 0: it belongs to a loss that is not used here",
                got=self.label_smoothing_factor,
            )


def options_dataclass(name: str, module: str, described: Iterable[tuple[str, FieldInfo]]) -> Any:
    """Make a dataclass of the options of objectives, for arguments to inherit.

    A field that is None is the preset's value, or the method's own. Written from the settings
    models, so that a new option is here at once, with the help that it has everywhere.

    Parameters
    ----------
    name, module : str
        Of the class.
    described : iterable of (option, its field)
    """
    return make_dataclass(
        name,
        [
            (
                option,
                Optional[about.annotation],  # noqa: UP045 - built at run time
                field(default=None, metadata={"help": about.description}),
            )
            for option, about in described
        ],
        namespace={"__module__": module},
    )


def _fault(check: Callable[[], Any]) -> str:
    try:
        check()
    except FairPOValueError as error:
        return str(error)
    return ""
