import os

import numpy as np
import pytest

from fairpo._checks import FairPOFileError, FairPOValueError, FairPOWarning
from fairpo.experiments.conduct import run_study
from fairpo.experiments.ledger import Ledger
from fairpo.experiments.plan import MAIN_METHODS
from fairpo.experiments.study import Study
from fairpo.metrics import LabelFrame, average_precision
from fairpo.models import HeadSettings
from fairpo.report import write_report
from fairpo.training import TrainingSettings

SMALL = {
    "data": "small",
    "training": TrainingSettings(epochs=2, reference_epochs=4, batch_size=64),
    "head": HeadSettings(hidden=(8,)),
    "n_resamples": 100,
    "n_permutations": 100,
}


def no_report(folder):
    return folder


def conduct(study, data, folder, **options):
    """Metrics and records of a study."""
    options = {"report": no_report, **options}
    return run_study(study, data, folder, **options), Ledger(folder).records()


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    from fairpo.data import MultiLabelData
    from tests.conftest import problem

    X, y = problem()
    split = {
        "train": np.arange(240),
        "validation": np.arange(240, 310),
        "test": np.arange(310, 400),
    }
    clusters = np.repeat(np.arange(40), 10)
    data = MultiLabelData(X, y, tuple("abcdef"), split, clusters=clusters, name="small")
    study = Study(seeds=(0, 1), **SMALL)
    folder = tmp_path_factory.mktemp("small")
    return data, study, *conduct(study, data, folder, command="fairpo compare small")


def test_one_row_a_method_and_epoch(result):
    _, _, metrics, rows = result
    assert [(r["method"], r["epoch"]) for r in metrics["rows"]] == [
        (name, epoch) for name in MAIN_METHODS for epoch in ("selected", "last")
    ]
    assert [(r["seed"], r["method"]) for r in rows] == [
        (s, m) for s in (0, 1) for m in MAIN_METHODS
    ]


def test_values_are_the_mean_over_seeds_of_whole_set_metrics(result):
    _, _, metrics, rows = result
    for row in metrics["rows"]:
        for key, cell in row["cells"].items():
            by_seed = [r[row["epoch"]][key] for r in rows if r["method"] == row["method"]]
            assert cell["value"] == pytest.approx(np.mean(by_seed), abs=1e-6)


def test_differences_are_to_the_reference_and_lie_in_their_interval(result):
    _, _, metrics, _ = result
    reference = metrics["rows"][0]
    assert all(cell["difference"] is None for cell in reference["cells"].values())
    for row in metrics["rows"][1:]:
        for key, cell in row["cells"].items():
            expected = cell["value"] - reference["cells"][key]["value"]
            assert cell["difference"] == pytest.approx(expected, abs=1e-9)
            assert cell["excludes_zero"] == (cell["low"] > 0 or cell["high"] < 0)
            assert "seeds_low" not in cell  # a t interval only from 5 seeds on


def test_a_method_that_fell_back_differs_by_exactly_zero(result):
    _, _, metrics, rows = result
    back = {m for m in MAIN_METHODS[1:] if all(r["fell_back"] for r in rows if r["method"] == m)}
    for row in metrics["rows"]:
        if row["method"] in back and row["epoch"] == "selected":
            assert row["fell_back_share"] == 1
            assert {(c["difference"], c["low"], c["high"]) for c in row["cells"].values()} == {
                (0, 0, 0)
            }


def test_clusters_notes_and_labels(result):
    _, _, metrics, _ = result
    assert metrics["data"]["clusters"] == 9
    assert (
        metrics["interval"]["kind"] == "paired bootstrap over 9 blocks of test rows, seeds averaged"
    )
    assert [row["label"] for row in metrics["per_label"]] == list("abcdef")
    assert metrics["groups"][0]["labels"] == ["a", "b"]
    assert metrics["trace"]


def test_five_seeds_add_a_t_interval(data, tmp_path):
    study = Study(seeds=tuple(range(5)), methods=("bce", "bce-continued"), **SMALL)
    metrics, rows = conduct(study, data, tmp_path)
    cell = metrics["rows"][3]["cells"]["map/non_privileged"]
    last = [r["last"]["map/non_privileged"] for r in rows if r["method"] == "bce-continued"]
    start = [r["selected"]["map/non_privileged"] for r in rows if r["method"] == "bce"]
    differences = np.subtract(last, start)
    error = differences.std(ddof=1) / np.sqrt(5)
    assert cell["seeds_high"] == pytest.approx(differences.mean() + 2.7764451 * error, abs=1e-6)
    assert cell["seeds_low"] < cell["difference"] < cell["seeds_high"]


def test_scores_of_an_existing_model(data, tmp_path):
    scores = np.random.default_rng(0).normal(size=data.targets.shape)
    np.save(tmp_path / "scores.npy", scores)
    reference = str(tmp_path / "scores.npy")
    study = Study(methods=("bce", "bce-continued"), reference=reference, **SMALL)
    metrics, _ = conduct(study, data, tmp_path / "study")
    test = data.rows("test")
    ap = average_precision(scores[test].astype(np.float32), data.targets_of(test))
    assert metrics["per_label"][0]["reference_ap"] == pytest.approx(ap[0])
    frame = LabelFrame.from_scores(scores[test], data.targets_of(test), {})
    assert frame.overall["map"] == pytest.approx(np.nanmean(ap))


def test_a_report_that_fails_costs_no_figure(data, tmp_path):
    def broken(folder):
        raise FairPOFileError("no chart today")

    study = Study(methods=("bce",), **SMALL)
    with pytest.warns(FairPOWarning, match="there is no report: no chart today"):
        conduct(study, data, tmp_path, report=broken)
    assert {path.name for path in tmp_path.iterdir() if path.suffix} >= {
        "metrics.json",
        "results.jsonl",
        "checksums.json",
    }


def test_a_report_that_cannot_be_written_costs_no_figure(data, tmp_path):
    (tmp_path / f".report.html.{os.getpid()}.tmp").mkdir()  # where it is written first
    study = Study(methods=("bce",), **SMALL)
    with pytest.warns(FairPOWarning, match="there is no report: .*report.html: cannot be written"):
        conduct(study, data, tmp_path, report=write_report)
    assert (tmp_path / "checksums.json").is_file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ("bce", "fairpo")}, "method 'fairpo' is not among"),
        (
            {"overrides": {"fairpo-dpo": {"seed": 3}}},
            "overrides of fairpo-dpo must leave .* to all methods, got seed",
        ),
        ({"overrides": {"fairpo-dpo": {"epochs": 3}}}, "must leave .* to all methods, got epochs"),
        (
            {
                "methods": ("bce", "fairpo-crossfit"),
                "overrides": {"fairpo-crossfit": {"learning_rate": 0.1}},
            },
            "overrides of fairpo-crossfit must not have learning_rate.* got 0.1. Set reference_l",
        ),
        ({"overrides": {"asl2": {"gamma_negative": 3}}}, "method 'asl2' is not among"),
        ({"overrides": {"fairpo-dpo": {"betta": 3}}}, "option 'betta' is not among"),
        ({"options": {"betta": 1}}, "option 'betta' is not among"),
        ({"options": {"beta": -1}}, "FairPOSettings.beta must be greater than 0"),
        ({"preset": "v1"}, "preset 'v1' is not among"),
        ({"privileged": ""}, "must select at least one label"),
        ({"privileged": "zebra"}, "label 'zebra' is not among the 6 label names"),
    ],
)
def test_a_study_is_checked_before_any_work(data, tmp_path, changes, message):
    with pytest.raises(FairPOValueError, match=message):
        conduct(Study(**{**SMALL, **changes}), data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_option_reaches_the_methods_that_have_it():
    study = Study(
        options={"beta": 2.0},
        overrides={"fairpo-dpo": {"beta": 3.0, "learning_rate": 0.1}, "bce-continued": {}},
        **SMALL,
    )
    study.check()
    assert study.options_for("fairpo-simpo") == {"beta": 2.0}
    assert study.options_for("fairpo-dpo") == {"beta": 3.0}
    assert study.options_for("bce") == {}
    assert study.training_for("fairpo-dpo").learning_rate == 0.1
    assert study.training_for("bce-continued") == SMALL["training"].filled()
