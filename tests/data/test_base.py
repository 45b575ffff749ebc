import numpy as np
import pytest
from scipy import sparse

from fairpo._checks import FairPOValueError
from fairpo.data import MultiLabelData, as_targets
from fairpo.data.base import dense_targets, fingerprint, positive_counts

X = np.zeros((4, 3), dtype=np.float32)
Y = np.array([[0, 1], [1, 0], [-1, 1], [0, 0]], dtype=np.int8)


def make(**changes):
    values = {
        "features": X,
        "targets": Y,
        "label_names": ("cat", "dog"),
        "split": {"train": np.arange(4)},
    }
    return MultiLabelData(**{**values, **changes})


def test_facts():
    data = make()
    assert (data.n_rows, data.n_features, data.n_labels) == (4, 3, 2)
    assert data.features is X
    assert data.targets_of(np.array([2])).tolist() == [[-1, 1]]


BAD = X.copy()
BAD[2, 1] = np.nan


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": X[:3]}, "X and Y must have the same number of rows, got 3 and 4"),
        (
            {"features": BAD},
            r"X must hold finite numbers only, no NaN or inf, got 1 such entries, "
            r"the first \(nan\) in row 2, column 1",
        ),
        ({"features": X + np.inf}, "X must hold finite numbers only.*got 12 such entries"),
        (
            {"targets": Y + 2},
            r"Y must hold 0, 1 and -1 \(missing\) only, got 7 other entries, such as 2, 3",
        ),
        (
            {"slices": {"camera": np.array(["a", "b"])}},
            r"slices\['camera'\] must have the same number of rows, got 4 and 4 and 2",
        ),
        ({"label_names": ("cat", "cat")}, "label names must be unique, got 'cat' more than once"),
        ({"label_names": ("cat",)}, "label_names must name every column of Y, got 1 names for 2"),
        (
            {"split": {"train": np.array([], dtype=int)}},
            "the train split must hold at least one row, got none",
        ),
        (
            {"split": {"train": np.array([0, 9])}},
            "the train split must hold row numbers from 0 to 3",
        ),
        (
            {"split": {"train": np.array([0]), "test": np.array([0])}},
            "the test split must hold each row once",
        ),
        (
            {"split": {"dev": np.array([0])}},
            "a split must be one of train, validation, test, got 'dev'",
        ),
        ({"ids": ("a",)}, "X and Y and ids must have the same number of rows"),
        ({"features": X[:, 0]}, "X must have two dimensions"),
    ],
)
def test_bad_input_is_refused_at_the_door(changes, message):
    with pytest.raises(FairPOValueError, match=message):
        make(**changes)


def test_unknown_split():
    with pytest.raises(FairPOValueError, match="split must be one of train, got 'test'"):
        make().rows("test")


def test_missing_needs_its_mark():
    with pytest.raises(FairPOValueError, match="need missing=-1 or missing='nan'"):
        as_targets(Y)
    floats = np.where(Y < 0, np.nan, Y)
    assert np.array_equal(as_targets(Y, missing=-1), as_targets(floats, missing="nan"))


def test_csr_takes_a_stored_minus_one_as_missing():
    matrix = as_targets(sparse.csr_array(Y))
    assert sparse.issparse(matrix)
    assert np.array_equal(dense_targets(matrix), Y)
    assert positive_counts(matrix).tolist() == positive_counts(Y).tolist() == [1, 2]


def test_text_is_no_target():
    with pytest.raises(FairPOValueError, match="Y must hold the numbers 0 and 1, got dtype <U1"):
        as_targets(np.array([["0", "1"]]))


def test_fingerprint_sees_every_part():
    seen = {fingerprint(make())}
    other = X.copy()
    other[0, 0] = 1
    for changes in (
        {"features": other},
        {"label_names": ("cat", "emu")},
        {"targets": np.abs(Y)},
        {"split": {"train": np.arange(3)}},
        {"split": {"test": np.arange(4)}},
        {"clusters": np.arange(4) // 2},
        {"slices": {"camera": np.array(["a", "a", "b", "b"])}},
        {"slices": {"camera": np.array(["a", "a", "b", "c"])}},
        {"slices": {"lens": np.array(["a", "a", "b", "c"])}},
    ):
        seen.add(fingerprint(make(**changes)))
    assert len(seen) == 10


@pytest.mark.parametrize("kind", [np.asarray, np.asfortranarray, sparse.csr_array])
def test_fingerprint_sees_every_row_and_not_how_it_lies(kind):
    features = np.random.default_rng(0).normal(size=(9000, 3)).astype(np.float32)

    def found(values):
        targets = np.zeros((len(values), 2), dtype=np.int8)
        return fingerprint(MultiLabelData(kind(values), targets, ("cat", "dog")))

    seen = {found(features)}
    assert found(features.copy()) in seen
    for row in (0, 1, 4096, 8999):
        other = features.copy()
        other[row, 2] += 1
        seen.add(found(other))
    assert len(seen) == 5


def test_fingerprint_of_an_array_and_of_one_mapped_from_a_file_are_one(tmp_path):
    features = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    np.save(tmp_path / "X.npy", features)
    targets = np.zeros((50, 2), dtype=np.int8)
    for mapped in (features, np.load(tmp_path / "X.npy", mmap_mode="r")):
        data = MultiLabelData(mapped, targets, ("cat", "dog"))
        assert fingerprint(data) == fingerprint(MultiLabelData(features, targets, ("cat", "dog")))
