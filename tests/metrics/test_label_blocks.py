"""One pass over blocks of labels gives what the whole matrix gives, exactly."""

import numpy as np
import pytest
from scipy import sparse

from fairpo._checks import FairPOValueError
from fairpo.metrics import LabelFrame, average_precision, evaluate_label_blocks
from tests import reference as slow

GROUPS = {"rare": np.array([1, 5, 6, 40]), "rest": np.arange(7, 40), "none": np.array([], int)}


def case(missing, seed=0, shape=(60, 41)):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=shape).round(1).astype(np.float32)  # some ties
    targets = (rng.random(shape) < 0.05).astype(np.int8)
    targets[rng.random(shape) < missing] = -1
    targets[:, 3] = 0
    return scores, targets


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_the_same_whatever_the_blocks_and_as_from_the_whole_matrix(missing, form):
    scores, targets = case(missing)
    results = [
        evaluate_label_blocks(
            lambda labels: scores[:, labels], form(targets), GROUPS, block_labels=width
        )
        for width in (1, 2, 7, 40, 41, 1000, None)
    ]
    for result in results:
        assert np.array_equal(result.average_precision, average_precision(scores, targets), True)
        np.testing.assert_equal(dict(result.values), dict(results[0].values))
    frame = LabelFrame.from_scores(scores, targets, GROUPS)
    values = results[0].values
    assert values["map"] == frame.overall["map"]
    for name in GROUPS:
        np.testing.assert_equal(values[f"map/{name}"], frame.by_group["map"][name])
        without = len(frame.undefined.labels_without_positives[name])
        assert values[f"n_labels_without_positives/{name}"] == without


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_rankings_equal_the_loop_over_all_labels_and_within_a_group(missing):
    scores, targets = case(missing)
    values = evaluate_label_blocks(
        lambda labels: scores[:, labels], targets, GROUPS, block_labels=9
    ).values
    for name, labels in {"": range(41), **{f"/{name}": of for name, of in GROUPS.items()}}.items():
        rows = [i for i in range(60) if (targets[i, list(labels)] == 1).any()]
        assert values[f"n_rows_without_positives{name}"] == 60 - len(rows)
        for k in (1, 3, 5):
            if not rows:
                assert np.isnan(values[f"precision_at_{k}{name}"])
                assert np.isnan(values[f"ndcg_at_{k}{name}"])
                continue
            of_rows = [(scores[i], targets[i], labels, k) for i in rows]
            precision = np.mean([slow.precision_at(*each) for each in of_rows])
            assert values[f"precision_at_{k}{name}"] == pytest.approx(precision)
            ndcg = np.mean([slow.ndcg_at(*each) for each in of_rows])
            assert values[f"ndcg_at_{k}{name}"] == pytest.approx(ndcg)


def test_scores_are_asked_for_once_and_in_blocks():
    scores, targets = case(0.0)
    asked = []

    def score(labels):
        asked.append((labels.start, labels.stop))
        return scores[:, labels]

    evaluate_label_blocks(score, targets, {}, block_labels=20)
    assert asked == [(0, 20), (20, 40), (40, 41)]


def test_scores_that_do_not_fit_are_refused():
    scores, targets = case(0.0)
    with pytest.raises(FairPOValueError, match=r"score must return \(60, 41\): all rows"):
        evaluate_label_blocks(lambda labels: scores[:5], targets, {})
    scores[4, 2] = np.nan
    with pytest.raises(FairPOValueError, match="scores must hold finite numbers only"):
        evaluate_label_blocks(lambda labels: scores[:, labels], targets, {})
