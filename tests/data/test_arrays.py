import numpy as np
import pytest
from scipy import sparse

from fairpo import load_data
from fairpo._checks import FairPOFileError, FairPOValueError
from fairpo.data.base import as_targets, feature_rows


def test_splits_come_from_the_indices_and_the_rest_is_validation(npz, data):
    loaded = load_data(npz)
    assert loaded.label_names == data.label_names
    assert loaded.rows("validation").tolist() == data.rows("validation").tolist()
    assert np.array_equal(loaded.features, data.features)


def test_sparse_arrays(tmp_path):
    X = sparse.random_array((20, 5), density=0.3, format="csr", rng=np.random.default_rng(0))
    path = tmp_path / "sparse.npz"
    np.savez(
        path,
        X_data=X.data,
        X_indices=X.indices,
        X_indptr=X.indptr,
        X_shape=X.shape,
        Y=np.eye(20, 4, dtype=int),
    )
    loaded = load_data(path)
    assert np.allclose(loaded.features, X.toarray())
    assert loaded.label_names == ("label_0", "label_1", "label_2", "label_3")
    assert {name: len(rows) for name, rows in loaded.split.items()}.keys() == {
        "train",
        "validation",
        "test",
    }
    assert sum(map(len, loaded.split.values())) == 20


@pytest.mark.parametrize("kind", ["truncated", "text", "empty", "missing", "array"])
def test_unreadable_files_are_named(tmp_path, npz, kind):
    path = tmp_path / f"{kind}.npz"
    if kind == "truncated":
        path.write_bytes(npz.read_bytes()[:-200])
    elif kind == "text":
        path.write_text("hello")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "array":
        with path.open("wb") as stream:
            np.save(stream, np.zeros(3))
    with pytest.raises(
        FairPOFileError,
        match=rf"{kind}\.npz: (is truncated or not|does not exist|is a single array)",
    ):
        load_data(path)


def test_pickled_arrays_are_never_loaded(tmp_path):
    path = tmp_path / "objects.npz"
    np.savez(path, X=np.array([{"a": 1}], dtype=object), Y=np.ones((1, 1)))
    with pytest.raises(FairPOFileError, match="allow_pickle=False"):
        load_data(path)


def test_a_missing_array_is_named(tmp_path):
    path = tmp_path / "no_y.npz"
    np.savez(path, X=np.zeros((3, 2)))
    with pytest.raises(
        FairPOValueError, match="array 'Y' is not among the 1 arrays in the file. Known: X"
    ):
        load_data(path)
    loaded = load_data(path, unlabelled=True)
    assert loaded.features.shape == (3, 2)
    assert loaded.n_labels == 0 and not loaded.split


def test_a_folder_of_arrays(tmp_path, data):
    np.save(tmp_path / "X.npy", data.features)
    sparse.save_npz(tmp_path / "Y.npz", sparse.csr_array(data.targets))
    (tmp_path / "label_names.txt").write_text("\n".join(data.label_names))
    np.save(tmp_path / "train_idx.npy", data.split["train"])
    loaded = load_data(tmp_path)
    assert loaded.kind == "arrays in a folder"
    assert loaded.label_names == data.label_names
    assert np.array_equal(loaded.features, data.features)
    assert np.array_equal(loaded.targets, data.targets)
    assert isinstance(loaded.features.base, np.memmap)


def test_wide_sparse_features_stay_sparse(tmp_path):
    X = sparse.random_array((300, 2**20), density=1e-6, format="csr", rng=np.random.default_rng(0))
    arrays = {"data": X.data, "indices": X.indices, "indptr": X.indptr, "shape": X.shape}
    path = tmp_path / "wide.npz"
    Y = np.random.default_rng(0).integers(0, 2, (300, 3))
    np.savez(path, Y=Y, **{f"X_{name}": value for name, value in arrays.items()})
    loaded = load_data(path)
    assert sparse.issparse(loaded.features)
    rows = np.array([5, 1, 1])
    assert np.array_equal(feature_rows(loaded.features, rows), X[rows].toarray().astype("f4"))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("Y", {"Y_indices": np.array([0, 2_000_000_000, 1])}),
        ("X", {"X_indices": np.array([0, -2_000_000_000, 1])}),
        ("X", {"X_indptr": np.array([0, 5, 3])}),
        ("Y", {"Y_shape": np.array(3)}),
        ("X", {"X_data": np.ones(1)}),
    ],
)
def test_sparse_parts_that_lead_outside_are_refused(tmp_path, name, changes):
    """SciPy builds such a matrix, and reads and writes where nothing of it lies."""
    parts = {"data": np.ones(3), "indices": np.array([0, 1, 1]), "indptr": np.array([0, 1, 3])}
    parts["shape"] = np.array([2, 2])
    arrays = {f"{matrix}_{part}": value for matrix in "XY" for part, value in parts.items()}
    path = tmp_path / "set.npz"
    np.savez(path, **{**arrays, **changes})
    with pytest.raises(FairPOFileError, match="set.npz: holds no valid sparse matrix"):
        load_data(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": np.float32(1)}, "X must hold numbers in two dimensions"),
        ({"X": np.array([["a"], ["b"]])}, "X must hold numbers in two dimensions"),
        ({"train_idx": np.array([0.5, 1.5])}, "train_idx must be a list of whole numbers"),
        ({"ids": np.array([["a"], ["b"]])}, "ids must be a list of names"),
        ({"clusters": np.array(["a", "b"])}, "clusters must be a list of whole numbers"),
    ],
)
def test_arrays_of_another_kind_are_named(tmp_path, changes, message):
    path = tmp_path / "set.npz"
    np.savez(path, **{"X": np.ones((2, 2)), "Y": np.eye(2), **changes})
    with pytest.raises(FairPOFileError, match=f"set.npz: {message}"):
        load_data(path)


def test_masks_are_indices(tmp_path):
    path = tmp_path / "set.npz"
    mask = np.arange(10) < 6
    np.savez(path, X=np.eye(10), Y=np.eye(10)[:, :2], train_idx=mask, test_idx=np.arange(6, 8))
    split = load_data(path).split
    assert {name: len(rows) for name, rows in split.items()} == {
        "train": 6,
        "test": 2,
        "validation": 2,
    }


def test_an_entry_given_twice_is_one(tmp_path):
    Y = sparse.csr_array((np.ones(2), np.array([1, 1]), np.array([0, 2])), shape=(1, 3))
    with pytest.raises(FairPOValueError, match="other entries, such as 2"):
        as_targets(Y)
