"""What an evaluation found over a whole set of pairs: loss, rewards, accuracies, and the worst."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairpo.objectives.pairs import CompletionScores, PairObjective

SCORES = (
    "chosen_log_probs",
    "chosen_lengths",
    "rejected_log_probs",
    "rejected_lengths",
    "reference_chosen_log_probs",
    "reference_rejected_log_probs",
)
"""What is predicted of a pair, columns of an array; the reference's are NaN without one."""

ACCURACY, MARGIN, PER_TOKEN = "rewards/accuracies", "rewards/margins", "logps/accuracies"
"""Of pairs: share and mean of the margin of implicit rewards, and the share whose chosen
completion has the higher log-probability per token, which needs no reference."""

WORST = ("worst_group", "worst_attribute")


@dataclass(frozen=True)
class Evaluation:
    """An evaluation of one set of pairs.

    Parameters
    ----------
    step : int
        Optimizer steps the policy had taken.
    n_pairs : int
    metrics : dict
        By key, what is defined: ``loss`` and ``group_losses/<group>`` under the present group
        weights; what :data:`~fairpo.objectives.pairs.REWARD_KEYS` and :data:`PER_TOKEN` name, alone
        of all pairs, and with ``/<group>`` and ``/attributes/<name>``; the accuracies and margins
        also with :data:`WORST`, the least of those.
    """

    step: int
    n_pairs: int
    metrics: dict[str, float]


def evaluate_scores(
    objective: PairObjective,
    scores: NDArray[np.float32],
    attributes: NDArray[np.int64],
    attribute_names: tuple[str, ...],
    step: int,
) -> Evaluation:
    """Metrics of a whole set, as one step in which nothing moves.

    Parameters
    ----------
    objective : PairObjective
    scores : float array, shape (n, 6)
        Columns :data:`SCORES`.
    attributes : int array, shape (n,)
    attribute_names : tuple of str
    step : int
    """
    columns = torch.from_numpy(np.asarray(scores, dtype=np.float64)).T
    chosen, rejected = CompletionScores(*columns[:2]), CompletionScores(*columns[2:4])
    known = not bool(columns[4:].isnan().any())
    found = {}
    if known or not objective.needs_reference:
        device = next(iter(objective.buffers())).device
        found = _of_objective(objective, chosen, rejected, attributes, columns[4:], known, device)
    ahead = (chosen.log_probs / chosen.lengths) > (rejected.log_probs / rejected.lengths)
    found.update(_shares(ahead.numpy(), attributes, objective, attribute_names))
    for key in (ACCURACY, MARGIN, PER_TOKEN):
        found.update(_worst(found, key, objective.groups.names, attribute_names))
    defined = {key: value for key, value in found.items() if np.isfinite(value)}
    return Evaluation(step, len(attributes), defined)


@torch.no_grad()
def _of_objective(
    objective: PairObjective,
    chosen: CompletionScores,
    rejected: CompletionScores,
    attributes: NDArray[np.int64],
    reference: Tensor,
    known: bool,
    device: torch.device,
) -> dict[str, float]:
    won, lost = (
        CompletionScores(*(part.to(device) for part in side)) for side in (chosen, rejected)
    )
    before = (reference[0].to(device), reference[1].to(device)) if known else None
    whole = objective.sums(won, lost, torch.from_numpy(attributes).to(device), before)
    output = objective.output(whole, whole)
    losses = dict(zip(objective.groups.names, output.group_losses.tolist(), strict=True))
    watched = torch.stack(output.diagnostics).tolist()
    return {
        "loss": float(output.loss),
        **{f"group_losses/{name}": value for name, value in losses.items()},
        **dict(zip(objective.diagnostic_keys, watched, strict=True)),
    }


def _shares(
    ahead: NDArray[np.bool_],
    attributes: NDArray[np.int64],
    objective: PairObjective,
    names: tuple[str, ...],
) -> dict[str, float]:
    """Share that is ahead: of all pairs, of each group, of each attribute."""
    of_group = [group[attributes] for group in objective.groups.membership]
    of_attribute = [attributes == index for index in range(len(names))]
    keys = ["", *objective.groups.names, *(f"attributes/{name}" for name in names)]
    masks = [np.ones(len(ahead), dtype=bool), *of_group, *of_attribute]
    return {
        f"{PER_TOKEN}/{key}" if key else PER_TOKEN: float(ahead[mask].mean())
        for key, mask in zip(keys, masks, strict=True)
        if mask.any()
    }


def _worst(
    found: dict[str, float], key: str, groups: tuple[str, ...], names: tuple[str, ...]
) -> dict[str, float]:
    within = (groups, tuple(f"attributes/{name}" for name in names))
    least = {}
    for word, parts in zip(WORST, within, strict=True):
        values = [found.get(f"{key}/{part}", np.nan) for part in parts]
        defined = [value for value in values if np.isfinite(value)]
        if defined:
            least[f"{key}/{word}"] = min(defined)
    return least
