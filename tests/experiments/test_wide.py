"""Runs on sampled labels end to end: train, tables, report, evaluate, resume."""

import json

import numpy as np
import pytest
from scipy import sparse

from fairpo._checks import FairPOValueError, build_settings
from fairpo.data import MultiLabelData
from fairpo.experiments.evaluate import evaluate_run
from fairpo.experiments.plan import Plan
from fairpo.experiments.summary import MOST_LISTED_LABELS
from fairpo.experiments.train import train_run
from fairpo.metrics import evaluate_label_blocks
from fairpo.models import HeadSettings
from fairpo.report import write_report
from fairpo.training import TrainingSettings, load
from fairpo.training.label_scores import LabelScores

N_LABELS = 2500


def wide(seed=0):
    """Three labels a row of 2,500, features the sum of their prototypes."""
    rng = np.random.default_rng(seed)
    prototypes = rng.normal(size=(N_LABELS, 24)).astype(np.float32)
    labels = np.sort((N_LABELS * rng.random((600, 3)) ** 3).astype(np.int64), axis=1)
    rows = np.repeat(np.arange(600), 3)
    targets = sparse.coo_array((np.ones(1800, np.int8), (rows, labels.ravel())), (600, N_LABELS))
    targets = sparse.csr_array(targets.tocsr())
    targets.data[:] = 1
    features = (targets @ prototypes).astype(np.float32)
    split = {
        "train": np.arange(400),
        "validation": np.arange(400, 500),
        "test": np.arange(500, 600),
    }
    names = tuple(f"label {number}" for number in range(N_LABELS))
    return MultiLabelData(features, targets, names, split, name="wide")


def plan(**options):
    training = TrainingSettings(
        sampled_labels=100, epochs=2, reference_epochs=6, learning_rate=1e-3, device="cpu"
    )
    return Plan(
        data="wide",
        methods=("bce", "fairpo-dpo"),
        options={"reduction": "positives", "weight_rule": "fixed", **options},
        training=training,
        head=HeadSettings(hidden=(32,)),
        n_resamples=100,
        n_permutations=100,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide") / "run"
    metrics = train_run(wide(), plan(), folder, report=write_report)
    return folder, metrics


def test_figures_are_those_of_one_pass_over_the_labels(run):
    folder, metrics = run
    data, loaded = wide(), load(folder)
    rows = data.rows("test")
    score = LabelScores(loaded.policy, data.features, rows)
    expected = evaluate_label_blocks(score, data.targets[rows], loaded.groups.as_mapping())
    selected = next(
        row
        for row in metrics["rows"]
        if (row["method"], row["epoch"]) == ("fairpo-dpo", "selected")
    )
    for key, cell in selected["cells"].items():
        assert cell["value"] == pytest.approx(expected.values[key]), key
        assert (cell["low"] is None) == key.startswith("map/")
        if cell["low"] is not None:
            assert cell["low"] <= cell["difference"] + 1e-12
            assert cell["difference"] <= cell["high"] + 1e-12
    assert metrics["metrics"] == ["map", "precision_at_1", "precision_at_5", "ndcg_at_5"]
    assert "mAP has none" in metrics["interval"]["kind"]


def test_decisions_are_not_fitted_where_labels_are_sampled(run):
    folder, _ = run
    assert not (folder / "decisions.safetensors").exists()
    data, loaded = wide(), load(folder)
    rows = data.rows("test")[:20]
    logits = loaded.predict_logits(data.features, rows=rows)
    np.testing.assert_array_equal(loaded.decisions.model.apply(logits), logits)
    np.testing.assert_array_equal(loaded.decisions.reference.decide(logits), logits > 0)


def test_tables_name_the_labels_with_the_most_positives_only(run):
    _, metrics = run
    listed = metrics["per_label"]
    assert len(listed) <= MOST_LISTED_LABELS < N_LABELS
    by_group = {
        name: [row for row in listed if name in row["groups"]]
        for name in ("privileged", "non_privileged")
    }
    assert 0 < len(by_group["privileged"]) < MOST_LISTED_LABELS // 2  # fewer than their half
    assert all(row["train_positives"] for row in by_group["privileged"])
    assert len(by_group["non_privileged"]) == MOST_LISTED_LABELS // 2
    undefined = metrics["undefined"]
    assert (
        undefined["n_labels_without_positives"] > len(undefined["labels_without_positives"]) == 20
    )


def test_the_report_and_the_figures_are_on_disk(run):
    folder, _ = run
    page = (folder / "report.html").read_text()
    assert "nDCG@5" in page
    assert "which rank its own labels alone" in page
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert 0 <= rows[-1]["selected"]["precision_at_5/privileged"] <= 1


def test_evaluate_scores_in_blocks_too(run, monkeypatch):
    folder, metrics = run
    monkeypatch.setattr("fairpo.experiments.evaluate.load_data", lambda source, told: wide())
    result = evaluate_run(load(folder))
    selected = next(
        row for row in metrics["rows"] if row["epoch"] == "selected" and row["method"] != "bce"
    )
    assert result["model"]["ndcg_at_5/privileged"] == pytest.approx(
        selected["cells"]["ndcg_at_5/privileged"]["value"]
    )
    assert result["reference"]["map"] is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": {}}, "reduction must be 'positives' or 'entries' where labels are sampled"),
        ({"options": {"reduction": "positives", "sampling": "one"}}, "sampling must be 'all'"),
        ({"head": HeadSettings(kind="per-label")}, "HeadSettings.kind must be 'mlp' or 'linear'"),
    ],
)
def test_what_cannot_be_sampled_is_refused_before_any_work(changes, message):
    with pytest.raises(FairPOValueError, match=message):
        plan().model_copy(update=changes).check()


def test_one_way_to_draw_labels():
    with pytest.raises(FairPOValueError, match="choose one of them"):
        build_settings(TrainingSettings, {"sampled_labels": 5, "label_draw": "one"})
