"""Small generators, all sets of few labels, and set probabilities by the slow way."""

import itertools
import math

import torch

from fairpo.labelsets import GeneratorSettings, LabelSetGenerator


def small_generator(n_labels=5, n_features=3, seed=0, strength=2.0, width=16):
    """A generator with strong opinions, in float64 and eval mode, without gradients."""
    torch.manual_seed(seed)
    generator = LabelSetGenerator(n_features, n_labels, GeneratorSettings(width=width))
    with torch.no_grad():
        generator.choice.weight.mul_(strength)
    return generator.double().eval().requires_grad_(False)


def contexts(generator, n_rows, seed=1):
    torch.manual_seed(seed)
    return generator.context(torch.randn(n_rows, generator.n_features, dtype=torch.float64))


def all_sets(n_labels):
    return torch.tensor(list(itertools.product([False, True], repeat=n_labels)))


def allowed_slowly(labels, must_have=(), must_not=(), exclusive=()):
    chosen = set(labels)
    return (
        chosen >= set(must_have)
        and not chosen & set(must_not)
        and all(len(chosen & set(group)) <= 1 for group in exclusive)
    )


def offered_slowly(chosen, n_labels, must_have=(), must_not=(), exclusive=()):
    """Choices after which an allowed set can still be reached, by looking at all allowed sets."""
    reachable = [
        set(labels)
        for size in range(n_labels + 1)
        for labels in itertools.combinations(range(n_labels), size)
        if set(chosen) <= set(labels) and allowed_slowly(labels, must_have, must_not, exclusive)
    ]
    labels = set().union(*reachable) - set(chosen) if reachable else set()
    end = allowed_slowly(chosen, must_have, must_not, exclusive)
    return sorted(labels) + ([n_labels] if end else [])


def order_log_prob(generator, context, order, **rules):
    """Log-probability of saying labels in one order and ending, one step after the other."""
    total, chosen = 0.0, []
    for choice in (*order, generator.end):
        added = sum((generator.chosen[label] for label in chosen), torch.zeros_like(context))
        logits = generator.logits(context[None], added[None])[0].tolist()
        offered = offered_slowly(chosen, generator.n_labels, **rules)
        if choice not in offered:
            return -math.inf
        total += logits[choice] - math.log(sum(math.exp(logits[each]) for each in offered))
        chosen.append(choice)
    return total


def set_log_prob(generator, context, labels, **rules):
    """The same of a set, summed over all its orders."""
    orders = [
        order_log_prob(generator, context, order, **rules)
        for order in itertools.permutations(labels)
    ]
    total = sum(math.exp(each) for each in orders)
    return math.log(total) if total > 0 else -math.inf
