import warnings

import pytest
import torch

from fairpo._checks import FairPOValueError, FairPOWarning
from fairpo.group_weights import PATIENCE, GroupWeights, mirror_ascent
from tests import reference as slow

ALL = torch.tensor([True, True, True])


def log(weights):
    return torch.tensor(weights, dtype=torch.float64).log()


def test_mirror_ascent_is_the_product_form():
    losses = torch.tensor([0.3, 1.2, 0.0], dtype=torch.float64)
    new = mirror_ascent(log([0.2, 0.3, 0.5]), 0.7 * losses, ALL).exp()
    assert new.tolist() == pytest.approx(slow.mirror_ascent([0.2, 0.3, 0.5], losses.tolist(), 0.7))


def test_absent_groups_stay_and_the_present_share_what_they_had():
    present = torch.tensor([True, False, True])
    new = mirror_ascent(log([0.2, 0.3, 0.5]), torch.tensor([1.0, 9.0, 0.0]).double(), present).exp()
    assert new[1].item() == pytest.approx(0.3, abs=1e-15)
    assert new.sum().item() == pytest.approx(1)
    share = slow.mirror_ascent([0.2 / 0.7, 0.5 / 0.7], [1.0, 0.0], 1.0)
    assert new[[0, 2]].tolist() == pytest.approx([0.7 * value for value in share])


@pytest.mark.parametrize("present", [[False, False, False], [True, False, False]])
def test_nothing_moves_with_fewer_than_two_groups(present):
    before = log([0.2, 0.3, 0.5])
    after = mirror_ascent(before, torch.ones(3).double(), torch.tensor(present), floor=0.1)
    assert torch.equal(before, after)


def test_floor_mixes_with_the_uniform_weights():
    exponents = torch.tensor([5.0, 0.0, -5.0], dtype=torch.float64)
    plain = mirror_ascent(log([0.2, 0.3, 0.5]), exponents, ALL).exp()
    floored = mirror_ascent(log([0.2, 0.3, 0.5]), exponents, ALL, floor=0.1).exp()
    torch.testing.assert_close(floored, 0.1 + (1 - 3 * 0.1) * plain)


def test_floor_holds_for_present_groups_when_one_is_absent():
    present = torch.tensor([True, True, False])
    weights = mirror_ascent(
        log([0.4, 0.3, 0.3]), torch.tensor([9.0, -9.0, 0.0]).double(), present, floor=0.1
    )
    assert weights.exp().min().item() == pytest.approx(0.1, abs=1e-6)
    assert weights.exp().sum().item() == pytest.approx(1)
    assert weights[2].exp().item() == pytest.approx(0.3)


def test_a_thousand_steps_there_and_back_lose_nothing():
    weights = GroupWeights(2, step_size=0.1)
    for losses in ([1.0, 0.0], [0.0, 1.0]):
        for _ in range(1200):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                weights.step(torch.tensor(losses), ALL[:2])
    assert weights().tolist() == pytest.approx([0.5, 0.5], abs=1e-9)


def test_relative_rule_is_the_later_codes():
    losses = [[0.7, 0.0], [0.6, 0.001], [0.5, 0.01], [0.9, 0.0], [0.4, 0.02]]
    weights = GroupWeights(2, rule="relative", step_size=0.05)
    for step, expected in zip(losses, slow.relative_rule([0.5, 0.5], losses, 0.05), strict=True):
        weights.step(torch.tensor(step, dtype=torch.float64), ALL[:2])
        assert weights().tolist() == pytest.approx(expected, abs=1e-12)


def test_relative_rule_counts_each_group_by_itself():
    weights = GroupWeights(2, rule="relative", step_size=0.05)
    weights.step(torch.tensor([0.7, 0.0]), torch.tensor([True, False]))
    assert weights.average_steps.tolist() == [1, 0]
    assert weights().tolist() == [0.5, 0.5]


def test_fixed_rule_and_initial_weights():
    weights = GroupWeights(2, rule="fixed", initial=[3, 1])
    weights.step(torch.tensor([5.0, 0.0]), ALL[:2])
    assert weights().tolist() == pytest.approx([0.75, 0.25])


def test_step_size_zero_holds_the_weights():
    weights = GroupWeights(2, step_size=0.0)
    weights.step(torch.tensor([5.0, 0.0]), ALL[:2])
    assert weights().tolist() == [0.5, 0.5]


def test_groups_without_members_never_have_weight():
    weights = GroupWeights(3, has_members=[True, False, True], step_size=1.0, floor=0.2)
    weights.step(torch.tensor([1.0, 50.0, 0.0]), ALL)
    assert weights()[1].item() == 0.0
    assert weights().sum().item() == pytest.approx(1)


def test_mean_weights_is_the_running_mean():
    weights = GroupWeights(2, step_size=0.5)
    assert weights.mean_weights.tolist() == [0.5, 0.5]
    seen = []
    for _ in range(4):
        weights.step(torch.tensor([1.0, 0.0]), ALL[:2])
        seen.append(weights())
    torch.testing.assert_close(weights.mean_weights, torch.stack(seen).mean(0))


def test_state_round_trip():
    first, second = (GroupWeights(2, rule="relative", step_size=0.1) for _ in range(2))
    first.step(torch.tensor([1.0, 0.2]), ALL[:2])
    second.load_state_dict(first.state_dict())
    for weights in (first, second):
        weights.step(torch.tensor([0.5, 0.4]), ALL[:2])
    assert torch.equal(first(), second())
    assert torch.equal(first.mean_weights, second.mean_weights)


def test_saturation_is_told_after_a_while():
    weights = GroupWeights(2, step_size=0.1)

    def long():
        for _ in range(2 * PATIENCE + 100):
            weights.step(torch.tensor([1.0, 0.0]), ALL[:2])

    with pytest.warns(FairPOWarning, match="group 0 has held 100% of the weight for 200 steps"):
        long()


def test_a_restored_state_is_watched_as_if_it_had_never_stopped():
    def step(weights, steps):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FairPOWarning)
            for _ in range(steps):
                weights.step(torch.tensor([1.0, 0.0]), ALL[:2])

    straight, first, second = (GroupWeights(2, step_size=0.1) for _ in range(3))
    step(straight, 2 * PATIENCE + 50)
    step(first, PATIENCE // 2)
    second.load_state_dict(first.state_dict())
    step(second, 2 * PATIENCE + 50 - PATIENCE // 2)
    for name, value in straight.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name


def test_no_warning_for_a_swing():
    weights = GroupWeights(2, step_size=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for step in range(2 * PATIENCE):
            weights.step(torch.tensor([float(step % 20 < 10), float(step % 20 >= 10)]), ALL[:2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step_size": -1.0}, "step_size must be a finite number >= 0, got -1.0"),
        ({"floor": 0.5}, r"floor must be in \[0, 1/2\)"),
        ({"initial": [1.0]}, "initial group weights must be 2 positive numbers"),
        ({"initial": [1.0, 9.0], "floor": 0.2}, "initial group weights must be at least the floor"),
        ({"rule": "best"}, "weight_rule must be"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(FairPOValueError, match=message):
        GroupWeights(2, **options)


def test_excess_rule_needs_the_excess():
    with pytest.raises(FairPOValueError, match="excess must be given under the rule 'excess'"):
        GroupWeights(2, rule="excess").step(torch.zeros(2), ALL[:2])
