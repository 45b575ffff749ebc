"""Heads: from features to logits, one per label."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator
from torch import Tensor, nn

from fairpo._checks import value_error
from fairpo._random import DROPOUT, Draw, random_keep
from fairpo.models.kernel_ridge import KernelRidge
from fairpo.models.scaling import Scaling


class HeadSettings(BaseModel):
    """Shape of a head."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["mlp", "linear", "per-label"] = Field(
        "mlp",
        description="mlp shares its hidden layers among the labels; linear has none; per-label "
        "gives each label a small network of its own, as the paper does.",
    )
    hidden: tuple[PositiveInt, ...] | None = Field(
        None,
        description="Widths of the hidden layers; per-label takes one, 16 is usual there. If not "
        "given 256, and 512 for the network of fairpo-crossfit. A number is one layer.",
    )
    dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Share of hidden units dropped in training. If not given 0.3, and 0.5 for the "
        "network of fairpo-crossfit.",
    )
    scaling: Literal["standard", "none"] = Field(
        "standard",
        description="Whether features are centred and scaled by the training rows' mean and "
        "deviation inside the head.",
    )

    @field_validator("hidden", mode="before")
    @classmethod
    def _one_layer(cls, given: object) -> object:
        return (given,) if isinstance(given, int) else given

    def filled(self, hidden: tuple[int, ...] = (256,), dropout: float = 0.3) -> HeadSettings:
        """Return the same with what is not given: what is usual, or a method's own."""
        return self.model_copy(
            update={
                "hidden": hidden if self.hidden is None else self.hidden,
                "dropout": dropout if self.dropout is None else self.dropout,
            }
        )


class RowDropout(nn.Module):
    """Dropout that depends on where a row stands in its training step, if it is told.

    Then it is the same however the step is split among micro-batches and processes, and after a
    resume.

    Parameters
    ----------
    share : float
        Of the units, dropped in train mode; the others are scaled up.
    number : int
        Of this layer in its network, so that no two drop the same units.
    """

    def __init__(self, share: float, number: int) -> None:
        super().__init__()
        self.share = share
        self.number = number

    def forward(self, hidden: Tensor, draw: Draw | None) -> Tensor:
        """Drop units of (batch, units)."""
        if draw is None or not self.training or not self.share:
            return F.dropout(hidden, self.share, self.training)
        rows = torch.arange(len(hidden), device=hidden.device) + draw.first_row
        units = torch.arange(hidden.shape[1], device=hidden.device)
        place = (draw.seed, DROPOUT, draw.step, self.number, rows.unsqueeze(1), units)
        return hidden * random_keep(1 - self.share, *place) / (1 - self.share)

    def extra_repr(self) -> str:
        """Show the share."""
        return f"share={self.share}"


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
        self.dropout = RowDropout(dropout, 0)
        bound = 1 / math.sqrt(hidden)
        self.second = nn.Parameter(torch.empty(n_labels, hidden).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(n_labels))

    def forward(self, features: Tensor, draw: Draw | None = None) -> Tensor:
        """Map (batch, features) to logits (batch, labels)."""
        hidden: Tensor = self.dropout(torch.relu(self.first(features)), draw)
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
    n_landmarks : int
        Of a kernel ridge regression that the policy holds and whose logits, times
        ``base_weight``, are added to the head's; 0 is a head alone. :meth:`interpolate` sets the
        weights, of the reference's logits as well; until then they are 0, and 1.
    """

    base_weight: Tensor
    reference_weight: Tensor

    def __init__(
        self,
        n_features: int,
        n_labels: int,
        settings: HeadSettings,
        *,
        residual: bool = False,
        n_landmarks: int = 0,
    ) -> None:
        super().__init__()
        settings = settings.filled()
        self.scaling = Scaling(n_features) if settings.scaling == "standard" else nn.Identity()
        self.body = _body(n_features, n_labels, settings)
        self.n_features, self.n_labels = n_features, n_labels
        self.settings = settings
        self.residual = residual
        if residual:
            self._start_at_zero()
        self.base: KernelRidge | None = None
        if n_landmarks:
            self.base = KernelRidge(n_features, n_labels, n_landmarks)
            self.register_buffer("base_weight", torch.zeros(()))
            self.register_buffer("reference_weight", torch.ones(()))

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, Tensor],
        n_features: int,
        n_labels: int,
        settings: HeadSettings,
        *,
        residual: bool = False,
    ) -> Self:
        """Rebuild a policy from its weights; widths and landmarks are what they tell."""
        landmarks = state.get("base.landmarks")
        n_landmarks = 0 if landmarks is None else len(landmarks)
        if settings.kind != "linear":
            settings = settings.model_copy(update={"hidden": _widths(state, n_labels)})
        policy = cls(n_features, n_labels, settings, residual=residual, n_landmarks=n_landmarks)
        policy.load_state_dict(state)
        return policy

    def forward(
        self,
        features: Tensor,
        reference_logits: Tensor | None = None,
        draw: Draw | None = None,
    ) -> Tensor:
        """Map (batch, features) to logits (batch, labels).

        Parameters
        ----------
        features : float tensor, shape (batch, features)
        reference_logits : float tensor, shape (batch, labels), optional
            A residual needs them.
        draw : Draw, optional
            What dropout depends on in training; torch's global generator when not given.
        """
        logits = self.body(self.scaling(features), draw)
        if self.base is not None:
            logits = logits + self.base_weight * self.base(features)
        return self._with_reference(logits, reference_logits)

    @torch.no_grad()
    def interpolate(
        self, own_weight: float, base_weight: float, shift: Tensor, reference_weight: float = 1.0
    ) -> None:
        """Weigh the logits of the head, the base and the reference, and shift by (labels,)."""
        self.base_weight.fill_(base_weight)
        self.reference_weight.fill_(reference_weight)
        self.last_layer.weight.mul_(own_weight)
        self.last_layer.bias.mul_(own_weight).add_(shift)

    def logits_at(
        self,
        features: Tensor,
        labels: Tensor,
        reference_logits: Tensor | None = None,
        draw: Draw | None = None,
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
        draw : Draw, optional
            As in :meth:`forward`.

        Raises
        ------
        FairPOValueError
            The head is ``per-label``.
        """
        last = self.last_layer
        weight = F.embedding(labels, last.weight, sparse=True)
        bias = torch.gather(last.bias, 0, labels, sparse_grad=True)
        logits = F.linear(self.hidden(features, draw), weight, bias)
        if self.base is not None:
            logits = logits + self.base_weight * self.base.logits_at(features, labels)
        return self._with_reference(logits, reference_logits)

    def hidden(self, features: Tensor, draw: Draw | None = None) -> Tensor:
        """What the last layer sees, (batch, width of the last hidden layer)."""
        return self._shared_layers.hidden(self.scaling(features), draw)

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

    def _with_reference(self, logits: Tensor, reference_logits: Tensor | None) -> Tensor:
        if not self.residual:
            return logits
        assert reference_logits is not None
        if self.base is not None:
            reference_logits = self.reference_weight * reference_logits
        return logits + reference_logits

    @property
    def _shared_layers(self) -> SharedMLP:
        if isinstance(self.body, SharedMLP):
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


class SharedMLP(nn.Sequential):
    """Hidden layers shared among the labels, and a last layer with a row for each."""

    def __init__(self, n_features: int, n_labels: int, hidden: tuple[int, ...], dropout: float):
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(pairwise((n_features, *hidden))):
            layers += [nn.Linear(before, after), nn.ReLU(), RowDropout(dropout, number)]
        super().__init__(*layers, nn.Linear((n_features, *hidden)[-1], n_labels))

    def forward(self, features: Tensor, draw: Draw | None = None) -> Tensor:
        """Map (batch, features) to logits (batch, labels)."""
        logits: Tensor = self[-1](self.hidden(features, draw))
        return logits

    def hidden(self, features: Tensor, draw: Draw | None = None) -> Tensor:
        """Map (batch, features) to what the last layer sees."""
        for layer in list(self)[:-1]:
            features = layer(features, draw) if isinstance(layer, RowDropout) else layer(features)
        return features


def _widths(state: Mapping[str, Tensor], n_labels: int) -> tuple[int, ...]:
    """Widths of the hidden layers that a policy's weights are of."""
    if "body.first.weight" in state:
        return (len(state["body.first.weight"]) // n_labels,)
    found = (re.fullmatch(r"body\.(\d+)\.weight", name) for name in state)
    layers = sorted(int(match[1]) for match in found if match)
    return tuple(len(state[f"body.{layer}.weight"]) for layer in layers[:-1])


def _body(n_features: int, n_labels: int, settings: HeadSettings) -> PerLabelMLP | SharedMLP:
    assert settings.hidden is not None
    assert settings.dropout is not None
    if settings.kind == "per-label":
        hidden = settings.hidden[0] if settings.hidden else 16
        return PerLabelMLP(n_features, n_labels, hidden, settings.dropout)
    hidden_layers = settings.hidden if settings.kind == "mlp" else ()
    return SharedMLP(n_features, n_labels, hidden_layers, settings.dropout)
