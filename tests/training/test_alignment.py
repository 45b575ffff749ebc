"""Other tables than the one a run was trained on: columns by name, never by place."""

from dataclasses import replace

import numpy as np
import pytest

from fairpo import load_data
from fairpo._checks import FairPOValueError
from fairpo.experiments.evaluate import evaluate_run
from fairpo.experiments.plan import Plan
from fairpo.experiments.train import train_run
from fairpo.models import HeadSettings
from fairpo.training import load
from fairpo.training.alignment import align_features, align_labels
from fairpo.training.settings import TrainingSettings


def write(path, rows, header="age,city,pressure,labels"):
    path.write_text("\n".join([header, *rows]))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alignment")
    rng = np.random.default_rng(0)
    rows = []
    for age, pressure in rng.normal(size=(90, 2)):
        labels = "|".join(["old"] * int(age > 0.5) + ["high"] * int(pressure > 0) + ["all"])
        rows.append(f"{age},{rng.choice(['Lima', 'Oslo', 'Rome'])},{pressure},{labels}")
    path = write(folder / "train.csv", rows)
    plan = Plan(
        data=str(path),
        methods=("bce",),
        training=TrainingSettings(epochs=1, reference_epochs=3),
        head=HeadSettings(hidden=(8,)),
    )
    train_run(load_data(path), plan, folder / "run", report=lambda target: None)
    return load(folder / "run")


def test_names_are_kept_with_the_run(run):
    assert [name.category or name.column for name in run.feature_names] == [
        "age",
        "Lima",
        "Oslo",
        "Rome",
        "pressure",
    ]
    assert run.label_names == ("all", "high", "old")


def test_columns_in_another_order_and_fewer_categories_score_the_same(run, tmp_path):
    straight = load_data(
        write(tmp_path / "a.csv", ["1,Lima,2,old", "3,Rome,4,high", "5,Oslo,6,old"])
    )
    turned = load_data(
        write(tmp_path / "b.csv", ["2,Lima,1,9", "4,Rome,3,8"], "pressure,city,age,extra"),
        unlabelled=True,
    )
    aligned = align_features(turned, run)
    assert aligned.feature_names == run.feature_names
    assert any("left out: extra" in note for note in aligned.notes)
    wanted = run.predict_logits(straight.features)[:2]
    assert np.array_equal(run.predict_logits(aligned.features), wanted)


def test_a_new_category_and_a_missing_column_are_refused(run, tmp_path):
    new = load_data(
        write(tmp_path / "a.csv", ["1,Bern,2", "3,Rome,4"], "age,city,pressure"), unlabelled=True
    )
    with pytest.raises(FairPOValueError, match="column 'city': category 'Bern' is not among the 3"):
        align_features(new, run)
    fewer = load_data(write(tmp_path / "b.csv", ["1,Rome", "3,Oslo"], "age,city"), unlabelled=True)
    with pytest.raises(FairPOValueError, match="must have the column 'pressure', got none"):
        align_features(fewer, run)


def test_arrays_without_names_need_the_same_number(run, data):
    with pytest.raises(FairPOValueError, match="must have the 5 features of the run, got 12"):
        align_features(data, run)


def test_labels_are_brought_into_order_and_absent_ones_count_nowhere(run, tmp_path):
    rows = ["1,Lima,2,old|high", "3,Rome,4,high", "5,Oslo,6,old", "1,Lima,1,"]
    some = load_data(write(tmp_path / "a.csv", rows))
    aligned = align_labels(some, run)
    assert aligned.label_names == run.label_names
    assert aligned.targets.tolist() == [[-1, 1, 1], [-1, 1, 0], [-1, 0, 1], [-1, 0, 0]]
    assert "1 labels of the run do not occur in a" in aligned.notes[-1]
    unknown = load_data(write(tmp_path / "b.csv", ["1,Lima,2,odl", *rows]))
    with pytest.raises(FairPOValueError, match="label 'odl' .* Did you mean 'old'"):
        align_labels(unknown, run)


def test_evaluation_on_other_data_goes_by_name(run, tmp_path):
    rng = np.random.default_rng(1)
    rows = []
    for age, pressure in rng.normal(size=(40, 2)):
        labels = "|".join(["old"] * int(age > 0.5) + ["high"] * int(pressure > 0))
        rows.append(f"{labels},{pressure},{rng.choice(['Lima', 'Rome'])},{age}")
    path = write(tmp_path / "new.csv", rows, "labels,pressure,city,age")
    result = evaluate_run(run, str(path))
    assert result["n_rows"] == 40  # data without splits are test rows, all of them
    assert result["model"]["map"] > 0.7
    assert any("1 labels of the run do not occur" in note for note in result["notes"])


def test_embeddings_by_another_backbone_of_the_same_width_are_refused(run, data):
    made = {"name": "a", "revision": "1", "pooling": "cls", "preprocessing": "p", "dtype": "fp32"}
    of_a_store = replace(run, backbone=made, feature_names=None)
    five = replace(data, features=data.features[:, :5])
    assert align_features(replace(five, backbone={**made, "dtype": "bf16"}), of_a_store)
    for key in ("revision", "pooling", "preprocessing"):
        other = replace(five, backbone={**made, key: "other"})
        with pytest.raises(FairPOValueError, match=f"by a .{key} .*got a .{key} other"):
            align_features(other, of_a_store)
