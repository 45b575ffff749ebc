"""Probabilities of sets against walks over all orders, and what must hold of all of them."""

import itertools
import math

import pytest
import torch

from fairpo import FairPOError
from fairpo.labelsets import LabelSetGenerator, SetConstraints, set_log_probs
from fairpo.labelsets.probability import order_bound
from tests.labelsets.scenes import (
    all_sets,
    allowed_slowly,
    contexts,
    order_log_prob,
    set_log_prob,
    small_generator,
)

RULES = [
    {},
    {"must_have": [1]},
    {"must_not": [0, 4]},
    {"exclusive": [[0, 1, 2], [2, 3]]},
    {"must_have": [1, 3], "must_not": [4], "exclusive": [[0, 1], [2, 3]]},
]


def of_all_sets(generator, context, **options):
    sets = all_sets(generator.n_labels)
    each = context.repeat_interleave(len(sets), 0)
    known = set_log_probs(generator, each, sets.repeat(len(context), 1), **options)
    return known.values.view(len(context), -1), known.standard_errors.view(len(context), -1)


@pytest.mark.parametrize("rules", RULES)
def test_sums_over_all_orders_are_those_of_a_slow_walk(rules):
    generator = small_generator()
    context = contexts(generator, 2)
    values, errors = of_all_sets(generator, context, constraints=SetConstraints(5, **rules))
    assert (errors == 0).all()
    for row, place in itertools.product(range(2), range(32)):
        labels = all_sets(5)[place].nonzero()[:, 0].tolist()
        slow = set_log_prob(generator, context[row], labels, **rules)
        assert values[row, place].item() == pytest.approx(slow, abs=1e-9)


@pytest.mark.parametrize("rules", RULES)
def test_probabilities_over_all_sets_sum_to_one(rules):
    generator = small_generator(strength=8.0)
    values, _ = of_all_sets(
        generator, contexts(generator, 4), constraints=SetConstraints(5, **rules)
    )
    torch.testing.assert_close(values.exp().sum(1), torch.ones(4, dtype=torch.float64))
    for place, chosen in enumerate(all_sets(5)):
        possible = allowed_slowly(chosen.nonzero()[:, 0].tolist(), **rules)
        assert (values[:, place] > -torch.inf).all() == possible


def test_one_label_and_no_row():
    generator = small_generator(n_labels=1)
    values, _ = of_all_sets(generator, contexts(generator, 3))
    torch.testing.assert_close(values.exp().sum(1), torch.ones(3, dtype=torch.float64))
    nothing = set_log_probs(generator, contexts(generator, 0), all_sets(1)[:0])
    assert nothing.values.shape == nothing.standard_errors.shape == (0,)


def test_drawn_orders_estimate_the_sum_without_bias():
    generator = small_generator(n_labels=6, strength=1.0)
    context = contexts(generator, 3)
    exact, _ = of_all_sets(generator, context)
    estimate, error = of_all_sets(generator, context, exact_labels=2, n_orders=300)
    small = all_sets(6).sum(1) <= 2
    torch.testing.assert_close(estimate[:, small], exact[:, small])
    assert (error[:, small] == 0).all()
    off = ((estimate - exact) / error)[:, ~small]
    # Single orders leave nothing to draw where all weigh the same, so some errors are tiny.
    assert off.abs().mean() < 1.2
    assert off.abs().max() < 6
    ratio = (estimate - exact).exp()[:, ~small].mean()
    assert abs(ratio - 1) < 0.01


def test_drawn_orders_respect_constraints():
    generator = small_generator(n_labels=6, strength=1.0)
    rules = SetConstraints(6, must_have=[1], exclusive=[[0, 2]])
    context = contexts(generator, 2)
    exact, _ = of_all_sets(generator, context, constraints=rules)
    estimate, error = of_all_sets(
        generator, context, constraints=rules, exact_labels=1, n_orders=400
    )
    assert ((exact == -torch.inf) == (estimate == -torch.inf)).all()
    possible = exact > -torch.inf
    assert ((estimate - exact)[possible].abs() <= 6 * error[possible] + 1e-9).all()


def test_the_gradient_of_an_estimate_is_that_of_the_sum():
    generator = small_generator(n_labels=4, strength=1.0).requires_grad_(True)
    context = contexts(generator, 1).detach()
    sets = torch.ones(1, 4, dtype=torch.bool)
    exact = set_log_probs(generator, context, sets).values.sum()
    (want,) = torch.autograd.grad(exact, generator.choice.weight)
    drawn = set_log_probs(generator, context, sets, exact_labels=0, n_orders=20_000).values.sum()
    (got,) = torch.autograd.grad(drawn, generator.choice.weight)
    torch.testing.assert_close(got, want, atol=0.02, rtol=0.05)


def test_the_bound_is_the_mean_over_orders_and_below_the_sum():
    generator = small_generator(n_labels=4)
    context = contexts(generator, 1)
    sets = all_sets(4)
    exact, _ = of_all_sets(generator, context)
    every = context.expand(len(sets), -1)
    draws = torch.stack(
        [order_bound(generator, every, sets, torch.arange(len(sets)), key) for key in range(600)]
    )
    for place, chosen in enumerate(sets):
        labels = chosen.nonzero()[:, 0].tolist()
        orders = [
            order_log_prob(generator, context[0], order) for order in itertools.permutations(labels)
        ]
        mean = sum(orders) / len(orders) + math.log(math.factorial(len(labels)))
        noise = draws[:, place].std().item() / math.sqrt(len(draws))
        assert draws[:, place].mean().item() == pytest.approx(mean, abs=5 * noise + 1e-9)
        assert mean <= exact[0, place].item() + 1e-9


def test_sets_of_one_number_meet_their_common_labels_in_one_order():
    generator = small_generator(n_labels=6)
    every = contexts(generator, 1).expand(2, -1)
    sets = torch.tensor([[1, 1, 1, 0, 0, 0]] * 2).bool()
    alike = order_bound(generator, every, sets, torch.tensor([7, 7]), 3)
    apart = order_bound(generator, every, sets, torch.tensor([7, 8]), 3)
    assert alike[0] == alike[1] == apart[0]
    assert apart[0] != apart[1]


def test_permuted_labels_permute_the_probabilities():
    generator = small_generator()
    order = torch.tensor([3, 0, 4, 1, 2])
    permuted = small_generator()
    with torch.no_grad():
        permuted.chosen.copy_(generator.chosen[order])
        places = torch.cat([order, torch.tensor([5])])
        permuted.choice.weight.copy_(generator.choice.weight[places])
        permuted.choice.bias.copy_(generator.choice.bias[places])
    context = contexts(generator, 2)
    sets = all_sets(5).repeat(2, 1)
    every = context.repeat_interleave(32, 0)
    torch.testing.assert_close(
        set_log_probs(generator, every, sets).values,
        set_log_probs(permuted, every, sets[:, order]).values,
    )


def test_any_split_of_a_batch_gives_the_same(monkeypatch):
    generator = small_generator(n_labels=6)
    context = contexts(generator, 9)
    sets = all_sets(6)[torch.arange(9) * 7]
    whole = set_log_probs(generator, context, sets, exact_labels=2, seed=4)
    parts = [
        set_log_probs(
            generator, context[at], sets[at], exact_labels=2, seed=4, numbers=torch.arange(9)[at]
        ).values
        for at in (slice(0, 1), slice(1, 6), slice(6, 9))
    ]
    torch.testing.assert_close(torch.cat(parts), whole.values, rtol=1e-12, atol=1e-12)
    monkeypatch.setattr("fairpo.labelsets.sets.STATE_ENTRIES", 1)
    one_by_one = set_log_probs(generator, context, sets, exact_labels=2, seed=4)
    torch.testing.assert_close(one_by_one.values, whole.values, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_finite_and_near(dtype):
    generator = small_generator(strength=1.0).float()
    context = contexts(small_generator(), 2).float()
    exact, _ = of_all_sets(generator, context)
    half: LabelSetGenerator = generator.to(dtype).requires_grad_(True)
    values, _ = of_all_sets(half, context.to(dtype))
    assert values.dtype == torch.float32
    assert values.isfinite().all()
    torch.testing.assert_close(values, exact, atol=0.15, rtol=0.02)
    values.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in half.parameters())


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"must_have": [0], "must_not": [0]}, "must share no label, got label 0 in both"),
        ({"must_have": [0, 1], "exclusive": [[0, 1]]}, "at most one label of each exclusive group"),
        ({"must_not": [9]}, "must hold labels from 0 to 4, got 9"),
    ],
)
def test_constraints_that_no_set_satisfies_are_refused(rules, words):
    with pytest.raises(FairPOError, match=words):
        SetConstraints(5, **rules)


def test_constraints_by_name():
    names = ("cat", "dog", "day", "night")
    rules = SetConstraints.from_names(names, must_have=["cat"], must_not=[1], exclusive=[names[2:]])
    allowed = rules.allows(all_sets(4))
    kept = [
        "".join(names[place][0] for place in chosen.nonzero()[:, 0])
        for chosen in all_sets(4)[allowed]
    ]
    assert sorted(kept) == ["c", "cd", "cn"]
    with pytest.raises(FairPOError, match="Did you mean 'cat'"):
        SetConstraints.from_names(names, must_have=["cap"])
