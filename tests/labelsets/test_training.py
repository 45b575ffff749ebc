"""Training by likelihood and by preferences on a problem whose distribution is known."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import ClassifierChain

from fairpo import FairPOError, LabelPartition
from fairpo.data import MultiLabelData
from fairpo.data.ambiguous_digits import SetDistributions
from fairpo.groups import parse_privileged
from fairpo.labelsets import (
    GeneratorSettings,
    NetworkSets,
    SetTrainingSettings,
    evaluate_sets,
    fit_label_sets,
)
from fairpo.labelsets.baselines import ChainSets, IndependentSets
from fairpo.labelsets.likelihood import train_generator
from fairpo.labelsets.pairs import ADD, DROP, SWAP, confusing_pairs
from fairpo.labelsets.preference import train_preferences
from fairpo.labelsets.rows import complete_rows
from fairpo.models.head import HeadSettings, Policy
from tests.conftest import problem
from tests.labelsets.scenes import all_sets, contexts, small_generator

NETWORK = GeneratorSettings(width=32, dropout=0.0)
LABELS = ("left", "right", "up", "down", "never")


def coins(rows=1500, seed=0):
    """Exactly one of left and right by a coin of known bias; up and down alike, or neither."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 3)).astype(np.float32)
    left = rng.random(rows) < np.where(X[:, 0] > 0, 0.8, 0.3)
    both = rng.random(rows) < 0.4
    targets = np.column_stack([left, ~left, both, both, np.zeros(rows)]).astype(np.int8)
    cut = [int(0.7 * rows), int(0.85 * rows)]
    split = dict(zip(("train", "validation", "test"), np.split(np.arange(rows), cut), strict=True))
    return MultiLabelData(X, targets, LABELS, split, name="coins")


def truth_of(data):
    """Probabilities (rows, 32) of all sets, in the order of ``all_sets(5)``."""
    left = np.where(data.features[:, 0] > 0, 0.8, 0.3)
    probs = np.zeros((data.n_rows, 32))
    for first, side in (((1, 0), left), ((0, 1), 1 - left)):
        for both, chance in ((1, 0.4), (0, 0.6)):
            code = int("".join(map(str, (*first, both, both, 0))), 2)
            probs[:, code] = side * chance
    return probs


@pytest.fixture(scope="module")
def data():
    return coins()


@pytest.fixture(scope="module", params=[0, 3])
def trained(data, request):
    settings = SetTrainingSettings(
        reference_epochs=25, reference_learning_rate=1e-2, summed_labels=request.param
    )
    return train_generator(data, NETWORK, settings)


def test_likelihood_finds_the_distribution(data, trained):
    rows = data.rows("test")
    model = NetworkSets(trained.generator)
    everything = np.broadcast_to(all_sets(5).numpy(), (len(rows), 32, 5))
    probs = np.exp(model.log_probs(data.features[rows], everything))
    np.testing.assert_allclose(probs.sum(axis=1), 1.0)
    assert np.abs(probs - truth_of(data)[rows]).mean() < 0.01
    values = [each["validation_log_likelihood"] for each in trained.descent.epochs]
    assert values[trained.descent.best_epoch] == max(values)


def test_training_is_the_same_again_and_leaves_torchs_generator_alone(data):
    settings = SetTrainingSettings(reference_epochs=2)
    state = torch.random.get_rng_state()
    first, second = (train_generator(data, NETWORK, settings).generator for _ in range(2))
    assert (torch.random.get_rng_state() == state).all()
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_rows_with_unknown_labels_are_left_out_and_told(data):
    targets = data.targets.copy()
    targets[::3, 2] = -1
    gappy = MultiLabelData(data.features, targets, LABELS, data.split, name="gappy")
    rows, note = complete_rows(gappy, "train")
    assert rows.rows.tolist() == [row for row in data.rows("train").tolist() if row % 3]
    assert note == "350 of 1050 train rows have unknown labels and are left out."
    targets[:, 2] = -1
    nothing = MultiLabelData(data.features, targets, LABELS, data.split, name="nothing")
    with pytest.raises(FairPOError, match=r"train rows of nothing must hold one at least"):
        complete_rows(nothing, "train")


def test_a_pair_is_one_edit_and_its_label_drives(data):
    generator = small_generator()
    context = contexts(generator, 32)
    sets = all_sets(5)
    pairs = confusing_pairs(generator, context, sets, 0)
    for row, rejected, label, kind in zip(*(part.tolist() for part in pairs), strict=True):
        true = set(sets[row].nonzero()[:, 0].tolist())
        other = {place for place, there in enumerate(rejected) if there}
        gone, come = true - other, other - true
        if kind == SWAP:
            assert gone == {label} and len(come) == 1
        elif kind == DROP:
            assert gone == {label} and not come
        else:
            assert come == {label} and not gone
    n = len(sets)  # the empty set can only grow, the full one only shrink
    assert pairs.kind.bincount().tolist() == [n - 2, n - 1, n - 1]
    at_the_ends = [sorted(pairs.kind[pairs.row == row].tolist()) for row in (0, 31)]
    assert at_the_ends == [[ADD], [DROP]]


def test_false_labels_come_by_the_generators_own_probability():
    generator = small_generator()
    context = contexts(generator, 1).expand(6000, -1)
    true = torch.tensor([1, 1, 0, 0, 0]).bool()
    pairs = confusing_pairs(generator, context, true.expand(6000, -1), 0)
    added = pairs.attributes[pairs.kind == ADD]
    logits = generator.logits(context[:1], generator.chosen[:2].sum(0, keepdim=True))[0, 2:5]
    shares = added.bincount(minlength=5)[2:] / len(added)
    torch.testing.assert_close(shares, logits.softmax(0).float(), atol=0.03, rtol=0)
    dropped = pairs.attributes[pairs.kind == DROP]
    assert dropped.bincount().tolist()[0] == pytest.approx(3000, abs=250)


@pytest.mark.parametrize("method", ["fairpo-dpo", "fairpo-simpo", "fairpo-cpo", "dpo", "sft"])
@pytest.mark.parametrize("summed", [0, 3])
def test_preferences_train_and_log_each_group(data, method, summed):
    settings = SetTrainingSettings(epochs=2, reference_epochs=3, summed_labels=summed)
    reference = train_generator(data, NETWORK, settings).generator
    before = {name: value.clone() for name, value in reference.state_dict().items()}
    groups = LabelPartition.from_names(["up"], LABELS)
    trained = train_preferences(data, reference, groups, method, settings)
    for name, value in reference.state_dict().items():
        assert torch.equal(value, before[name])
    for record in trained.descent.epochs[1:]:
        assert math.isfinite(record["loss"])
        assert record["weight/privileged"] + record["weight/non_privileged"] == pytest.approx(1)
    if trained.descent.best_epoch:
        assert any(
            not torch.equal(value, before[name])
            for name, value in trained.generator.state_dict().items()
        )
    else:
        assert "no gain found" in trained.notes[-1]


@pytest.mark.parametrize("summed", [0, 3])
def test_a_policy_that_stays_the_reference_costs_log_2_and_nothing(data, summed):
    """Eq. 20 and 21 at h = 0: dropout in the policy alone would make it another model."""
    network = GeneratorSettings(width=16, dropout=0.5)
    settings = SetTrainingSettings(
        epochs=1, reference_epochs=2, learning_rate=1e-12, summed_labels=summed
    )
    reference = train_generator(data, network, settings).generator
    groups = LabelPartition.from_names(["up"], LABELS)
    trained = train_preferences(data, reference, groups, "fairpo-dpo", settings)
    record = trained.descent.epochs[1]
    assert record["loss/privileged"] == pytest.approx(math.log(2), abs=1e-6)
    assert record["loss/non_privileged"] == 0
    assert record["rewards/margins/privileged"] == pytest.approx(0, abs=1e-5)


def test_dpo_prefers_true_sets_to_confusing_ones(data):
    settings = SetTrainingSettings(
        epochs=6, reference_epochs=2, learning_rate=3e-3, tolerance_points=100
    )
    reference = train_generator(data, NETWORK, settings).generator
    groups = LabelPartition.from_names(["up", "down"], LABELS)
    trained = train_preferences(data, reference, groups, "fairpo-dpo", settings)
    first, best = trained.descent.epochs[0], trained.descent.epochs[trained.descent.best_epoch]
    assert trained.descent.best_epoch > 0
    assert best["loss/privileged"] < math.log(2) - 0.05
    assert best["rewards/accuracies/privileged"] > 0.6
    assert (
        best["validation_pair_accuracy/privileged"] >= first["validation_pair_accuracy/privileged"]
    )


def test_mistakes_are_told_before_training(data):
    settings = SetTrainingSettings()
    with pytest.raises(FairPOError, match="Did you mean 'fairpo-dpo'"):
        fit_label_sets(data, parse_privileged("up"), "fairpo-dp", NETWORK, settings)
    with pytest.raises(FairPOError, match="must be a rule that needs no classifier"):
        fit_label_sets(data, parse_privileged("worst:2"), "likelihood", NETWORK, settings)
    with pytest.raises(FairPOError, match="must have a positive in the training rows"):
        fit_label_sets(data, parse_privileged("never"), "likelihood", NETWORK, settings)


def independent():
    torch.manual_seed(0)
    return IndependentSets(Policy(3, 5, HeadSettings(kind="linear")).eval())


def chain():
    X, y = problem(rows=300, features=3, labels=5)
    base = LogisticRegression()
    return ChainSets(ClassifierChain(base, order="random", random_state=0).fit(X, y))


MODELS = {
    "network": lambda: NetworkSets(small_generator()),
    "independent": independent,
    "chain": chain,
}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_of_sets_keeps_the_contract(name):
    model = MODELS[name]()
    X = np.random.default_rng(0).normal(size=(7, 3))
    everything = np.broadcast_to(all_sets(5).numpy(), (7, 32, 5))
    logs = model.log_probs(X, everything)
    np.testing.assert_allclose(np.exp(logs).sum(axis=1), 1.0)
    wide = 32 if name == "network" else 16
    found = model.most_probable(X, wide)
    np.testing.assert_allclose(found.log_probs, -np.sort(-logs, axis=1)[:, :wide], rtol=1e-9)
    np.testing.assert_allclose(found.log_probs, model.log_probs(X, found.sets), rtol=1e-9)
    many = model.most_probable(X, 40)
    assert (many.present.sum(axis=1) == 32).all()
    drawn = model.draw(X, 4000, seed=1)
    codes = drawn @ (2 ** np.arange(4, -1, -1))
    for row in range(7):
        shares = np.bincount(codes[row], minlength=32) / 4000
        np.testing.assert_allclose(shares, np.exp(logs[row]), atol=0.04)


def test_evaluation_prefers_the_model_that_knows_the_truth(data, trained):
    rows = data.rows("test")
    X, targets = data.features[rows], data.targets_of(rows)
    groups = LabelPartition.from_names(["up"], LABELS)
    model = NetworkSets(trained.generator)
    figures = evaluate_sets(model, X, targets, groups, k=4)
    assert "possible" not in figures and "divergence" not in figures

    everything = np.broadcast_to(all_sets(5).numpy(), (len(rows), 32, 5))
    truth = SetDistributions(everything, truth_of(data)[rows])
    known = evaluate_sets(model, X, targets, groups, k=4, truth=truth)
    coin = evaluate_sets(independent(), X, targets, groups, k=4, truth=truth)
    assert known["possible"]["all"] > 0.9 > coin["possible"]["all"]
    assert known["divergence"]["all"] < 0.1 < coin["divergence"]["all"]
    assert known["coverage"]["all"] > 0.95
    assert known["log_likelihood"] == figures["log_likelihood"]
    assert known["calibration_error"]["all"] < 0.08
    for metric, values in known.items():
        assert ("privileged" in values) == (metric not in ("log_likelihood", "divergence"))
    gaps = targets.copy()
    gaps[::2, 0] = -1
    masked = evaluate_sets(model, X, gaps, groups, k=4)
    assert masked["coverage"]["privileged"] == figures["coverage"]["privileged"]
    assert math.isfinite(masked["log_likelihood"]["all"])
