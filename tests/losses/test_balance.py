import pytest
import torch

from fairpo.losses import class_balanced_weights, rebalanced_weights
from tests import reference as slow

POSITIVES = [1, 2, 7, 40, 900]


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.9999])
def test_class_balanced_weights_are_inverse_effective_numbers(beta):
    weights = class_balanced_weights(torch.tensor(POSITIVES), effective_beta=beta)
    assert weights.tolist() == pytest.approx(slow.class_balanced_weights(POSITIVES, beta))
    assert weights.mean().item() == pytest.approx(1)


def test_the_ends_are_no_weights_and_inverse_frequencies():
    positives = torch.tensor(POSITIVES, dtype=torch.float64)
    none = class_balanced_weights(positives, effective_beta=0.0)
    assert none.tolist() == [1.0] * 5
    inverse = class_balanced_weights(positives, effective_beta=1 - 1e-12)
    torch.testing.assert_close(inverse, (1 / positives) / (1 / positives).mean(), rtol=1e-6, atol=0)


def test_entries_of_one_label_examples_weigh_alike_and_the_rare_of_two_more():
    inverse = 1 / torch.tensor([10.0, 90.0], dtype=torch.float64)
    form = {"offset": 0.1, "slope": 10.0, "centre": 0.2}
    targets = torch.tensor([[1, 0], [0, 1], [1, 1], [0, 0]])
    weights = rebalanced_weights(targets, inverse, **form)

    def smooth(rate):
        return 0.1 + float(torch.tensor(10.0 * (rate - 0.2)).sigmoid())

    assert weights[0, 0].item() == weights[1, 1].item() == pytest.approx(smooth(1))
    assert weights[2].tolist() == pytest.approx([smooth(0.9), smooth(0.1)])
    assert weights[3].tolist() == [1.1, 1.1]
    torch.testing.assert_close(weights, rebalanced_weights(targets, 7 * inverse, **form))
