"""Log-probabilities of tokens, without the logits of all tokens at once.

The logits of a batch are (tokens, vocabulary), by far the largest tensor of a step with a
vocabulary of 100,000. Here they are made for some tokens at a time, from the hidden states, and
made again for the gradient. Only tokens of completions are scored; those of prompts never are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_ENTRIES = {"cpu": 2**23}
_ENTRIES_ELSEWHERE = 2**26
"""Logits at a time: large enough for fast products, small beside the weights of the head."""


class LogitTransform(NamedTuple):
    """What a model does to the logits that its head gives.

    Parameters
    ----------
    scale : float, default 1
        They are multiplied by it.
    softcap : float, optional
        Then bent towards it: ``softcap * tanh(logits / softcap)`` (Gemma 2).
    """

    scale: float = 1.0
    softcap: float | None = None

    @classmethod
    def of(cls, config: Any) -> LogitTransform:
        """Read it from a model's configuration, under the names that families use."""
        text = config.get_text_config()
        cap = getattr(text, "final_logit_softcapping", None)
        for name in ("logit_scale", "output_multiplier", "lm_head_multiplier"):  # Cohere, Falcon-H1
            if getattr(text, name, None) is not None:
                return cls(float(getattr(text, name)), cap)
        divided_by = getattr(text, "logits_scaling", None)  # Granite
        return cls(1.0 if divided_by is None else 1.0 / divided_by, cap)

    def apply_(self, logits: Tensor) -> Tensor:
        """Transform in place."""
        if self.scale != 1.0:
            logits.mul_(self.scale)
        if self.softcap is not None:
            logits.div_(self.softcap).tanh_().mul_(self.softcap)
        return logits

    def backward_(self, gradient: Tensor, transformed: Tensor) -> Tensor:
        """Gradient before the transform, in place, from the one after it and the result."""
        if self.softcap is not None:
            gradient.mul_(1.0 - (transformed / self.softcap).square_())
        if self.scale != 1.0:
            gradient.mul_(self.scale)
        return gradient


def head_log_probs(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    transform: LogitTransform | None = None,
) -> Tensor:
    """Log-probabilities of tokens from hidden states, through a linear head in chunks.

    Parameters
    ----------
    hidden : float tensor, shape (tokens, size)
    weight : float tensor, shape (vocabulary, size)
        Of the head; it may be the input embeddings'.
    bias : float tensor, shape (vocabulary,), optional
    targets : int64 tensor, shape (tokens,)
    transform : LogitTransform, optional

    Returns
    -------
    float tensor, shape (tokens,)
        In float32 at least; the product is in the autocast dtype under autocast and in that of
        ``hidden`` elsewhere. Equal to ``log_softmax`` of the logits at the targets, with its
        gradient. Memory beyond inputs and gradients is that of some chunks of logits.
    """
    apply: Any = _HeadLogProbs.apply
    scores: Tensor = apply(hidden, weight, bias, targets, transform or LogitTransform())
    return scores


def logit_log_probs(logits: Tensor, rows: Tensor, targets: Tensor) -> Tensor:
    """Log-probabilities of tokens from logits that are there already.

    Parameters
    ----------
    logits : float tensor, shape (positions, vocabulary)
    rows : int64 tensor, shape (tokens,)
        Positions that are scored, each once.
    targets : int64 tensor, shape (tokens,)

    Returns
    -------
    float tensor, shape (tokens,)
        In float32 at least. No second copy of the logits is made, but for their gradient.
    """
    apply: Any = _LogitLogProbs.apply
    scores: Tensor = apply(logits, rows, targets)
    return scores


class _HeadLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        transform: LogitTransform,
    ) -> Tensor:
        kind = hidden.device.type
        ctx.dtype = (
            torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        )
        ctx.transform = transform
        scores = hidden.new_empty(len(hidden), dtype=torch.promote_types(ctx.dtype, torch.float32))
        chunks = list(_chunks(len(hidden), weight))
        for rows in chunks:
            logits = _logits(ctx, hidden[rows], weight, bias)
            scores[rows] = _at_targets(F.log_softmax(logits, dim=-1), targets[rows])
        # The gradient holds a chunk in any case: where there is but one, it is not made again.
        ctx.kept = logits if len(chunks) == 1 and any(ctx.needs_input_grad) else None
        ctx.save_for_backward(hidden, weight, bias, targets)
        return scores

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,) = gradients
        hidden, weight, bias, targets = ctx.saved_tensors
        of_hidden, of_weight, of_bias = ctx.needs_input_grad[:3]
        d_hidden = torch.empty_like(hidden) if of_hidden else None
        d_weight = torch.zeros_like(weight, dtype=gradient.dtype) if of_weight else None
        d_bias = torch.zeros_like(bias, dtype=gradient.dtype) if of_bias else None
        for rows in _chunks(len(hidden), weight):
            inputs = hidden[rows]
            logits = _logits(ctx, inputs, weight, bias) if ctx.kept is None else ctx.kept
            d_logits = _d_logits(logits, targets[rows], gradient[rows])
            ctx.transform.backward_(d_logits, logits)
            if d_bias is not None:
                d_bias += d_logits.sum(0)
            d_logits = d_logits.to(ctx.dtype)
            if d_hidden is not None:
                d_hidden[rows] = (d_logits @ weight.to(ctx.dtype)).to(hidden.dtype)
            if d_weight is not None:
                _add_product(d_weight, d_logits.T, inputs.to(ctx.dtype))
        return (
            d_hidden,
            None if d_weight is None else d_weight.to(weight.dtype),
            None if d_bias is None else d_bias.to(bias.dtype),
            None,
            None,
        )


def _logits(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Transformed logits of a chunk, float32 at least."""
    with torch.autocast(hidden.device.type, enabled=False):
        logits = F.linear(
            hidden.to(ctx.dtype),
            weight.to(ctx.dtype),
            None if bias is None else bias.to(ctx.dtype),
        )
    full = logits.to(torch.promote_types(ctx.dtype, torch.float32))
    transformed: Tensor = ctx.transform.apply_(full)
    return transformed


def _at_targets(log_probs: Tensor, targets: Tensor) -> Tensor:
    return log_probs.gather(1, targets[:, None]).squeeze(1)


def _d_logits(logits: Tensor, targets: Tensor, gradient: Tensor) -> Tensor:
    """Gradient of logits, (1[target] - p) times that of the target's log-probability."""
    d_logits = F.softmax(logits, dim=-1).mul_(-gradient[:, None])
    return d_logits.scatter_add_(1, targets[:, None], gradient[:, None])


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add ``left @ right``; half precision is added up in full."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total.add_(left @ right)


class _LogitLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, rows: Tensor, targets: Tensor) -> Tensor:
        full = torch.promote_types(logits.dtype, torch.float32)
        scores = logits.new_empty(len(rows), dtype=full)
        for part in _chunks(len(rows), logits.T):
            log_probs = F.log_softmax(logits[rows[part]].to(full), dim=-1)
            scores[part] = _at_targets(log_probs, targets[part])
        ctx.save_for_backward(logits, rows, targets)
        return scores

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,) = gradients
        logits, rows, targets = ctx.saved_tensors
        d_logits = torch.zeros_like(logits)
        for part in _chunks(len(rows), logits.T):
            inside = logits[rows[part]].to(gradient.dtype)
            inside = _d_logits(inside, targets[part], gradient[part])
            d_logits[rows[part]] = inside.to(logits.dtype)
        return d_logits, None, None


def _chunks(n_tokens: int, weight: Tensor) -> Iterator[slice]:
    """Tokens whose logits are made together."""
    entries = _ENTRIES.get(weight.device.type, _ENTRIES_ELSEWHERE)
    size = max(1, entries // len(weight))
    for start in range(0, n_tokens, size):
        yield slice(start, min(start + size, n_tokens))
