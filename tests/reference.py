"""The paper by another hand: slow float64 loops, written from its formulas and not from our code.

Every function walks over examples ``i``, labels ``l`` and ``k`` one number at a time. Logits are
nested lists of floats, or a float64 tensor: then the result is a scalar with a graph, and
``backward`` through the loops gives the reference gradient. A missing target is None, negative or
NaN. Equation numbers are the paper's. Means come with what they were divided by; 0 means that
there was nothing to average. A ``sample`` maps the labels whose scores may be looked at to the
number of labels each stands for; what is divided by runs over all labels all the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

Number = Any  # a float or a float64 scalar tensor
Sample = dict[int, float] | None
Choice = Callable[[int, int, list[int]], int]
"""(example, label, confusing labels) -> the one that was drawn."""


# --- scalars -----------------------------------------------------------------------------------


def is_positive(target: Any) -> bool:
    return target is not None and float(target) == 1.0


def is_negative(target: Any) -> bool:
    return target is not None and float(target) == 0.0


def is_missing(target: Any) -> bool:
    return not is_positive(target) and not is_negative(target)


def plain(z: Number) -> float:
    """The number alone, without a graph."""
    return z.item() if isinstance(z, Tensor) else float(z)


def log_sigmoid(z: Number) -> Number:
    """log(1 / (1 + exp(-z))), in the branch that cannot overflow."""
    exp, log1p = (torch.exp, torch.log1p) if isinstance(z, Tensor) else (math.exp, math.log1p)
    if plain(z) >= 0:
        return -log1p(exp(-z))
    return z - log1p(exp(z))


def bce(z: Number, target: Any) -> Number:
    """Eq. 11-12: -[y log m + (1 - y) log(1 - m)]; 1 - m is the sigmoid of -z."""
    return -log_sigmoid(z) if is_positive(target) else -log_sigmoid(-z)


def score(z: Number, space: str) -> Number:
    """log m, or the log-odds log(m / (1 - m)) = z."""
    return log_sigmoid(z) if space == "log-probability" else z


# --- confusing labels (Eq. 8 and the later code) -----------------------------------------------


def confusing_negatives(z: Any, y: Any, i: int, label: int) -> list[int]:
    """S_il = {k in T : y_ik = 0 and m_ik >= m_il}; for y_il = 1."""
    found = []
    for k in range(len(y[i])):
        if is_negative(y[i][k]) and plain(z[i][k]) >= plain(z[i][label]):
            found.append(k)
    return found


def confusing_positives(z: Any, y: Any, i: int, label: int) -> list[int]:
    """{k in T : y_ik = 1 and m_ik <= m_il}; for y_il = 0."""
    found = []
    for k in range(len(y[i])):
        if is_positive(y[i][k]) and plain(z[i][k]) <= plain(z[i][label]):
            found.append(k)
    return found


def searched_entries(
    z: Any, y: Any, labels: Sequence[int], pairs: str
) -> Iterator[tuple[int, int, list[int]]]:
    """Every entry (i, l) whose confusing labels are looked for, with those found."""
    for i in range(len(y)):
        for label in labels:
            if is_positive(y[i][label]):
                yield i, label, confusing_negatives(z, y, i, label)
            elif is_negative(y[i][label]) and pairs == "both":
                yield i, label, confusing_positives(z, y, i, label)


def confusing_pairs(
    z: Any, y: Any, labels: Sequence[int], pairs: str = "negatives"
) -> list[tuple[int, int, int, int]]:
    """All pairs as (example, preferred label, rejected label, label of the searched entry)."""
    found = []
    for i, label, others in searched_entries(z, y, labels, pairs):
        for k in others:
            preferred, rejected = (label, k) if is_positive(y[i][label]) else (k, label)
            found.append((i, preferred, rejected, label))
    return found


# --- the privileged loss -----------------------------------------------------------------------


def pair_loss(
    kind: str,
    z: Any,
    r: Any,
    pair: tuple[int, int, int, int],
    *,
    beta: float,
    margin: float,
    space: str,
) -> Number:
    """Loss of one pair: Eq. 9-10 (dpo), 16 (simpo) or 17 (cpo)."""
    i, preferred, rejected, _ = pair
    ahead = score(z[i][preferred], space) - score(z[i][rejected], space)
    if kind == "dpo":
        was_ahead = score(r[i][preferred], space) - score(r[i][rejected], space)
        return -log_sigmoid(beta * (ahead - was_ahead))
    if kind == "simpo":
        return -log_sigmoid(beta * ahead - margin)
    return -log_sigmoid(beta * ahead)


def privileged_loss(
    kind: str,
    z: Any,
    r: Any,
    y: Any,
    labels: Sequence[int],
    *,
    beta: float = 1.0,
    margin: float = 0.0,
    nll_weight: float = 1.0,
    space: str = "log-probability",
    pairs: str = "negatives",
    fallback: str = "none",
    reduction: str = "pairs",
    likelihood: str = "positives",
    weights: Any = None,
    choose: Choice | None = None,
    sample: Sample = None,
) -> tuple[Number, float]:
    """L_P of one set of privileged labels; ``choose`` names the one label that was drawn."""
    total, n_terms, n_entries, n_positives = 0.0, 0.0, 0.0, 0.0
    for i, label, found in searched_entries(z, y, labels, pairs):
        w = weight_of(weights, i, label)
        kept = [choose(i, label, found)] if choose is not None and found else found
        for k in kept:
            preferred, rejected = (label, k) if is_positive(y[i][label]) else (k, label)
            pair = (i, preferred, rejected, label)
            stands_for = drawn_weight(sample, label) * drawn_weight(sample, k)
            if stands_for:
                price = pair_loss(kind, z, r, pair, beta=beta, margin=margin, space=space)
                total = total + w * stands_for * price
            n_terms += w
        if not found and fallback == "bce":
            total = total + w * bce(z[i][label], y[i][label])
            n_terms += w
    for i in range(len(y)):
        for label in labels:
            n_entries += 0.0 if is_missing(y[i][label]) else weight_of(weights, i, label)
            n_positives += weight_of(weights, i, label) if is_positive(y[i][label]) else 0.0
    count = {"pairs": n_terms, "entries": n_entries, "positives": n_positives}[reduction]
    loss = total / count if count else 0.0
    if kind == "cpo":  # Eq. 19
        nll, n_likelihood = likelihood_loss(z, y, labels, likelihood, weights, sample)
        loss, count = loss + nll_weight * nll, count + n_likelihood
    return loss, count


def likelihood_loss(
    z: Any,
    y: Any,
    labels: Sequence[int],
    likelihood: str,
    weights: Any = None,
    sample: Sample = None,
) -> tuple[Number, float]:
    """Eq. 18: the mean of -log m over privileged positives; later code: BCE over all entries."""
    total, count = 0.0, 0.0
    for i in range(len(y)):
        for label in labels:
            wanted = is_positive(y[i][label])
            if likelihood == "entries":
                wanted = not is_missing(y[i][label])
            if wanted:
                w = weight_of(weights, i, label)
                if drawn_weight(sample, label):
                    value = bce(z[i][label], y[i][label])
                    total = total + w * drawn_weight(sample, label) * value
                count += w
    return (total / count if count else 0.0), count


def weight_of(weights: Any, i: int, label: int) -> float:
    return 1.0 if weights is None else float(weights[i][label])


def drawn_weight(sample: Sample, label: int) -> float:
    return 1.0 if sample is None else sample.get(label, 0.0)


# --- pointwise means ----------------------------------------------------------------------------


def bce_loss(
    z: Any, y: Any, labels: Sequence[int], weights: Any = None, sample: Sample = None
) -> tuple[Number, float]:
    """Mean cross-entropy over the observed entries of some labels."""
    return likelihood_loss(z, y, labels, "entries", weights, sample)


def excess_loss(
    z: Any, r: Any, y: Any, labels: Sequence[int], weights: Any = None, sample: Sample = None
) -> tuple[Number, float]:
    """Mean cross-entropy above the reference's, over the observed entries of some labels."""
    loss, count = bce_loss(z, y, labels, weights, sample)
    return loss - bce_loss(r, y, labels, weights, sample)[0], count


def constraint_loss(
    z: Any,
    r: Any,
    y: Any,
    labels: Sequence[int],
    *,
    slack: float,
    weights: Any = None,
    sample: Sample = None,
) -> tuple[Number, float]:
    """Eq. 13-14: the mean over entries of max(0, l_ij - l^_ij - slack)."""
    total, count = 0.0, 0.0
    for i in range(len(y)):
        for j in labels:
            if is_missing(y[i][j]):
                continue
            w, stands_for = weight_of(weights, i, j), drawn_weight(sample, j)
            if stands_for:
                worse = bce(z[i][j], y[i][j]) - bce(r[i][j], y[i][j]) - slack
                if plain(worse) > 0:
                    total = total + w * stands_for * worse
            count += w
    return (total / count if count else 0.0), count


def reweighted_bce(z: Any, y: Any, privileged: Sequence[int], privileged_weight: float) -> Number:
    """Cross-entropy with weights that are divided by their mean over the observed entries."""
    weights, values = [], []
    for i in range(len(y)):
        for label in range(len(y[i])):
            if not is_missing(y[i][label]):
                weights.append(privileged_weight if label in privileged else 1.0)
                values.append(bce(z[i][label], y[i][label]))
    mean_weight = sum(weights) / len(weights)
    total = 0.0
    for w, value in zip(weights, values, strict=True):
        total = total + w / mean_weight * value
    return total / len(values)


def focal(z: Number, target: Any, focusing: float, positive_share: float | None) -> Number:
    """Lin et al. 2017, Eq. 5: -alpha_t (1 - p_t)^gamma log p_t; gamma may be any number over 0."""
    truth = z if is_positive(target) else -z
    share = 1.0
    if positive_share is not None:
        share = positive_share if is_positive(target) else 1 - positive_share
    exp = torch.exp if isinstance(z, Tensor) else math.exp
    return -share * exp(focusing * log_sigmoid(-truth)) * log_sigmoid(truth)


def asymmetric(
    z: Number, target: Any, gamma_negative: float, gamma_positive: float, clip: float
) -> Number:
    """Ridnik et al. 2021: with p_m = max(p - m, 0) for a negative; a branch where that is 0."""
    if is_positive(target):
        return focal(z, target, gamma_positive, None)
    if clip == 0:
        return focal(z, target, gamma_negative, None)
    exp, log = (torch.exp, torch.log) if isinstance(z, Tensor) else (math.exp, math.log)
    p, rest = exp(log_sigmoid(z)), exp(log_sigmoid(-z))
    if plain(p) <= clip:
        return 0.0 * z
    return -((p - clip) ** gamma_negative) * log(rest + clip)


def class_balanced_weights(positives: Sequence[float], beta: float) -> list[float]:
    """Cui et al. 2019: 1 / E_n with E_n = 1 + beta + ... + beta^(n-1), made to sum to the labels.

    The sum stands for (1 - beta^n) / (1 - beta), so that n is a whole number.
    """
    inverse = [1 / sum(beta**power for power in range(int(n))) for n in positives]
    return [len(inverse) * one / sum(inverse) for one in inverse]


def class_balanced_bce(
    z: Any, y: Any, labels: Sequence[int], weights_of_labels: Sequence[float], weights: Any = None
) -> Number:
    """Cross-entropy with a weight for each label, over the sum of the weights."""
    total, count = 0.0, 0.0
    for i in range(len(y)):
        for label in labels:
            if not is_missing(y[i][label]):
                w = weight_of(weights, i, label) * weights_of_labels[label]
                total, count = total + w * bce(z[i][label], y[i][label]), count + w
    return total / count if count else 0.0 * total


def distribution_balanced(
    z: Any,
    y: Any,
    labels: Sequence[int],
    positives: Sequence[float],
    observed: Sequence[float],
    *,
    offset: float,
    slope: float,
    centre: float,
    negative_scale: float,
    bias_scale: float,
    weights: Any = None,
) -> Number:
    """Wu et al. 2020: smoothed P^C / P^I, negative tolerance; a mean over entries of labels."""
    n_labels = len(positives)
    total, count = 0.0, 0.0
    for i in range(len(y)):
        by_instance = 0.0  # P^I: the rate at which the example is drawn for any of its labels
        for label in range(n_labels):
            if is_positive(y[i][label]):
                by_instance += 1 / n_labels / positives[label]
        for label in labels:
            if is_missing(y[i][label]):
                continue
            by_class = 1 / n_labels / positives[label]  # P^C
            rate = by_class / by_instance if by_instance else math.inf
            smoothed = offset + 1 / (1 + math.exp(-slope * (rate - centre)))
            bias = bias_scale * math.log(observed[label] / positives[label] - 1)
            moved = z[i][label] - bias
            if is_positive(y[i][label]):
                value = -log_sigmoid(moved)
            else:
                value = -log_sigmoid(-negative_scale * moved) / negative_scale
            w = weight_of(weights, i, label)
            total, count = total + w * smoothed * value, count + w
    return total / count if count else 0.0 * total


# --- group weights ------------------------------------------------------------------------------


def mirror_ascent(
    weights: Sequence[float], gains: Sequence[float], step_size: float
) -> list[float]:
    """Algorithm 1, in the form it is printed in: a_g <- a_g exp(step_size L_g) / Z."""
    raised = [a * math.exp(step_size * gain) for a, gain in zip(weights, gains, strict=True)]
    return [a / sum(raised) for a in raised]


def relative_rule(
    weights: Sequence[float], losses: Sequence[Sequence[float | None]], step_size: float
) -> list[list[float]]:
    """The later code's weights after each step: every loss against its own running average.

    A loss of None is a group that is absent from the step.
    """
    weights = list(weights)
    averages: list[float | None] = [None] * len(weights)
    history = []
    for step in losses:
        factors: dict[int, float] = {}
        for g, loss in enumerate(step):
            if loss is None:
                continue
            average = averages[g]
            gain = loss if average is None else (loss - average) / (abs(average) + 1e-6)
            averages[g] = loss if average is None else 0.9 * average + 0.1 * loss
            factors[g] = math.exp(max(-10.0, min(10.0, step_size * gain)))
        if len(factors) > 1:
            share = sum(weights[g] for g in factors)
            z = sum(weights[g] * factor for g, factor in factors.items())
            for g, factor in factors.items():
                weights[g] = share * weights[g] * factor / z
        history.append(list(weights))
    return history


# --- rankings -----------------------------------------------------------------------------------


def ranking(scores: Sequence[float], targets: Sequence[Any], labels: Sequence[int]) -> list[int]:
    """Labels that are known, best first; ties go to the lower label."""
    known = [label for label in labels if not is_missing(targets[label])]
    return sorted(known, key=lambda label: (-float(scores[label]), label))


def precision_at(
    scores: Sequence[float], targets: Sequence[Any], labels: Sequence[int], k: int
) -> float:
    """Share of the first k places taken by labels that apply."""
    first = ranking(scores, targets, labels)[:k]
    return sum(is_positive(targets[label]) for label in first) / k


def ndcg_at(
    scores: Sequence[float], targets: Sequence[Any], labels: Sequence[int], k: int
) -> float | None:
    """Sum of 1 / log2(1 + place) over hits, over that of the ideal ranking; None without any."""
    n_positives = sum(is_positive(targets[label]) for label in labels)
    if not n_positives:
        return None
    gain = 0.0
    for place, label in enumerate(ranking(scores, targets, labels)[:k], start=1):
        gain += is_positive(targets[label]) / math.log2(1 + place)
    return gain / sum(1 / math.log2(1 + place) for place in range(1, min(k, n_positives) + 1))
