"""A trainer that keeps what its evaluations found, and writes a model card beside the weights."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, Protocol

from fairpo._files import write_atomic
from fairpo.training.objective_trainer import ObjectiveTrainer


class Found(Protocol):
    """What an evaluation found."""

    @property
    def step(self) -> int:
        """Optimizer steps the policy had taken."""


class ReportedTrainer(ObjectiveTrainer):
    """An :class:`ObjectiveTrainer` whose saved models come with a card.

    Parameters
    ----------
    **arguments
        Of :class:`ObjectiveTrainer`.

    Attributes
    ----------
    evaluations : dict
        The last evaluation by prefix, such as ``"eval"``; of the best model, once it is loaded.
    """

    evaluations: dict[str, Any]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.evaluations = {}
        self._best_evaluations: dict[str, Any] = {}

    @abstractmethod
    def card(self, **options: Any) -> str:
        """Text of the model card.

        Parameters
        ----------
        **options
            Of :meth:`create_model_card`.
        """

    def save_pretrained(self, output_dir: str | None = None) -> None:
        """Save the model, its processor or tokenizer, and a model card.

        Parameters
        ----------
        output_dir : str, optional
            ``args.output_dir`` when not given.
        """
        self.save_model(output_dir)

    def create_model_card(self, *_: Any, **options: Any) -> None:
        """Write the model card into ``output_dir``.

        Parameters
        ----------
        **options
            As in ``transformers.Trainer``; ``license``, ``language`` and ``tags`` are read.
        """
        if self.is_world_process_zero():
            self._write_card(Path(self.args.output_dir), **options)

    def _save(
        self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None
    ) -> None:
        super()._save(output_dir, state_dict)
        if self.args.should_save:
            self._write_card(Path(output_dir or self.args.output_dir))

    def _write_card(self, folder: Path, **options: Any) -> None:
        write_atomic(folder / "README.md", self.card(**options).encode())

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        is_best: bool = super()._determine_best_metric(metrics, trial)
        if is_best:
            self._best_evaluations = dict(self.evaluations)
        return is_best

    def _load_best_model(self) -> None:
        """Load the best model; what was found of a later one says nothing of it."""
        super()._load_best_model()
        self.evaluations = {
            prefix: found
            for prefix, found in self._best_evaluations.items()
            if found.step == self.steps_taken
        }
