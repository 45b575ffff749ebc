"""Reward accuracy against the definition, pair by pair, in float64."""

import math

import numpy as np
import pytest
import torch

from fairpo import LabelPartition
from fairpo._checks import FairPOValueError
from fairpo.generation.implicit_reward import (
    length_normalised_margins,
    reference_margins,
    reward_accuracy,
)

NAMES = ("polite", "short", "rhymed")
GROUPS = LabelPartition.from_names(["polite"], NAMES)


def scores(seed=0, n=50):
    rng = np.random.default_rng(seed)
    numbers = [-rng.integers(1, 6, n).astype(np.float64) for _ in range(4)]  # with ties
    lengths = [rng.integers(1, 5, n) for _ in range(2)]
    return numbers, lengths, rng.integers(0, 3, n)


def loop_accuracy(margins, counted):
    total = count = 0.0
    for margin, inside in zip(margins, counted, strict=True):
        if inside and not math.isnan(margin):
            total += 1.0 if margin > 0 else 0.5 if margin == 0 else 0.0
            count += 1
    return total / count if count else math.nan


@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_accuracy_with_a_reference_is_the_sign_of_the_implicit_reward(beta):
    (chosen, rejected, ref_chosen, ref_rejected), _, attributes = scores()
    margins = reference_margins(chosen, rejected, ref_chosen, ref_rejected)
    rewards = [
        beta * ((float(w) - float(rw)) - (float(x) - float(rx)))
        for w, x, rw, rx in zip(chosen, rejected, ref_chosen, ref_rejected, strict=True)
    ]
    assert 0.0 in rewards
    run = reward_accuracy({"dpo": margins}, attributes, NAMES, GROUPS).runs["dpo"]
    assert run.overall.value == pytest.approx(loop_accuracy(rewards, [True] * 50))
    for place, name in enumerate(NAMES):
        expected = loop_accuracy(rewards, attributes == place)
        assert run.attributes[name].value == pytest.approx(expected)
    privileged, others = (
        loop_accuracy(rewards, attributes == 0),
        loop_accuracy(rewards, attributes != 0),
    )
    assert run.groups["privileged"].value == pytest.approx(privileged)
    assert run.groups["non_privileged"].value == pytest.approx(others)
    assert run.worst_group.value == pytest.approx(min(privileged, others))


def test_accuracy_without_a_reference_compares_means_over_tokens():
    (chosen, rejected, *_), (of_chosen, of_rejected), attributes = scores(1)
    margins = length_normalised_margins(chosen, rejected, of_chosen, of_rejected)
    expected = [
        float(w) / int(nw) - float(x) / int(nx)
        for w, x, nw, nx in zip(chosen, rejected, of_chosen, of_rejected, strict=True)
    ]
    np.testing.assert_allclose(margins, expected, atol=1e-15)
    run = reward_accuracy({"sft": margins}, attributes, NAMES, GROUPS).runs["sft"]
    assert run.overall.value == pytest.approx(loop_accuracy(expected, [True] * 50))
    longer = length_normalised_margins([-4.0], [-3.0], [4], [2])
    assert longer[0] > 0, "the longer completion is likelier a token, though less likely in all"


def test_the_reference_itself_is_right_half_of_the_time():
    (chosen, rejected, *_), _, attributes = scores(2)
    margins = reference_margins(chosen + 0.1, rejected + 0.1, chosen + 0.1, rejected + 0.1)
    run = reward_accuracy({"reference": margins}, attributes, NAMES, GROUPS).runs["reference"]
    assert run.overall[:6] == (0.5, 0.5, 0.5, 0, 50, 0)


def test_models_are_compared_on_the_same_resamples():
    (chosen, rejected, *rest), lengths, attributes = scores(3)
    margins = {
        "sft": length_normalised_margins(chosen, rejected, *lengths),
        "dpo": reference_margins(chosen, rejected, *rest),
    }
    found = reward_accuracy(margins, attributes, NAMES, GROUPS, np.arange(50) // 2)
    difference = found.difference("dpo", "sft")["groups/privileged"]
    values = [found.runs[name].groups["privileged"].value for name in ("dpo", "sft")]
    assert difference.value == pytest.approx(values[0] - values[1])
    assert difference.low <= difference.value <= difference.high
    assert found.n_prompts == 25


def test_a_pair_without_a_finite_score_or_a_token_is_skipped():
    inf, nan = np.inf, np.nan
    margins = reference_margins([-1, -inf, nan, -1], [-2] * 4, [-1, -1, -1, -1], [-1, -1, -1, inf])
    np.testing.assert_array_equal(np.isnan(margins), [False, True, True, True])
    lengths = length_normalised_margins([-1.0, 0.0, -1.0], [-2.0, -1.0, 0.0], [1, 0, 2], [1, 1, 0])
    np.testing.assert_array_equal(np.isnan(lengths), [False, True, True])
    run = reward_accuracy({"a": margins}, np.array([0, 0, 1, 2]), NAMES, GROUPS).runs["a"]
    assert run.overall[3:] == (1, 0, 0, 3)
    assert run.groups["non_privileged"][3:] == (0, 0, 0, 2)
    assert run.worst_group.name == "privileged"


def test_tensors_are_taken_as_they_come():
    numbers = [torch.tensor([-1.0, -3.0]), torch.tensor([-2.0, -1.0])]
    margins = length_normalised_margins(*numbers, torch.tensor([1, 1]), torch.tensor([1, 1]))
    np.testing.assert_array_equal(margins, [1.0, -2.0])


def test_columns_of_different_lengths_are_named():
    with pytest.raises(FairPOValueError, match="chosen and rejected and chosen_lengths"):
        length_normalised_margins([1.0, 2.0], [1.0, 2.0], [1], [1, 1])
