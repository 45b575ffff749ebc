"""Heads: from features to logits, one per label."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from fairpo._checks import value_error


class HeadSettings(BaseModel):
    """Shape of a head."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["mlp", "linear", "per-label"] = Field(
        "mlp",
        description="mlp shares its hidden layers among the labels; linear has none; per-label "
        "gives each label a small network of its own, as the paper does.",
    )
    hidden: tuple[int, ...] = Field(
        (256,), description="Widths of the hidden layers; per-label takes one, 16 is usual there."
    )
    dropout: float = Field(
        0.3, ge=0, lt=1, description="Share of hidden units dropped in training."
    )
    scaling: Literal["standard", "none"] = Field(
        "standard",
        description="Whether features are centred and scaled by the training rows' mean and "
        "deviation inside the head.",
    )


class Scaling(nn.Module):
    """Centre and scale features by constants taken from the training rows."""

    mean: Tensor
    scale: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))

    def forward(self, features: Tensor) -> Tensor:
        """Scale (batch, features)."""
        scaled: Tensor = (features - self.mean) / self.scale
        return scaled


class PerLabelMLP(nn.Module):
    """A network of one hidden layer for each label, run as two batched products.

    Parameters
    ----------
    n_features, n_labels, hidden : int
    dropout : float
    """

    def __init__(self, n_features: int, n_labels: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(n_features, n_labels * hidden)
        self.dropout = nn.Dropout(dropout)
        bound = 1 / math.sqrt(hidden)
        self.second = nn.Parameter(torch.empty(n_labels, hidden).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(n_labels))

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, features) to logits (batch, labels)."""
        hidden: Tensor = self.dropout(torch.relu(self.first(features)))
        return (hidden.view(-1, *self.second.shape) * self.second).sum(2) + self.bias


class Policy(nn.Module):
    """What is trained: a head, alone or as a residual on the scores of another model.

    Parameters
    ----------
    n_features, n_labels : int
    settings : HeadSettings
    residual : bool
        Whether the head's output is added to reference logits; it then starts at zero, so that
        the untrained policy is the reference exactly.
    """

    def __init__(
        self, n_features: int, n_labels: int, settings: HeadSettings, *, residual: bool = False
    ) -> None:
        super().__init__()
        self.scaling = Scaling(n_features) if settings.scaling == "standard" else nn.Identity()
        self.body = _body(n_features, n_labels, settings)
        self.n_features, self.n_labels = n_features, n_labels
        self.settings = settings
        self.residual = residual
        if residual:
            self._start_at_zero()

    def forward(self, features: Tensor, reference_logits: Tensor | None = None) -> Tensor:
        """Map (batch, features) to logits (batch, labels); a residual needs the reference's."""
        logits: Tensor = self.body(self.scaling(features))
        if not self.residual:
            return logits
        assert reference_logits is not None
        return logits + reference_logits

    def logits_at(
        self, features: Tensor, labels: Tensor, reference_logits: Tensor | None = None
    ) -> Tensor:
        """Map (batch, features) to logits (batch, sampled) of some labels only.

        Neither time nor memory grows with the other labels, and the gradients of the last layer
        are sparse: they hold the rows of these labels.

        Parameters
        ----------
        features : float tensor, shape (batch, features)
        labels : int64 tensor, shape (sampled,)
        reference_logits : float tensor, shape (batch, sampled), optional
            A residual needs them, of the same labels.

        Raises
        ------
        FairPOValueError
            The head is ``per-label``.
        """
        last = self.last_layer
        weight = F.embedding(labels, last.weight, sparse=True)
        bias = torch.gather(last.bias, 0, labels, sparse_grad=True)
        logits = F.linear(self.hidden(features), weight, bias)
        if not self.residual:
            return logits
        assert reference_logits is not None
        return logits + reference_logits

    def hidden(self, features: Tensor) -> Tensor:
        """What the last layer sees, (batch, width of the last hidden layer)."""
        activations: Tensor = self._shared_layers[:-1](self.scaling(features))
        return activations

    @torch.no_grad()
    def start_at_frequencies(self, frequencies: Tensor) -> None:
        """Start each label's bias at the log-odds of its frequency, (labels,), in (0, 1).

        Where labels are sampled, one drawn for a thousand others has a thousand times the
        gradient. Started at probability 1/2, those first gradients fill Adam's second moments
        and hold the rows back for the rest of the training.
        """
        self.last_layer.bias.copy_(torch.logit(frequencies))

    @property
    def last_layer(self) -> nn.Linear:
        """The layer with a row for each label.

        Raises
        ------
        FairPOValueError
            The head is ``per-label``: each label has its own layers, and none is the last of all.
        """
        last = self._shared_layers[-1]
        assert isinstance(last, nn.Linear)
        return last

    @property
    def _shared_layers(self) -> nn.Sequential:
        if isinstance(self.body, nn.Sequential):
            return self.body
        raise value_error(
            "kind",
            must="be 'mlp' or 'linear' where labels are sampled or scored in blocks",
            got="'per-label'",
            do="Its network for each label does not scale to so many labels.",
        )

    def _start_at_zero(self) -> None:
        last = self.body[-1] if isinstance(self.body, nn.Sequential) else self.body
        with torch.no_grad():
            for name, parameter in last.named_parameters(recurse=False):
                if name in ("weight", "second", "bias"):
                    parameter.zero_()


def _body(n_features: int, n_labels: int, settings: HeadSettings) -> PerLabelMLP | nn.Sequential:
    if settings.kind == "per-label":
        hidden = settings.hidden[0] if settings.hidden else 16
        return PerLabelMLP(n_features, n_labels, hidden, settings.dropout)
    widths = [n_features, *(settings.hidden if settings.kind == "mlp" else ())]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(settings.dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], n_labels))
