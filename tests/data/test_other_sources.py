import gzip
import hashlib
import io
import json
import socket
import warnings
from urllib.error import URLError

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.datasets import dump_svmlight_file

from fairpo import load_data
from fairpo._checks import FairPOFileError, FairPOValueError
from fairpo.data.formats import FORMATS, read_source, recognise
from fairpo.data.items import EncodedImages
from fairpo.data.options import DataOptions


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError(f"went to the network: {args[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def read(source, /, **options):
    return read_source(source, DataOptions(**options))


def refused(source, /, *words, error=FairPOFileError, **options):
    with pytest.raises(error) as caught:
        read(source, **options)
    message = str(caught.value)
    assert str(source) in message
    for word in words:
        assert word in message, message
    return message


def svm(folder, text, name="set.svm"):
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("suffix", [".svm", ".libsvm", ".svmlight"])
def test_svmlight_lines_with_several_labels_or_none(tmp_path, suffix):
    text = "3,17 1:0.5 4:2 # note\n\n 2:-1e2\n17 3:1\n# only a note\n-2\n"
    data = read(svm(tmp_path, text, f"set{suffix}"))
    assert data.label_names == ("-2", "3", "17")
    assert data.targets.tolist() == [[0, 1, 1], [0, 0, 0], [0, 0, 1], [1, 0, 0]]
    assert data.features.tolist() == [[0.5, 0, 0, 2], [0, -100, 0, 0], [0, 0, 1, 0], [0] * 4]
    assert data.features.dtype == np.float32
    assert data.kind == "svmlight" and data.name == "set" and not data.split


@pytest.mark.parametrize(
    ("train", "test"),
    [("s_train.svm", "s_test.svm"), ("train.libsvm", "test.libsvm"), ("trn.svm", "tst.svm")],
)
def test_the_test_part_of_svmlight_lies_beside(tmp_path, train, test):
    path = svm(tmp_path, "1 1:1\n2 2:1\n", train)
    svm(tmp_path, "2,9 5:7\n 1:3\n1 1:1\n", test)
    data = read(path)
    assert data.label_names == ("1", "2", "9")
    assert data.features.shape == (5, 5) and data.features[2].tolist() == [0, 0, 0, 0, 7]
    assert data.targets.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert data.rows("train").tolist() == [0, 1] and data.rows("test").tolist() == [2, 3, 4]
    assert data.kind == f"svmlight; test split from {test}"


def test_the_first_line_of_the_extreme_classification_repository(tmp_path):
    path = svm(tmp_path, "3 5 6\n0,5 0:1 4:2\n 1:3\n2 0:1\n")
    data = read(path)
    assert data.label_names == ("0", "1", "2", "3", "4", "5")
    assert data.features.tolist() == [[1, 0, 0, 0, 2], [0, 3, 0, 0, 0], [1, 0, 0, 0, 0]]
    assert np.flatnonzero(data.targets).tolist() == [0, 5, 14]


def test_both_parts_have_the_first_line_or_neither(tmp_path):
    train = svm(tmp_path, "2 5 3\n0 0:1\n2 1:1\n", "train.svm")
    test = svm(tmp_path, "1 5 3\n1 4:1\n", "test.svm")
    assert read(train).targets.tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert read(train).features.shape == (3, 5)
    svm(tmp_path, "2 5 3\n1 4:1\n", "test.svm")
    with pytest.raises(FairPOFileError, match=r"test\.svm: holds 1 rows.*says 2"):
        read(train)
    svm(tmp_path, "1 4:1\n0 2:1\n", "test.svm")
    with pytest.raises(FairPOFileError, match=r"test\.svm: must begin as train\.svm does"):
        read(train)
    svm(tmp_path, "0 1:1\n2 1:1\n", "train.svm")
    assert read(train).n_rows == 4
    svm(tmp_path, "1 5 3\n1 4:1\n", "test.svm")
    with pytest.raises(FairPOFileError, match=r"test\.svm: must begin as train\.svm does"):
        read(train)
    assert test.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no label"),
        (" 1:2\n 2:3\n", "holds no label"),
        ("1 1:2\n1 three\n", "line 2: "),
        ("1 1:2\n1 1:two\n", "line 2: "),
        ("1 1:2\ncat 1:2\n", "line 2: "),
        ("1 1:2\n1;2 1:2\n", "line 2: "),
        ("1 2:2 1:1\n", "is not svmlight with several labels"),
        ("1 1:2 1:1\n", "is not svmlight with several labels"),
        ("1 -1:2\n", "line 1: "),
        ("1 99999999999999999999:2\n", "is not svmlight with several labels"),
        ("1 1:2\n1.5 1:2\n", "label 1.5 is not a whole number"),
        ("1 1:2\nnan 1:2\n", "label nan is not a whole number"),
        ("1 1:2\ninf 1:2\n", "label inf is not a whole number"),
        ("2 5 3\n1 1:2\n3 1:1\n", "label 3 is beyond the 3 of its first line"),
        ("2 5 3\n1 1:2\n-1 1:1\n", "label -1 is beyond the 3 of its first line"),
        ("2 5 3\n1 1:2\n2 5:1\n", "n_features was set to 5"),
        ("3 5 3\n1 1:2\n2 4:1\n", "holds 2 rows, and its first line says 3"),
        ("\x00\x01\x02", "line 1: "),
    ],
)
def test_broken_svmlight_is_named(tmp_path, text, words):
    refused(svm(tmp_path, text), words)


def test_a_broken_test_part_of_svmlight_is_named_by_line(tmp_path):
    path = svm(tmp_path, "1 1:1\n", "train.svm")
    svm(tmp_path, "1 1:1\n1 x\n", "test.svm")
    with pytest.raises(FairPOFileError, match="test.svm: line 2: '1 x' is not labels"):
        read(path)


FUZZ = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZ
@given(
    data=st.data(),
    shape=st.tuples(st.integers(1, 8), st.integers(1, 5), st.integers(1, 4)),
    zero_based=st.booleans(),
)
def test_what_scikit_learn_writes_comes_back(tmp_path, data, shape, zero_based):
    n, d, labels = shape
    value = st.floats(-1e6, 1e6, width=32)
    X = np.array(
        data.draw(st.lists(st.lists(value, min_size=d, max_size=d), min_size=n, max_size=n))
    )
    bit = st.integers(0, 1)
    Y = np.array(
        data.draw(st.lists(st.lists(bit, min_size=labels, max_size=labels), min_size=n, max_size=n))
    )
    X[0], Y[0], X[:, 0] = 1, 1, 1  # every column is there, and no row empty
    path = tmp_path / "set.svm"
    dump_svmlight_file(X, sparse.csr_matrix(Y), str(path), multilabel=True, zero_based=zero_based)
    loaded = read(path)
    assert np.array_equal(loaded.targets, Y)
    assert np.allclose(loaded.features, X, rtol=1e-6)
    assert loaded.label_names == tuple(str(label) for label in range(labels))


def test_a_label_told_twice_in_a_row_is_one_label(tmp_path):
    assert read(svm(tmp_path, "2,2,1 1:1\n")).targets.tolist() == [[1, 1]]


@FUZZ
@given(text=st.text(st.sampled_from("01 29:,.-\n#ea\t"), max_size=40))
def test_arbitrary_svmlight_is_read_or_refused_by_name(tmp_path, text):
    path = svm(tmp_path, text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            assert read(path).n_labels
        except FairPOFileError as error:
            message = str(error)
        except FairPOValueError as error:  # of features, checked behind the door
            message = str(error).replace("X must hold finite numbers", str(path))
        else:
            return
    assert str(path) in message


@pytest.fixture
def hugging_face():
    return pytest.importorskip("datasets")


N = 10
CODES = [[0], [0, 2], [], [2, 1], [1]] * 2
CODE_TARGETS = [[1, 0, 0], [1, 0, 1], [0, 0, 0], [0, 1, 1], [0, 1, 0]] * 2
CLASSES = ["joy", "anger", "fear"]


def class_list(datasets, kind="List"):
    return getattr(datasets, kind)(datasets.ClassLabel(names=CLASSES))


def texts_and_codes(datasets, kind="List", n=N):
    features = datasets.Features(
        {"text": datasets.Value("string"), "labels": class_list(datasets, kind)}
    )
    columns = {"text": [f"text {row}" for row in range(n)], "labels": CODES[:n]}
    return datasets.Dataset.from_dict(columns, features=features)


@pytest.mark.parametrize("kind", ["List", "Sequence"])
def test_class_numbers_of_hugging_face_are_named(hugging_face, tmp_path, kind):
    texts_and_codes(hugging_face, kind).save_to_disk(tmp_path / "set")
    for source in (tmp_path / "set", f"hf:{tmp_path / 'set'}"):
        data = read(source)
        assert data.label_names == tuple(CLASSES)
        assert data.targets.tolist() == CODE_TARGETS
        assert [data.items.load(row) for row in range(N)] == [f"text {row}" for row in range(N)]
        assert data.features.shape == (N, 0) and not data.split and data.name == "set"
        assert data.kind == "Hugging Face data set of texts; labels from column labels"


def test_splits_of_hugging_face_are_kept(hugging_face, tmp_path):
    parts = {"train": 5, "validation": 3, "test": 2, "unsupervised": 4}
    made = {name: texts_and_codes(hugging_face, n=n) for name, n in parts.items()}
    hugging_face.DatasetDict(made).save_to_disk(tmp_path / "set")
    data = load_data(tmp_path / "set")
    assert data.n_rows == 10
    assert data.rows("train").tolist() == [0, 1, 2, 3, 4]
    assert data.rows("validation").tolist() == [5, 6, 7]
    assert data.rows("test").tolist() == [8, 9]
    assert data.items.load(8) == "text 0"
    assert data.targets[5:].tolist() == [*CODE_TARGETS[:3], *CODE_TARGETS[:2]]


def test_a_set_of_hugging_face_is_looked_up_below_the_root(hugging_face, tmp_path, monkeypatch):
    texts_and_codes(hugging_face).save_to_disk(tmp_path / "deep" / "set")
    assert read("hf:deep/set", root=str(tmp_path)).n_rows == N
    monkeypatch.setenv("FAIRPO_DATA", str(tmp_path))
    assert read("hf:deep/set").n_rows == N
    assert read("deep/set").n_rows == N


def test_names_of_hugging_face_in_lists_or_one_a_row(hugging_face, tmp_path):
    columns = {
        "sentence": ["a", "b", "c"],
        "topics": [["x", "y"], None, ["y"]],
        "tags": ["p", "", None],
    }
    hugging_face.Dataset.from_dict(columns).save_to_disk(tmp_path / "set")
    data = read(tmp_path / "set", text="sentence", labels="topics")
    assert data.label_names == ("x", "y")
    assert data.targets.tolist() == [[1, 1], [0, 0], [0, 1]]
    data = read(tmp_path / "set", text="sentence")
    assert data.label_names == ("p",) and data.targets.tolist() == [[1], [0], [0]]


def jpeg(shade):
    image = pytest.importorskip("PIL.Image")
    stream = io.BytesIO()
    image.new("RGB", (8, 6), (shade, 10, 200)).save(stream, "JPEG")
    return stream.getvalue()


def test_an_image_column_of_hugging_face(hugging_face, tmp_path):
    features = hugging_face.Features(
        {"picture": hugging_face.Image(), "labels": class_list(hugging_face)}
    )
    cells = [{"bytes": jpeg(60 * row), "path": None} for row in range(4)]
    columns = {"picture": [*cells, None], "labels": CODES[:5]}
    made = hugging_face.Dataset.from_dict(columns, features=features)
    made.save_to_disk(tmp_path / "set")
    for options in ({}, {"path": "picture"}):
        data = read(tmp_path / "set", **options)
        assert isinstance(data.items, EncodedImages) and len(data.items) == 5
        assert data.kind.startswith("Hugging Face data set of images;")
        for row in range(4):
            image = data.items.load(row)
            assert image.size == (8, 6) and abs(image.getpixel((3, 3))[0] - 60 * row) < 6
        assert data.items.digest(0) == hashlib.sha256(jpeg(0)).digest()
        with pytest.raises(FairPOFileError):
            data.items.load(4)


def test_class_labels_one_a_row(hugging_face, tmp_path):
    features = hugging_face.Features(
        {"text": hugging_face.Value("string"), "label": hugging_face.ClassLabel(names=CLASSES)}
    )
    made = hugging_face.Dataset.from_dict({"text": list("abc"), "label": [2, 0, 2]}, features)
    made.save_to_disk(tmp_path / "set")
    assert read(tmp_path / "set").targets.tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([["a"], ["b", None]], "row 1: labels holds None, which is not a label name"),
        ([["a"], [""]], "row 1: labels holds '', which is not a label name"),
        ([[1, 0], [0, 1]], "row 0: labels holds 1, which is not a label name"),
        ([3, 17], "row 0: labels holds 3, which is not a label name"),
        ([[["a"]], [["b"]]], "row 0: labels holds ['a'], which is not a label name"),
        ([[], []], "column 'labels' holds no label"),
    ],
)
def test_labels_of_hugging_face_that_are_no_names_are_refused(
    hugging_face, tmp_path, labels, words
):
    made = hugging_face.Dataset.from_dict({"text": ["a", "b"], "labels": labels})
    made.save_to_disk(tmp_path / "set")
    refused(tmp_path / "set", words)


def test_the_number_that_stands_for_an_unknown_class_is_refused(hugging_face, tmp_path):
    features = texts_and_codes(hugging_face).features
    columns = {"text": ["a", "b"], "labels": [[0], [-1]]}
    hugging_face.Dataset.from_dict(columns, features=features).save_to_disk(tmp_path / "set")
    refused(tmp_path / "set", "row 1: labels holds -1, which is not a class")


def test_missing_text_of_hugging_face_is_refused(hugging_face, tmp_path):
    columns = {"text": ["a", None], "labels": [["x"], ["y"]]}
    hugging_face.Dataset.from_dict(columns).save_to_disk(tmp_path / "set")
    refused(tmp_path / "set", "row 1: text must be text, got None")


def test_missing_columns_of_hugging_face_are_told_with_those_there(hugging_face, tmp_path):
    made = hugging_face.Dataset.from_dict({"text": ["a"], "labels": [["x"]], "n": [1]})
    made.save_to_disk(tmp_path / "set")
    refused(
        tmp_path / "set", "has no column zebra; its columns are text, labels, n", labels="zebra"
    )
    refused(tmp_path / "set", "has no column of texts or images", "text, labels, n", text="zebra")
    made.remove_columns("labels").save_to_disk(tmp_path / "bare")
    refused(tmp_path / "bare", "has no column labels or label or tags", "labels=COLUMN")
    made.remove_columns("text").save_to_disk(tmp_path / "untold")
    refused(tmp_path / "untold", "has no column of texts or images", "text=COLUMN")


def test_splits_of_hugging_face_that_do_not_fit_are_refused(hugging_face, tmp_path):
    names = hugging_face.Dataset.from_dict({"text": ["a"], "labels": [["x"]]})
    parts = {"train": texts_and_codes(hugging_face), "test": names}
    hugging_face.DatasetDict(parts).save_to_disk(tmp_path / "set")
    refused(tmp_path / "set", "has splits that do not fit together")
    hugging_face.DatasetDict(first=names).save_to_disk(tmp_path / "odd")
    refused(tmp_path / "odd", "has the splits first; none is train")


def test_a_damaged_set_of_hugging_face_is_named(hugging_face, tmp_path):
    texts_and_codes(hugging_face).save_to_disk(tmp_path / "set")
    (arrow,) = (tmp_path / "set").glob("*.arrow")
    content = arrow.read_bytes()
    arrow.write_bytes(b"no arrow")
    refused(tmp_path / "set", "is not a data set that can be loaded")
    arrow.write_bytes(content)
    assert read(tmp_path / "set").n_rows == N
    (tmp_path / "set" / "state.json").write_text("{")
    refused(tmp_path / "set", "is not a data set that can be loaded")
    arrow.unlink()
    refused(tmp_path / "set", "is not a data set that can be loaded")


def test_a_folder_of_parquet_files_is_a_clone_of_a_hub_set(hugging_face, tmp_path, monkeypatch):
    monkeypatch.setattr(hugging_face.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "clone"
    (folder / "data").mkdir(parents=True)
    texts_and_codes(hugging_face).to_parquet(folder / "data" / "train-00000-of-00001.parquet")
    texts_and_codes(hugging_face).to_parquet(folder / "data" / "test-00000-of-00001.parquet")
    data = read(f"hf:{folder}")
    assert {name: len(rows) for name, rows in data.split.items()} == {"train": N, "test": N}
    outside = tmp_path / "outside.parquet"
    texts_and_codes(hugging_face).to_parquet(outside)
    (folder / "README.md").write_text(f"---\nconfigs:\n- data_files: {outside}\n---\n")
    assert read(f"hf:{folder}").n_rows == 2 * N  # what the description says is not asked
    (folder / "data" / "dev.parquet").symlink_to(outside)
    for source, message in ((folder, "is a link out"), (tmp_path / "none", "nor Parquet files")):
        source.mkdir(exist_ok=True)
        with pytest.raises(FairPOFileError, match=message):
            read(f"hf:{source}")


def test_an_image_that_is_a_path_and_not_in_the_set_is_refused(hugging_face, tmp_path):
    from PIL import Image

    Image.new("RGB", (4, 4)).save(tmp_path / "private.png")
    features = {
        "image": hugging_face.Image(),
        "labels": hugging_face.List(hugging_face.Value("string")),
    }
    cells = [{"bytes": None, "path": str(tmp_path / "private.png")}]
    rows = {"image": cells, "labels": [["a"]]}
    set_ = hugging_face.Dataset.from_dict(rows, features=hugging_face.Features(features))
    items = read_saved(set_, tmp_path).items
    with pytest.raises(FairPOFileError, match="holds the path .* and no image"):
        items.load(0)


def read_saved(whole, folder):
    """Save without putting images into the set, as ``save_to_disk`` would."""
    import pyarrow

    whole.save_to_disk(folder / "saved")
    (arrow,) = (folder / "saved").glob("*.arrow")
    with pyarrow.OSFile(str(arrow), "wb") as sink:
        table = whole.with_format("arrow")[:]
        with pyarrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return read(folder / "saved")


@pytest.mark.parametrize("source", ["hf:owner/name", "hf:owner/name:config", "hf:name"])
def test_a_name_on_the_hub_needs_to_be_fetched(hugging_face, monkeypatch, source):
    asked = []

    def load_dataset(*names):
        asked.append(names)
        return texts_and_codes(hugging_face)

    monkeypatch.setattr(hugging_face, "load_dataset", load_dataset)
    refused(source, "is on the network. Say --fetch")
    assert not asked
    assert read(source, fetch=True).n_rows == N
    name, _, config = source.removeprefix("hf:").partition(":")
    assert asked == [(name, config or None)]


def test_a_hub_that_cannot_be_reached_is_told(hugging_face, monkeypatch):
    def load_dataset(*names):
        raise ConnectionError("no route\nand more")

    monkeypatch.setattr(hugging_face, "load_dataset", load_dataset)
    refused("hf:owner/name", "is not a data set that can be loaded (no route)", fetch=True)


def test_a_file_is_no_set_of_hugging_face(hugging_face, tmp_path):
    path = tmp_path / "set.csv"
    path.write_text("x,label\n1,a\n")
    refused(path, "is not a folder", format="huggingface", fetch=True)


FEATURES = (("x1", "numeric"), ("x2", "numeric"))
LABELS = (("sun", "nominal"), ("rain", "nominal"))
KINDS = {"numeric": "NUMERIC", "nominal": "{FALSE,TRUE}"}
ROWS = ("1.5,2,TRUE,FALSE", "-3,4,FALSE,FALSE", "5,6.25,TRUE,TRUE")
SPARSE_ROWS = ("{0 1.5, 1 2,2 TRUE}", "{0 -3, 1 4}", "{0 5, 1 6.25, 2 TRUE, 3 TRUE}")


class OpenML:
    """The cache that ``fetch_openml`` of scikit-learn leaves, as if it had been online."""

    url = "https://www.openml.org/data/v1/download/4644182/weather.arff"

    def __init__(self, folder):
        self.folder = folder / "openml" / "openml.org"
        self.arff = self.folder / "data/v1/download/4644182/weather.arff.gz"
        self.content = b""

    def put(self, path, content):
        file = self.folder / f"{path}.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(content))

    def fill(self, rows=ROWS, kinds=KINDS, targets=("sun", "rain"), md5=None, columns=None):
        columns = columns or (*FEATURES, *LABELS)
        header = "".join(f"@ATTRIBUTE {name} {kinds[kind]}\n" for name, kind in columns)
        self.content = f"@RELATION weather\n{header}@DATA\n{chr(10).join(rows)}\n".encode()
        is_sparse = rows[0].startswith("{")
        description = {
            "id": "41473",
            "name": "weather",
            "version": "4",
            "description": "made up",
            "format": "Sparse_ARFF" if is_sparse else "ARFF",
            "status": "active",
            "file_id": "4644182",
            "url": self.url,
            "default_target_attribute": ",".join(targets),
            "md5_checksum": md5 or hashlib.md5(self.content).hexdigest(),
        }
        features = [
            {
                "index": str(index),
                "name": name,
                "data_type": kind,
                "is_target": str(name in targets).lower(),
                "is_ignore": "false",
                "is_row_identifier": "false",
                "number_of_missing_values": "0",
            }
            for index, (name, kind) in enumerate(columns)
        ]
        found = {"data": {"dataset": [{"did": 41473, "name": "weather", "version": 4}]}}
        quality = [{"name": "NumberOfInstances", "value": str(float(len(rows)))}]
        listed = "api/v1/json/data/list/data_name/weather/limit/2"
        for path, answer in {
            f"{listed}/data_version/4": found,
            f"{listed}/status/active/": found,
            "api/v1/json/data/41473": {"data_set_description": description},
            "api/v1/json/data/features/41473": {"data_features": {"feature": features}},
            "api/v1/json/data/qualities/41473": {"data_qualities": {"quality": quality}},
        }.items():
            self.put(path, json.dumps(answer).encode())
        self.put("data/v1/download/4644182/weather.arff", self.content)


@pytest.fixture
def asked(monkeypatch):
    """Every address that scikit-learn asks for; none answers."""
    addresses = []

    def urlopen(request, *args, **kwargs):
        addresses.append(request.full_url)
        raise URLError("the network is unreachable")

    monkeypatch.setattr("sklearn.datasets._openml.urlopen", urlopen)
    monkeypatch.setattr("sklearn.datasets._openml.time.sleep", lambda seconds: None)
    return addresses


@pytest.fixture
def openml(tmp_path, monkeypatch, asked):
    monkeypatch.setenv("FAIRPO_CACHE", str(tmp_path / "cache"))
    return OpenML(tmp_path / "cache")


@pytest.mark.parametrize("rows", [ROWS, SPARSE_ROWS])
@pytest.mark.parametrize("source", ["openml:weather:4", "openml:weather", "openml:Weather:4"])
def test_openml_is_read_from_the_cache(openml, asked, source, rows):
    openml.fill(rows)
    data = read(source, fetch=True)
    assert data.label_names == ("sun", "rain")
    assert data.targets.tolist() == [[1, 0], [0, 0], [1, 1]]
    features = data.features.toarray() if sparse.issparse(data.features) else data.features
    assert features.tolist() == [[1.5, 2], [-3, 4], [5, 6.25]] and features.dtype == np.float32
    assert data.kind == f"OpenML, {data.name}, version 4" and data.name.lower() == "weather"
    assert not asked


def test_openml_gets_all_splits_from_load_data(openml):
    openml.fill([f"{row},1,{row % 2 == 0},{row % 3 == 0}".upper() for row in range(30)])
    data = load_data("openml:weather:4", fetch=True)
    assert {name: len(rows) for name, rows in data.split.items()} == {
        "train": 19,
        "validation": 5,
        "test": 6,
    }


@pytest.mark.parametrize("pair", ["{0,1}", "{1,0}", "{no,yes}", "{True,False}"])
def test_targets_of_openml_in_every_spelling(openml, pair):
    words = {word.lower(): word for word in pair.strip("{}").split(",")}
    yes = next(words[word] for word in ("1", "yes", "true") if word in words)
    no = next(words[word] for word in ("0", "no", "false") if word in words)
    rows = [row.replace("TRUE", yes).replace("FALSE", no) for row in ROWS]
    openml.fill(rows, {**KINDS, "nominal": pair})
    assert read("openml:weather:4", fetch=True).targets.tolist() == [[1, 0], [0, 0], [1, 1]]


def test_numeric_targets_and_a_single_target_of_openml(openml):
    columns = (*FEATURES, ("sun", "numeric"), ("rain", "numeric"))
    openml.fill(["1,2,1,0", "3,4,0,0"], columns=columns)
    assert read("openml:weather:4", fetch=True).targets.tolist() == [[1, 0], [0, 0]]
    openml.fill(
        targets=("rain",), columns=(*FEATURES, ("sun", "numeric"), LABELS[1]), rows=["1,2,3,TRUE"]
    )
    data = read("openml:weather:4", fetch=True)
    assert data.label_names == ("rain",) and data.targets.tolist() == [[1]]
    assert data.features.tolist() == [[1, 2, 3]]


def test_targets_of_openml_that_are_not_binary_are_refused(openml):
    openml.fill(["1,2,low,high"], {**KINDS, "nominal": "{low,high}"})
    refused("openml:weather:4", "columns of true and false", error=FairPOValueError, fetch=True)
    openml.fill(SPARSE_ROWS, targets=("sun", "snow"))
    refused("openml:weather:4", "'sun,snow', which it does not hold", fetch=True)
    openml.fill(targets=())
    refused("openml:weather:4", "columns of true and false", error=FairPOValueError, fetch=True)


def test_openml_is_not_asked_unless_told_to_fetch(openml, asked):
    openml.fill()
    refused("openml:weather:4", "is on the network. Say --fetch")
    assert not asked


def test_openml_that_cannot_be_reached_is_told(openml, asked):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused("openml:weather:4", "could not be fetched", "unreachable", fetch=True)
    assert asked
    assert all(address.endswith("weather/limit/2/data_version/4") for address in asked)
    refused("openml:weather:four", "could not be fetched from OpenML", fetch=True)


@pytest.mark.parametrize("damage", ["content", "gzip", "truncated"])
def test_a_cached_file_of_another_digest_is_never_read(openml, asked, damage):
    openml.fill()
    packed = openml.arff.read_bytes()
    if damage == "content":
        openml.put("data/v1/download/4644182/weather.arff", openml.content.replace(b"1.5", b"9.5"))
    else:
        openml.arff.write_bytes(b"no gzip" if damage == "gzip" else packed[:-20])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused("openml:weather:4", "could not be fetched from OpenML", fetch=True)
    assert set(asked) == {openml.url}
    assert not openml.arff.exists()


def test_a_damaged_cached_file_is_fetched_again(openml, monkeypatch):
    openml.fill()
    openml.arff.write_bytes(gzip.compress(b"@RELATION other\n"))

    class Response(io.BytesIO):
        def info(self):
            return {}

    content = openml.content
    monkeypatch.setattr("sklearn.datasets._openml.urlopen", lambda request: Response(content))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert read("openml:weather:4", fetch=True).n_rows == 3
    assert gzip.decompress(openml.arff.read_bytes()) == content


def test_a_server_that_sends_another_digest_is_refused(openml, monkeypatch):
    openml.fill(md5="0" * 32)

    class Response(io.BytesIO):
        def info(self):
            return {}

    content = openml.content
    monkeypatch.setattr("sklearn.datasets._openml.urlopen", lambda request: Response(content))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused("openml:weather:4", "md5 checksum", "0" * 32, fetch=True)


def make(folder, kind):
    """A path that should be recognised as some kind of data."""
    path = folder / kind
    files = {
        "store": ["embedding.json"],
        "coco": ["annotations/instances_val2017.json"],
        "nuswide": ["ConceptsList/Concepts81.txt"],
        "voc": ["VOC2007/Annotations/1.xml", "VOC2007/ImageSets/Main/train.txt"],
        "yolo": ["set.names", "images/1.jpg", "labels/1.txt"],
        "huggingface": ["dataset_info.json"],
        "arrays": ["X.npy", "Y.npy"],
        "image-folder": ["metadata.csv", "1.jpg"],
    }
    if kind in files:
        for name in files[kind]:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text("")
        return path
    path = folder / {"arff": "s.arff", "svmlight": "s.libsvm", "table": "s.jsonl"}[kind]
    path.write_text("")
    return path


@pytest.mark.parametrize("kind", FORMATS)
def test_every_kind_of_data_is_recognised(tmp_path, kind):
    assert recognise(make(tmp_path, kind)) == kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((f"s{suffix}", "svmlight") for suffix in (".svm", ".libsvm", ".svmlight")),
        *((f"s{suffix}", "table") for suffix in (".csv", ".tsv", ".parquet", ".jsonl")),
        ("s.npz", "arrays"),
        ("s.arff", "arff"),
    ],
)
def test_files_are_recognised_by_their_names(tmp_path, name, kind):
    (tmp_path / name).write_text("")
    assert recognise(tmp_path / name) == kind


def test_a_set_of_hugging_face_goes_before_the_tables_in_it(tmp_path):
    path = make(tmp_path, "huggingface")
    (path / "metadata.csv").write_text("x,label\n1,a\n")
    assert recognise(path) == "huggingface"


@pytest.mark.parametrize("name", ["notes.txt", "s.pdf", "folder"])
def test_an_unknown_kind_lists_what_is_known(tmp_path, name):
    path = tmp_path / name
    path.mkdir() if name == "folder" else path.write_text("hello")
    message = refused(path, "is not a kind of data that can be read", "--format NAME overrules")
    for kind in FORMATS:
        assert kind in message
    assert "fairpo data formats" in message
    assert "digits, openml:NAME, hf:NAME" in message


def test_a_format_that_is_told_overrules_the_name(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("1,2 1:0.5\n2 2:1\n")
    assert read(path, format="svmlight").label_names == ("1", "2")
    assert recognise(path, "arff") == "arff"
    refused(path, "line 1: '1,2 1:0.5' is not @relation", format="arff")


def test_an_unknown_format_is_answered_with_the_nearest(tmp_path):
    path = svm(tmp_path, "1 1:1\n")
    with pytest.raises(FairPOValueError, match="'svmlite' is not among the 11 formats.*svmlight"):
        load_data(path, format="svmlite")


def test_a_source_is_looked_up_below_the_data_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, row in ((first, "1 1:1\n"), (second, "2 1:1\n")):
        (folder / "deep").mkdir(parents=True)
        svm(folder / "deep", row)
    monkeypatch.setenv("FAIRPO_DATA", str(first))
    assert read("deep/set.svm").label_names == ("1",)
    assert read("deep/set.svm", root=str(second)).label_names == ("2",)
    (tmp_path / "deep").mkdir()
    svm(tmp_path / "deep", "3 1:1\n")
    assert read("deep/set.svm").label_names == ("3",)
    assert read("deep/set.svm", root=str(second)).label_names == ("3",)


def test_a_missing_source_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("FAIRPO_DATA", str(tmp_path))
    refused("gone.csv", "does not exist", "looked for here and below")
    refused("gone.csv", f"looked for here and below {tmp_path}/x", root=f"{tmp_path}/x")
    refused(tmp_path / "gone.csv", "does not exist")
    refused("gone.csv", "does not exist", format="table")


@pytest.mark.parametrize("kind", ["arff", "svmlight", "table", "huggingface"])
def test_a_folder_of_another_kind_is_refused_by_name(tmp_path, kind):
    if kind == "huggingface":
        pytest.importorskip("datasets")
    refused(tmp_path, format=kind)


@pytest.mark.parametrize("kind", ["arff", "svmlight", "huggingface", "image-folder"])
def test_a_file_of_another_kind_is_refused_by_name(tmp_path, kind):
    if kind == "huggingface":
        pytest.importorskip("datasets")
    path = tmp_path / "set.csv"
    path.write_text("x,label\n1,a\n")
    refused(path, format=kind)
