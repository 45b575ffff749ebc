"""Intervals of set metrics against a bootstrap that measures the drawn rows themselves."""

import numpy as np
import pytest

from fairpo._checks import FairPOError
from fairpo.groups import LabelPartition
from fairpo.labelsets import NetworkSets, compare_sets, evaluate_sets, measure_sets
from fairpo.labelsets.sets import GeneratedSets
from tests.labelsets.scenes import small_generator

N_ROWS = 40
GROUPS = LabelPartition.from_indices([0, 2], 5)


class Rows:
    """What a model said of each row, to be asked again of drawn rows: features are row numbers."""

    def __init__(self, drawn, found, logs):
        self.drawn, self.found, self.logs = drawn, found, logs

    def draw(self, features, k, seed=0):
        return self.drawn[features[:, 0]]

    def most_probable(self, features, k):
        rows, found = features[:, 0], self.found
        return GeneratedSets(found.sets[rows], found.log_probs[rows], found.standard_errors[rows])

    def log_probs(self, features, sets):
        return self.logs[features[:, 0]]


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 3)).astype(np.float32)
    targets = (rng.random((N_ROWS, 5)) < 0.4).astype(np.int8)
    targets[3, 1] = -1
    models = {name: NetworkSets(small_generator(seed=seed)) for seed, name in enumerate("ab")}
    return X, targets, models


@pytest.fixture(scope="module")
def measured(problem):
    X, targets, models = problem
    return {name: measure_sets(model, X, targets, GROUPS, k=3) for name, model in models.items()}


def drawn_rows(n_units, n_resamples, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.integers(0, n_units, n_units) for _ in range(n_resamples)]


@pytest.mark.parametrize("clustered", [False, True])
def test_intervals_are_those_of_measuring_the_drawn_rows(problem, measured, clustered):
    X, targets, models = problem
    clusters = np.arange(N_ROWS) // 2 if clustered else None
    found = compare_sets(measured, clusters=clusters, n_resamples=20, level=0.8)
    units = np.arange(N_ROWS).reshape(-1, 2 if clustered else 1)
    slow = {}
    for name, model in models.items():
        said = Rows(
            model.draw(X, 3),
            model.most_probable(X, 3),
            model.log_probs(X, (targets == 1)[:, None]),
        )
        slow[name] = [
            evaluate_sets(said, rows[:, None], targets[rows], GROUPS, k=3)
            for rows in (units[draw].ravel() for draw in drawn_rows(len(units), 20))
        ]
    whole = {name: each.figures() for name, each in measured.items()}
    for metric, of in whole["a"].items():
        for group, value in of.items():
            draws = {name: np.array([each[metric][group] for each in slow[name]]) for name in slow}
            values = {name: whole[name][metric][group] for name in whole}
            draws["b - a"], values["b - a"] = draws["b"] - draws["a"], values["b"] - values["a"]
            assert np.isfinite(value)
            for name, got in {
                "a": found.models["a"],
                "b": found.models["b"],
                "b - a": found.differences["b"],
            }.items():
                moved = draws[name]
                if metric == "calibration_error":
                    moved = moved + values[name] - moved.mean()
                low, high = np.quantile(moved, [0.1, 0.9])
                np.testing.assert_allclose(got[metric][group], [values[name], low, high], atol=1e-9)


def test_the_figures_are_those_of_the_evaluation(problem, measured):
    X, targets, models = problem
    assert measured["a"].figures() == evaluate_sets(models["a"], X, targets, GROUPS, k=3)


def test_a_model_does_not_differ_from_itself(measured):
    found = compare_sets({"one": measured["a"], "other": measured["a"]}, n_resamples=50)
    for of in found.differences["other"].values():
        assert all(interval == (0, 0, 0) for interval in of.values())
    for of in found.models["one"].values():
        assert all(low <= value <= high for value, low, high in of.values())
    again = compare_sets({"one": measured["a"]}, n_resamples=50)
    assert again.models["one"] == found.models["one"]
    assert again.differences == {}


def test_what_is_not_defined_is_none_in_json(problem):
    X, targets, models = problem
    unknown = measure_sets(models["a"], X, np.full_like(targets, -1), GROUPS, k=1)
    plain = compare_sets({"a": unknown}, n_resamples=10).to_dict()["models"]["a"]
    assert plain["log_likelihood"]["all"] == {"value": None, "low": None, "high": None}
    assert plain["distinct"]["all"] == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_mistakes(problem, measured):
    X, targets, models = problem
    with pytest.raises(FairPOError, match="measured must hold at least one model"):
        compare_sets({})
    with pytest.raises(FairPOError, match="n_resamples must be at least 1, got 0"):
        compare_sets(measured, n_resamples=0)
    few = measure_sets(models["b"], X[:9], targets[:9], GROUPS)
    with pytest.raises(FairPOError, match="must have the same"):
        compare_sets({"a": measured["a"], "b": few})
