"""Targets of some labels, from CSR and dense, against cutting the dense matrix."""

import numpy as np
import pytest
from scipy import sparse

from fairpo.data.label_columns import in_batch_labels, targets_at


@pytest.fixture
def targets():
    rng = np.random.default_rng(0)
    values = rng.choice([0, 1, -1], p=[0.9, 0.07, 0.03], size=(30, 200)).astype(np.int8)
    values[4] = 0  # a row without any label
    return values


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_equal_to_the_dense_columns(targets, form):
    rows = np.array([7, 4, 7, 29, 0])
    labels = in_batch_labels(form(targets), rows)
    assert labels.dtype == np.int64
    assert labels.tolist() == np.flatnonzero((targets[rows] != 0).any(0)).tolist()
    for some in (labels, np.array([0, 3, 199]), np.arange(200), np.array([], dtype=np.int64)):
        block = targets_at(form(targets), rows, some)
        assert block.dtype == np.int8
        assert np.array_equal(block, targets[np.ix_(rows, some)])


def test_a_row_without_labels_and_a_stored_zero(targets):
    matrix = sparse.csr_array(targets)
    assert in_batch_labels(matrix, np.array([4])).tolist() == []
    assert not targets_at(matrix, np.array([4]), np.array([1, 2])).any()
    matrix.data[:] = 0
    assert in_batch_labels(matrix, np.arange(30)).tolist() == []
