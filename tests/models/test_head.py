import numpy as np
import pytest
import torch

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
