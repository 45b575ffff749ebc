"""Scores of some labels: the same as those of all labels, wherever they come from."""

import numpy as np
import pytest
import torch
from scipy import sparse

from fairpo.metrics import LabelFrame, evaluate_label_blocks
from fairpo.models import HeadSettings, Policy
from fairpo.training.label_scores import LabelScores
from fairpo.training.reference_scores import HeadScores, scores_at

N_ROWS, N_LABELS = 50, 30


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(N_ROWS, 6)).astype(np.float32)


def new_policy(*, residual=False, kind="mlp"):
    torch.manual_seed(1)
    settings = HeadSettings(kind=kind, hidden=(8,), dropout=0.5)
    policy = Policy(6, N_LABELS, settings, residual=residual)
    torch.nn.init.normal_(policy.last_layer.weight)
    return policy.eval()


def test_reference_logits_of_some_labels(features, tmp_path):
    scores = HeadScores(new_policy(), features)
    rows, labels = np.array([4, 4, 49, 0]), np.array([0, 7, 29])
    some = scores.at(rows, labels)
    assert some.dtype == np.float32
    np.testing.assert_allclose(some, scores[:][np.ix_(rows, labels)], rtol=1e-5, atol=1e-6)
    np.save(tmp_path / "kept.npy", scores[:])
    for kept in (scores[:], np.load(tmp_path / "kept.npy", mmap_mode="r")):
        assert np.array_equal(scores_at(kept, rows, labels), kept[np.ix_(rows, labels)])
    assert np.array_equal(scores_at(scores, rows, labels), some)


@pytest.mark.parametrize("kind", ["mlp", "linear"])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_blocks_put_together_are_the_logits(features, form, residual, kind):
    policy = new_policy(residual=residual, kind=kind)
    reference = np.random.default_rng(1).normal(size=(N_ROWS, N_LABELS)).astype(np.float32)
    rows = np.array([3, 49, 0, 3])
    with torch.no_grad():
        known = torch.from_numpy(reference[rows])
        expected = policy(torch.from_numpy(features[rows]), known).numpy()
    policy.train()
    scores = LabelScores(policy, form(features), rows, reference)
    for width in (1, 7, 30):
        blocks = [scores(slice(start, start + width)) for start in range(0, N_LABELS, width)]
        np.testing.assert_allclose(np.hstack(blocks), expected, rtol=1e-5, atol=1e-6)


def test_evaluation_of_a_policy_in_blocks_is_that_of_its_logits(features):
    policy = new_policy()
    rows = np.arange(10, N_ROWS)
    targets = (np.random.default_rng(2).random((len(rows), N_LABELS)) < 0.1).astype(np.int8)
    groups = {"some": np.array([0, 3, 9])}
    with torch.no_grad():
        logits = policy(torch.from_numpy(features[rows])).numpy()
    result = evaluate_label_blocks(
        LabelScores(policy, features, rows), sparse.csr_array(targets), groups, block_labels=7
    )
    frame = LabelFrame.from_scores(logits, targets, groups)
    assert result.values["map"] == pytest.approx(frame.overall["map"])
    assert result.values["map/some"] == pytest.approx(frame.by_group["map"]["some"])
