from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy import sparse

from fairpo import MultiLabelData, load_data
from fairpo._checks import FairPOFileError
from fairpo.data.embed import embed_data
from fairpo.data.inspection import inspect_data
from tests.data.test_embed import letters, texts_data


@pytest.fixture
def small():
    X = np.arange(24, dtype=np.float32).reshape(8, 3)
    X[6] = X[1]  # a test row that is a training row too
    X[2] = X[0]  # twice in training: no leak
    Y = np.array(
        [
            [1, 0, 0, 1, 0],
            [1, 1, 0, 1, 0],
            [0, 1, -1, 1, 0],
            [0, 0, 0, 1, 0],
            [1, 1, 0, 0, 0],
            [0, 0, 0, 1, 1],
            [1, 1, 0, 1, 0],
            [0, 0, 0, 0, 0],
        ],
        dtype=np.int8,
    )
    split = {"train": np.arange(4), "validation": np.array([4, 5]), "test": np.array([6, 7])}
    return MultiLabelData(X, Y, tuple("abcde"), split, name="small")


@pytest.mark.parametrize("form", ["dense", "csr"])
def test_counts_are_those_made_by_hand(small, form):
    if form == "csr":
        targets = sparse.csr_array(small.targets)
        small = MultiLabelData(small.features, targets, small.label_names, small.split)
    found = inspect_data(small)
    assert found.rows == {"train": 4, "validation": 2, "test": 2}
    assert found.cardinality == pytest.approx(15 / 8)
    assert found.density == pytest.approx(15 / 40)
    assert (found.rows_without_labels, found.missing_entries) == (1, 1)
    assert found.without_positives == {
        "train": ("c", "e"),
        "validation": ("c",),
        "test": ("c", "e"),
    }
    by_name = {label.name: label for label in found.labels}
    assert by_name["a"].positives == {"train": 2, "validation": 1, "test": 1}
    assert by_name["d"].share == pytest.approx(6 / 8)
    assert [label.name for label in found.labels][-1] == "d"
    assert found.duplicates == (("train 1", "test 6"),)
    assert found.suggested == ("a",)  # rarest of a, b, d, which have a positive everywhere
    assert found.item_kind is None and found.unreadable == ()


def test_rows_in_no_split_do_not_count(small):
    split = {"train": np.arange(4), "validation": np.array([4]), "test": np.array([6])}
    data = MultiLabelData(small.features, small.targets, small.label_names, split)
    assert inspect_data(data).rows_without_labels == 0


def test_slices_are_counted_on_test_rows(small):
    cameras = np.array(["hall", "yard", "roof", "roof", "roof", "roof", "hall", "hall"])
    found = inspect_data(replace(small, slices={"camera": cameras}))
    assert found.slices == {"camera": {"hall": 2, "roof": 0, "yard": 0}}


def test_images_are_read_in_full(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["path,labels,split"]
    for number in range(12):
        pixels = rng.integers(0, 255, (30, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.jpg")
        split = ("train", "validation", "test")[number % 3]
        lines.append(f"{number}.jpg,{'a' if number % 2 else 'b'},{split}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    (tmp_path / "1.jpg").write_bytes((tmp_path / "0.jpg").read_bytes())
    whole = (tmp_path / "5.jpg").read_bytes()
    (tmp_path / "5.jpg").write_bytes(whole[: len(whole) - 300])
    seen = []
    found = inspect_data(load_data(tmp_path), progress=seen.append)
    assert found.duplicates == (("train 0.jpg", "validation 1.jpg"),)
    assert len(found.unreadable) == 1 and "5.jpg: is not a readable image" in found.unreadable[0]
    assert sum(seen) == 12
    assert found.item_kind == "image"


def test_equal_texts_in_two_splits_are_found():
    data = texts_data()
    texts = list(data.items.values)
    row, other = int(data.rows("train")[0]), int(data.rows("test")[0])
    texts[other] = texts[row] = "the very same"
    items = type(data.items)(texts)
    data = MultiLabelData(
        data.features, data.targets, data.label_names, data.split, data.ids, items=items
    )
    leaked = (f"train row é {row}", f"test row é {other}")
    assert leaked in inspect_data(data).duplicates


def test_a_damaged_store_is_found_out(tmp_path):
    embed_data(texts_data(), letters(), tmp_path / "s")
    shard = tmp_path / "s" / "shard-00000.npy"
    content = bytearray(shard.read_bytes())
    content[200] ^= 1
    shard.write_bytes(content)
    with pytest.raises(FairPOFileError, match="checksum differs"):
        inspect_data(load_data(tmp_path / "s"))
