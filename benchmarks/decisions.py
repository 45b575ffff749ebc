"""Recalibration and F1 thresholds out of sample, with and without the guard.

Run: FAIRPO_DATA=/path/to/data python benchmarks/decisions.py

Scores of a logistic regression for each label, on rows it has not seen; 12 random draws of 1000
validation rows (yeast: 300), the rest is the test. "alone" is a guard of 1e-3 pseudo-positives,
which guards nothing. Mean over draws and labels. About 2 minutes on one core.
"""

import os
from pathlib import Path

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from fairpo import load_data
from fairpo.decisions import DecisionRule, DecisionSettings
from fairpo.metrics import label_brier, label_counts

SETS = {"arff/yeast-train.arff": 300, "goemotions_minilm.npz": 1000}
GUARDS = (1e-3, 5.0, 20.0, 100.0)


def simulated() -> tuple[np.ndarray, np.ndarray]:
    """Rare labels, scores stretched and shifted a little differently for each."""
    rng = np.random.default_rng(0)
    truth = np.linspace(-6.5, -3, 40) + 1.5 * rng.normal(size=(20_000, 40))
    slope, shift = 1.8 + 0.2 * rng.normal(size=40), 1 + 0.3 * rng.normal(size=40)
    targets = (rng.random(truth.shape) < expit(truth)).astype(np.int8)
    return slope * truth + shift + 0.5 * rng.normal(size=truth.shape), targets


def scores_of(source: Path) -> tuple[np.ndarray, np.ndarray]:
    """Logits and targets of the rows that are not in training."""
    data = load_data(source)
    train = data.rows("train")
    others = np.concatenate([data.rows("validation"), data.rows("test")])
    features = np.asarray(data.features)
    fits = [
        LogisticRegression(max_iter=1000).fit(features[train], column)
        for column in data.targets_of(train).T
    ]
    logits = np.stack([fit.decision_function(features[others]) for fit in fits], axis=1)
    return logits, data.targets_of(others)


def measure(logits: np.ndarray, targets: np.ndarray, n_validation: int) -> None:
    """Print a row for no recalibration and one for each guard."""
    for guard in (None, *GUARDS):
        rows = []
        for seed in range(12):
            order = np.random.default_rng(seed).permutation(len(logits))
            one, two = order[:n_validation], order[n_validation:]
            row = []
            for kind in ("platt", "isotonic"):
                settings = DecisionSettings(
                    recalibration="none" if guard is None else kind,
                    threshold="0.5" if guard is None else "f1",
                    guard=guard or 1.0,
                )
                rule = DecisionRule.fit(logits[one], targets[one], settings)
                there = rule.apply(logits[two])
                row.append(np.mean(np.logaddexp(0, there) - targets[two] * there))
                if kind == "platt":
                    counts = label_counts(rule.decide(logits[two]), targets[two])
                    found, missed = counts.true_positives, counts.false_negatives
                    f1 = 2 * found / np.maximum(2 * found + missed + counts.false_positives, 1)
                    known = found + missed > 0
                    row += [np.mean(label_brier(there, targets[two])), f1[known].mean()]
            rows.append(row)
        platt, brier, f1, isotonic = np.mean(rows, axis=0)
        name = {None: "raw, threshold 0.5", 1e-3: "alone"}.get(guard, f"guard {guard}")
        print(f"| {name} | {platt:.5f} | {isotonic:.5f} | {brier:.5f} | {f1:.4f} |")


if __name__ == "__main__":
    sets = {"simulated": (*simulated(), 1000)}
    for name, n_validation in SETS.items():
        sets[Path(name).stem] = (
            *scores_of(Path(os.environ["FAIRPO_DATA"]) / name),
            n_validation,
        )
    for name, (logits, targets, n_validation) in sets.items():
        order = np.random.default_rng(0).permutation(len(logits))[:n_validation]
        low, middle, _ = np.quantile((targets[order] == 1).sum(0), [0, 0.5, 1])
        print(f"\n{name}: {n_validation} rows, {low:.0f} positives at least, {middle:.0f} median\n")
        print(
            "| | log loss, Platt | log loss, isotonic | Brier, Platt | F1 |\n|---|---|---|---|---|"
        )
        measure(logits, targets, n_validation)
