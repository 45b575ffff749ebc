"""``FairPOGenerationTrainer``: FairPO for causal language models, on ``transformers.Trainer``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn

from fairpo._checks import type_error, unknown_name, value_error
from fairpo.generation.attribute_groups import choose_groups
from fairpo.generation.card import model_card
from fairpo.generation.checks import check_model, check_same_tokens, renamed
from fairpo.generation.config import FairPOGenerationConfig
from fairpo.generation.evaluation import (
    PER_TOKEN,
    WORST,
    Evaluation,
    evaluate_scores,
)
from fairpo.generation.preferences import PreferencePairs
from fairpo.generation.readers import PairOptions, read_pairs
from fairpo.generation.scorer import COMPLETION, TOKENS, CompletionScorer
from fairpo.generation.tokens import (
    ATTRIBUTES,
    REFERENCE,
    PairCollator,
    PairExamples,
    check_tokenizer,
    sequences_of,
    tokenize_demonstrations,
    tokenize_pairs,
)
from fairpo.generation.verses import Demonstrations
from fairpo.groups import LabelGroups
from fairpo.objectives.group_objective import StepSums
from fairpo.objectives.pair_catalogue import make_pair_objective
from fairpo.objectives.pairs import CompletionScores, PairObjective
from fairpo.training.adapters import has_adapters, with_adapters
from fairpo.training.distributed import same_weights
from fairpo.training.in_order import InOrder
from fairpo.training.random_state import same_random_state_after
from fairpo.training.reference_cache import cached_answers
from fairpo.training.reference_model import ReferenceModel, check_given, load_saved
from fairpo.training.reported_trainer import ReportedTrainer

FOLDER = "_reference_log_probs"
"""Where kept log-probabilities lie, within the output folder."""

DEMONSTRATIONS = "demonstrations"
"""What stands for their attribute."""

_PROBE = 16
"""Tokens of the example on which a model's head is tried."""


class FairPOGenerationTrainer(ReportedTrainer):
    """A ``transformers.Trainer`` that improves a language model on privileged attributes.

    The model is trained by a method over pairs
    (:func:`fairpo.objectives.pair_catalogue.pair_method_names`): pairs driven by privileged
    attributes are learnt from, the others are held to a reference. With all attributes privileged,
    ``fairpo-dpo`` is the DPO of TRL's ``DPOTrainer``. Everything of ``transformers.Trainer`` that
    is not named here works as it does there.

    Parameters
    ----------
    model : transformers.PreTrainedModel or peft.PeftModel
        A causal language model. The policy starts from it.
    args : FairPOGenerationConfig
    train_dataset : PreferencePairs, list of dict, datasets.Dataset, or Demonstrations
        Rows have columns ``prompt``, ``chosen``, ``rejected`` (TRL's formats, plain or
        conversational) and ``attribute``; see :func:`fairpo.generation.read_pairs`. Method ``sft``
        also takes :class:`~fairpo.generation.verses.Demonstrations`, prompts with one completion.
    eval_dataset : the same, or a mapping of several
        Its attributes are among those of the training pairs' names.
    processing_class : transformers.PreTrainedTokenizerBase
        The tokenizer.
    groups : LabelGroups, optional
        Over attributes, in the order of the training pairs' ``attribute_names``;
        ``args.privileged`` says it otherwise.
    reference_model : transformers.PreTrainedModel, optional
        The model that must not get worse, with the policy's tokens. Frozen in place.
        ``args.reference`` says it otherwise.
    peft_config : peft.PeftConfig, optional
        Adapters to put on the model; the rest is frozen.
    compute_metrics, callbacks, optimizers : optional
        As in ``transformers.Trainer``. ``compute_metrics`` adds to the metrics that are always
        there; predictions have the columns :data:`~fairpo.generation.evaluation.SCORES`, labels
        are the attributes.

    Attributes
    ----------
    groups : LabelGroups
    attribute_names : tuple of str
    objective : PairObjective
        With the group weights.
    evaluations : dict
        The last :class:`~fairpo.generation.evaluation.Evaluation` by prefix, such as ``"eval"``.

    Raises
    ------
    FairPOError
        Model, tokenizer, pairs, groups and options that do not fit, before any training.

    Notes
    -----
    Training logs hold ``group_losses/<group>``, ``group_weights/<group>`` and, in TRL's words,
    ``rewards/chosen``, ``rewards/rejected``, ``rewards/accuracies``, ``rewards/margins``,
    ``logps/chosen`` and ``logps/rejected``, each of all pairs, ``/<group>`` and
    ``/attributes/<name>``. ``evaluate`` returns the same under ``eval_``, of the whole set, with
    ``eval_rewards/accuracies/worst_group`` and the like; see
    :class:`~fairpo.generation.evaluation.Evaluation`.

    A training resumed from a checkpoint is bit-identical to one that never stopped, on a CPU.
    """

    objective: PairObjective
    evaluations: dict[str, Evaluation]

    def __init__(
        self,
        model: Any,
        args: FairPOGenerationConfig,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        *,
        groups: LabelGroups | None = None,
        reference_model: nn.Module | None = None,
        peft_config: Any = None,
        compute_metrics: Callable[[transformers.EvalPrediction], dict[str, float]] | None = None,
        callbacks: list[transformers.TrainerCallback] | None = None,
        optimizers: tuple[Any, Any] = (None, None),
    ) -> None:
        if not isinstance(args, FairPOGenerationConfig):
            raise type_error("args", must="be a FairPOGenerationConfig", got=type(args).__name__)
        check_tokenizer(processing_class)
        check_model(model, processing_class)
        check_given(
            reference_model,
            model,
            args.reference,
            must="be a causal language model of transformers",
            config="FairPOGenerationConfig",
        )
        self._tokenizer, self._max_length = processing_class, args.max_length
        self.attribute_names: tuple[str, ...] = ()
        trained, evaluated = self._trained_and_evaluated(train_dataset, eval_dataset)
        super().__init__(
            accumulation=args.accumulation,
            model=_prepared(model, args, peft_config),
            args=args,
            data_collator=PairCollator(
                processing_class.pad_token_id, args.max_length, args.pad_to_multiple_of
            ),
            train_dataset=trained,
            eval_dataset=evaluated,
            processing_class=processing_class,
            compute_metrics=compute_metrics,
            callbacks=callbacks,
            optimizers=optimizers,
        )
        if args.n_gpu > 1:
            raise value_error(
                "the number of GPUs of a process",
                must="be 1",
                got=args.n_gpu,
                do="Launch with torchrun or accelerate, or set CUDA_VISIBLE_DEVICES.",
            )
        self._reference_digest: str | None = None
        self._reference_in_words = "none"
        self._reference: ReferenceModel | None = None
        same_weights(self.model)
        with same_random_state_after():
            self._scorer = self._scorer_of(self.model)
            self._take_reference(reference_model)
            self.groups = self._choose_groups(groups)
            self.use_objective(
                make_pair_objective(
                    args.method,
                    self.groups,
                    attribute_names=self.attribute_names,
                    **args.objective_options(),
                )
            )
            if trained is not None:
                self._take_sides(trained)
            self._begin_reference()
        self._check_best_metric()

    # What the objective is given

    def part_sums(self, model: nn.Module, inputs: dict[str, Any], first_row: int) -> StepSums:
        """Sums of a micro-batch; see :meth:`ObjectiveTrainer.part_sums`."""
        chosen_only = not self.objective.needs_rejected
        sides = self._sides(self._scorer, model, inputs, chosen_only=chosen_only)
        reference = inputs.get(REFERENCE)
        return self.objective.sums(
            sides[0],
            None if chosen_only else sides[1],
            inputs[ATTRIBUTES],
            None if reference is None else (reference[:, 0], reference[:, 1]),
        )

    def known_counts(self, inputs: dict[str, Any]) -> Tensor:
        """What the tokens tell of the counts; see :meth:`ObjectiveTrainer.known_counts`."""
        lengths = inputs[COMPLETION][:, 0, 1:].sum(1)
        known = self._prepare_inputs({"lengths": lengths, ATTRIBUTES: inputs[ATTRIBUTES]})
        return self.objective.known_counts(known["lengths"], known[ATTRIBUTES])

    def reference_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """What the reference says of a micro-batch of pairs, unless it is kept with them."""
        if REFERENCE in inputs or self._reference is None or inputs[TOKENS].shape[1] < 2:
            return {}
        return {REFERENCE: self._reference_log_probs(inputs)}

    def identity(self) -> dict[str, Any]:
        """What a training that goes on from a checkpoint must have in common with it."""
        if self._reference_digest is None and self._reference is not None:
            self._reference_digest = self._reference.digest()
        trained = [
            f"{name} {tuple(p.shape)}"
            for name, p in self.model.named_parameters()
            if p.requires_grad
        ]
        pairs = self.train_dataset
        return {
            "method": self.args.method,
            "attributes": list(self.attribute_names),
            "trained parameters": trained,
            **super().identity(),
            "reference": self._reference_digest,
            "number of training pairs": None if pairs is None else len(pairs),
            "max_length": self.args.max_length,
            "pairs of a step": self.args.train_batch_size
            * self.args.gradient_accumulation_steps
            * self.args.world_size,
        }

    # Evaluation

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Metrics of a set of pairs; see ``transformers.Trainer.evaluate``.

        Parameters
        ----------
        eval_dataset : as in the constructor, or a name of several
            The constructor's when not given.
        ignore_keys : ignored
        metric_key_prefix : str
        """
        examples = self._all_examples(eval_dataset, metric_key_prefix)
        metrics: dict[str, float] = super().evaluate(examples, ignore_keys, metric_key_prefix)
        return metrics

    def predict(
        self,
        test_dataset: Any,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "test",
    ) -> transformers.trainer_utils.PredictionOutput:
        """Scores of pairs, columns :data:`~fairpo.generation.evaluation.SCORES`, and metrics."""
        examples = self._all_examples(test_dataset, metric_key_prefix)
        return super().predict(examples, ignore_keys, metric_key_prefix)

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[None, Tensor, Tensor]:
        """Scores of a batch by policy and reference."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad():
            reference = {**inputs, **self.reference_inputs(inputs)}.get(REFERENCE)
            chosen, rejected = self._sides(self._scorer, model, inputs)
        columns = [part.float() for part in (*chosen, *rejected)]
        missing = torch.full_like(columns[0], torch.nan)
        columns += [missing, missing] if reference is None else list(reference.float().T)
        return None, torch.stack(columns, dim=1), inputs[ATTRIBUTES]

    def evaluation_loop(
        self,
        dataloader: torch.utils.data.DataLoader[Any],
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> transformers.trainer_utils.EvalLoopOutput:
        """Go through a set; its metrics are those of the whole set."""
        output = super().evaluation_loop(
            dataloader, description, False, ignore_keys, metric_key_prefix
        )
        evaluation = evaluate_scores(
            self.objective,
            output.predictions,
            output.label_ids,
            self.attribute_names,
            self.steps_taken,
        )
        self.evaluations[metric_key_prefix] = evaluation
        for key, value in evaluation.metrics.items():
            output.metrics[f"{metric_key_prefix}_{key}"] = value
        return output

    def card(self, **options: Any) -> str:
        """Text of the model card; see :meth:`ReportedTrainer.card`."""
        return model_card(
            self.model,
            self.args,
            self.objective,
            self.attribute_names,
            self.evaluations,
            self._reference_in_words,
            **options,
        )

    # Pairs

    def _trained_and_evaluated(self, trained: Any, evaluated: Any) -> tuple[Any, Any]:
        """Examples of both; the training pairs name the attributes, unless they are no pairs."""
        if not isinstance(trained, Demonstrations):
            name = "train_dataset"
            examples = None if trained is None else self._examples(trained, name)
            return examples, self._all_examples(evaluated, "eval_dataset")
        of_evaluated = self._all_examples(evaluated, "eval_dataset")
        place = len(self.attribute_names)
        self.attribute_names = (*self.attribute_names, DEMONSTRATIONS)
        tokens = tokenize_demonstrations(
            trained, place, self._tokenizer, self._max_length, "train_dataset"
        )
        return PairExamples(tokens), of_evaluated

    def _take_sides(self, trained: PairExamples) -> None:
        trained.with_rejected = self.objective.needs_rejected
        if trained.with_rejected and len(trained.tokens.sides) < 2:
            raise value_error(
                "train_dataset",
                must=f"hold rejected completions for method={self.args.method!r}",
                got=DEMONSTRATIONS,
                do="Demonstrations are for method='sft'.",
            )

    def _all_examples(self, given: Any, name: str) -> Any:
        """One set, several by name, or what is ready: nothing, or the name of one that is there."""
        if given is None or isinstance(given, str | PairExamples):
            return given
        if isinstance(given, Mapping):
            return {
                key: self._all_examples(part, f"{name}[{key!r}]") for key, part in given.items()
            }
        return self._examples(given, name)

    def _examples(self, given: Any, name: str) -> PairExamples:
        pairs = given if isinstance(given, PreferencePairs) else self._read(given, name)
        if not self.attribute_names:
            self.attribute_names = pairs.attribute_names
        elif pairs.attribute_names != self.attribute_names:
            pairs = renamed(pairs, self.attribute_names, name)
        return PairExamples(tokenize_pairs(pairs, self._tokenizer, self._max_length, name))

    def _read(self, given: Any, name: str) -> PreferencePairs:
        parts = read_pairs(given, PairOptions(attribute_names=self.attribute_names or None))
        if len(parts) > 1:
            raise value_error(
                name,
                must="be one set of pairs",
                got=f"a split column with {', '.join(parts)}",
                do="Give each part of fairpo.generation.load_pairs(...) where it belongs.",
            )
        (pairs,) = parts.values()
        return pairs

    def _datasets(self) -> list[PairExamples]:
        evaluated = self.eval_dataset
        several = list(evaluated.values()) if isinstance(evaluated, dict) else [evaluated]
        return [examples for examples in (self.train_dataset, *several) if examples is not None]

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = [ATTRIBUTES, "sides", REFERENCE]

    def _sides(
        self,
        scorer: CompletionScorer,
        model: nn.Module,
        inputs: dict[str, Any],
        *,
        chosen_only: bool = False,
    ) -> list[CompletionScores]:
        """Scores of chosen and rejected, in one forward pass."""
        scores = scorer(model, sequences_of(inputs, chosen_only=chosen_only))
        by_side = [part.view(-1, len(inputs[TOKENS])) for part in scores]
        return [CompletionScores(*side) for side in zip(*by_side, strict=True)]

    def _scorer_of(self, model: Any) -> CompletionScorer:
        tokens = torch.arange(min(_PROBE, model.get_input_embeddings().num_embeddings))
        for examples in self._datasets()[:1]:
            tokens = self.data_collator([examples[0]])[TOKENS][0, 0, :_PROBE]
        return CompletionScorer(model, tokens.to(self.args.device))

    # Groups and reference

    def _choose_groups(self, given: LabelGroups | None) -> LabelGroups:
        if not self.attribute_names:
            raise value_error(
                "train_dataset or eval_dataset",
                must="be given: it names the attributes",
                got="neither",
            )
        pairs = None if self.train_dataset is None else self.train_dataset.tokens
        driving = None if pairs is None or len(pairs.sides) < 2 else pairs.attributes
        return choose_groups(
            given, self.args, self.attribute_names, driving, self._accuracy_of_reference
        )

    def _accuracy_of_reference(self) -> NDArray[np.float64]:
        """Accuracy per token of each attribute on the evaluation set, NaN without a pair."""
        examples = self.eval_dataset
        if not isinstance(examples, PairExamples):
            raise value_error(
                "eval_dataset",
                must=f"be one set of pairs, for privileged={self.args.privileged!r}",
                got=type(examples).__name__,
                do="Name the attributes, or give groups.",
            )

        def ahead(batch: dict[str, Any]) -> Tensor:
            sides = self._ask_reference(self._prepare_inputs(batch))
            won, lost = (side.log_probs / side.lengths for side in sides)
            return (won > lost)[:, None]

        in_order = self._in_order(examples)
        pieces = ((rows, ahead(batch)) for rows, batch in in_order)
        found = in_order.put_together(pieces, 1, self.args.device)[:, 0]
        attributes = examples.tokens.attributes
        return np.array(
            [
                found[attributes == index].mean() if (attributes == index).any() else np.nan
                for index in range(len(self.attribute_names))
            ]
        )

    def _take_reference(self, given: nn.Module | None) -> None:
        """Take a reference that is another model than the policy."""
        folder = self.args.reference
        if given is None and folder == "initial":
            return
        self._reference_in_words = "a saved model" if given is None else "a given model"
        model = given
        if model is None:
            advice = "reference is 'initial' or the folder of a model."
            model = load_saved(folder, self.model, advice)
        check_same_tokens(model, self.model)
        self._reference = ReferenceModel.frozen(model, self.args.device)
        self._reference_scorer = self._scorer_of(model)

    def _begin_reference(self) -> None:
        """Take the initial policy where it is wanted, and run the reference ahead of training."""
        ahead, passing = self.args.precompute_ref_log_probs, False
        if self._reference is None:
            if not self.objective.needs_reference:
                return
            self._reference_in_words = "the model as it was before this training"
            passing = ahead and not has_adapters(self.model)
            self._reference = ReferenceModel(self.model) if passing else self._initial_reference()
            policy = self._reference.model is self.model
            self._reference_scorer = (
                self._scorer if policy else self._scorer_of(self._reference.model)
            )
        if ahead:
            digest = f"{self.identity()['reference'][:16]}{self.accelerator.mixed_precision}"
            for examples in self._datasets():
                if len(examples.tokens.sides) == 2:
                    self._keep(examples, digest)
        if passing:  # the model moves on; what it said at first is kept
            self._reference = None

    def _initial_reference(self) -> ReferenceModel:
        if self.train_dataset is None:
            return ReferenceModel.initial(self.model, None)
        batch = sequences_of(self._prepare_inputs(self._in_order(self.train_dataset).first()))
        return ReferenceModel.initial(self.model, lambda model: self._scorer(model, batch)[0])

    def _keep(self, examples: PairExamples, digest: str) -> None:
        with_rejected, examples.with_rejected = examples.with_rejected, True
        examples.reference = cached_answers(
            Path(self.args.output_dir) / FOLDER,
            digest,
            self._in_order(examples),
            lambda batch: {key: value for key, value in batch.items() if key != ATTRIBUTES},
            lambda inputs: self._reference_log_probs(self._prepare_inputs(inputs)),
            2,
            self.args.device,
        )
        examples.with_rejected = with_rejected

    def _reference_log_probs(self, inputs: dict[str, Any]) -> Tensor:
        """Sums (batch, 2), float32."""
        sides = self._ask_reference(inputs)
        return torch.stack([side.log_probs for side in sides], dim=1).float()

    def _ask_reference(self, inputs: dict[str, Any]) -> list[CompletionScores]:
        reference = self._reference or ReferenceModel(self.model)  # before training: the policy
        scorer = self._scorer if self._reference is None else self._reference_scorer
        with self.accelerator.autocast():
            return reference.run(lambda model: self._sides(scorer, model, inputs))

    def _in_order(self, examples: PairExamples) -> InOrder:
        return InOrder(
            examples,
            self.data_collator,
            self.args.precompute_ref_batch_size or self.args.eval_batch_size,
            self.args.dataloader_num_workers,
        )

    def _check_best_metric(self) -> None:
        """Refuse, before any work, a metric that no evaluation will have."""
        chosen = self.args.metric_for_best_model
        if chosen is None or self.compute_metrics is not None:
            return
        watched = self.objective.diagnostic_keys
        plain = [key for key in watched if key.count("/") == 1]
        parts = [key.removeprefix(plain[0]) for key in watched if key.startswith(plain[0])]
        known = ["loss", *(f"group_losses/{name}" for name in self.groups.names), *watched]
        known += [f"{PER_TOKEN}{part}" for part in parts]
        for key in ("rewards/accuracies", "rewards/margins", PER_TOKEN):
            known += [f"{key}/{word}" for word in WORST]
        name = chosen.removeprefix("eval_")
        if name not in known and not isinstance(self.eval_dataset, dict):
            raise unknown_name("metric_for_best_model", name, known, of="metrics")


def _prepared(model: Any, args: FairPOGenerationConfig, peft_config: Any) -> Any:
    if peft_config is not None:
        model = with_adapters(model, peft_config, extra="generation")
    if has_adapters(model) and args.activation_checkpointing:
        model.enable_input_require_grads()  # or no gradient reaches what is recomputed
    if args.disable_dropout:
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    return model
