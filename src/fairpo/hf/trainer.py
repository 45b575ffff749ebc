"""``FairPOTrainer``: label groups and a reference for any multi-label model of transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn

from fairpo._checks import type_error, value_error
from fairpo.groups import LabelGroups, parse_privileged
from fairpo.hf.card import model_card
from fairpo.hf.checks import (
    check_batch,
    check_best_metric,
    check_groups,
    check_indexed,
    check_model,
    check_positives,
    first_batch,
)
from fairpo.hf.config import FairPOConfig
from fairpo.hf.evaluation import Evaluation, objective_loss
from fairpo.hf.examples import (
    FOLDER,
    LABELS,
    REFERENCE,
    CheckedCollator,
    WithReferenceLogits,
    batch_targets,
    column_targets,
    compact,
    inputs_of,
)
from fairpo.hf.reference import Reference, check_same_labels, saved_reference
from fairpo.hf.trainable import keep_frozen_statistics, with_trainable
from fairpo.metrics import LabelFrame, average_precision
from fairpo.objectives import Objective, make_objective
from fairpo.objectives.catalogue import get_method
from fairpo.objectives.group_objective import StepSums
from fairpo.training.adapters import has_adapters
from fairpo.training.distributed import same_weights
from fairpo.training.in_order import InOrder, has_column, is_indexed
from fairpo.training.label_counts import count_labels
from fairpo.training.random_state import same_random_state_after
from fairpo.training.reference_cache import cached_answers
from fairpo.training.reference_model import check_given
from fairpo.training.reported_trainer import ReportedTrainer


class FairPOTrainer(ReportedTrainer):
    """A ``transformers.Trainer`` that improves privileged labels and holds the others.

    The model is trained by a method of the catalogue (:func:`fairpo.method_names`) on its logits,
    the labels and a reference's logits; its own loss is not used. Everything of
    ``transformers.Trainer`` that is not named here works as it does there.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        For images or sequences, with ``problem_type="multi_label_classification"``; or a
        ``peft.PeftModel`` of one. For a backbone without a head see
        :class:`fairpo.models.classifier.BackboneClassifier`. The policy starts from it.
    args : FairPOConfig
    train_dataset, eval_dataset : dataset
        Examples with ``labels``: an entry for each label, 1, 0, or -1 or NaN where it is not known.
        ``eval_dataset`` may be a mapping of several.
    groups : LabelGroups, optional
        Over the labels in the order of ``model.config.id2label``; ``args.privileged`` says it
        otherwise.
    reference_model : torch.nn.Module, optional
        The model that must not get worse; its output has ``logits``. Frozen in place.
        ``args.reference`` says it otherwise.
    objective : callable, optional
        From the groups to an objective of your own, in place of ``args.method``.
    peft_config : peft.PeftConfig, optional
        Adapters to put on the model; the rest is frozen.
    data_collator, processing_class, compute_metrics, callbacks, optimizers : optional
        As in ``transformers.Trainer``. ``compute_metrics`` adds to the metrics of
        :class:`~fairpo.metrics.LabelFrame`, which are always there.

    Attributes
    ----------
    groups : LabelGroups
    objective : Objective
        With the group weights.
    evaluations : dict
        The last :class:`~fairpo.hf.evaluation.Evaluation` by prefix, such as ``"eval"``.

    Raises
    ------
    FairPOError
        Model, data, groups and options that do not fit, before any training.

    Notes
    -----
    ``evaluate`` returns, under ``eval_``: the numbers of :class:`~fairpo.metrics.LabelFrame`
    (``eval_map``, ``eval_map/privileged``, ...), the reference's (``eval_reference/map``, ...),
    ``eval_loss`` and ``eval_group_losses/<group>``. Training logs hold ``group_losses/<group>``,
    ``group_weights/<group>`` and ``diagnostics/<name>``, means over the steps since the last log.

    A training resumed from a checkpoint is bit-identical to one that never stopped, on a CPU. On a
    GPU it differs as two runs of the same seed do there.
    """

    objective: Objective
    evaluations: dict[str, Evaluation]

    def __init__(
        self,
        model: Any,
        args: FairPOConfig,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        *,
        groups: LabelGroups | None = None,
        reference_model: nn.Module | None = None,
        objective: Callable[[LabelGroups], Objective] | None = None,
        peft_config: Any = None,
        data_collator: Callable[[list[Any]], Any] | None = None,
        processing_class: Any = None,
        compute_metrics: Callable[[transformers.EvalPrediction], dict[str, float]] | None = None,
        callbacks: list[transformers.TrainerCallback] | None = None,
        optimizers: tuple[Any, Any] = (None, None),
    ) -> None:
        if not isinstance(args, FairPOConfig):
            raise type_error("args", must="be a FairPOConfig", got=type(args).__name__)
        check_model(model)
        check_groups(groups, model.config.num_labels)
        check_given(
            reference_model,
            model,
            args.reference,
            must="be a torch.nn.Module whose output has logits",
            config="FairPOConfig",
        )
        super().__init__(
            accumulation=args.accumulation,
            model=with_trainable(model, args.trainable, peft_config),
            args=args,
            data_collator=data_collator,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            compute_metrics=compute_metrics,
            callbacks=callbacks,
            optimizers=optimizers,
        )
        names = self.model.config.id2label
        self._names = tuple(str(names[index]) for index in sorted(names))
        self._method = args.method if objective is None else "an objective of its own"
        self._of_reference: list[NDArray[np.float32]] = []
        self._reference_digest: str | None = None
        self._reference_in_words = "none"
        if compute_metrics is None and not isinstance(eval_dataset, dict):
            check_best_metric(args.metric_for_best_model, len(self._names))
        self._kept: list[tuple[Any, NDArray[np.float32]]] = []
        same_weights(self.model)
        with same_random_state_after():
            self._look_at_data()
            self._reference = self._given_reference(reference_model)
            counted = self._counted_targets(groups, objective)
            self.groups = groups or self._choose_groups(counted)
            self.use_objective(
                objective(self.groups) if objective else self._make_objective(counted)
            )
            self._begin_reference()

    # What the objective is given

    def part_sums(self, model: nn.Module, inputs: dict[str, Any], first_row: int) -> StepSums:
        """Sums of a micro-batch; see :meth:`ObjectiveTrainer.part_sums`."""
        if model.training:
            keep_frozen_statistics(model)
        targets = batch_targets(inputs, len(self._names))
        logits = model(**inputs_of(inputs)).logits
        return self.objective.sums(
            logits,
            targets,
            inputs.get(REFERENCE),
            first_row=first_row,
            step=self.state.global_step,
        )

    def known_counts(self, inputs: dict[str, Any]) -> Tensor:
        """What the labels tell of the counts; see :meth:`ObjectiveTrainer.known_counts`."""
        labels = self._prepare_inputs({LABELS: inputs[LABELS]})
        return self.objective.known_counts(batch_targets(labels, len(self._names)))

    def reference_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Reference logits of a micro-batch, unless its examples brought them."""
        if REFERENCE in inputs or self._reference is None:
            return {}
        return {REFERENCE: self._reference_logits(inputs_of(inputs))}

    def identity(self) -> dict[str, Any]:
        """What a training that goes on from a checkpoint must have in common with it."""
        if self._reference_digest is None and self._reference is not None:
            self._reference_digest = self._reference.digest()
        reference = self._reference_digest
        examples = self.train_dataset
        trained = [
            f"{name} {tuple(p.shape)}"
            for name, p in self.model.named_parameters()
            if p.requires_grad
        ]
        return {
            "method": self._method,
            "labels": list(self._names),
            "trained parameters": trained,
            **super().identity(),
            "reference": reference,
            "number of training examples": len(examples) if is_indexed(examples) else None,
            "rows of a step": self.args.train_batch_size
            * self.args.gradient_accumulation_steps
            * self.args.world_size,
        }

    def keep_reference_logits(self, dataset: Any) -> None:
        """Run the reference over a dataset now, and use its logits wherever the dataset is used.

        ``args.precompute_reference_logits`` does it for the training and evaluation sets. Call it
        for others, before training where the reference is the initial policy.

        Parameters
        ----------
        dataset : dataset
            With a length, and the same example each time.

        Raises
        ------
        FairPOValueError
            It has no length, gives random examples, or there is no reference to run.
        """
        if self._reference is None:
            raise value_error(
                "a reference", must="be there to run", got="none", do="Give reference_model."
            )
        if not is_indexed(dataset):
            raise value_error(
                "a dataset whose reference logits are kept",
                must="have a length and examples by number",
                got=type(dataset).__name__,
                do="Set precompute_reference_logits=False.",
            )
        logits = cached_answers(
            Path(self.args.output_dir) / FOLDER,
            f"{self.identity()['reference'][:16]}{self.accelerator.mixed_precision}",
            self._in_order(dataset),
            inputs_of,
            lambda inputs: self._reference_logits(self._prepare_inputs(inputs)),
            len(self._names),
            self.args.device,
        )
        self._kept.append((dataset, logits))

    # Evaluation

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[None, Tensor, Tensor | None]:
        """Logits and labels of a batch; what the reference says of it is kept aside."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad():
            reference = {**inputs, **self.reference_inputs(inputs)}.get(REFERENCE)
            logits = model(**inputs_of(inputs)).logits.float()
        if reference is not None:
            self._of_reference.append(self.gather_function(reference).float().cpu().numpy())
        return None, logits, inputs.get(LABELS)

    def evaluation_loop(
        self,
        dataloader: torch.utils.data.DataLoader[Any],
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> transformers.trainer_utils.EvalLoopOutput:
        """Go through a set; its metrics are those of the whole set."""
        self._of_reference = []
        output = super().evaluation_loop(
            dataloader, description, False, ignore_keys, metric_key_prefix
        )
        if output.label_ids is not None:
            evaluation = self._evaluation(output.predictions, compact(output.label_ids))
            self.evaluations[metric_key_prefix] = evaluation
            for key, value in evaluation.as_metrics().items():
                output.metrics[f"{metric_key_prefix}_{key}"] = value
        return output

    def _evaluation(self, logits: NDArray[np.float32], targets: NDArray[np.int8]) -> Evaluation:
        reference = np.concatenate(self._of_reference) if self._of_reference else None

        def frame(scores: NDArray[np.float32]) -> LabelFrame:
            return LabelFrame.from_scores(scores, targets, self.groups.judged(), self._names)

        return Evaluation(
            step=self.steps_taken,
            n_examples=len(logits),
            policy=frame(logits),
            reference=None if reference is None else frame(reference),
            loss=objective_loss(self.objective, logits, targets, reference, self.args.device),
        )

    # Saving

    def card(self, **options: Any) -> str:
        """Text of the model card; see :meth:`ReportedTrainer.card`."""
        return model_card(
            self.model,
            self.args,
            self.objective,
            self._names,
            self.evaluations,
            self._method,
            self._reference_in_words,
            **options,
        )

    # Data

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if REFERENCE not in self._signature_columns:
            self._signature_columns += [REFERENCE]

    def _get_collator_with_removed_columns(
        self, data_collator: Callable[[list[Any]], Any], description: str | None = None
    ) -> Callable[[list[Any]], Any]:
        collate: Callable[[list[Any]], Any] = super()._get_collator_with_removed_columns(
            CheckedCollator(data_collator), description
        )
        return collate

    def _get_dataloader(
        self, dataset: Any, description: str, *arguments: Any, **options: Any
    ) -> torch.utils.data.DataLoader[Any]:
        kept = next((logits for known, logits in self._kept if known is dataset), None)
        if kept is not None:
            dataset = WithReferenceLogits(self._without_unused(dataset), kept)
        loader: torch.utils.data.DataLoader[Any] = super()._get_dataloader(
            dataset, description, *arguments, **options
        )
        return loader

    def _without_unused(self, dataset: Any) -> Any:
        """Leave columns of a dataset of Hugging Face unread that the model does not take."""
        return self._remove_unused_columns(dataset) if has_column(dataset, LABELS) else dataset

    def _in_order(self, dataset: Any) -> InOrder:
        return InOrder(
            self._without_unused(dataset),
            self._get_collator_with_removed_columns(self.data_collator),
            self.args.eval_batch_size,
            self.args.dataloader_num_workers,
        )

    def _look_at_data(self) -> None:
        """Look at the first example of each set: the labels must be the model's."""
        for dataset in filter(is_indexed, self._datasets()):
            batch = first_batch(dataset, self._in_order)
            check_batch(batch, len(self._names), self.args.reference)
            if REFERENCE in batch and self.args.reference == "initial":
                self._reference_in_words = "logits that the data bring"

    def _datasets(self) -> list[Any]:
        """All sets given, each once."""
        evaluated = self.eval_dataset
        several = list(evaluated.values()) if isinstance(evaluated, dict) else [evaluated]
        given = [dataset for dataset in (self.train_dataset, *several) if dataset is not None]
        return [d for index, d in enumerate(given) if not any(d is e for e in given[:index])]

    def _targets(self, dataset: Any) -> NDArray[np.int8]:
        """All labels of a dataset, (examples, labels)."""
        n_labels = len(self._names)
        if has_column(dataset, LABELS):
            return column_targets(dataset, n_labels)
        examples = self._in_order(dataset)
        pieces = ((rows, batch_targets(batch, n_labels)) for rows, batch in examples)
        return compact(examples.put_together(pieces, n_labels, self.args.device))

    # Groups, objective, reference

    def _counted_targets(self, groups: Any, objective: Any) -> NDArray[np.int8] | None:
        """All labels of the training set, where groups or method are made of counts, or at hand."""
        if groups is None and parse_privileged(self.args.privileged).needs_targets:
            check_indexed(self.train_dataset, "train_dataset", *self._named())
            return self._targets(self.train_dataset)
        method = self.args.method
        if objective is None and get_method(method).needs_label_counts:
            do = "Give objective, a function that calls make_objective with label_counts."
            check_indexed(self.train_dataset, "train_dataset", f"method={method!r}", do)
            return self._targets(self.train_dataset)
        if groups is None and has_column(self.train_dataset, LABELS):
            return self._targets(self.train_dataset)  # cheap to read: look at all of them
        return None

    def _named(self) -> tuple[str, str]:
        return f"privileged={self.args.privileged!r}", "Name the labels, or give groups."

    def _choose_groups(self, targets: NDArray[np.int8] | None) -> LabelGroups:
        rule = parse_privileged(self.args.privileged)
        precision = None
        if rule.needs_reference_ap:
            check_indexed(self.eval_dataset, "eval_dataset", *self._named())
            precision = average_precision(
                self._logits_of_reference(self.eval_dataset), self._targets(self.eval_dataset)
            )
        groups = rule.resolve(targets, self._names, precision)
        if targets is not None:
            check_positives(groups, targets, self._names)
        return groups

    def _make_objective(self, counted: NDArray[np.int8] | None) -> Objective:
        method, options = self.args.method, self.args.objective_options()
        counts = count_labels(counted) if get_method(method).needs_label_counts else None
        return make_objective(method, self.groups, self.args.preset, label_counts=counts, **options)

    def _given_reference(self, model: nn.Module | None) -> Reference | None:
        if model is not None:
            check_same_labels(model, self.model)
            self._reference_in_words = "a given model"
            return Reference.frozen(model, self.args.device)
        if self.args.reference == "initial":
            return None
        if self.args.reference == "column":
            self._reference_in_words = "logits that the data bring"
            return None
        self._reference_in_words = "a saved model"
        return saved_reference(self.args.reference, self.model, self.args.device)

    def _begin_reference(self) -> None:
        """Take the initial policy where it is wanted, and run the reference ahead of training."""
        ahead = self.args.precompute_reference_logits
        passing = False
        if self._reference is None and self.args.reference == "initial":
            if not self.objective.needs_reference:
                return
            if self._reference_in_words == "none":
                self._reference_in_words = "the model as it was before this training"
            passing = ahead and not has_adapters(self.model)
            self._reference = Reference(self.model) if passing else self._initial_reference()
        if ahead and self._reference is not None:
            for dataset in self._datasets():
                self.keep_reference_logits(dataset)
        if passing:  # the model moves on; what it said at first is kept
            self._reference = None

    def _initial_reference(self) -> Reference:
        if not is_indexed(self.train_dataset):
            return Reference.initial(self.model, None)
        example = self._prepare_inputs(inputs_of(self._in_order(self.train_dataset).first()))
        return Reference.initial(self.model, lambda model: model(**example).logits)

    def _reference_logits(self, inputs: dict[str, Any]) -> Tensor:
        reference = self._reference or Reference(self.model)  # before training the policy itself
        with self.accelerator.autocast():
            return reference.logits(inputs)

    def _logits_of_reference(self, dataset: Any) -> NDArray[np.float32]:
        """Logits (examples, labels) over a dataset."""
        examples = self._in_order(dataset)
        pieces = (
            (rows, self._reference_logits(self._prepare_inputs(inputs_of(batch))))
            for rows, batch in examples
        )
        return examples.put_together(pieces, len(self._names), self.args.device)
