"""Log-probabilities of completions under a causal language model, without all its logits."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fairpo._checks import FairPOWarning
from fairpo.generation.log_probs import LogitTransform, head_log_probs, logit_log_probs

TOKENS, ATTENTION, COMPLETION = "input_ids", "attention_mask", "completion_mask"
"""Keys of a batch, each (sequences, length): tokens, which are there, and which are scored."""


class CompletionScorer:
    """Sums of the log-probabilities of completion tokens.

    A model whose head is a plain linear layer, alone or within a ``peft.PeftModel``, is run without
    its logits: a hook takes the hidden states where they enter the head, within the model's own
    forward pass, so that autocast and wrappers for several processes hold for them too. What the
    model does to its logits afterwards is read from its configuration (a scale, a soft cap), and
    the whole is compared with the model's own logits on an example first.

    A model that does not pass (adapters on the head, an unknown transform of the logits) gives its
    logits whole; only their log-softmax is in chunks then. A warning says so.

    Parameters
    ----------
    model : transformers.PreTrainedModel or peft.PeftModel
    example : int64 tensor, shape (length,)
        Some tokens, at least two, on the model's device.

    Attributes
    ----------
    splits_head : bool
        Whether the logits are left out.
    """

    def __init__(self, model: Any, example: Tensor) -> None:
        self._head: Any = model.get_output_embeddings()
        self._transform = LogitTransform.of(model.config)
        self.splits_head = type(self._head) is nn.Linear and self._agrees(model, example)
        if not self.splits_head:
            warnings.warn(
                f"The head of {type(model).__name__} cannot be split off: its logits are made for "
                "whole batches, which takes more memory.",
                FairPOWarning,
                stacklevel=2,
            )

    def __call__(self, model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Score the completions of a batch.

        Parameters
        ----------
        model : torch.nn.Module
            The scorer's, or a wrapper of it.
        batch : mapping
            Under :data:`TOKENS`, :data:`ATTENTION` and :data:`COMPLETION`, each
            (sequences, length).

        Returns
        -------
        (log_probs, lengths)
            Float tensor with a graph and int tensor, shape (sequences,). The first token of a
            sequence has nothing before it and is never scored.
        """
        tokens, scored = batch[TOKENS], batch[COMPLETION][:, 1:].bool()
        inputs = {TOKENS: tokens, ATTENTION: batch[ATTENTION], "use_cache": False}
        targets = tokens[:, 1:][scored]
        rows = (scored.flatten().nonzero().squeeze(1), tokens.shape[1] - 1)
        if self.splits_head:
            with self._in_place_of_logits(rows, targets) as found:
                model(**inputs)
            (of_tokens,) = found
        else:
            logits = model(**inputs).logits
            places = _places(*rows, logits.shape[1])
            of_tokens = logit_log_probs(logits.flatten(0, 1), places, targets)
        each = torch.zeros_like(scored, dtype=of_tokens.dtype).masked_scatter(scored, of_tokens)
        return each.sum(1), scored.sum(1)

    @contextmanager
    def _in_place_of_logits(
        self, rows: tuple[Tensor, int], targets: Tensor
    ) -> Iterator[list[Tensor]]:
        """Score where the hidden states enter the head, which is then given none of them."""
        found: list[Tensor] = []

        def score(head: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            hidden = inputs[0]
            places = _places(*rows, hidden.shape[1])
            taken = hidden.flatten(0, 1).index_select(0, places)
            found.append(head_log_probs(taken, head.weight, head.bias, targets, self._transform))
            # An empty piece, not nothing: a wrapper for several processes follows the graph of the
            # logits to the parameters that are used.
            return (hidden[:, :0], *inputs[1:])

        hook = self._head.register_forward_pre_hook(score)
        try:
            yield found
        finally:
            hook.remove()

    @torch.no_grad()
    def _agrees(self, model: Any, example: Tensor) -> bool:
        """Whether scoring without logits gives what the model's logits give."""
        tokens = example[None]
        batch = {TOKENS: tokens, ATTENTION: torch.ones_like(tokens)}
        batch[COMPLETION] = torch.ones_like(tokens)
        training = model.training
        model.eval()
        try:
            self.splits_head = False
            expected, lengths = self(model, batch)
            self.splits_head = True
            found, _ = self(model, batch)
        except (RuntimeError, ValueError, IndexError, TypeError):  # of a model's own forward pass
            return False
        finally:
            model.train(training)
        tolerance = torch.finfo(next(model.parameters()).dtype).eps ** 0.5
        return bool(((found - expected).abs() <= tolerance * (lengths + expected.abs())).all())


def _places(rows: Tensor, length: int, length_of_model: int) -> Tensor:
    """Positions of ``rows``, numbered within ``length``, in the output of a model.

    Its last position predicts nothing, and prompt tuning puts more positions in front.
    """
    sequence, position = rows // length, rows % length
    return sequence * length_of_model + (length_of_model - 1 - length) + position
