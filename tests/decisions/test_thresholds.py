"""Thresholds by rule: against a loop over every cut, and out of sample."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, precision_recall_curve

from fairpo.data import load_data
from fairpo.decisions import DecisionRule, DecisionSettings, fit_thresholds, read_threshold
from fairpo.decisions import thresholds as module
from fairpo.decisions.guard import guarded_targets
from fairpo.metrics import LabelFrame
from tests.decisions.scenes import drifted_scores

RULES = ["f1", "precision:0.6", "precision:0.95", "recall:0.8", "recall:0.3"]
NAIVE = 1e-6  # a guard that guards nothing


def small_case(seed=0, n=60, missing=0.15, levels=1.0):
    rng = np.random.default_rng(seed)
    logits = np.round(levels * (2 * rng.standard_normal((n, 6)) - 1)) / levels
    targets = (rng.random((n, 6)) < expit(logits)).astype(np.int8)
    targets[rng.random((n, 6)) < missing] = -1
    return logits, targets


def slow_threshold(scores, mixed, weights, rule):
    """The best of every set of top scores, by the rule; the rows it lets in."""
    total = sum(m * w for m, w in zip(mixed, weights, strict=True))
    cuts = []
    for cut in sorted(set(scores), reverse=True):
        inside = scores >= cut
        found, predicted = (mixed * weights)[inside].sum(), weights[inside].sum()
        f1, precision, recall = 2 * found / (predicted + total), found / predicted, found / total
        cuts.append((cut, f1, precision, recall))
    if rule.kind == "f1":
        return max(cuts, key=lambda cut: (round(cut[1], 12), cut[0]))[0]
    if rule.kind == "precision":
        return min((cut[0] for cut in cuts if cut[2] >= rule.value - 1e-12), default=np.inf)
    return max(cut[0] for cut in cuts if cut[3] >= rule.value - 1e-12)


@pytest.mark.parametrize("text", RULES)
@pytest.mark.parametrize("guard", [NAIVE, 5.0])
@pytest.mark.parametrize("levels", [1.0, 100.0], ids=["ties", "few ties"])
def test_equals_the_best_of_every_cut(text, guard, levels):
    rule = read_threshold(text)
    for seed in range(3):
        logits, targets = small_case(seed, levels=levels)
        prior = expit(logits)
        found = fit_thresholds(logits, targets, rule, prior, guard)
        mixed, weights = guarded_targets(targets, prior, guard)
        for label in range(6):
            own = targets[:, label] >= 0
            scores = logits[own, label]
            lowest = slow_threshold(scores, mixed[own, label], weights[own, label], rule)
            np.testing.assert_array_equal(scores > found[label], scores >= lowest)


def test_equals_scikit_learn_without_a_guard():
    logits, targets = small_case(4, missing=0, levels=100.0)
    wanted = fit_thresholds(logits, targets, read_threshold("f1"), expit(logits), NAIVE)
    for label in range(6):
        precision, recall, _ = precision_recall_curve(targets[:, label], logits[:, label])
        best = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12))
        got = f1_score(targets[:, label], logits[:, label] > wanted[label])
        assert got == pytest.approx(best)


def test_a_probability_and_a_cost_need_no_rows():
    logits, targets = small_case()
    prior = expit(logits)
    at = {
        text: fit_thresholds(logits, targets, read_threshold(text), prior, 5.0)
        for text in ("0.5", "0.2", "cost:4", "cost:0.5")
    }
    np.testing.assert_array_equal(at["0.5"], 0.0)
    np.testing.assert_allclose(at["0.2"], logit(0.2))
    np.testing.assert_allclose(at["cost:4"], at["0.2"], atol=1e-12)
    np.testing.assert_allclose(expit(at["cost:0.5"]), 1 / 1.5)


def test_nothing_costs_less_than_the_threshold_of_its_cost_where_probabilities_are_true():
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(200_000, 1)) - 2
    targets = (rng.random(logits.shape) < expit(logits)).astype(np.int8)

    def cost(threshold):
        missed = ((logits <= threshold) & (targets == 1)).sum()
        return 5 * missed + ((logits > threshold) & (targets == 0)).sum()

    (best,) = fit_thresholds(logits, targets, read_threshold("cost:5"), expit(logits), 5.0)
    assert all(cost(best) < cost(best + step) for step in (-1.5, -0.7, 0.7, 1.5))


def test_a_precision_that_none_reaches_lets_no_validation_row_in():
    logits, targets = small_case(1)
    targets[targets == 1] = 0
    rule = read_threshold("precision:0.9")
    thresholds = fit_thresholds(logits, targets, rule, np.full(logits.shape, 0.1), 5.0)
    observed = targets >= 0
    assert not ((logits > thresholds) & observed).any()
    np.testing.assert_array_equal(thresholds, np.where(observed, logits, -np.inf).max(0))


@pytest.mark.parametrize("text", RULES)
def test_missing_entries_count_nowhere_and_a_label_of_them_has_zero(text):
    logits, targets = small_case(2)
    targets[:, 3] = -1
    prior, rule = expit(logits), read_threshold(text)
    other = np.where(targets < 0, 40.0, logits)
    one = fit_thresholds(logits, targets, rule, prior, 5.0)
    np.testing.assert_array_equal(one, fit_thresholds(other, targets, rule, prior, 5.0))
    assert one[3] == 0


def test_neighbouring_floats_are_told_apart():
    logits = np.array([[1.0], [np.nextafter(1.0, 0)], [0.0]])
    targets = np.array([[1], [0], [0]], dtype=np.int8)
    threshold = fit_thresholds(logits, targets, read_threshold("f1"), expit(logits), NAIVE)
    assert (logits > threshold).ravel().tolist() == [True, False, False]


def test_blocks_of_labels_and_their_order_change_nothing(monkeypatch):
    logits, targets = small_case(3)
    rule, prior = read_threshold("f1"), expit(logits)
    whole = fit_thresholds(logits, targets, rule, prior, 5.0)
    monkeypatch.setattr(module, "BLOCK_ENTRIES", 2 * 60)
    np.testing.assert_array_equal(fit_thresholds(logits, targets, rule, prior, 5.0), whole)
    order = np.array([5, 2, 0, 1, 4, 3])
    there = fit_thresholds(logits[:, order], targets[:, order], rule, prior[:, order], 5.0)
    np.testing.assert_array_equal(there, whole[order])


def macro_f1(validation, test, guard):
    rule = DecisionRule.fit(*validation, DecisionSettings(threshold="f1", guard=guard))
    frame = LabelFrame.from_scores(
        rule.apply(test[0]), test[1], {}, threshold_logits=rule.threshold_logits
    )
    return np.nanmean(frame.columns["f1"])


def test_the_guard_beats_naive_tuning_on_simulated_rare_labels():
    """Twenty draws, 2 to 8 validation positives a label; F1 on as many test rows, out of 1."""
    naive, guarded = np.transpose(
        [[macro_f1(*drifted_scores(seed), guard) for guard in (NAIVE, 20.0)] for seed in range(20)]
    )
    assert guarded.mean() > naive.mean() + 0.003
    assert (guarded > naive).mean() >= 0.7


def test_the_guard_beats_naive_tuning_on_yeast(shared_data):
    """Twelve random halves of the rows that a logistic regression did not see."""
    data = load_data(f"{shared_data}/arff/yeast-train.arff")
    train = data.rows("train")
    held_out = np.concatenate([data.rows("validation"), data.rows("test")])
    models = [
        LogisticRegression(max_iter=1000).fit(data.features[train], y)
        for y in data.targets_of(train).T
    ]
    logits = np.stack([m.decision_function(data.features[held_out]) for m in models], axis=1)
    targets = data.targets_of(held_out)
    scores, losses = [], []
    for seed in range(12):
        order = np.random.default_rng(seed).permutation(len(held_out))
        one, two = order[:300], order[300:]
        validation, test = (logits[one], targets[one]), (logits[two], targets[two])
        scores.append([macro_f1(validation, test, guard) for guard in (NAIVE, 20.0)])
        by_guard = []
        for guard in (1e-3, 20.0):
            there = DecisionRule.fit(*validation, DecisionSettings(guard=guard)).apply(test[0])
            by_guard.append((np.logaddexp(0, there) - test[1] * there).mean())
        losses.append(by_guard)
    naive, guarded = np.transpose(scores)
    assert guarded.mean() > naive.mean() and (guarded > naive).mean() >= 0.6
    naive, guarded = np.transpose(losses)
    assert guarded.mean() < naive.mean() and (guarded < naive).mean() >= 0.6
