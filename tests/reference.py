"""The paper by another hand: slow float64 loops, written from its formulas and not from our code.

Every function walks over examples ``i``, labels ``l`` and ``k`` one number at a time. Numbers are
float64 scalars of torch, so that ``backward`` through the loops gives the reference gradient.
Equation numbers are the paper's. A missing target is negative or NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Choice = Callable[[int, int, list[int]], int]
"""(example, label, confusing labels) -> the one that was drawn."""


def to_doubles(values: Tensor, requires_grad: bool = False) -> Tensor:
    """A float64 leaf with the same numbers."""
    return values.detach().to(torch.float64).clone().requires_grad_(requires_grad)


# --- scalars -----------------------------------------------------------------------------------


def is_positive(target: Any) -> bool:
    return float(target) == 1.0


def is_negative(target: Any) -> bool:
    return float(target) == 0.0


def is_missing(target: Any) -> bool:
    return not is_positive(target) and not is_negative(target)


def log_sigmoid(z: Tensor) -> Tensor:
    """log(1 / (1 + exp(-z))), in the branch that cannot overflow."""
    if float(z) >= 0:
        return -torch.log1p(torch.exp(-z))
    return z - torch.log1p(torch.exp(z))


def entry_bce(z: Tensor, target: Any) -> Tensor:
    """Eq. 11-12: -[y log m + (1 - y) log(1 - m)]; 1 - m is the sigmoid of -z."""
    return -log_sigmoid(z) if is_positive(target) else -log_sigmoid(-z)


def score(z: Tensor, score_space: str) -> Tensor:
    """log m, or the log-odds log(m / (1 - m)) = z."""
    return log_sigmoid(z) if score_space == "log-probability" else z


# --- confusing labels (Eq. 8 and the later code) -----------------------------------------------


def confusing_negatives(logits: Tensor, targets: Tensor, i: int, label: int) -> list[int]:
    """S_il = {k in T : y_ik = 0 and m_ik >= m_il}; for y_il = 1."""
    found = []
    for k in range(logits.shape[1]):
        if is_negative(targets[i, k]) and float(logits[i, k]) >= float(logits[i, label]):
            found.append(k)
    return found


def confusing_positives(logits: Tensor, targets: Tensor, i: int, label: int) -> list[int]:
    """{k in T : y_ik = 1 and m_ik <= m_il}; for y_il = 0."""
    found = []
    for k in range(logits.shape[1]):
        if is_positive(targets[i, k]) and float(logits[i, k]) <= float(logits[i, label]):
            found.append(k)
    return found


def searched_sets(
    logits: Tensor, targets: Tensor, labels: Sequence[int], pairs: str
) -> list[tuple[int, int, list[int]]]:
    """Every entry (i, l) whose confusing labels are looked for, with what was found."""
    sets = []
    for i in range(logits.shape[0]):
        for label in labels:
            if is_positive(targets[i, label]):
                sets.append((i, label, confusing_negatives(logits, targets, i, label)))
            elif is_negative(targets[i, label]) and pairs == "both":
                sets.append((i, label, confusing_positives(logits, targets, i, label)))
    return sets


# --- losses of a pair ---------------------------------------------------------------------------


def pair_loss(
    preference: str,
    policy: Tensor,
    reference: Tensor | None,
    preferred: int,
    rejected: int,
    *,
    beta: float,
    margin: float,
    score_space: str,
) -> Tensor:
    """Loss of one pair from one example's rows of logits: Eq. 9-10, 16 or 17."""
    ahead = score(policy[preferred], score_space) - score(policy[rejected], score_space)
    if preference == "dpo":
        was = score(reference[preferred], score_space) - score(reference[rejected], score_space)
        return -log_sigmoid(beta * (ahead - was))
    if preference == "simpo":
        return -log_sigmoid(beta * ahead - margin)
    return -log_sigmoid(beta * ahead)


# --- the privileged loss -----------------------------------------------------------------------


def privileged_loss(
    logits: Tensor,
    reference: Tensor | None,
    targets: Tensor,
    labels: Sequence[int],
    *,
    preference: str,
    beta: float = 1.0,
    margin: float = 0.0,
    nll_weight: float = 1.0,
    score_space: str = "log-probability",
    pairs: str = "negatives",
    choose: Choice | None = None,
    expected: bool = False,
    fallback: str = "none",
    reduction: str = "pairs",
    likelihood: str = "positives",
    entry_weight: Tensor | None = None,
) -> tuple[Tensor, float]:
    """L_P of one set of privileged labels, and what it was divided by (0: nothing to learn from).

    ``choose`` picks the one label that was drawn, ``expected`` takes the mean over the draws.
    """

    def weight(i: int, label: int) -> float:
        return 1.0 if entry_weight is None else float(entry_weight[i, label])

    total, n_terms, n_entries, n_positives = zero(), 0.0, 0.0, 0.0
    for i, label, found in searched_sets(logits, targets, labels, pairs):
        w = weight(i, label)
        kept = [choose(i, label, found)] if choose is not None and found else found
        for k in kept:
            preferred, rejected = (label, k) if is_positive(targets[i, label]) else (k, label)
            rows = (logits[i], None if reference is None else reference[i])
            value = pair_loss(
                preference,
                *rows,
                preferred,
                rejected,
                beta=beta,
                margin=margin,
                score_space=score_space,
            )
            share = 1 / len(found) if expected else 1.0
            total = total + w * share * value
            n_terms += w * share
        if not found and fallback == "bce":
            total = total + w * entry_bce(logits[i, label], targets[i, label])
            n_terms += w
    for i in range(logits.shape[0]):
        for label in labels:
            n_entries += 0.0 if is_missing(targets[i, label]) else weight(i, label)
            n_positives += weight(i, label) if is_positive(targets[i, label]) else 0.0
    count = {"pairs": n_terms, "entries": n_entries, "positives": n_positives}[reduction]
    loss = total / count if count else zero() * total
    if preference == "cpo":
        nll, n_likelihood = likelihood_loss(logits, targets, labels, likelihood, entry_weight)
        loss, count = loss + nll_weight * nll, count + n_likelihood
    return loss, count


def likelihood_loss(
    logits: Tensor,
    targets: Tensor,
    labels: Sequence[int],
    likelihood: str,
    entry_weight: Tensor | None = None,
) -> tuple[Tensor, float]:
    """Eq. 18: the mean of -log m over privileged positives; later code: BCE over all entries."""
    total, count = zero(), 0.0
    for i in range(logits.shape[0]):
        for label in labels:
            w = 1.0 if entry_weight is None else float(entry_weight[i, label])
            wanted = is_positive(targets[i, label])
            if likelihood == "entries":
                wanted = not is_missing(targets[i, label])
            if wanted:
                total = total + w * entry_bce(logits[i, label], targets[i, label])
                count += w
    return (total / count if count else zero()), count


# --- pointwise means ----------------------------------------------------------------------------


def mean_bce(
    logits: Tensor, targets: Tensor, labels: Sequence[int], entry_weight: Tensor | None = None
) -> tuple[Tensor, float]:
    """Mean cross-entropy over the observed entries of some labels."""
    return likelihood_loss(logits, targets, labels, "entries", entry_weight)


def constraint_loss(
    logits: Tensor,
    reference: Tensor,
    targets: Tensor,
    labels: Sequence[int],
    slack: float,
    entry_weight: Tensor | None = None,
) -> tuple[Tensor, float]:
    """Eq. 13-14: the mean over entries of max(0, l_ij - l^_ij - slack)."""
    total, count = zero(), 0.0
    for i in range(logits.shape[0]):
        for j in labels:
            if is_missing(targets[i, j]):
                continue
            w = 1.0 if entry_weight is None else float(entry_weight[i, j])
            worse = entry_bce(logits[i, j], targets[i, j])
            worse = worse - entry_bce(reference[i, j], targets[i, j]) - slack
            if float(worse) > 0:
                total = total + w * worse
            count += w
    return (total / count if count else zero()), count


def reweighted_bce(
    logits: Tensor, targets: Tensor, privileged: Sequence[int], privileged_weight: float
) -> Tensor:
    """Cross-entropy with weights that are divided by their mean over the observed entries."""
    weights, values = [], []
    for i in range(logits.shape[0]):
        for label in range(logits.shape[1]):
            if not is_missing(targets[i, label]):
                weights.append(privileged_weight if label in list(privileged) else 1.0)
                values.append(entry_bce(logits[i, label], targets[i, label]))
    mean_weight = sum(weights) / len(weights)
    total = zero()
    for w, value in zip(weights, values, strict=True):
        total = total + w / mean_weight * value
    return total / len(values)


# --- group weights ------------------------------------------------------------------------------


def mirror_ascent(
    weights: Sequence[float], gains: Sequence[float], step_size: float
) -> list[float]:
    """Algorithm 1, in the form it is printed in: a_g <- a_g exp(step_size L_g) / Z."""
    raised = [a * math.exp(step_size * gain) for a, gain in zip(weights, gains, strict=True)]
    return [a / sum(raised) for a in raised]


def add_floor(weights: Sequence[float], floor: float) -> list[float]:
    """a <- f + (1 - G f) a."""
    return [floor + (1 - len(weights) * floor) * a for a in weights]


class RelativeRule:
    """The later code's weights: each loss against its running average, group by group."""

    def __init__(self, n_groups: int, step_size: float) -> None:
        self.weights = [1 / n_groups] * n_groups
        self.averages: list[float | None] = [None] * n_groups
        self.step_size = step_size

    def step(self, losses: Sequence[float | None]) -> list[float]:
        """Take one step; a loss of None is a group that is absent."""
        factors: list[float | None] = []
        for g, loss in enumerate(losses):
            if loss is None:
                factors.append(None)
                continue
            average = self.averages[g]
            if average is None:
                gain = loss
                self.averages[g] = loss
            else:
                gain = (loss - average) / (abs(average) + 1e-6)
                self.averages[g] = 0.9 * average + 0.1 * loss
            factors.append(math.exp(max(-10.0, min(10.0, self.step_size * gain))))
        present = [g for g, factor in enumerate(factors) if factor is not None]
        if len(present) < 2:
            return self.weights
        share = sum(self.weights[g] for g in present)
        raised = {g: self.weights[g] * factors[g] for g in present}
        for g in present:
            self.weights[g] = share * raised[g] / sum(raised.values())
        return self.weights


def zero() -> Tensor:
    return torch.zeros((), dtype=torch.float64)


# --- data for the tests -------------------------------------------------------------------------


def random_batch(
    seed: int, n_rows: int, n_labels: int, *, missing: float = 0.0, ties: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Float64 logits and reference logits (some tied) and targets, some of them missing (-1, NaN)."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n_rows, n_labels, generator=generator, dtype=torch.float64)
    if ties:
        logits = (logits * 2).round() / 2
    noise = torch.randn(n_rows, n_labels, generator=generator, dtype=torch.float64)
    targets = (torch.rand(n_rows, n_labels, generator=generator) < 0.4).double()
    draw = torch.rand(n_rows, n_labels, generator=generator)
    targets[draw < missing] = -1.0
    targets[draw < missing / 2] = torch.nan
    return logits, logits + 0.5 * noise, targets
