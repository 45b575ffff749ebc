import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fairpo._random import Draw
from fairpo.losses.confusing import (
    confusing_negatives,
    confusing_positives,
    draw_one_pair,
    join_pairs,
    privileged_positives,
)
from tests import reference as ref
from tests.losses.numbers import random_batch


def found(pairs):
    """A list of pairs as the set of (row, preferred, rejected, owner)."""
    columns = [part.tolist() for part in pairs[:4]]
    rows = list(zip(*columns, strict=True))
    assert len(rows) == len(set(rows))
    return set(rows)


def of_paper(logits, targets, privileged, applies):
    """The same from the paper's loops, for searched labels that apply or do not."""
    z, y = logits.tolist(), targets.tolist()
    pairs = ref.confusing_pairs(z, y, privileged, "both")
    return {pair for pair in pairs if targets[pair[0], pair[3]] == applies}


def negatives(logits, targets, privileged):
    return confusing_negatives(logits, targets, *privileged_positives(targets, privileged))


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    n_rows=st.integers(0, 5),
    n_labels=st.integers(1, 6),
    missing=st.sampled_from([0.0, 0.4, 1.0]),
    data=st.data(),
)
def test_both_sets_are_those_of_the_paper(seed, n_rows, n_labels, missing, data):
    logits, _, targets = random_batch(seed, n_rows, n_labels, missing=missing)
    chosen = sorted(data.draw(st.sets(st.integers(0, n_labels - 1))))
    privileged = torch.tensor(chosen, dtype=torch.int64)
    pairs = negatives(logits, targets, privileged)
    assert found(pairs) == of_paper(logits, targets, chosen, 1)
    others = confusing_positives(logits, targets, privileged)
    assert found(others) == of_paper(logits, targets, chosen, 0)


def test_a_tie_is_confusing_both_ways():
    logits = torch.tensor([[1.0, 1.0, 0.9]])
    targets = torch.tensor([[1, 0, 0]])
    assert found(negatives(logits, targets, torch.tensor([0]))) == {(0, 0, 1, 0)}
    assert found(confusing_positives(logits, targets, torch.tensor([1, 2]))) == {(0, 0, 1, 1)}


def test_saturated_probabilities_are_told_apart():
    # sigmoid(50) and sigmoid(60) are both 1.0 in float32: a tie that the logits do not have.
    logits = torch.tensor([[60.0, 50.0]])
    targets = torch.tensor([[1, 0]])
    assert torch.equal(logits.sigmoid()[0, 0], logits.sigmoid()[0, 1])
    assert found(negatives(logits, targets, torch.tensor([0]))) == set()


def test_missing_entries_are_in_no_pair():
    logits = torch.zeros(1, 4)
    targets = torch.tensor([[1.0, 0.0, -1.0, torch.nan]])
    everything = torch.arange(4)
    assert found(negatives(logits, targets, everything)) == {(0, 0, 1, 0)}
    assert found(confusing_positives(logits, targets, everything)) == {(0, 0, 1, 1)}


def test_membership_has_no_gradient():
    logits = torch.zeros(2, 3, requires_grad=True)
    pairs = negatives(logits, torch.tensor([[1, 0, 0], [0, 0, 1]]), torch.tensor([0, 2]))
    assert pairs.rows.numel() == 4
    assert not any(part.requires_grad for part in pairs)


def test_possible_pairs_are_counted_whether_confusing_or_not():
    logits = torch.tensor([[3.0, 0.0, 5.0, 0.0]])
    targets = torch.tensor([[1.0, 0.0, 0.0, -1.0]])
    pairs = negatives(logits, targets, torch.tensor([0]))
    assert (pairs.rows.numel(), int(pairs.n_possible)) == (1, 2)
    others = confusing_positives(logits, targets, torch.tensor([1, 3]))
    assert (others.rows.numel(), int(others.n_possible)) == (0, 1)
    joined = join_pairs(pairs, others)
    assert (joined.rows.numel(), int(joined.n_possible)) == (1, 3)


def drawn_from(logits, targets, privileged, *draw):
    pairs = join_pairs(
        negatives(logits, targets, privileged), confusing_positives(logits, targets, privileged)
    )
    return pairs, draw_one_pair(pairs, logits.shape, Draw(*draw))


@pytest.mark.parametrize("seed", range(5))
def test_one_pair_is_drawn_for_each_entry_that_has_any(seed):
    logits, _, targets = random_batch(seed, 6, 7, missing=0.2)
    pairs, drawn = drawn_from(logits, targets, torch.arange(5), seed, 0)
    assert found(drawn) <= found(pairs)
    owners = [(i, owner) for i, _, _, owner in found(drawn)]
    assert sorted(owners) == sorted({(i, owner) for i, _, _, owner in found(pairs)})
    assert torch.equal(drawn.n_possible, pairs.n_possible)


def test_draws_do_not_depend_on_how_the_batch_is_split():
    logits, _, targets = random_batch(0, 9, 7, missing=0.2)
    _, whole = drawn_from(logits, targets, torch.arange(5), 0, 7)
    parts = [
        (
            start,
            drawn_from(logits[start:end], targets[start:end], torch.arange(5), 0, 7, start)[1],
        )
        for start, end in ((0, 4), (4, 5), (5, 9))
    ]
    joined = {(i + start, *rest) for start, part in parts for i, *rest in found(part)}
    assert joined == set(found(whole))


def test_draws_are_uniform_and_follow_the_keys_alone():
    logits = torch.tensor([[0.0, 1.0, 2.0, 3.0, -9.0]])
    targets = torch.tensor([[1, 0, 0, 0, 0]])
    pairs = negatives(logits, targets, torch.tensor([0]))
    global_state = torch.get_rng_state()
    counts = torch.zeros(5)
    for step in range(3000):
        counts[draw_one_pair(pairs, logits.shape, Draw(3, step)).rejected] += 1
    # 1000 expected each, standard deviation 26.
    assert counts[[0, 4]].tolist() == [0, 0]
    assert (counts[1:4] - 1000).abs().max() < 110
    assert torch.equal(torch.get_rng_state(), global_state)


def test_the_same_seed_draws_the_same():
    logits, _, targets = random_batch(1, 8, 9)
    first, second, other = (
        drawn_from(logits, targets, torch.arange(9), seed, 0)[1] for seed in (4, 4, 5)
    )
    assert found(first) == found(second)
    assert found(first) != found(other)
