"""Features that processes share: sent as a path, the same rows, nothing left behind."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from fairpo._checks import FairPOFileError
from fairpo.data import load_data
from fairpo.data.mapped import shared_features


def test_an_array_in_memory_is_sent_as_a_file_that_is_deleted_at_the_end(data, tmp_path):
    with shared_features(data, tmp_path) as shared:
        sent = pickle.dumps(shared.features)
        assert len(sent) < 500 < data.features.nbytes
        found = pickle.loads(sent)
        assert (found.shape, found.ndim) == (data.features.shape, 2)
        for rows in (np.array([3, 1, 3]), slice(5, 9), slice(None)):
            np.testing.assert_array_equal(found[rows], data.features[rows])
        assert shared.targets is data.targets
    assert not list(tmp_path.iterdir())


def test_what_a_killed_study_left_is_replaced(data, tmp_path):
    with shared_features(data, tmp_path):
        (left,) = tmp_path.iterdir()
        (left / "old").touch()
    left.mkdir()
    with shared_features(data, tmp_path) as shared:
        np.testing.assert_array_equal(shared.features[:], data.features)


def test_an_array_that_lies_in_a_file_is_not_written_again(data, tmp_path):
    folder, study = tmp_path / "arrays", tmp_path / "study"
    folder.mkdir()
    study.mkdir()
    np.save(folder / "X.npy", data.features.astype(np.float32))
    np.save(folder / "Y.npy", data.targets)
    loaded = load_data(folder)
    with shared_features(loaded, study) as shared:
        assert pickle.loads(pickle.dumps(shared.features)).path == folder / "X.npy"
        assert not list(study.iterdir())
    part = replace(loaded, features=loaded.features[:, :2])  # not all of the file
    with shared_features(part, study) as shared:
        np.testing.assert_array_equal(shared.features[:], loaded.features[:, :2])
        assert list(study.iterdir())


def test_csr_stays_as_it_is(data, tmp_path):
    wide = replace(data, features=sparse.csr_array(data.features))
    with shared_features(wide, tmp_path) as shared:
        assert shared is wide


def test_a_folder_that_cannot_be_written_is_named(data, tmp_path):
    with (
        pytest.raises(FairPOFileError, match=r"\.features\.tmp: cannot be written"),
        shared_features(data, tmp_path / "missing"),
    ):
        pass
