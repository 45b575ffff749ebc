import numpy as np
import pytest
import torch
from torch import nn

from fairpo._checks import FairPOValueError, build_settings
from fairpo.models import HeadSettings, Policy


@pytest.mark.parametrize("kind", ["mlp", "linear", "per-label"])
@pytest.mark.parametrize("residual", [False, True])
def test_shapes_and_residual_start(kind, residual):
    torch.manual_seed(0)
    policy = Policy(5, 3, HeadSettings(kind=kind, hidden=(8,)), residual=residual).eval()
    features, scores = torch.randn(4, 5), torch.randn(4, 3)
    logits = policy(features, scores)
    assert logits.shape == (4, 3)
    assert torch.equal(logits, scores) == residual
    if residual:  # it starts at zero but can move
        (policy(features, scores) ** 2).sum().backward()
        assert sum(p.grad.abs().sum() for p in policy.parameters() if p.grad is not None) > 0


def test_per_label_networks_are_separate_and_equal_a_loop():
    torch.manual_seed(0)
    policy = Policy(5, 3, HeadSettings(kind="per-label", hidden=(4,), scaling="none")).eval()
    x = torch.randn(6, 5)
    body = policy.body
    for label in range(3):
        rows = slice(4 * label, 4 * label + 4)
        hidden = torch.relu(x @ body.first.weight[rows].T + body.first.bias[rows])
        expected = hidden @ body.second[label] + body.bias[label]
        torch.testing.assert_close(policy(x)[:, label], expected)
    policy(x)[:, 0].sum().backward()
    assert body.first.weight.grad[4:].abs().sum() == 0


def test_scaling_is_part_of_the_state():
    policy = Policy(2, 1, HeadSettings(kind="linear"))
    policy.scaling.mean.copy_(torch.tensor([1.0, 2.0]))
    policy.scaling.scale.copy_(torch.tensor([2.0, 4.0]))
    other = Policy(2, 1, HeadSettings(kind="linear"))
    other.load_state_dict(policy.state_dict())
    x = torch.tensor([[3.0, 6.0]])
    assert other.scaling(x).tolist() == [[1.0, 1.0]]
    assert np.allclose(other(x).detach(), policy(x).detach())


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("kind", ["mlp", "linear"])
def test_logits_at_some_labels_are_those_columns(kind, residual):
    torch.manual_seed(0)
    settings = HeadSettings(kind=kind, hidden=(8, 6), dropout=0.0)
    policy = Policy(5, 40, settings, residual=residual)
    nn.init.normal_(policy.last_layer.weight)
    features, scores = torch.randn(4, 5), torch.randn(4, 40)
    labels = torch.tensor([0, 3, 17, 39])
    some = policy.logits_at(features, labels, scores[:, labels])
    torch.testing.assert_close(some, policy(features, scores)[:, labels])
    grads = {}
    for logits in (some, policy(features, scores)[:, labels]):
        policy.zero_grad()
        (logits**3).sum().backward()
        for name, parameter in policy.named_parameters():
            of_last = parameter in set(policy.last_layer.parameters())
            assert parameter.grad.is_sparse == (of_last and logits is some)
            grads.setdefault(name, []).append(parameter.grad.to_dense())
            if parameter.grad.is_sparse:  # the rows of the sample, and no others
                assert parameter.grad.coalesce().indices().tolist() == [labels.tolist()]
    for first, second in grads.values():
        torch.testing.assert_close(first, second)


def test_dropout_reaches_the_hidden_layers_of_some_labels():
    torch.manual_seed(0)
    policy = Policy(5, 40, HeadSettings(hidden=(64,), dropout=0.5))
    features, labels = torch.randn(4, 5), torch.arange(3)
    assert not torch.equal(policy.logits_at(features, labels), policy.logits_at(features, labels))
    policy.eval()
    assert torch.equal(policy.logits_at(features, labels), policy.logits_at(features, labels))


def test_networks_of_their_own_are_not_sampled():
    policy = Policy(5, 3, HeadSettings(kind="per-label", hidden=(4,)))
    with pytest.raises(FairPOValueError, match="kind must be 'mlp' or 'linear' where labels are"):
        policy.logits_at(torch.randn(4, 5), torch.tensor([0]))


def test_a_start_at_frequencies_scores_them():
    policy = Policy(5, 3, HeadSettings())
    with torch.no_grad():
        policy.last_layer.weight.zero_()
    frequencies = torch.tensor([0.5, 0.01, 1e-6])
    policy.start_at_frequencies(frequencies)
    torch.testing.assert_close(policy(torch.randn(1, 5)).sigmoid().squeeze(0), frequencies)


@pytest.mark.parametrize(
    ("kind", "hidden"),
    [
        ("mlp", (8,)),
        ("mlp", tuple(range(3, 15))),
        ("mlp", ()),
        ("linear", None),
        ("per-label", (4,)),
    ],
)
def test_a_policy_is_rebuilt_in_the_widths_of_its_weights(kind, hidden):
    policy = Policy(5, 3, HeadSettings(kind=kind, hidden=hidden)).eval()
    told = HeadSettings(kind=kind, hidden=(99,))
    again = Policy.from_state(policy.state_dict(), 5, 3, told).eval()
    features = torch.randn(4, 5)
    assert torch.equal(again(features), policy(features))


def test_one_width_is_one_layer():
    assert build_settings(HeadSettings, {"hidden": 64}).hidden == (64,)
    with pytest.raises(FairPOValueError, match="hidden must be a valid tuple, got 'wide'"):
        build_settings(HeadSettings, {"hidden": "wide"})
