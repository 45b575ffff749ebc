"""Scores of trials on disk: what was written is read, when it is asked for."""

import pickle

import numpy as np
import pytest

from fairpo._checks import FairPOFileError
from fairpo.decisions import DecisionSettings
from fairpo.experiments.runner import ModelScores
from fairpo.experiments.scores import StoredScores, read_scores, write_scores
from fairpo.metrics import LabelBlockMetrics


@pytest.fixture
def models(data):
    rng = np.random.default_rng(0)
    whole = rng.normal(size=data.targets.shape).astype(np.float32)
    parts = [whole[data.rows(split)] for split in ("test", "validation")]
    return {"selected": ModelScores(*parts), "last": ModelScores(*(-part for part in parts))}


@pytest.fixture
def path(models, data, tmp_path):
    write_scores(tmp_path / "key.npz", models, data, DecisionSettings())
    return tmp_path / "key.npz"


def test_logits_come_back_bit_for_bit_and_judge_alike(models, path, data):
    for name, found in read_scores(path).items():
        np.testing.assert_array_equal(found.test, models[name].test)
        np.testing.assert_array_equal(found.validation, models[name].validation)
        expected = models[name].rule(data, DecisionSettings()).to_arrays()
        for key, values in found.rule(data, DecisionSettings()).to_arrays().items():
            np.testing.assert_array_equal(values, expected[key])


def test_a_model_goes_to_another_process_as_the_place_of_its_scores(models, path):
    found = read_scores(path)["last"]
    sent = pickle.dumps(found)
    assert len(sent) < 1000 < models["last"].test.nbytes
    np.testing.assert_array_equal(pickle.loads(sent).test, models["last"].test)


def test_logits_are_not_kept(path):
    found = read_scores(path)["selected"]
    assert isinstance(found, StoredScores)
    assert found.test is not found.test
    path.unlink()
    with pytest.raises(FairPOFileError, match=r"key\.npz: .*Delete it: its trial runs"):
        assert found.test is None


def test_figures_by_block_of_labels_are_read_at_once(data, tmp_path):
    figures = LabelBlockMetrics({"map": 0.5}, np.array([0.5]), {"ndcg_at_1": np.array([1.0])})
    models = {"start": ModelScores(figures, figures)}
    write_scores(tmp_path / "key.npz", models, data, DecisionSettings())
    found = read_scores(tmp_path / "key.npz")["start"]
    (tmp_path / "key.npz").unlink()
    assert found.test.values == {"map": 0.5}
    assert found.validation.average_precision.tolist() == [0.5]
    assert found.test.by_row["ndcg_at_1"].tolist() == [1.0]


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:-4]])
def test_a_damaged_file_is_named(path, damage):
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FairPOFileError, match="is not a whole file of scores"):
        read_scores(path)
