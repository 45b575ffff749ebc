"""Label sets for ambiguous inputs: a generator, FairPO on sets, independent labels, a chain.

On the ambiguous digit scenes, where the true distribution over sets is known: one table of
everything that ``fairpo.labelsets.evaluate_sets`` measures, means over seeds of scenes and
training, and one of how long things take. About six minutes a seed on one core.
"""

import argparse
import time
import warnings

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import ClassifierChain
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fairpo.cli.labelsets import METRICS
from fairpo.data.ambiguous_digits import load_ambiguous_scenes
from fairpo.groups import LabelPartition
from fairpo.labelsets import (
    ChainSets,
    GeneratorSettings,
    IndependentSets,
    NetworkSets,
    SetTrainingSettings,
    evaluate_sets,
)
from fairpo.labelsets.likelihood import train_generator
from fairpo.labelsets.preference import train_preferences
from fairpo.models.head import HeadSettings
from fairpo.training.fit import train_reference
from fairpo.training.settings import TrainingSettings

METHODS = ("sft", "dpo", "fairpo-dpo", "fairpo-cpo")
GROUPS = {"all": "", "privileged": "P", "non_privileged": "N"}


def models_of(scenes, seed, seconds):
    data = scenes.data
    groups = LabelPartition.rarest(data.targets[data.rows("train")], 0.2)
    training = SetTrainingSettings(seed=seed)
    started = time.perf_counter()

    def done(name, model):
        nonlocal started
        seconds.setdefault(name, []).append(time.perf_counter() - started)
        started = time.perf_counter()
        return name, model

    head = train_reference(data, HeadSettings(), TrainingSettings(seed=seed))
    yield groups, *done("independent", IndependentSets(head.policy))
    rows = data.rows("train")
    # C and the network's penalty by validation log-likelihood with seed 0, of four values each.
    bases = {
        "chain, linear": LogisticRegression(C=0.1, max_iter=1000),
        "chain, networks": MLPClassifier((128,), alpha=1.0, early_stopping=True, random_state=seed),
    }
    for name, base in bases.items():
        chain = ClassifierChain(
            make_pipeline(StandardScaler(), base), order="random", random_state=seed
        )
        chain.fit(data.features[rows], data.targets_of(rows))
        yield groups, *done(name, ChainSets(chain))
    reference = train_generator(data, GeneratorSettings(), training).generator
    yield groups, *done("likelihood", NetworkSets(reference))
    for method in METHODS:
        trained = train_preferences(data, reference, groups, method, training)
        yield groups, *done(method, NetworkSets(trained.generator))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--k", type=int, default=5)
    told = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    figures, seconds, asking = {}, {}, {}
    for seed in range(told.seeds):
        scenes = load_ambiguous_scenes(seed)
        rows = scenes.data.rows("test")
        X, targets = scenes.data.features[rows], scenes.data.targets_of(rows)
        truth = scenes.truth.rows(rows)
        for groups, name, model in models_of(scenes, seed, seconds):
            started = time.perf_counter()
            model.most_probable(X, told.k)
            asking.setdefault(name, []).append(time.perf_counter() - started)
            found = evaluate_sets(model, X, targets, groups, k=told.k, seed=seed, truth=truth)
            for metric, values in found.items():
                for group, value in values.items():
                    figures.setdefault((metric, group), {}).setdefault(name, []).append(value)
    names = list(seconds)
    print(f"| k = {told.k}, {told.seeds} seeds | | {' | '.join(names)} |")
    print("|---|---|" + "---|" * len(names))
    for metric, (words, scale) in METRICS.items():
        for group, short in GROUPS.items():
            if (metric, group) not in figures:
                continue
            cells = []
            for name in names:
                values = scale * np.array(figures[metric, group][name])
                spread = values.std(ddof=1) if len(values) > 1 else 0.0
                places = 1 if scale > 1 else 2
                cells.append(f"{values.mean():.{places}f} ±{spread:.{places}f}")
            print(f"| {words} | {short} | {' | '.join(cells)} |")
    for words, times in (("training, s", seconds), (f"{told.k} sets, 2,000 rows, s", asking)):
        print(f"| {words} | | {' | '.join(f'{np.mean(times[name]):.1f}' for name in names)} |")


if __name__ == "__main__":
    main()
