"""Claims of a study: the tests it names, on the models it names."""

import numpy as np
import pytest

from fairpo.data import MultiLabelData
from fairpo.decisions import DecisionSettings
from fairpo.experiments.claims import best_baseline, weigh_claims
from fairpo.experiments.figures import LogitFigures, judge
from fairpo.experiments.pool import Processes
from fairpo.experiments.runner import MethodResult, ModelScores, SeedResults
from fairpo.groups import LabelPartition
from fairpo.metrics import average_precision
from fairpo.metrics.significance import holm, paired_permutation_test

N_LABELS = 4
GROUPS = LabelPartition.from_indices([0, 1], N_LABELS)
NOISE = {"bce": 2.0, "bce-continued": 1.6, "bce-reweighted": 0.8, "fairpo-dpo": 2.0}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    targets = (rng.random((600, N_LABELS)) < 0.3).astype(np.int8)
    split = {
        "train": np.arange(50),
        "validation": np.arange(50, 300),
        "test": np.arange(300, 600),
    }
    return MultiLabelData(np.zeros((600, 1)), targets, tuple("abcd"), split)


@pytest.fixture(scope="module")
def seeds(data):
    """Models that are the targets with noise; the preference method is the reference itself."""

    def seed(number):
        rng = np.random.default_rng(number)

        def model(noise):
            scores = data.targets + noise * rng.normal(size=data.targets.shape)
            return ModelScores(*(scores[data.rows(part)] for part in ("test", "validation")))

        start = model(NOISE["bce"])
        models = {"bce": start, "fairpo-dpo": start} | {
            name: model(NOISE[name]) for name in ("bce-continued", "bce-reweighted")
        }
        results = [
            MethodResult(name, number, models[name], models[name], 1, 1, False, 0.0, [], [])
            for name in NOISE
        ]
        return SeedResults(number, GROUPS, start, [], results)

    return [seed(0), seed(1)]


@pytest.fixture(scope="module")
def figures(data, seeds):
    return LogitFigures(data, seeds, DecisionSettings(), None, 100, Processes())


@pytest.fixture(scope="module")
def claims(data, seeds, figures):
    return weigh_claims(data, seeds, figures, None, 200, Processes())


def test_the_best_baseline_is_chosen_on_validation_and_has_no_preference(data, seeds, claims):
    goals = {
        name: np.mean(
            [
                average_precision(
                    {r.method: r for r in seed.results}[name].selected.validation,
                    data.targets_of(data.rows("validation")),
                )[:2].mean()
                for seed in seeds
            ]
        )
        for name in ("bce-continued", "bce-reweighted")
    }
    assert best_baseline(data, seeds) == max(goals, key=goals.get) == "bce-reweighted"
    assert claims["best_baseline"] == "bce-reweighted"
    assert set(claims["against"]["reference"]) == set(NOISE) - {"bce"}
    assert set(claims["against"]["best_baseline"]) == {"bce-continued", "fairpo-dpo"}


def test_each_p_is_that_of_the_test_with_holm_over_methods(data, seeds, figures, claims):
    methods = list(claims["against"]["reference"])
    p = []
    for method in methods:
        models = [{r.method: r for r in seed.results}[method].selected for seed in seeds]
        firsts, seconds = (
            [judge(model, data, DecisionSettings()) for model in side]
            for side in (models, [s.start for s in seeds])
        )
        result = paired_permutation_test(
            [model.logits for model in firsts],
            [model.logits for model in seconds],
            data.targets_of(data.rows("test")),
            GROUPS.as_mapping(),
            first_threshold_logits=[model.threshold_logits for model in firsts],
            second_threshold_logits=[model.threshold_logits for model in seconds],
            n_permutations=200,
        )
        difference, value = result.of("map/privileged")
        p.append(value)
        found = claims["against"]["reference"][method]["map/privileged"]
        assert (found["difference"], found["p"]) == (difference, value)
        assert claims["labels"][method] == pytest.approx(holm(result.label_p_values).tolist())
    adjusted = [
        claims["against"]["reference"][method]["map/privileged"]["p_holm"] for method in methods
    ]
    assert adjusted == pytest.approx(holm(np.array(p)).tolist())


def test_a_better_model_is_called_so_and_the_reference_itself_is_not(claims):
    against = claims["against"]["reference"]
    assert against["bce-reweighted"]["map/privileged"]["p_holm"] < 0.05
    assert against["fairpo-dpo"]["map/privileged"] == {"difference": 0.0, "p": 1.0, "p_holm": 1.0}


def test_processes_change_nothing(data, seeds, figures, claims):
    with Processes(2) as processes:
        assert weigh_claims(data, seeds, figures, None, 200, processes) == claims
        again = LogitFigures(data, seeds, DecisionSettings(), None, 100, processes)
    models = [seed.start for seed in seeds]
    assert again.values("map", models).tolist() == figures.values("map", models).tolist()
    ends = [seed.results[2].selected for seed in seeds]
    assert again.interval("map", ends, models) == figures.interval("map", ends, models)
