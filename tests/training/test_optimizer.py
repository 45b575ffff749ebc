"""Lazy Adam: the rows of a sample move as Adam moves them, the others not at all."""

import copy

import pytest
import torch

from fairpo.models import HeadSettings, Policy
from fairpo.training.optimizer import LazyAdam, clip_gradients


def new_policy(kind="mlp"):
    torch.manual_seed(0)
    return Policy(5, 30, HeadSettings(kind=kind, hidden=(8,), dropout=0.0))


def step(policy, optimizer, labels, seed=0, clip=0.0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(6, 5, generator=generator)
    optimizer.zero_grad()
    (policy.logits_at(features, labels) - 1).square().sum().backward()
    if clip:
        clip_gradients(policy.parameters(), clip)
    optimizer.step()


@pytest.mark.parametrize("kind", ["mlp", "linear"])
def test_with_all_labels_it_is_adamw(kind):
    lazy, dense = new_policy(kind), new_policy(kind)
    first = LazyAdam(lazy, 0.05, weight_decay=0.1)
    second = torch.optim.AdamW(dense.parameters(), lr=0.05, eps=1e-12, weight_decay=0.1)
    for seed in range(5):
        step(lazy, first, torch.arange(30), seed)
        dense_step(dense, second, seed)
    for ours, theirs in zip(lazy.parameters(), dense.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def dense_step(policy, optimizer, seed):
    generator = torch.Generator().manual_seed(seed)
    optimizer.zero_grad()
    (policy(torch.randn(6, 5, generator=generator)) - 1).square().sum().backward()
    optimizer.step()


def test_labels_outside_the_sample_neither_move_nor_decay():
    policy = new_policy()
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    optimizer = LazyAdam(policy, 0.05, weight_decay=0.1)
    labels = torch.tensor([2, 9, 21])
    for seed in range(3):
        step(policy, optimizer, labels, seed)
    others = torch.ones(30, dtype=torch.bool).index_fill(0, labels, False)
    for name, parameter in policy.last_layer.named_parameters():
        old = before[f"body.3.{name}"]
        assert torch.equal(parameter[others], old[others])
        assert (parameter[labels] != old[labels]).all()
    assert not torch.equal(policy.body[0].weight, before["body.0.weight"])


def test_state_round_trip_goes_on_identically():
    policies = [new_policy(), new_policy()]
    optimizers = [LazyAdam(each, 0.05, weight_decay=0.1) for each in policies]
    step(policies[0], optimizers[0], torch.tensor([1, 2]))
    policies[1].load_state_dict(policies[0].state_dict())
    optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
    for policy, optimizer in zip(policies, optimizers, strict=True):
        step(policy, optimizer, torch.tensor([2, 7]), seed=1)
    for ours, theirs in zip(*(each.parameters() for each in policies), strict=True):
        assert torch.equal(ours, theirs)


def test_a_schedule_reaches_every_layer():
    policy = new_policy()
    before = [parameter.clone() for parameter in policy.parameters()]
    optimizer = LazyAdam(policy, 0.05, weight_decay=0.1)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    step(policy, optimizer, torch.arange(30))
    assert all(map(torch.equal, before, policy.parameters()))


@pytest.mark.parametrize("max_norm", [0.01, 1e6])
def test_clipping_sparse_gradients_is_clipping_dense_ones(max_norm):
    sparse, dense = new_policy(), new_policy()
    labels = torch.tensor([3, 5, 28])
    features = torch.randn(6, 5)
    for _ in range(2):  # gradients of two parts add up: their rows are the same
        (sparse.logits_at(features, labels) ** 2).sum().backward()
        (dense(features)[:, labels] ** 2).sum().backward()
    norm = clip_gradients(sparse.parameters(), max_norm)
    expected = torch.nn.utils.clip_grad_norm_(dense.parameters(), max_norm)
    torch.testing.assert_close(norm, expected)
    for ours, theirs in zip(sparse.parameters(), dense.parameters(), strict=True):
        torch.testing.assert_close(ours.grad.to_dense(), theirs.grad)


def test_clipping_dense_gradients_is_torchs():
    ours, theirs = new_policy(), new_policy()
    for policy in (ours, theirs):
        policy(torch.ones(2, 5)).sum().backward()
    ours.body[0].bias.grad = theirs.body[0].bias.grad = None
    norm = clip_gradients(ours.parameters(), 0.5)
    assert torch.equal(norm, torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5))
    for first, second in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert first.grad is None or torch.equal(first.grad, second.grad)


def test_no_gradient_of_all_labels_is_ever_made():
    policy = new_policy()
    optimizer = LazyAdam(policy, 0.05)
    step(policy, optimizer, torch.tensor([1, 2]), clip=1.0)
    assert all(each.grad.is_sparse for each in policy.last_layer.parameters())
    assert policy.last_layer.weight.grad.coalesce().values().shape == (2, 8)
    optimizer.zero_grad()
    assert all(each.grad is None for each in policy.parameters())


def test_gradients_of_a_mean_over_a_million_labels_are_not_drowned():
    moved = []
    for scale in (1.0, 1e-9):
        policy = new_policy()
        before = policy.last_layer.weight.detach().clone()
        optimizer = LazyAdam(policy, 0.05)
        (policy.logits_at(torch.ones(1, 5), torch.tensor([4])).sum() * scale).backward()
        optimizer.step()
        moved.append(policy.last_layer.weight.detach() - before)
    torch.testing.assert_close(moved[0], moved[1], rtol=0.1, atol=1e-4)
