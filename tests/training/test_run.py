import shutil

import numpy as np
import pytest
import torch

from fairpo._checks import FairPOFileError, FairPOValueError
from fairpo.decisions import DecisionRule, DecisionSettings
from fairpo.experiments.plan import Plan
from fairpo.experiments.train import train_run
from fairpo.models import HeadSettings
from fairpo.models.checkpoint import read_weights, write_checksums, write_weights
from fairpo.training import TrainingSettings, load
from fairpo.training.run import check_output, exact_logits, write_folder


@pytest.fixture
def folder(tmp_path, data):
    plan = Plan(
        data="small",
        methods=("bce", "bce-reweighted"),
        training=TrainingSettings(epochs=2, reference_epochs=3),
        head=HeadSettings(hidden=(8,)),
        n_resamples=100,
    )
    train_run(data, plan, tmp_path / "run", report=lambda target: None)
    return tmp_path / "run"


def test_a_loaded_run_predicts_the_same(folder, data):
    first, second = load(folder), load(folder)
    assert first.label_names == data.label_names
    assert first.groups.names == ("privileged", "non_privileged")
    assert np.array_equal(first.predict_logits(data.features), second.predict_logits(data.features))
    one_by_one = np.concatenate([first.predict_logits(row[None]) for row in data.features[:5]])
    assert np.allclose(one_by_one, first.predict_logits(data.features[:5]), rtol=0, atol=1e-12)
    assert first.predict_logits(data.features[:0]).shape == (0, 6)
    assert exact_logits(first.reference, data.features).shape == (400, 6)


def test_a_model_and_its_reference_may_have_different_shapes(tmp_path, folder, data):
    plan = Plan(
        data="small",
        methods=("bce", "fairpo-crossfit"),
        reference=str(folder),
        training=TrainingSettings(reference_epochs=3, reference_is_candidate=False),
        n_resamples=100,
    )
    train_run(data, plan, tmp_path / "other", report=lambda target: None)
    run = load(tmp_path / "other")
    assert run.reference.settings.hidden == (8,)
    assert run.config.head == run.policy.settings
    assert run.policy.settings.hidden == (512,)
    before = load(folder).predict_logits(data.features)
    assert np.array_equal(exact_logits(run.reference, data.features), before)


@pytest.mark.parametrize(
    "name",
    [
        "config.yaml",
        "model.safetensors",
        "reference.safetensors",
        "labels.json",
        "metrics.json",
        "decisions.safetensors",
    ],
)
@pytest.mark.parametrize("damage", ["truncate", "alter", "remove"])
def test_a_damaged_file_is_refused_by_name(folder, name, damage):
    path = folder / name
    content = path.read_bytes()
    if damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "alter":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        path.unlink()
    with pytest.raises(FairPOFileError, match=name.replace(".", r"\.") + "|does not hold a run"):
        load(folder)


def test_decisions_are_fitted_on_validation_rows_for_the_model_and_the_reference(folder, data):
    run = load(folder)
    rows = data.rows("validation")
    logits = {
        "model": run.predict_logits(data.features[rows]),
        "reference": exact_logits(run.reference, data.features[rows]),
    }
    for of, rule in run.decisions._asdict().items():
        expected = DecisionRule.fit(logits[of], data.targets_of(rows), DecisionSettings())
        for name, values in expected.to_arrays().items():
            np.testing.assert_allclose(rule.to_arrays()[name], values, atol=1e-4, err_msg=name)
    logits = run.predict_logits(data.features)
    assert np.array_equal(
        run.predict_proba(data.features), run.decisions.model.probabilities(logits)
    )
    assert np.array_equal(run.predict(data.features), run.decisions.model.decide(logits))
    assert not np.allclose(run.predict_proba(data.features), 1 / (1 + np.exp(-logits)), atol=1e-3)


def test_a_run_of_before_there_were_decisions_takes_logits_as_they_are(folder, data):
    (folder / "decisions.safetensors").unlink()
    config = folder / "config.yaml"
    config.write_text(config.read_text().partition("decisions:")[0] + "reference: null\n")
    write_checksums(folder)
    run = load(folder)
    logits = run.predict_logits(data.features)
    np.testing.assert_array_equal(run.predict(data.features), logits > 0)
    np.testing.assert_allclose(run.predict_proba(data.features), 1 / (1 + np.exp(-logits)))
    assert run.config.decisions.recalibration == "none"


def test_decisions_of_another_model_are_refused(folder):
    path = folder / "decisions.safetensors"
    arrays = read_weights(path)
    kept = {name: value for name, value in arrays.items() if name != "model.slope"}
    write_weights(path, kept)
    write_checksums(folder)
    with pytest.raises(FairPOFileError, match="holds no decision rules .*none called slope"):
        load(folder)
    rule = DecisionRule.identity(3).to_arrays()
    wrong = {f"{of}.{k}": torch.tensor(v) for of in ("model", "reference") for k, v in rule.items()}
    write_weights(path, wrong)
    write_checksums(folder)
    with pytest.raises(FairPOFileError, match="does not fit the 6 labels"):
        load(folder)


def test_a_truncated_weights_file_is_named_even_without_checksums(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    write_checksums(folder)
    with pytest.raises(
        FairPOFileError, match=r"model\.safetensors: is not a whole safetensors file"
    ):
        load(folder)


def test_not_a_run(tmp_path):
    with pytest.raises(FairPOFileError, match="does not hold a run. Give a folder that"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((2, 5)), r"X must have shape \(rows, 12\), got \(2, 5\)"),
        (np.full((1, 12), np.inf), "X must hold finite"),
    ],
)
def test_bad_features(folder, features, message):
    with pytest.raises(FairPOValueError, match=message):
        load(folder).predict_logits(features)


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    def half(target):
        (target / "config.yaml").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(
        FairPOFileError, match=r"run: cannot be written \(No space left on device\)"
    ):
        write_folder(tmp_path / "run", half, overwrite=False)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing_behind(tmp_path):
    def interrupted(target):
        (target / "config.yaml").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "run", interrupted, overwrite=False)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_overwrite_keeps_the_old_run(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(target):
        raise OSError(28, "No space left on device")

    with pytest.raises(FairPOFileError):
        write_folder(folder, fail, overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_output_folders(tmp_path, folder):
    check_output(tmp_path / "new" / "deep", overwrite=False)
    check_output(folder, overwrite=True)
    with pytest.raises(
        FairPOFileError, match="already holds a run. Choose another folder, or say --ov"
    ):
        check_output(folder, overwrite=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(FairPOFileError, match="is a file, not a folder"):
        check_output(tmp_path / "file", overwrite=True)
    shutil.rmtree(folder)
