"""Sampling and beam search against the enumeration of all sets."""

import numpy as np
import pytest
import torch

from fairpo.labelsets import NetworkSets, SetConstraints, set_log_probs
from fairpo.labelsets.beam import beam_search
from fairpo.labelsets.sampling import draw_sets, sample_different
from fairpo.labelsets.sets import draw, first_different
from tests.labelsets.scenes import all_sets, contexts, small_generator

RULES = {"must_have": [1], "must_not": [4], "exclusive": [[0, 2]]}


def truth(generator, context, rules=None):
    sets = all_sets(generator.n_labels)
    each = context.repeat_interleave(len(sets), 0)
    known = set_log_probs(generator, each, sets.repeat(len(context), 1), constraints=rules)
    return known.values.view(len(context), -1)


@pytest.mark.parametrize("rules", [None, SetConstraints(5, **RULES)])
@pytest.mark.parametrize("k", [1, 3, 40])
def test_a_wide_beam_finds_the_most_probable_sets(rules, k):
    generator = small_generator(strength=4.0)
    context = contexts(generator, 6)
    everything = truth(generator, context, rules).sort(descending=True)
    found = beam_search(generator, context, k, width=32, constraints=rules)
    there = min(k, int((everything.values[0] > -torch.inf).sum()), 32)
    torch.testing.assert_close(found.log_probs[:, :there], everything.values[:, :there])
    assert (found.log_probs[:, there:] == -torch.inf).all()
    assert not found.sets[:, there:].any()
    rows = torch.arange(6)[:, None]
    exact = truth(generator, context, rules)[rows, codes(found.sets[:, :there])]
    torch.testing.assert_close(found.log_probs[:, :there], exact)


def test_a_narrow_beam_still_says_exact_probabilities_of_different_sets():
    generator = small_generator(n_labels=7, strength=3.0)
    context = contexts(generator, 8)
    found = beam_search(generator, context, 4, width=4)
    exact = truth(generator, context)[torch.arange(8)[:, None], codes(found.sets)]
    torch.testing.assert_close(found.log_probs, exact)
    assert all(len(set(row)) == 4 for row in codes(found.sets).tolist())
    assert (found.log_probs.diff(dim=1) <= 0).all()


@pytest.mark.parametrize("rules", [None, SetConstraints(5, **RULES)])
def test_draws_have_the_frequencies_of_the_probabilities(rules):
    generator = small_generator()
    context = contexts(generator, 2)
    drawn = draw_sets(generator, context, torch.arange(2), n_draws=20_000, constraints=rules)
    probs = truth(generator, context, rules).exp()
    for row in range(2):
        counts = torch.bincount(codes(drawn[row]), minlength=32)
        expected = probs[row] * 20_000
        assert (counts[expected == 0] == 0).all()
        likely = expected > 5
        chi = ((counts - expected)[likely] ** 2 / expected[likely]).sum()
        assert chi < likely.sum() + 5 * (2 * likely.sum()) ** 0.5


def test_temperature_moves_mass_to_the_likely():
    generator = small_generator(strength=1.0)
    context, numbers = contexts(generator, 1), torch.arange(1)
    best = codes(beam_search(generator, context, 1, width=32).sets)[0, 0]
    shares = [
        (codes(draw_sets(generator, context, numbers, n_draws=4000, temperature=t)) == best)
        .double()
        .mean()
        for t in (0.3, 1.0, 3.0)
    ]
    assert shares[0] > shares[1] > shares[2]


def test_a_rows_draws_do_not_depend_on_the_rows_beside_it():
    generator = small_generator()
    context = contexts(generator, 5)
    whole = draw_sets(generator, context, torch.arange(5), n_draws=50, seed=3)
    part = draw_sets(generator, context[2:4], torch.arange(2, 4), n_draws=50, seed=3)
    later = draw_sets(generator, context, torch.arange(5), n_draws=20, first_draw=30, seed=3)
    assert (whole[2:4] == part).all()
    assert (whole[:, 30:] == later).all()
    assert (whole != draw_sets(generator, context, torch.arange(5), n_draws=50, seed=4)).any()


def test_different_samples_are_the_first_different_draws():
    generator = small_generator(strength=1.0)
    context = contexts(generator, 4)
    drawn = draw_sets(generator, context, torch.arange(4), n_draws=64)
    sets, present = sample_different(generator, context, torch.arange(4), 4)
    assert present.all()
    for row in range(4):
        seen = list(dict.fromkeys(codes(drawn[row]).tolist()))[:4]
        assert codes(sets[row]).tolist() == seen


def test_a_sure_row_is_filled_up_with_the_likeliest_sets():
    generator = small_generator(strength=200.0)
    context = contexts(generator, 3)
    sets, present = sample_different(generator, context, torch.arange(3), 6)
    assert present.all()
    assert all(len(set(row)) == 6 for row in codes(sets).tolist())


def test_fewer_sets_than_asked_for_leave_places_empty():
    generator = small_generator(n_labels=5)
    rules = SetConstraints(5, must_have=[0], must_not=[1, 2, 3])
    sets, present = sample_different(
        generator, contexts(generator, 2), torch.arange(2), 5, constraints=rules
    )
    assert present.sum(1).tolist() == [2, 2]
    assert {tuple(each) for each in sets[present].tolist()} == {
        (True, False, False, False, False),
        (True, False, False, False, True),
    }


def test_model_of_arrays_is_the_same_in_any_split():
    generator = small_generator(n_labels=6)
    X = np.random.default_rng(0).normal(size=(9, 3))
    model = NetworkSets(generator)
    whole = model.most_probable(X, 3)
    one_by_one = [model.most_probable(row[None], 3) for row in X]
    assert (whole.sets == np.concatenate([part.sets for part in one_by_one])).all()
    np.testing.assert_allclose(
        whole.log_probs, np.concatenate([part.log_probs for part in one_by_one]), rtol=1e-12
    )
    drawn = model.sample(X, 3, seed=1)
    np.testing.assert_allclose(drawn.log_probs, model.log_probs(X, drawn.sets), rtol=1e-12)


def test_first_different_ignores_empty_places():
    sets = torch.tensor([[[0, 0], [1, 0], [0, 0], [1, 0], [0, 1]]]).bool()
    present = torch.tensor([[False, True, True, True, True]])
    kept, there = first_different(sets, present, 4)
    assert kept[0, :3].long().tolist() == [[1, 0], [0, 0], [0, 1]]
    assert there.tolist() == [[True, True, True, False]]


def test_draw_never_takes_a_share_of_nothing():
    shares = torch.tensor([[0.0, 0.3, 0.0, 0.7, 0.0]]).repeat(4, 1)
    uniform = torch.tensor([0.0, 0.299999, 0.3000001, 1 - 2**-53], dtype=torch.float64)
    assert draw(shares, uniform).tolist() == [1, 1, 3, 3]


def codes(sets):
    n_labels = sets.shape[-1]
    return (sets.long() * 2 ** torch.arange(n_labels - 1, -1, -1)).sum(-1)
