import pytest
import torch

from fairpo.losses.reduction import GroupSums, group_sums
from tests.losses.numbers import random_batch

MEMBERSHIP = torch.tensor(
    [[1, 1, 0, 0, 0], [0, 1, 1, 0, 1], [0, 0, 0, 0, 0]], dtype=torch.float64
)  # overlapping, one label in none, one group empty


def test_sums_and_counts_are_those_of_the_loops():
    logits, _, targets = random_batch(0, 4, 5)
    weights = torch.rand(4, 5, dtype=torch.float64) * (targets == 1)
    sums = group_sums(logits, weights, MEMBERSHIP)
    for g, row in enumerate(MEMBERSHIP):
        total = count = 0.0
        for i in range(4):
            for label in row.nonzero().flatten().tolist():
                total += float(weights[i, label] * logits[i, label])
                count += float(weights[i, label])
        assert float(sums.totals[g]) == pytest.approx(total)
        assert float(sums.counts[g]) == pytest.approx(count)
        assert float(sums.mean()[g]) == pytest.approx(total / count if count else 0.0)


def test_sums_of_parts_make_the_mean_of_the_whole():
    logits, _, targets = random_batch(1, 6, 5, missing=0.4)
    weights = (targets >= 0).double()
    whole = group_sums(logits, weights, MEMBERSHIP)
    parts = [group_sums(logits[rows], weights[rows], MEMBERSHIP) for rows in ([0, 1, 2, 3], [4, 5])]
    joined = GroupSums(*(sum(pieces) for pieces in zip(*parts, strict=True)))
    torch.testing.assert_close(joined.mean(), whole.mean())


@pytest.mark.parametrize("scale", [1.0, 2.0**16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_group_without_an_entry_is_a_true_zero_with_a_graph(dtype, scale):
    """Loss scaling (2**16 is where torch's GradScaler starts) must not turn the zero into NaN."""
    values = torch.ones(3, 5, dtype=dtype, requires_grad=True)
    weights = torch.ones(3, 5, dtype=dtype)
    weights[:, :2] = 0
    means = group_sums(values, weights, MEMBERSHIP.to(dtype)).mean()
    assert means.tolist() == [0.0, 1.0, 0.0]
    (scale * means).sum().backward()
    assert torch.equal(values.grad[:, [0, 1, 3]], torch.zeros(3, 3, dtype=dtype))
    torch.testing.assert_close(values.grad[:, 2], torch.full((3,), scale / 6, dtype=dtype))
