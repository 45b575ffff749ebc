import csv
import io
import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairpo import load_data
from fairpo._checks import FairPOFileError, FairPOValueError
from fairpo.data.formats import read_source
from fairpo.data.items import ImageFiles, Texts
from fairpo.data.options import DataOptions

pandas = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl")


def write(folder, columns, suffix=".csv", name="set"):
    """Write columns (name to values, None for nothing) as a table of any kind."""
    path = folder / f"{name}{suffix}"
    rows = list(zip(*columns.values(), strict=True))
    if suffix == ".parquet":
        pandas.DataFrame(columns).to_parquet(path)
    elif suffix == ".jsonl":
        path.write_text(
            "".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows)
        )
    else:
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, delimiter="\t" if suffix == ".tsv" else ",")
            writer.writerow(columns)
            writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
    return path


def text_file(folder, content, name="set.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path, /, **options):
    return read_source(path, DataOptions(**options))


def refused(path, /, *words, line=None, error=FairPOFileError, **options):
    with pytest.raises(error) as caught:
        read(path, **options)
    message = str(caught.value)
    assert str(path) in message
    if line is not None:
        word = "row" if path.suffix == ".parquet" else "line"
        assert message.startswith(f"{path}: {word} {line}: "), message
    for word in words:
        assert word in message, message
    return message


FEATURES = {"x": [0.5, -2, 3, 4], "y": [1, 2, 3, 400]}
INDICATORS = {"is_a": [0, 1, 1, 0], "is_b": [1, 1, 0, 0], "c": [0, 0, 1, 0]}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("labels", ["is_a,is_b,c", "is_*,c", "c, is_?"])
def test_indicator_columns_by_names_and_patterns(tmp_path, suffix, labels):
    path = write(tmp_path, {**FEATURES, **INDICATORS}, suffix)
    data = read(path, labels=labels)
    names = ("c", "is_a", "is_b") if labels.startswith("c") else ("is_a", "is_b", "c")
    assert data.label_names == names
    assert data.targets.tolist() == np.transpose([INDICATORS[name] for name in names]).tolist()
    assert data.features.tolist() == [[0.5, 1], [-2, 2], [3, 3], [4, 400]]
    assert data.features.dtype == np.float32
    assert data.kind == "table of 2 feature columns; labels from indicator columns"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_indicator_is_not_known(tmp_path, suffix):
    path = write(tmp_path, {**FEATURES, "a": [0, None, 1, 0], "b": [None, 1, 1, 1]}, suffix)
    assert read(path, labels="a,b").targets.tolist() == [[0, -1], [-1, 1], [1, 1], [0, 1]]


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "Float64"])
def test_pandas_own_missing_values_are_not_known(tmp_path, dtype):
    path = tmp_path / "set.parquet"
    label = pandas.array([1, None, 0, 1], dtype=dtype)
    pandas.DataFrame({**FEATURES, "label": label}).to_parquet(path)
    assert read(path).targets.tolist() == [[1], [-1], [0], [1]]


@pytest.mark.parametrize("bad", [2, 0.5, "yes", "NA"])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_an_indicator_that_is_neither_0_nor_1_is_refused_by_line(tmp_path, bad, suffix):
    path = write(tmp_path, {**FEATURES, "a": [0, 1, bad, 1], "b": [1, 0, 1, 1]}, suffix)
    message = refused(path, "label a must be 0, 1 or nothing", labels="a,b")
    assert f"line {4 if suffix == '.csv' else 3}: " in message


def test_a_list_is_no_indicator(tmp_path):
    path = write(tmp_path, {**FEATURES, "a": [[1, 0]] * 4, "b": [1, 0, 1, 1]}, ".parquet")
    refused(path, "label a must be 0, 1 or nothing, got [", line=0, labels="a,b")


SETS = [["b"], [], ["a", "c"], ["c", "b", "a"]]
SETS_TARGETS = [[0, 1, 0], [0, 0, 0], [1, 0, 1], [1, 1, 1]]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
@pytest.mark.parametrize("column", ["labels", "label", "tags", "other"])
def test_a_column_of_lists(tmp_path, suffix, column):
    path = write(tmp_path, {**FEATURES, column: SETS}, suffix)
    data = read(path, labels=column if column == "other" else None)
    assert data.label_names == ("a", "b", "c")
    assert data.targets.tolist() == SETS_TARGETS
    assert data.n_features == 2
    assert data.kind.endswith(f"labels from lists in {column}")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("mark", ["|", ";", ","])
def test_a_column_of_text_is_split_at_the_mark_it_holds(tmp_path, suffix, mark):
    texts = [f" {mark} ".join(row) for row in SETS]
    data = read(write(tmp_path, {**FEATURES, "labels": texts}, suffix))
    assert data.label_names == ("a", "b", "c")
    assert data.targets.tolist() == SETS_TARGETS
    assert data.kind.endswith(f"labels from labels, split at {mark!r}")


def test_the_mark_can_be_told(tmp_path):
    path = write(tmp_path, {**FEATURES, "labels": ["a, b/c", "c", "", "a, b"]})
    data = read(path, delimiter="/")
    assert data.label_names == ("a, b", "c")
    assert data.targets.tolist() == [[1, 1], [0, 1], [0, 0], [1, 0]]
    assert read(path, delimiter="").label_names == ("a, b", "a, b/c", "c")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_label_a_row(tmp_path, suffix):
    data = read(write(tmp_path, {**FEATURES, "label": ["cat", "dog", None, "cat"]}, suffix))
    assert data.label_names == ("cat", "dog")
    assert data.targets.tolist() == [[1, 0], [0, 1], [0, 0], [1, 0]]
    assert data.kind.endswith("labels from label, one label a row")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_words_that_pandas_takes_for_missing_are_names(tmp_path, suffix):
    columns = {"text": ["NA", "None", "null", "nan"], "label": ["None", "NA", "N/A", "null"]}
    data = read(write(tmp_path, columns, suffix))
    assert list(data.items.values) == columns["text"]
    assert data.label_names == ("N/A", "NA", "None", "null")
    assert data.targets.tolist() == [[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]


def test_missing_text_of_pandas_own_kind(tmp_path):
    path = tmp_path / "set.parquet"
    table = pandas.DataFrame({"x": [1.0, 2, 3, 4], "label": ["a", None, "b", "a"]})
    table.astype({"label": "string"}).to_parquet(path)
    assert read(path).targets.tolist() == [[1, 0], [0, 0], [0, 1], [1, 0]]
    table = table.assign(label=1, text=["a", None, "b", "a"])
    table.astype({"text": "string"}).to_parquet(path)
    refused(path, "text must be text, got nothing", line=1)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (["a", ""], "holds '', which is not a label name"),
        (["a", None], "holds nothing, which is not a label name"),
        (["a", 3], "holds 3, which is not a label name"),
        (["a", ["b"]], "holds ['b'], which is not a label name"),
        ({"a": 1}, "must be a list of names, as in other rows, got {'a': 1}"),
        ("a", "must be a list of names, as in other rows, got 'a'"),
    ],
)
def test_lists_of_anything_but_names_are_refused_by_line(tmp_path, cell, words):
    path = write(tmp_path, {"x": [1, 2, 3], "labels": [["a"], ["b"], cell]}, ".jsonl")
    refused(path, words, line=3)


def test_numbers_in_a_label_column_are_refused_by_line(tmp_path):
    path = write(tmp_path, {"x": [1, 2, 3], "label": ["a", {"a": 1}, "b"]}, ".jsonl")
    refused(path, "label must be text or a list of names, got {'a': 1}", line=2)
    path = write(tmp_path, {"x": [1, 2, 3], "label": [3, 17, 4]}, ".jsonl")
    refused(path, "label must be text or a list of names, got 3", "labels=a,b,c", line=1)


def test_codes_keep_their_zeros(tmp_path):
    path = tmp_path / "set.csv"
    path.write_text("id,x,label\n0007,1,01\n0008,2,1\n0009,3,01|1\n")
    data = read(path)
    assert data.ids == ("0007", "0008", "0009")
    assert data.label_names == ("01", "1")
    path.write_text("id,x,label\n7,1,a\n,2,b\n")
    refused(path, "id is missing", line=3)


def test_semicolons_and_spaces_around_names(tmp_path):
    path = tmp_path / "set.csv"
    path.write_text("x; is_a ;is_b\n0.5;1;0\n1.5;0;1\n")
    data = read(path, labels="is_*")
    assert data.label_names == ("is_a", "is_b")
    assert data.features.tolist() == [[0.5], [1.5]]


def test_lists_that_pandas_wrote_as_text_are_lists(tmp_path):
    path = tmp_path / "set.csv"
    path.write_text("""x,labels\n1,"['sea', 'people']"\n2,[]\n3,"[""sea""]"\n""")
    data = read(path)
    assert data.label_names == ("people", "sea")
    assert data.targets.tolist() == [[1, 1], [0, 0], [0, 1]]
    path.write_text("""x,labels\n1,"['sea', 'people']"\n2,[sea]\n""")
    refused(path, "which is not a list", line=3)


def test_minus_one_for_does_not_apply_is_refused(tmp_path):
    path = write(tmp_path, {**FEATURES, "a": [1, -1, -1, 1], "b": [1, -1, 1, 1]})
    with pytest.raises(FairPOValueError, match="must hold a 0 somewhere: -1 means not known"):
        read(path, labels="a,b")


def test_blank_lines_and_a_written_index_are_told(tmp_path):
    path = tmp_path / "set.csv"
    path.write_text(",x,label\n0,0.5,a\n,,\n1,1.5,b\n")
    data = read(path)
    assert data.features.tolist() == [[0.5], [1.5]]
    assert data.notes == ("1 blank lines are left out", "the column without a name is left out")


def test_an_empty_name_between_marks_is_refused_by_line(tmp_path):
    path = write(tmp_path, {"x": [1, 2, 3], "label": ["a|b", "a", "b||a"]})
    refused(path, "label holds '', which is not a label name", line=4)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_text_column_gives_texts_to_embed(tmp_path, suffix):
    texts = ['say "hi", all', "two\nlines", "größe 😀", "  spaces "]
    columns = {"text": texts, "labels": ["a|b", "a", None, "b"], "number": [1, 2, 3, 4]}
    data = read(write(tmp_path, columns, suffix))
    assert isinstance(data.items, Texts) and data.items.kind == "text"
    assert [data.items.load(row) for row in range(4)] == texts
    assert data.features.shape == (4, 0)
    assert data.kind.startswith("table of texts in column text; labels from labels, split at '|'")


def test_the_text_column_can_be_told(tmp_path):
    path = write(tmp_path, {"comment": ["one", "two"], "text": ["x", "y"], "label": ["a", "b"]})
    assert list(read(path, text="comment").items.values) == ["one", "two"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_text_is_refused_by_line(tmp_path, suffix):
    path = write(tmp_path, {"text": ["a", "b", None], "label": ["x", "y", "x"]}, suffix)
    line = {".parquet": 2, ".jsonl": 3}.get(suffix, 4)
    refused(path, "text must be text, got nothing", line=line)


def jpeg(path, shade):
    image = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.new("RGB", (8, 6), (shade, 10, 200)).save(path, "JPEG")


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    for place in range(4):
        jpeg(folder / "deep" / f"{place}.jpg", 60 * place)
    return folder


PICTURES = {
    "image_path": [f"deep/{place}.jpg" for place in range(4)],
    "is_a": [0, 1, 1, 0],
    "is_b": [1, 1, 0, 0],
}


def check_pictures(data, folder):
    assert isinstance(data.items, ImageFiles) and data.items.root == folder
    assert data.ids == tuple(PICTURES["image_path"])
    assert data.targets.tolist() == [[0, 1], [1, 1], [1, 0], [0, 0]]
    for row in range(4):
        image = data.items.load(row)
        assert image.size == (8, 6)
        assert abs(image.getpixel((3, 3))[0] - 60 * row) < 6
    assert not data.notes


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_images_listed_in_a_table_beside_them(pictures, suffix):
    path = write(pictures, PICTURES, suffix)
    data = read(path, labels="is_*")
    check_pictures(data, pictures)
    assert data.kind.startswith(f"images listed in set{suffix}, column image_path;")


@pytest.mark.parametrize("name", ["metadata", "labels", "anything"])
def test_a_folder_of_images_and_one_table_as_data(pictures, name):
    write(pictures, PICTURES, name=name)
    check_pictures(read(pictures, labels="is_*"), pictures)


def test_of_several_tables_the_one_called_metadata_is_taken(pictures):
    write(pictures, PICTURES, name="metadata")
    write(pictures, {"x": [1], "label": ["a"]}, name="another")
    check_pictures(read(pictures, labels="is_*"), pictures)
    (pictures / "metadata.csv").rename(pictures / "third.csv")
    refused(pictures, "holds several tables: another.csv, third.csv")


def test_images_in_a_folder_that_is_told(pictures, tmp_path):
    path = write(tmp_path, {**PICTURES, "other": list("abcd")})
    check_pictures(read(path, labels="is_*", images=str(pictures)), pictures)
    missing = read(path, labels="is_*")
    assert missing.items is None
    assert missing.notes == (f"none of the 4 listed images lies below {tmp_path}: labels only",)


def test_the_path_column_can_be_told_and_goes_before_a_text_column(pictures):
    columns = {"text": ["x"] * 4, "where": PICTURES["image_path"]}
    path = write(pictures, {**columns, "is_a": [0, 1, 1, 0], "is_b": [1, 1, 0, 0]})
    check_pictures(read(path, labels="is_*", path="where"), pictures)


def test_missing_images_are_skipped_and_counted(pictures):
    (pictures / "deep" / "1.jpg").unlink()
    data = read(write(pictures, PICTURES), labels="is_*")
    assert data.targets.tolist() == [[0, 1], [1, 0], [0, 0]]
    assert data.notes == ("1 of 4 listed images are missing and skipped, the first deep/1.jpg",)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("/etc/passwd", "is an absolute path"),
        ("C:\\secret.jpg", "is an absolute path"),
        ("../secret.jpg", "climbs out"),
        ("deep/../../secret.jpg", "climbs out"),
        ("deep\\..\\..\\secret.jpg", "climbs out"),
        ("link.jpg", "is a link out"),
        ("out/secret.jpg", "is a link out"),
    ],
)
@pytest.mark.parametrize("as_folder", [False, True])
def test_paths_that_lead_out_are_refused_by_line(pictures, tmp_path, name, words, as_folder):
    jpeg(tmp_path / "secret.jpg", 5)
    os.symlink(tmp_path / "secret.jpg", pictures / "link.jpg")
    os.symlink(tmp_path, pictures / "out")
    listed = [*PICTURES["image_path"][:3], name]
    path = write(pictures, {**PICTURES, "image_path": listed})
    with pytest.raises(FairPOFileError, match=words) as caught:
        read(pictures if as_folder else path, labels="is_*")
    assert str(caught.value).startswith(f"{path}: line 5: ")


def test_a_link_that_stays_inside_is_let_in(pictures):
    os.symlink(pictures / "deep" / "3.jpg", pictures / "link.jpg")
    listed = [*PICTURES["image_path"][:3], "link.jpg"]
    data = read(write(pictures, {**PICTURES, "image_path": listed}), labels="is_*")
    assert data.n_rows == 4 and abs(data.items.load(3).getpixel((3, 3))[0] - 180) < 6


def test_a_missing_path_is_refused_by_line(pictures):
    path = write(pictures, {**PICTURES, "image_path": ["deep/0.jpg", "deep/1.jpg", None, "x"]})
    refused(path, line=4, labels="is_*", path="image_path")


def test_a_damaged_image_is_named_when_it_is_read(pictures):
    broken = pictures / "deep" / "2.jpg"
    broken.write_bytes(broken.read_bytes()[:100])
    data = read(write(pictures, PICTURES), labels="is_*")
    with pytest.raises(FairPOFileError, match="is not a readable image"):
        data.items.load(2)


def test_a_folder_of_images_without_labels(pictures):
    data = read(pictures, unlabelled=True)
    assert data.ids == tuple(PICTURES["image_path"]) and data.n_labels == 0
    refused(pictures, "holds no table that lists its images", "metadata.csv")


def test_a_folder_without_images_or_a_file_is_no_image_folder(tmp_path):
    path = write(tmp_path, {"x": [1], "label": ["a"]})
    refused(path, "is not a folder", format="image-folder")
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(empty, "holds no image", format="image-folder", unlabelled=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dev", ["dev", "val", "valid", "validation", " Dev "])
def test_a_split_column_in_every_spelling(tmp_path, suffix, dev):
    split = ["train", dev, "Test", "TRAINING", "testing"]
    columns = {"x": [1, 2, 3, 4, 5], "split": split, "label": ["a", "b", "a", "b", "a"]}
    data = read(write(tmp_path, columns, suffix))
    assert data.split.keys() == {"train", "validation", "test"}
    assert data.rows("train").tolist() == [0, 3]
    assert data.rows("validation").tolist() == [1]
    assert data.rows("test").tolist() == [2, 4]
    assert data.n_features == 1


@pytest.mark.parametrize(("bad", "shown"), [("holdout", "'holdout'"), (None, "nothing")])
def test_another_split_is_refused_by_line(tmp_path, bad, shown):
    path = write(tmp_path, {"x": [1, 2, 3], "part": ["train", "test", bad], "label": list("aba")})
    refused(path, "part must be train, validation or test", shown, line=4, split="part")


def test_an_id_column_names_the_rows_and_is_no_feature(tmp_path):
    columns = {"id": ["r1", "r2"], "key": [7, 8], "x": [1, 2], "label": ["a", "b"]}
    path = write(tmp_path, columns)
    assert read(path).ids == ("r1", "r2") and read(path).n_features == 2
    assert read(path, id="key", ignore="i?").ids == ("7", "8")
    assert read(path, id="key", ignore="i?").n_features == 1


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_column_of_categories_becomes_one_column_each_and_is_told(tmp_path, suffix):
    columns = {"colour": ["red", "blue", "NA", "red"], **FEATURES, "label": list("abab")}
    data = read(write(tmp_path, columns, suffix))
    assert data.features[:, :3].tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert data.features[:, 3].tolist() == FEATURES["x"]
    assert data.notes == ("column colour has 3 categories, one feature each",)


def test_too_many_categories_are_refused_with_the_ways_out(tmp_path):
    path = write(tmp_path, {"who": [f"person {n}" for n in range(51)], "label": ["a"] * 51})
    refused(path, "'who' holds 51 different texts", "ignore=who", "text=who")


def test_columns_can_be_ignored(tmp_path):
    columns = {"who": [f"person {n}" for n in range(60)], "x": range(60), "label": ["a"] * 60}
    assert read(write(tmp_path, columns), ignore="w*").n_features == 1
    refused(tmp_path / "set.csv", "no column left for features", ignore="w*,x")
    without = read(write(tmp_path, {"x": range(3)}), ignore="who", unlabelled=True)
    assert without.n_features == 1  # rows to predict need not bring what is left out


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_slices_are_categories_of_rows_and_no_features(tmp_path, suffix):
    columns = {"camera": ["a", None, "b", "a"], "site": list("xyxy"), **FEATURES}
    path = write(tmp_path, {**columns, "label": list("abab")}, suffix)
    data = read(path, slices="cam*,site")
    assert {name: values.tolist() for name, values in data.slices.items()} == {
        "camera": ["a", "(nothing)", "b", "a"],
        "site": list("xyxy"),
    }
    assert data.n_features == 2
    assert read(write(tmp_path, FEATURES, suffix), slices="camera", unlabelled=True).slices == {}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_slices_of_numbers_are_named_as_they_were_written(tmp_path, suffix):
    columns = {"site": [1, None, 2, 1], "gain": [0.5, 1.5, 0.5, 2.0], **FEATURES}
    data = read(write(tmp_path, {**columns, "label": list("abab")}, suffix), slices="site,gain")
    assert data.slices["site"].tolist() == ["1", "(nothing)", "2", "1"]
    assert data.slices["gain"].tolist() == ["0.5", "1.5", "0.5", "2"]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_a_slice_of_blanks_is_that_of_nothing(tmp_path, suffix):
    columns = {"camera": ["a", "", " ", "a "], **FEATURES, "label": list("abab")}
    data = read(write(tmp_path, columns, suffix), slices="camera")
    assert data.slices["camera"].tolist() == ["a", "(nothing)", "(nothing)", "a"]


def test_slices_of_texts_and_of_the_images_that_are_there(tmp_path):
    columns = {"text": list("pqrs"), "camera": list("xxyy"), "label": list("abab")}
    path = write(tmp_path, columns)
    assert read(path, slices="camera").slices["camera"].tolist() == list("xxyy")
    (tmp_path / "b.jpg").write_bytes(b"")
    listed = {"path": ["a.jpg", "b.jpg"], "camera": ["x", "y"], "label": ["a", "b"]}
    data = read(write(tmp_path, listed, name="images"), slices="camera")
    assert data.slices["camera"].tolist() == ["y"]


@pytest.mark.parametrize("age", [list(range(51)), [n / 7 for n in range(51)]])
def test_too_many_slices_are_refused(tmp_path, age):
    path = write(tmp_path, {"age": age, "x": [0.5] * 51, "label": ["a"] * 51})
    words = "column 'age' holds 51 different values; up to 50 can be slices"
    refused(path, words, "a column of their own", slices="age")
    assert (
        read(
            write(tmp_path, {"age": age[:50], "x": [0.5] * 50, "label": ["a"] * 50}), slices="age"
        ).n_features
        == 1
    )


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_a_column_of_embeddings(tmp_path, suffix):
    columns = {"emb": [[0.5, 1.0], [2.0, 3.0]], "x": [7, 8], "label": ["a", "b"]}
    data = read(write(tmp_path, columns, suffix))
    assert data.features.tolist() == [[0.5, 1, 7], [2, 3, 8]]


@pytest.mark.parametrize(
    ("cell", "line", "words"),
    [
        ([1.0, 2.0, 3.0], 3, "emb has 3 numbers, and 2 in the first row"),
        ([], 3, "emb has 0 numbers, and 2 in the first row"),
        (None, 3, "emb must be a list of numbers, got nothing"),
        (5, 3, "emb must be a list of numbers, got 5"),
        ([1.0, None], 3, "emb holds NaN or infinity"),
        ([1.0, float("nan")], 3, "emb holds NaN or infinity"),
        ([1.0, 1e39], 3, "emb holds NaN or infinity"),
        ([1.0, 10**400], None, "column 'emb' must hold lists of numbers"),
        ([1.0, "x"], None, "column 'emb' must hold lists of numbers"),
        ([1.0, [2.0]], None, "column 'emb' must hold lists of numbers"),
    ],
)
def test_broken_embeddings_are_refused(tmp_path, cell, line, words):
    columns = {"emb": [[0.5, 1.0], [2.0, 3.0], cell], "label": ["a", "b", "a"]}
    refused(write(tmp_path, columns, ".jsonl"), words, line=line)


def test_nested_embeddings_are_refused(tmp_path):
    for suffix in (".jsonl", ".parquet"):
        columns = {"emb": [[[1.0, 2.0], [3.0, 4.0]]] * 2, "label": ["a", "b"]}
        refused(write(tmp_path, columns, suffix), "column 'emb' must hold lists of numbers")


@pytest.mark.parametrize("bad", ["oops", "NA", "1,5", "1_0", "0x10"])
def test_one_bad_cell_in_a_column_of_numbers_is_named_by_line(tmp_path, bad):
    path = write(tmp_path, {"x": [1.5, 2, bad, 4], "label": list("abab")})
    refused(path, f"x is {bad!r}, but holds numbers in other rows", line=4)


@pytest.mark.parametrize("bad", [None, "nan", "NaN"])
def test_a_missing_feature_is_named_by_line_and_column(tmp_path, bad):
    columns = {"y": [1, 2, 3, 4], "x": [1.5, 2, bad, bad], "label": list("abab")}
    refused(write(tmp_path, columns), "x is missing, as in 2 rows of this column", line=4)


@pytest.mark.parametrize("bad", ["inf", "-Infinity", "1e400", "1e39"])
def test_an_infinite_feature_is_named_by_line_and_column(tmp_path, bad):
    path = write(tmp_path, {"x": [1.5, 2, 3, bad], "label": list("abab")})
    refused(path, "x is infinite, as in 1 rows of this column", line=5)


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_missing_features_of_other_files(tmp_path, suffix):
    path = write(
        tmp_path, {"x": [1.5, None, 3], "c": ["a", "b", None], "label": list("aba")}, suffix
    )
    line = 1 if suffix == ".parquet" else 2
    refused(path, "x is missing", line=line)
    refused(path, "c must be a number or a category, got nothing", line=line + 1, ignore="x")


def test_numbers_written_as_text_are_numbers(tmp_path):
    path = write(tmp_path, {"x": ["1", "2.5", 3], "label": list("aba")}, ".jsonl")
    assert read(path).features.tolist() == [[1], [2.5], [3]]
    path = write(tmp_path, {"x": [1, 10**30, 3], "label": list("aba")})
    assert read(path).features.tolist() == [[1], [np.float32(1e30)], [3]]
    path = write(tmp_path, {"x": ["1_0", "2_0", "1_0"], "label": list("aba")})
    assert read(path).features.tolist() == [[1, 0], [0, 1], [1, 0]]


def test_a_cell_of_bytes_is_shown_cut_short(tmp_path):
    path = write(tmp_path, {"image": [{"bytes": b"x" * 9999}] * 2, "label": ["a", "b"]}, ".parquet")
    assert len(refused(path, "image must be a number or a category", line=0)) < 400


@pytest.mark.parametrize("option", ["labels", "text", "path", "id", "split", "ignore", "slices"])
def test_an_unknown_column_in_an_option_lists_the_columns(tmp_path, option):
    path = write(tmp_path, {**FEATURES, "label": list("abab")})
    refused(path, "has no column 'zebra'; its columns are x, y, label", **{option: "zebra"})


def test_a_pattern_that_matches_nothing_lists_the_columns(tmp_path):
    path = write(tmp_path, {f"c{n}": [1, 2] for n in range(20)})
    refused(path, "has no column 'is_*'; its columns are c0,", "... (20 in all)", labels="is_*")


def test_without_a_label_column_the_remedy_is_told(tmp_path):
    path = write(tmp_path, FEATURES)
    refused(path, "does not say which columns are labels; its columns are x, y", "labels=is_*")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_unlabelled_rows_will_do_when_told(tmp_path, suffix):
    data = load_data(write(tmp_path, FEATURES, suffix), unlabelled=True)
    assert data.features.shape == (4, 2) and data.targets.shape == (4, 0) and not data.split
    text = load_data(write(tmp_path, {"text": ["a", "b"]}, suffix), unlabelled=True)
    assert list(text.items.values) == ["a", "b"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_label_column_of_nothing_is_refused(tmp_path, suffix):
    path = write(tmp_path, {**FEATURES, "label": [None] * 4}, suffix)
    refused(path, "column 'label' holds no label at all")


def test_a_quoted_table_with_a_byte_order_mark_and_blank_lines(tmp_path):
    content = '\ufeff"x","the label, of it"\r\n"1","a"\r\n\r\n2,"b ""c"""\r\n\r\n3,a\r\n\r\n'
    data = read(text_file(tmp_path, content), labels="the label*", delimiter="|")
    assert data.label_names == ("a", 'b "c"')
    assert data.features.tolist() == [[1], [2], [3]]
    json_path = text_file(tmp_path, '\ufeff\n{"x": 1, "label": "a"}\n\n', "set.jsonl")
    assert read(json_path).features.tolist() == [[1]]


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    head = 'text,a,b\n"one\ntwo\n\nthree",1,0\n\n'
    path = text_file(tmp_path, head + '"x\ny",0,1\nlast,1,7\n')
    refused(path, "label b must be 0, 1 or nothing, got 7", line=9, labels="a,b")
    path = text_file(tmp_path, head.replace("\n", "\r\n") + "x,1,7\r\n")
    refused(path, "label b must be 0, 1 or nothing, got 7", line=7, labels="a,b")


def test_a_text_of_200_kilobytes_is_read(tmp_path):
    columns = {"text": ["x" * 200_000, "y"], "label": ["a", "b"]}
    assert len(read(write(tmp_path, columns)).items.load(0)) == 200_000


def test_a_column_name_that_occurs_twice_is_refused(tmp_path):
    path = text_file(tmp_path, "a,x,a\n0,1,0\n1,2,1\n")
    refused(path, "'a' more than once", error=FairPOValueError, labels="a")


def test_columns_named_by_numbers(tmp_path):
    path = tmp_path / "set.parquet"
    pandas.DataFrame({0: [1.5, 2.5], 1: [0, 1]}).to_parquet(path)
    data = read(path, labels="1")
    assert data.features.tolist() == [[1.5], [2.5]] and data.label_names == ("1",)


def good_parquet(folder):
    return write(folder, {**FEATURES, "label": list("abab")}, ".parquet").read_bytes()


BROKEN = {
    "more fields later": ("set.csv", "x,label\n1,a\n2,b\n3,a,9\n", "in line 4, saw 3"),
    "more fields first": ("set.csv", "x,label\n1,a,9\n2,b\n", "line 2: 3 fields for 2 columns"),
    "commas at the end": ("set.csv", "x,label\n1,a,\n2,b,\n", "line 2: 3 fields for 2 columns"),
    "more in all": ("set.tsv", "x\tlabel\n1\t2\ta\n", "line 2: 3 fields for 2 columns"),
    "unclosed quote": ("set.csv", 'x,label\n1,a\n2,"b\n3,a\n', "is not a readable table"),
    "empty": ("set.csv", "", "is not a readable table"),
    "blank": ("set.csv", "\n\n", "is not a readable table"),
    "header only": ("set.csv", "x,label\n", "has no rows"),
    "blank rows only": ("set.csv", "x,label\n\n\n", "has no rows"),
    "latin-1": ("set.csv", "x,label\n1,größe\n".encode("latin-1"), "is not UTF-8"),
    "utf-16": ("set.csv", "x,label\n1,a\n".encode("utf-16"), "is not UTF-8"),
    "jsonl line": ("set.jsonl", '{"x": 1}\n\n{"x": 2\n', "line 3: not valid JSON"),
    "jsonl array": ("set.jsonl", '{"x": 1}\n[1]\n', "line 2: must be an object, got '[1]"),
    "jsonl number": ("set.jsonl", '{"x": ' + "1" * 5000 + "}\n", "line 1: not valid JSON"),
    "jsonl depth": ("set.jsonl", "[" * 100_000 + "\n", "line 1: not valid JSON"),
    "jsonl surrogate": ("set.jsonl", '{"text": "\\ud83d"}\n', "line 1: not valid JSON"),
    "jsonl latin-1": ("set.jsonl", '{"x": "ö"}\n'.encode("latin-1"), "is not UTF-8"),
    "jsonl empty": ("set.jsonl", "", "has no rows"),
    "jsonl blank": ("set.jsonl", "\n \n", "has no rows"),
    "parquet empty": ("set.parquet", "", "is not a readable Parquet file"),
    "parquet text": ("set.parquet", "x,label\n1,a\n", "is not a readable Parquet file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_named(tmp_path, name):
    file, content, words = BROKEN[name]
    refused(text_file(tmp_path, content, file), words)


def test_a_surrogate_pair_is_a_character(tmp_path):
    path = text_file(tmp_path, '{"text": "\\ud83d\\ude00", "label": "a"}\n', "set.jsonl")
    assert read(path).items.load(0) == "😀"


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_parquet_is_named(tmp_path, kept):
    content = good_parquet(tmp_path)
    path = text_file(tmp_path, content[: int(kept * len(content))], "set.parquet")
    refused(path, "is not a readable Parquet file")


def test_damaged_parquet_is_read_or_refused_by_name(tmp_path):
    content = good_parquet(tmp_path)
    for at in range(0, len(content), max(1, len(content) // 150)):
        path = text_file(tmp_path, content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        path = path.rename(tmp_path / "set.parquet")
        try:
            read(path)
        except (FairPOFileError, FairPOValueError) as error:
            message = str(error)
        else:
            continue
        assert str(path) in message or "X must" in message


def test_goemotions_is_read_without_a_word(shared_data):
    data = load_data(Path(shared_data) / "goemotions.parquet")
    assert (data.n_rows, data.n_labels) == (54263, 28)
    assert {name: len(rows) for name, rows in data.split.items()} == {
        "train": 43410,
        "validation": 5426,
        "test": 5427,
    }
    assert data.kind == "table of texts in column text; labels from lists in labels"
    assert data.items.load(0).startswith("My favourite food is anything")
    assert data.label_names[int(np.flatnonzero(data.targets[0])[0])] == "neutral"
    positives = (data.targets[data.rows("train")] == 1).sum(axis=0)
    assert (positives.min(), np.median(positives), positives.max()) == (77, 1297.5, 14219)


FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
names = st.text(st.characters(codec="utf-8"), max_size=8)
cells = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3) | st.integers(),
    st.floats(),
    names,
    st.sampled_from(["NA", "nan", "inf", "a|b", "a;b,c", "|", '"', "'", "\\", "a\nb", "\x00"]),
    st.lists(st.one_of(names, st.none(), st.integers(), st.floats()), max_size=3),
    st.dictionaries(names, st.integers(), max_size=1),
)


@pytest.fixture(scope="module")
def fuzz_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    yield folder
    shutil.rmtree(folder)


def outcome(path, /, **options):
    """Load a file, or give back the refusal, which names the file; nothing else may come."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return read(path, **options)
        except (FairPOFileError, FairPOValueError) as error:
            message = str(error)
    assert str(path) in message
    return message


@FUZZ
@given(
    values=st.lists(cells, min_size=1, max_size=5), option=st.sampled_from([None, "labels", "lab*"])
)
def test_whatever_stands_in_a_label_column_of_jsonl(fuzz_folder, values, option):
    path = write(fuzz_folder, {"x": range(len(values)), "labels": values}, ".jsonl")
    data = outcome(path, labels=option)
    if not isinstance(data, str):
        assert data.n_rows == len(values) and data.n_labels >= 1
        assert np.isin(data.targets, (-1, 0, 1)).all()


@FUZZ
@given(
    values=st.lists(st.tuples(cells, cells), min_size=1, max_size=5),
    option=st.sampled_from(["labels", "labels,more"]),
    suffix=st.sampled_from([".csv", ".tsv"]),
)
def test_whatever_stands_in_label_columns_of_text_files(fuzz_folder, values, option, suffix):
    first, second = zip(*values, strict=True)
    columns = {"x": range(len(values)), "labels": first, "more": second}
    data = outcome(write(fuzz_folder, columns, suffix), labels=option, ignore="more")
    if not isinstance(data, str):
        assert data.n_rows == len(values) and data.n_labels >= 1


@FUZZ
@given(values=st.lists(cells, min_size=1, max_size=5), suffix=st.sampled_from([".csv", ".jsonl"]))
def test_whatever_stands_in_a_feature_column(fuzz_folder, values, suffix):
    path = write(fuzz_folder, {"x": values, "label": ["a"] * len(values)}, suffix)
    data = outcome(path)
    if not isinstance(data, str):
        assert data.n_rows == len(values) and np.isfinite(data.features).all()


@FUZZ
@given(content=st.text(st.sampled_from('x,label\n\r"\t {}[]:1ab\\u\x00\ufeff'), max_size=60))
def test_arbitrary_text_is_read_or_refused_by_name(fuzz_folder, content):
    for name in ("set.csv", "set.tsv", "set.jsonl"):
        outcome(text_file(fuzz_folder, content, name), labels="label")


@FUZZ
@given(content=st.binary(max_size=60))
def test_arbitrary_bytes_are_read_or_refused_by_name(fuzz_folder, content):
    for suffix in SUFFIXES:
        outcome(text_file(fuzz_folder, content, f"set{suffix}"))


label_names = st.text(st.characters(categories=["L", "N", "P"], exclude_characters="|"), min_size=1)


@FUZZ
@given(data=st.data(), known=st.sets(label_names.filter(str.strip), min_size=2, max_size=5))
def test_three_forms_of_the_same_label_sets_give_the_same_targets(fuzz_folder, data, known):
    known = sorted({f"n{name.strip()}" for name in known})
    rows = data.draw(st.lists(st.sets(st.sampled_from(known)), min_size=2, max_size=6))
    rows[0], rows[1] = set(known), {known[0]}
    expected = [[int(name in row) for name in known] for row in rows]
    x = range(len(rows))
    lists = {"x": x, "labels": [sorted(row) for row in rows]}
    joined = {"x": x, "labels": ["|".join(sorted(row)) for row in rows]}
    places = {f"is_{place}": column for place, column in enumerate(zip(*expected, strict=True))}
    for columns, suffixes, options in (
        (lists, (".jsonl", ".parquet"), {}),
        (joined, SUFFIXES, {"delimiter": "|"}),
        ({"x": x, **places}, SUFFIXES, {"labels": "is_*"}),
    ):
        for suffix in suffixes:
            loaded = read(write(fuzz_folder, columns, suffix), **options)
            assert loaded.targets.tolist() == expected
            assert loaded.features[:, 0].tolist() == list(x)
            if options != {"labels": "is_*"}:
                assert list(loaded.label_names) == known


def test_the_writer_of_these_tests_writes_what_a_csv_module_reads(tmp_path):
    path = write(tmp_path, {"x": ['a "b", c', "d\ne"], "label": ["a", None]})
    rows = list(csv.reader(io.StringIO(path.read_text())))
    assert rows == [["x", "label"], ['a "b", c', "a"], ["d\ne", ""]]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_multi_hot_lists_as_transformers_wants_them(tmp_path, suffix):
    rows = [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    data = read(write(tmp_path, {"x": [1, 2, 3], "labels": rows}, suffix))
    assert data.label_names == ("label_0", "label_1", "label_2")
    assert data.targets.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    path = write(tmp_path, {"x": [1, 2, 3], "labels": [[1.0], [0.0, 1.0], [0.5]]}, suffix)
    refused(path, "labels holds 1.0, which is not a label name")


def test_names_that_hold_another_mark_are_told(tmp_path):
    data = read(write(tmp_path, {"x": [1, 2], "labels": ["a;b,c", "a,b"]}))
    assert data.label_names == ("a", "a,b", "b,c")
    assert "some names hold ','" in data.kind
