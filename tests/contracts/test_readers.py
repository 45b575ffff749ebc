"""What every reader keeps to, whatever it reads."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse

from fairpo import load_data
from fairpo._checks import FairPOError, FairPOFileError
from fairpo.data.base import SPLITS, feature_rows, fingerprint, positive_counts
from fairpo.data.embed import embed_data
from fairpo.data.formats import FORMATS, read_source, recognise
from fairpo.data.options import DataOptions
from fairpo.models.backbones import load_backbone
from tests.data.sources import write_sources

SOURCES = {
    "patients.csv": ("table", {"labels": "is_*"}),
    "photos": ("image-folder", {}),
    "goemotions.parquet": ("table", {}),
    "coco": ("coco", {}),
    "yolo": ("yolo", {}),
    "nuswide": ("nuswide", {}),
    "VOCdevkit": ("voc", {"year": "2007"}),
    "scene-train.arff": ("arff", {}),
    "tags-train.svm": ("svmlight", {}),
    "arrays.npz": ("arrays", {}),
    "arrays": ("arrays", {}),
    "reviews": ("huggingface", {}),
    "photos-vit": ("store", {}),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    write_sources(folder)
    embed_data(
        load_data(folder / "photos"), load_backbone(str(folder / "vit")), folder / "photos-vit"
    )
    return folder


def test_every_format_is_held_to_this():
    assert {name for name, _ in SOURCES.values()} == set(FORMATS)


@pytest.mark.parametrize("source", SOURCES)
class TestReader:
    """One contract for all readers."""

    @pytest.fixture
    def options(self, source):
        return DataOptions(**SOURCES[source][1])

    @pytest.fixture
    def data(self, place, source, options):
        return load_data(place / source, options)

    def test_it_is_recognised_and_says_so(self, place, source, data):
        assert recognise(place / source) == SOURCES[source][0]
        assert data.kind and data.name
        assert all(note and not note.endswith(".") for note in data.notes)

    def test_splits_are_three_disjoint_and_not_empty(self, data):
        assert set(data.split) == set(SPLITS)
        rows = np.concatenate(list(data.split.values()))
        assert len(np.unique(rows)) == len(rows) <= data.n_rows
        assert all(len(members) for members in data.split.values())

    def test_targets_are_0_1_or_missing_one_column_a_label(self, data):
        dense = sparse.csr_array(data.targets).toarray()
        assert dense.shape == (data.n_rows, len(data.label_names))
        assert dense.dtype == np.int8 and set(np.unique(dense)) <= {-1, 0, 1}
        assert np.array_equal(positive_counts(data.targets), (dense == 1).sum(0))
        assert len(set(data.label_names)) == data.n_labels > 1

    def test_rows_are_finite_features_or_items_that_load(self, data):
        rows = np.arange(data.n_rows)
        features = feature_rows(data.features, rows)
        assert features.shape == (data.n_rows, data.n_features)
        assert np.isfinite(features).all()
        if data.n_features == 0:
            assert data.items is not None and len(data.items) == data.n_rows
            for row in rows[:5].tolist():
                item = data.items.load(row)
                assert isinstance(item, str) or item.mode == "RGB"
                assert data.items.name(row)
                assert data.items.digest(row) == data.items.digest(row)
        if data.ids is not None:
            assert len(data.ids) == data.n_rows and all(isinstance(name, str) for name in data.ids)

    def test_read_twice_it_is_the_same(self, place, source, options, data):
        again = load_data(place / source, options)
        assert fingerprint(again) == fingerprint(data)
        assert again.ids is None or list(again.ids) == list(data.ids)

    def test_it_lies_anywhere(self, place, source, options, data, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        below = load_data(source, options.model_copy(update={"root": str(place)}))
        assert fingerprint(below) == fingerprint(data)
        monkeypatch.setenv("FAIRPO_DATA", str(place))
        assert fingerprint(load_data(source, options)) == fingerprint(data)
        monkeypatch.chdir(place)
        monkeypatch.delenv("FAIRPO_DATA")
        assert fingerprint(load_data(source, options)) == fingerprint(data)

    def test_the_wrong_format_is_an_error_that_names_it(self, place, source, options):
        for name in FORMATS:
            if name in (SOURCES[source][0], "table", "image-folder"):
                continue
            with pytest.raises(FairPOError) as caught:
                read_source(place / source, options.model_copy(update={"format": name}))
            assert source.split("-")[0].split(".")[0] in str(caught.value)

    def test_a_source_that_is_not_there_is_an_error(self, place, source, options):
        with pytest.raises(FairPOFileError, match="does not exist"):
            load_data(place / "nowhere" / source, options)


def test_no_reader_loads_torch_or_transformers_for_a_table(place):
    code = f"""
import sys
from fairpo import load_data
load_data({str(place / "patients.csv")!r}, labels="is_*")
print({{"transformers", "datasets", "PIL"}} & set(sys.modules))
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ)
    )
    assert result.stdout.strip() == "set()", result.stderr
