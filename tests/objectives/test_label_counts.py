import numpy as np
import pytest
import torch
from scipy import sparse

from fairpo._checks import FairPOValueError
from fairpo.objectives import LabelCounts
from fairpo.training import count_labels


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_counting(form):
    targets = np.random.default_rng(0).integers(-1, 2, size=(50, 7)).astype(np.int8)
    targets[:, 2], targets[:, 3] = -1, 0
    counts = count_labels(form(targets))
    assert counts.n_labels == 7
    for label in range(7):
        assert counts.positives[label] == sum(targets[:, label] == 1)
        assert counts.observed[label] == sum(targets[:, label] != -1)


def test_frequencies_are_never_0_or_1():
    counts = LabelCounts([0, 3, 10, 0], [10, 10, 10, 0])
    assert counts.counted.tolist() == [0.5, 3, 9.5, 0.5]
    assert counts.frequencies.tolist() == [0.05, 0.3, 0.95, 0.5]
    assert counts.frequencies.logit().isfinite().all()
    assert counts.counted.dtype == torch.float64


@pytest.mark.parametrize(
    ("positives", "observed", "message"),
    [
        ([1, 2], [3], r"share one shape \(labels,\), got \(2,\) and \(1,\)"),
        ([[1]], [[3]], r"share one shape \(labels,\), got \(1, 1\)"),
        ([1, 4], [3, 3], "to the number of rows in which .*, got 4 of 3 for label 1"),
        ([-1], [3], "must be from 0 to"),
        ([float("nan")], [3], "got nan of 3 for label 0"),
    ],
)
def test_what_cannot_have_been_counted(positives, observed, message):
    with pytest.raises(FairPOValueError, match=message):
        LabelCounts(positives, observed)
