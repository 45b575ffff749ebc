"""The network: from features and the labels chosen so far to the next label, or the end.

Its state is the SET chosen so far, not the order of choosing. Nothing is lost by that: draw a set
from any distribution over sets and write its labels in a uniformly random order; given the labels
written so far, the next one depends on which they are, never on their order. So a network that
sees the set alone can be exactly that process, whatever the distribution. And much is won: all
orders of a set of s labels pass through the same 2^s states, so that their probabilities are
summed exactly (:mod:`fairpo.labelsets.probability`), and beams that meet in a set are one beam.
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from fairpo._random import Draw
from fairpo.models.head import RowDropout
from fairpo.models.scaling import Scaling


class GeneratorSettings(BaseModel):
    """Shape of the network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(128, ge=1, description="Units of every hidden layer.")
    layers: int = Field(
        2, ge=0, description="Hidden layers that see features and chosen labels together."
    )
    dropout: float = Field(
        0.3, ge=0, lt=1, description="Share of the units made from features, dropped in training."
    )


class LabelSetGenerator(nn.Module):
    """Choose labels one by one, or end: log-probabilities of each choice, given those so far.

    Features make a context once a row. A state adds the embeddings of the labels chosen, in no
    order, and passes residual layers; a step costs the same however many labels are in.

    Parameters
    ----------
    n_features, n_labels : int
    settings : GeneratorSettings

    Notes
    -----
    Dropout acts on the context alone: within a training step all states of a row share it, so
    that they belong to one distribution over sets.
    """

    def __init__(self, n_features: int, n_labels: int, settings: GeneratorSettings) -> None:
        super().__init__()
        self.n_features, self.n_labels = n_features, n_labels
        self.settings = settings
        width = settings.width
        self.scaling = Scaling(n_features)
        self.encoder = nn.Linear(n_features, width)
        self.dropout = RowDropout(settings.dropout, 0)
        self.joining = nn.Linear(width, width)
        self.chosen = nn.Parameter(torch.randn(n_labels, width) / width**0.5)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU())
            for _ in range(settings.layers)
        )
        self.choice = nn.Linear(width, n_labels + 1)

    @property
    def end(self) -> int:
        """Column of the end token, after all labels."""
        return self.n_labels

    def context(self, features: Tensor, draw: Draw | None = None) -> Tensor:
        """Map features (batch, features) to contexts (batch, width), once a row."""
        hidden = self.dropout(torch.relu(self.encoder(self.scaling(features))), draw)
        context: Tensor = self.joining(hidden)
        return context

    def logits(self, context: Tensor, added: Tensor) -> Tensor:
        """Map states to raw scores of every choice, (states, labels + 1), the end last.

        Parameters
        ----------
        context : float tensor, shape (states, width)
        added : float tensor, shape (states, width)
            Sum of the rows of ``chosen`` of the labels in each state.
        """
        hidden = torch.relu(context + added)
        for layer in self.layers:
            hidden = hidden + layer(hidden)
        logits: Tensor = self.choice(hidden)
        return logits

    def log_probs(
        self, context: Tensor, added: Tensor, blocked: Tensor, temperature: float = 1.0
    ) -> Tensor:
        """Log-probabilities of every choice in each state, (states, labels + 1).

        Parameters
        ----------
        context, added : float tensor, shape (states, width)
        blocked : bool tensor, shape (states, labels + 1)
            Choices that are not allowed, such as labels already chosen: -inf. One at least must
            be allowed in each state.
        temperature : float > 0
            Divides the raw scores: below 1 the likely becomes likelier, above 1 less so.

        Returns
        -------
        float tensor, at least float32: sums of exponentials need more than half precision.
        """
        logits = self.logits(context, added)
        full = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return (full / temperature).masked_fill(blocked, -torch.inf).log_softmax(1)

    def extra_repr(self) -> str:
        """Show the sizes."""
        return f"n_features={self.n_features}, n_labels={self.n_labels}"
