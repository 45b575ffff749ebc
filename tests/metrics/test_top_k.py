"""Rankings from blocks of labels, against scikit-learn and the loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from sklearn.metrics import ndcg_score

from fairpo._checks import FairPOValueError
from fairpo.metrics import TopK, ndcg_at_k, positive_entries, precision_at_k
from tests import reference as slow


def ranked(scores, k, edges, observed=None):
    """Top k from blocks that end at the edges."""
    top = TopK(len(scores), k)
    for start, end in zip([0, *edges], [*edges, scores.shape[1]], strict=True):
        part = None if observed is None else observed[:, start:end]
        top.update(scores[:, start:end], np.arange(start, end), part)
    return top


@st.composite
def cases(draw):
    """Scores with many ties, targets with missing entries, blocks of any size."""
    shape = (draw(st.integers(1, 8)), draw(st.integers(1, 12)))
    scores = draw(arrays(np.int8, shape, elements=st.integers(-2, 2))).astype(np.float32)
    targets = draw(arrays(np.int8, shape, elements=st.integers(-1, 1)))
    edges = sorted(draw(st.sets(st.integers(1, max(1, shape[1] - 1)))) - {shape[1]})
    return scores, targets, edges, draw(st.integers(1, 14))


@settings(max_examples=150, deadline=None)
@given(cases())
def test_equals_the_loop_whatever_the_blocks(case):
    scores, targets, edges, k = case
    n_rows, n_labels = scores.shape
    top = ranked(scores, k, edges, targets >= 0)
    positive = positive_entries(targets)
    hits = top.hits(positive, n_labels)
    n_positives = (targets == 1).sum(1)
    precision, ndcg = precision_at_k(hits, k), ndcg_at_k(hits, n_positives, k)
    for row in range(n_rows):
        best = slow.ranking(scores[row], targets[row], range(n_labels))[:k]
        assert top.labels[row].tolist() == best + [-1] * (k - len(best))
        of_row = (scores[row], targets[row], range(n_labels), k)
        assert precision[row] == pytest.approx(slow.precision_at(*of_row))
        expected = slow.ndcg_at(*of_row)
        assert np.isnan(ndcg[row]) if expected is None else ndcg[row] == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_ndcg_equals_scikit_learn(k):
    rng = np.random.default_rng(k)
    scores, targets = rng.normal(size=(40, 60)), (rng.random((40, 60)) < 0.05).astype(np.int8)
    targets[:, 0] |= ~targets.any(1)  # scikit-learn calls a row without positives 0
    top = ranked(scores, 5, [7, 8, 50])
    hits = top.hits(positive_entries(sparse.csr_array(targets)), 60)
    ndcg = ndcg_at_k(hits, targets.sum(1), k)
    assert ndcg.mean() == pytest.approx(ndcg_score(targets, scores, k=k))
    best = np.argsort(-scores, axis=1)[:, :k]
    precision = np.take_along_axis(targets, best, axis=1).mean(1)
    np.testing.assert_allclose(precision_at_k(hits, k), precision)


def test_positive_entries_of_csr_and_dense():
    targets = np.array([[0, 1, -1], [0, 0, 0], [1, 0, 1]], dtype=np.int8)
    for form in (targets, sparse.csr_array(targets)):
        rows, labels = positive_entries(form)
        assert (rows.tolist(), labels.tolist()) == ([0, 2, 2], [1, 0, 2])


def test_a_label_that_is_missing_does_not_stand_for_the_one_before():
    """-1, no label, of the second row must not be taken for the last label of the first."""
    top = TopK(2, 1)
    observed = np.array([[True], [False]])
    top.update(np.zeros((2, 1)), np.array([0]), observed)
    assert top.labels.tolist() == [[0], [-1]]
    assert top.hits((np.array([0]), np.array([0])), n_labels=1).tolist() == [[True], [False]]


def test_what_does_not_fit_is_refused():
    with pytest.raises(FairPOValueError, match="k must be at least 1, got 0"):
        TopK(3, 0)
    top = TopK(3, 2)
    with pytest.raises(FairPOValueError, match=r"scores must have shape \(3, 4\)"):
        top.update(np.zeros((3, 2)), np.arange(4))
    top.update(np.zeros((3, 0)), np.arange(0))
    top.update(np.zeros((3, 2)), np.array([0, 4]))
    for labels in ([4, 5], [6, 5], [5, 5]):
        with pytest.raises(FairPOValueError, match="labels must ascend from above 4"):
            top.update(np.zeros((3, 2)), np.array(labels))
    with pytest.raises(FairPOValueError, match="k must be from 1 to 2, the places ranked, got 3"):
        precision_at_k(np.zeros((3, 2), dtype=bool), 3)
