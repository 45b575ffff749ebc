import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fairpo import load_data
from fairpo._checks import FairPOFileError, FairPOValueError
from fairpo.data.coco import read_instances
from fairpo.data.formats import recognise
from fairpo.data.options import DataOptions
from fairpo.data.voc import CLASSES
from tests.data import image_sets as sets


@dataclass(frozen=True)
class ImageSet:
    """How to write an image set, and what must be read from it."""

    format: str
    write: Callable[..., Any]
    labels: tuple[str, ...]
    splits: dict[str, list[str]]
    values: dict[str, dict[str, int]]
    kind: str
    options: dict[str, str]


def _image_set(format, write, labels, splits, kind, **options):
    """A set without entries that are -1: ``splits`` gives the labels of every image."""
    ids = {split: list(part) for split, part in splits.items()}
    values = {
        name: dict.fromkeys(found, 1) for part in splits.values() for name, found in part.items()
    }
    return ImageSet(format, write, labels, ids, values, kind, options)


def _coco_set(write, year, below="", options=None):
    splits = {
        split: {
            f"{below}{part}{year}/{sets.coco_name(part, year, number)}": names
            for number, names in objects.items()
        }
        for split, part, objects in (
            ("train", "train", sets.COCO_TRAIN),
            ("test", "val", sets.COCO_VAL),
        )
    }
    labels = tuple(sets.COCO_CATEGORIES.values())
    kind = f"MS-COCO, instances_train{year}.json and instances_val{year}.json"
    return _image_set("coco", write, labels, splits, kind, **(options or {}))


def _yolo_set(write, parts):
    objects = {"train": sets.YOLO_TRAIN, "val": sets.YOLO_VAL, "test": sets.YOLO_VAL}
    splits = {
        split: {
            f"images/{part}2014/{sets.coco_name(file_part, '2014', number)}": names
            for number, names in objects[part].items()
        }
        for split, part, file_part in parts
    }
    return _image_set("yolo", write, sets.YOLO_NAMES, splits, "YOLO label folders with coco.names")


def _voc_set(write, year, parts, options=None):
    splits = {split: list(sets.VOC_PARTS[year][part]) for part, split in parts.items()}
    kind = f"Pascal VOC, VOC{year}, splits {', '.join(parts)}"
    values = sets.voc_positives(year, parts)
    return ImageSet("voc", write, CLASSES, splits, values, kind, options or {})


_NUSWIDE_SPLITS = {
    split: {f"{name}.jpg": labels for name, labels in part.items()}
    for split, part in (("train", sets.NUSWIDE_TRAIN), ("test", sets.NUSWIDE_TEST))
}
_OWN_SPLITS = {
    split: {name: labels.split("|") for name, (labels, part) in sets.TABLE.items() if part == split}
    for split in ("train", "test")
}
_ALL_VOC = {"train": "train", "val": "validation", "test": "test"}
_VOC_2012 = {"train": "train", "val": "test"}
IMAGE_SETS = {
    "coco-2017": _coco_set(sets.coco2017, "2017"),
    "coco-2014": _coco_set(sets.coco2014, "2014"),
    "coco-2014-of-both": _coco_set(sets.coco_both_years, "2014", options={"year": "2014"}),
    "coco-2017-of-both": _coco_set(sets.coco_both_years, "2017", options={"year": "2017"}),
    "coco-below-images": _coco_set(sets.coco_below_images, "2017", below="images/"),
    "yolo": _yolo_set(sets.yolo, [("train", "train", "train"), ("test", "val", "val")]),
    "yolo-three-parts": _yolo_set(
        sets.yolo_three_parts,
        [("train", "train", "train"), ("validation", "val", "val"), ("test", "test", "val")],
    ),
    "nuswide": _image_set(
        "nuswide",
        sets.nuswide,
        sets.NUSWIDE_CONCEPTS,
        _NUSWIDE_SPLITS,
        "NUS-WIDE, official lists, 4 concepts",
    ),
    "voc-2007": _voc_set(sets.voc2007, "2007", _ALL_VOC),
    "voc-2012": _voc_set(sets.voc2012, "2012", _VOC_2012),
    "voc-2007-of-both": _voc_set(sets.voc_both_years, "2007", _ALL_VOC, {"year": "2007"}),
    "voc-2012-of-both": _voc_set(sets.voc_both_years, "2012", _VOC_2012, {"year": "2012"}),
    "own-images": _image_set(
        "image-folder",
        sets.image_folder,
        ("cat", "dog"),
        _OWN_SPLITS,
        "images listed in metadata.csv, column path; labels from labels, split at '|'",
    ),
}


def read(path, format, **options):
    """What a reader itself returns, before missing splits are taken from train."""
    from fairpo.data.formats import FORMATS

    chosen = FORMATS[format]
    return chosen.function(chosen.read)(path, DataOptions(**options))


def split_ids(data):
    return {split: [data.ids[row] for row in rows] for split, rows in data.split.items()}


def values_of(data):
    """Entries that are not 0, by name of image and label."""
    rows = (
        {label: int(value) for label, value in zip(data.label_names, row, strict=True) if value}
        for row in data.targets
    )
    return dict(zip(data.ids, rows, strict=True))


def positives_of(data):
    return {
        name: sorted(label for label, value in values.items() if value == 1)
        for name, values in values_of(data).items()
    }


@pytest.mark.parametrize("image_set", IMAGE_SETS.values(), ids=IMAGE_SETS)
class TestEveryReader:
    @pytest.fixture
    def folder(self, image_set, tmp_path):
        return image_set.write(tmp_path)

    def test_is_recognised(self, image_set, folder):
        assert recognise(folder) == image_set.format
        assert load_data(folder, **image_set.options).kind == image_set.kind

    def test_gives_the_official_splits(self, image_set, folder):
        data = read(folder, image_set.format, **image_set.options)
        assert split_ids(data) == image_set.splits

    def test_gives_exactly_the_labels_that_were_written(self, image_set, folder):
        data = read(folder, image_set.format, **image_set.options)
        assert data.label_names == image_set.labels
        assert data.targets.dtype == np.int8
        assert data.targets.shape == (len(image_set.values), len(image_set.labels))
        assert set(np.unique(data.targets)) <= {-1, 0, 1}
        assert values_of(data) == image_set.values

    def test_gives_three_splits_that_hold_every_image_once(self, image_set, folder):
        data = load_data(folder, **image_set.options)
        assert set(data.split) == {"train", "validation", "test"}
        rows = np.concatenate(list(data.split.values()))
        assert sorted(rows.tolist()) == list(range(len(image_set.values)))
        for split in set(image_set.splits) - {"train"}:
            assert [data.ids[row] for row in data.rows(split)] == image_set.splits[split]

    def test_gives_every_image_in_rgb(self, image_set, folder):
        data = load_data(folder, **image_set.options)
        assert data.features.shape == (len(image_set.values), 0)
        assert data.items.kind == "image" and len(data.items) == data.n_rows
        modes = set()
        for row, name in enumerate(data.ids):
            image = data.items.load(row)
            assert (image.mode, image.size) == ("RGB", sets.SIZE)
            assert os.path.basename(data.items.name(row)).startswith(os.path.basename(name))
            modes.add(image.getpixel((0, 0)))
        assert len(modes) > 1

    def test_reads_the_same_again(self, image_set, folder):
        first, second = (load_data(folder, **image_set.options) for _ in range(2))
        assert first.ids == second.ids and first.label_names == second.label_names
        assert np.array_equal(first.targets, second.targets)
        assert (first.kind, first.name, first.notes) == (second.kind, second.name, second.notes)
        for split, rows in first.split.items():
            assert np.array_equal(rows, second.split[split])
        digests = [
            [data.items.digest(row) for row in range(data.n_rows)] for data in (first, second)
        ]
        assert digests[0] == digests[1]

    def test_can_be_asked_for_by_name(self, image_set, folder):
        (folder / "X.npz").write_bytes(b"")
        (folder / "dataset_info.json").write_text("{}")
        data = load_data(folder, format=image_set.format, **image_set.options)
        assert data.kind == image_set.kind
        with pytest.raises(FairPOValueError, match=r"format 'cocoo' is not among the \d+ formats"):
            load_data(folder, format="cocoo")

    @pytest.mark.parametrize("content", ["truncated", "text", "empty"])
    def test_names_an_image_that_cannot_be_decoded(self, image_set, folder, content):
        data = load_data(folder, **image_set.options)
        file = data.items.root / data.items.name(1)
        whole = file.read_bytes()
        broken = {"truncated": whole[:-60], "text": b"<html>404</html>", "empty": b""}
        file.write_bytes(broken[content])
        again = load_data(folder, **image_set.options)
        with pytest.raises(
            FairPOFileError, match=rf"^{re.escape(str(file))}: is not a readable image"
        ):
            again.items.load(1)
        again.items.load(0)

    def test_names_an_image_that_vanished_after_reading(self, image_set, folder):
        data = load_data(folder, **image_set.options)
        file = data.items.root / data.items.name(1)
        file.unlink()
        for use in (data.items.load, data.items.digest):
            with pytest.raises(FairPOFileError, match=re.escape(str(file))):
                use(1)


LISTED = {name: known for name, known in IMAGE_SETS.items() if known.format != "yolo"}


@pytest.mark.parametrize("image_set", LISTED.values(), ids=LISTED)
class TestEveryReaderOfLists:
    @pytest.fixture
    def folder(self, image_set, tmp_path):
        return image_set.write(tmp_path)

    def test_gives_labels_only_where_no_image_lies(self, image_set, folder):
        for file in sets.files_of(folder):
            file.unlink()
        data = load_data(folder, **image_set.options)
        assert data.items is None
        assert values_of(data) == image_set.values
        assert set(data.split) == {"train", "validation", "test"}
        count = len(image_set.values)
        (note,) = [note for note in data.notes if "labels only" in note]
        assert note.startswith(f"none of the {count} listed images lies below {folder}")

    def test_skips_and_counts_missing_images(self, image_set, folder):
        data = read(folder, image_set.format, **image_set.options)
        gone = data.rows("train")[0]
        (data.items.root / data.items.name(gone)).unlink()
        left = read(folder, image_set.format, **image_set.options)
        expected = {name: row for name, row in image_set.values.items() if name != data.ids[gone]}
        assert values_of(left) == expected
        expected_train = image_set.splits["train"][1:]
        assert split_ids(left) == {**image_set.splits, "train": expected_train}
        assert len(left.items) == left.n_rows
        (note,) = [note for note in left.notes if "missing and skipped" in note]
        assert note.startswith(f"1 of {len(image_set.values)} listed images")
        assert note.endswith(f"the first {data.items.name(gone)}")

    def test_names_a_split_of_which_every_image_is_missing(self, image_set, folder):
        data = read(folder, image_set.format, **image_set.options)
        for row in data.rows("test"):
            (data.items.root / data.items.name(row)).unlink()
        with pytest.raises(FairPOFileError, match="holds no image of the test split"):
            load_data(folder, **image_set.options)


@pytest.mark.parametrize("format", ["coco", "nuswide", "voc", "yolo", "image-folder"])
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_format_by_name_on_something_else_is_refused(tmp_path, format, kind):
    path = tmp_path / "other"
    if kind == "folder":
        path.mkdir()
    else:
        path.write_text("text")
    with pytest.raises(FairPOFileError, match="other"):
        load_data(path, format=format)


class TestCoco:
    @pytest.fixture
    def folder(self, tmp_path):
        return sets.coco2017(tmp_path)

    @pytest.fixture
    def train(self, folder):
        return folder / "annotations" / "instances_train2017.json"

    def test_keeps_images_without_annotations_and_says_so(self, folder, train):
        data = read(folder, "coco")
        assert positives_of(data)["train2017/000000000036.jpg"] == []
        assert data.notes == ("2 of 9 images have no annotation and are kept",)

    def test_says_nothing_where_every_image_has_annotations(self, folder, train):
        for file in (folder / "annotations").iterdir():
            sets.edit_json(
                file,
                lambda content: content.update(
                    images=[
                        image
                        for image in content["images"]
                        if any(image["id"] == box["image_id"] for box in content["annotations"])
                    ]
                ),
            )
        data = read(folder, "coco")
        assert data.notes == () and data.n_rows == 7

    def test_can_do_without_any_annotation(self, folder):
        for file in (folder / "annotations").iterdir():
            sets.edit_json(file, lambda content: content.update(annotations=[]))
        data = read(folder, "coco")
        assert data.targets.shape == (9, 5) and not np.any(data.targets)
        assert data.notes == ("9 of 9 images have no annotation and are kept",)

    def test_counts_several_objects_of_a_category_once(self, folder, train):
        image = sets.COCO_TRAIN[9]
        assert image.count("bowl") == 2
        boxes = json.loads(train.read_text())["annotations"]
        assert sum(box["image_id"] == 9 and box["category_id"] == 51 for box in boxes) == 2
        data = read(folder, "coco")
        row = data.ids.index("train2017/000000000009.jpg")
        assert data.targets[row].tolist() == [0, 0, 0, 1, 1]

    def test_orders_labels_by_category_number(self, folder):
        before = read(folder, "coco")
        for file in (folder / "annotations").iterdir():
            sets.edit_json(file, lambda content: content["categories"].reverse())
        data = read(folder, "coco")
        assert data.label_names == ("person", "bicycle", "dog", "bowl", "broccoli")
        assert np.array_equal(data.targets, before.targets)

    def test_asks_for_the_year_where_both_lie(self, tmp_path):
        folder = sets.coco_both_years(tmp_path)
        with pytest.raises(
            FairPOFileError,
            match=r"holds the annotations of 2014 and 2017\. Choose one: --data-option year=2014\.",
        ):
            load_data(folder)

    def test_says_which_years_lie_there(self, tmp_path):
        folder = sets.coco_both_years(tmp_path)
        with pytest.raises(
            FairPOFileError, match=r"has no instances_\*2015\.json \(it has 2014 and 2017\)"
        ):
            load_data(folder, year="2015")

    def test_takes_the_images_from_another_folder(self, folder, tmp_path):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        for part in ("train2017", "val2017"):
            shutil.move(folder / part, elsewhere / part)
        assert read(folder, "coco").items is None
        data = read(folder, "coco", images=str(elsewhere))
        assert len(data.items) == 9 and data.items.load(0).size == sets.SIZE

    def test_reads_annotations_that_lie_beside_the_images(self, folder):
        before = load_data(folder)
        for file in (folder / "annotations").iterdir():
            file.rename(folder / file.name)
        (folder / "annotations").rmdir()
        data = load_data(folder)
        assert data.ids == before.ids and np.array_equal(data.targets, before.targets)

    def test_ignores_the_other_official_annotations(self, folder):
        for name in ("captions_train2017.json", "person_keypoints_val2017.json", "image_info.json"):
            (folder / "annotations" / name).write_text("[")
        assert load_data(folder).n_rows == 9

    def test_tells_where_json_is_truncated(self, folder, train):
        text = json.dumps(json.loads(train.read_text()), indent=1)
        cut = text.index('"file_name"', text.index('"file_name"') + 1) + 8
        train.write_text(text[:cut])
        lines = text[:cut].splitlines()
        column = lines[-1].index('"') + 1
        where = f"line {len(lines)}, column {column}: not valid JSON"
        with pytest.raises(FairPOFileError, match=rf"instances_train2017\.json: {where}"):
            load_data(folder)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda c: c.pop("images"), "has no key 'images'"),
            (lambda c: c.pop("annotations"), "has no key 'annotations'"),
            (lambda c: c.pop("categories"), "has no key 'categories'"),
            (lambda c: c.update(images={}), "images must be a list, got dict"),
            (lambda c: c.update(annotations=None), "annotations must be a list, got NoneType"),
            (lambda c: c.update(images=[], annotations=[]), "lists no images"),
            (
                lambda c: c.update(categories=[], annotations=[]),
                "lists no categories",
            ),
            (lambda c: c["images"].insert(1, 7), r"images\[1\] must be an object, got int"),
            (
                lambda c: c["images"][2].pop("file_name"),
                r"images\[2\] file_name must be text, but is not there",
            ),
            (
                lambda c: c["images"][2].update(file_name=9),
                r"images\[2\] file_name must be text, but is 9",
            ),
            (
                lambda c: c["images"][2].update(file_name=" "),
                r"images\[2\] file_name must be text, but is ' '",
            ),
            (
                lambda c: c["images"][3].pop("id"),
                r"images\[3\] id must be an integer, but is not there",
            ),
            (
                lambda c: c["images"][3].update(id="34"),
                r"images\[3\] id must be an integer, but is '34'",
            ),
            (
                lambda c: c["images"][3].update(id=True),
                r"images\[3\] id must be an integer, but is True",
            ),
            (lambda c: c["images"][4].update(id=30), r"images\[4\] repeats id 30"),
            (
                lambda c: c["annotations"][1].pop("image_id"),
                r"annotations\[1\] image_id must be an integer, but is not there",
            ),
            (
                lambda c: c["annotations"][1].update(image_id=9.0),
                r"annotations\[1\] image_id must be an integer, but is 9\.0",
            ),
            (
                lambda c: c["annotations"][1].update(image_id=77),
                r"annotations\[1\] image_id 77 is not among the images",
            ),
            (
                lambda c: c["annotations"][3].update(category_id=3),
                r"annotations\[3\] category_id 3 is unknown",
            ),
            (
                lambda c: c["annotations"][3].update(category_id=[51]),
                r"annotations\[3\] category_id must be an integer, but is \[51\]",
            ),
            (lambda c: c["categories"][1].update(id=1), r"categories\[1\] repeats id 1"),
            (
                lambda c: c["categories"][1].update(name=None),
                r"categories\[1\] name must be text, but is None",
            ),
            (lambda c: c["categories"][1].update(name="dog"), "categories: two have the same name"),
        ],
    )
    def test_names_the_key_that_is_broken(self, folder, train, change, message):
        sets.edit_json(train, change)
        with pytest.raises(FairPOFileError, match=rf"instances_train2017\.json: {message}"):
            load_data(folder)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "line 1, column 1: not valid JSON"),
            (b"[1, 2]", "must hold an object, got list"),
            (b"null", "must hold an object, got NoneType"),
            (b'{"images": "\xff"}', "is not valid JSON"),
            (b'{"images": ' + b"[" * 100_000, "is not valid JSON"),
            (b'{"images": ' + b"7" * 5000 + b"}", "is not valid JSON"),
        ],
        ids=["empty", "list", "null", "not utf-8", "deep", "long number"],
    )
    def test_names_a_file_that_is_not_the_right_json(self, folder, train, content, message):
        train.write_bytes(content)
        with pytest.raises(FairPOFileError, match=rf"instances_train2017\.json: {message}"):
            load_data(folder)

    def test_names_the_file_whose_categories_differ(self, folder):
        sets.edit_json(
            folder / "annotations" / "instances_val2017.json",
            lambda content: content["categories"][0].update(name="human"),
        )
        with pytest.raises(
            FairPOFileError,
            match=r"instances_val2017\.json: has other categories than instances_train2017\.json",
        ):
            load_data(folder)

    def test_names_a_folder_in_the_place_of_annotations(self, folder, train):
        train.unlink()
        train.mkdir()
        with pytest.raises(FairPOFileError, match=r"instances_train2017\.json: cannot be read"):
            load_data(folder)


class TestNuswide:
    @pytest.fixture
    def folder(self, tmp_path):
        return sets.nuswide(tmp_path)

    def test_lists_with_windows_separators_name_the_files(self, folder):
        listed = (folder / "ImageList" / "TrainImagelist.txt").read_bytes()
        assert listed.startswith(b"actor\\0001_2124494179.jpg\r\n")
        data = read(folder, "nuswide")
        assert data.items.name(0) == "actor/0001_2124494179.jpg"
        assert data.items.root == folder / "Flickr"

    def test_every_missing_image_is_counted(self, folder):
        for name in ("actor/0002_174174086", "zoo/0004_150763131", "zoo/0006_2082743083"):
            (folder / "Flickr" / f"{name}.jpg").unlink()
        data = read(folder, "nuswide")
        assert positives_of(data) == {
            "actor/0001_2124494179.jpg": ["animal"],
            "zoo/0003_2496010155.jpg": ["animal", "sky"],
            "actor/0005_532374017.jpg": ["clouds"],
        }
        assert data.split["train"].tolist() == [0, 1] and data.split["test"].tolist() == [2]
        assert data.notes == (
            "3 of 6 listed images are missing and skipped, the first actor/0002_174174086.jpg",
        )

    def test_images_can_lie_elsewhere(self, folder, tmp_path):
        (folder / "Flickr").rename(tmp_path / "downloaded")
        assert read(folder, "nuswide").items is None
        data = read(folder, "nuswide", images=str(tmp_path / "downloaded"))
        assert len(data.items) == 6 and data.items.load(5).size == sets.SIZE

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("Groundtruth/TrainTestLabels", "TrainTestLabels"),
            ("ConceptsList/Concepts81.txt", "Concepts81.txt"),
            ("Flickr", "images"),
        ],
    )
    def test_usual_places_are_known(self, folder, before, after):
        expected = read(folder, "nuswide")
        (folder / before).rename(folder / after)
        data = load_data(folder)
        assert data.ids == expected.ids and len(data.items) == 6
        assert np.array_equal(data.targets, expected.targets)

    def test_marks_with_spaces_and_a_byte_order_mark_are_read(self, folder):
        file = folder / "Groundtruth" / "TrainTestLabels" / "Labels_sky_Train.txt"
        expected = read(folder, "nuswide")
        file.write_bytes(b"\xef\xbb\xbf0 \r\n1 \r\n1 \r\n0 \r\n\r\n")
        assert np.array_equal(read(folder, "nuswide").targets, expected.targets)

    @pytest.mark.parametrize("mark", ["2", "-1", "", "yes", "0 1", "1.0"])
    def test_names_the_line_that_is_not_a_mark(self, folder, mark):
        file = folder / "Groundtruth" / "TrainTestLabels" / "Labels_clouds_Train.txt"
        sets.edit_lines(file, lambda lines: lines.__setitem__(2, mark))
        with pytest.raises(
            FairPOFileError, match=rf"Labels_clouds_Train\.txt: line 3: '{mark}' is not 0 or 1"
        ):
            load_data(folder)

    @pytest.mark.parametrize(
        ("change", "count"), [(lambda lines: lines.pop(), 1), (lambda lines: lines.append("1"), 3)]
    )
    def test_names_the_list_of_another_length(self, folder, change, count):
        file = folder / "Groundtruth" / "TrainTestLabels" / "Labels_beach_Test.txt"
        sets.edit_lines(file, change)
        with pytest.raises(
            FairPOFileError,
            match=rf"Labels_beach_Test\.txt: has {count} lines for 2 listed images",
        ):
            load_data(folder)

    @pytest.mark.parametrize(
        "name",
        [
            "ImageList/TrainImagelist.txt",
            "ImageList/TestImagelist.txt",
            "Groundtruth/TrainTestLabels/Labels_sky_Test.txt",
        ],
    )
    def test_names_the_missing_list(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(FairPOFileError, match=rf"{re.escape(name)}: does not exist"):
            load_data(folder)

    def test_names_the_missing_folder_of_labels(self, folder):
        shutil.rmtree(folder / "Groundtruth")
        with pytest.raises(FairPOFileError, match="has no folder Groundtruth/TrainTestLabels"):
            load_data(folder)

    @pytest.mark.parametrize("part", ["Train", "Test"])
    def test_names_the_empty_list_of_images(self, folder, part):
        (folder / "ImageList" / f"{part}Imagelist.txt").write_text("\n")
        for concept in sets.NUSWIDE_CONCEPTS:
            name = f"Groundtruth/TrainTestLabels/Labels_{concept}_{part}.txt"
            (folder / name).write_text("")
        with pytest.raises(FairPOFileError, match=rf"{part}Imagelist\.txt: lists no image"):
            load_data(folder)

    @pytest.mark.parametrize("content", ["", "\n \n"])
    def test_names_the_empty_list_of_concepts(self, folder, content):
        (folder / "ConceptsList" / "Concepts81.txt").write_text(content)
        with pytest.raises(FairPOFileError, match=r"Concepts81\.txt: lists no concept"):
            load_data(folder)

    def test_names_a_list_that_is_not_text(self, folder):
        (folder / "ImageList" / "TestImagelist.txt").write_bytes(b"zoo\\\xff\xfe.jpg")
        with pytest.raises(FairPOFileError, match=r"TestImagelist\.txt: cannot be read"):
            load_data(folder)

    def test_a_concept_twice_is_refused(self, folder):
        sets.edit_lines(
            folder / "ConceptsList" / "Concepts81.txt", lambda lines: lines.append("sky")
        )
        with pytest.raises(FairPOValueError, match=r"Concepts81\.txt must be unique, got 'sky'"):
            load_data(folder)


class TestVoc:
    @pytest.fixture
    def folder(self, tmp_path):
        return sets.voc2007(tmp_path)

    @pytest.mark.parametrize(
        ("difficult", "value"), [("missing", -1), ("positive", 1), ("negative", 0)]
    )
    def test_labels_with_difficult_objects_only_are_what_the_option_says(
        self, folder, difficult, value
    ):
        data = read(folder, "voc", difficult=difficult)
        assert values_of(data) == sets.voc_positives("2007", _ALL_VOC, value)
        cell = dict(zip(data.ids, data.targets, strict=True))
        assert cell["000017"][CLASSES.index("horse")] == value
        assert cell["000001"][CLASSES.index("person")] == value
        assert cell["000017"][CLASSES.index("person")] == 1
        for name, label in (("000023", "bicycle"), ("000005", "chair"), ("000001", "dog")):
            assert cell[name][CLASSES.index(label)] == 1

    def test_missing_is_the_default_and_is_told(self, folder):
        data = load_data(folder)
        assert (np.asarray(data.targets) == -1).sum() == 2
        assert data.notes == ("2 entries have difficult objects only and count as missing",)
        assert load_data(folder, difficult="positive").notes == ()

    def test_an_easy_object_counts_whatever_stands_before_it(self, folder):
        annotation = folder / "VOC2007" / "Annotations" / "000023.xml"
        hard_first = read(folder, "voc")
        annotation.write_text(
            sets.voc_annotation("2007", "000023", [("bicycle", 0), ("bicycle", 1)])
        )
        easy_first = read(folder, "voc")
        assert np.array_equal(hard_first.targets, easy_first.targets)
        assert values_of(easy_first)["000023"] == {"bicycle": 1}

    @pytest.mark.parametrize("level", ["VOCdevkit/VOC2007", "VOCdevkit", "."])
    def test_the_folder_can_be_a_year_the_devkit_or_what_holds_it(self, folder, tmp_path, level):
        data = load_data(tmp_path / level)
        assert data.name == "voc2007" and data.n_rows == 7

    def test_asks_for_the_year_where_both_lie(self, tmp_path):
        folder = sets.voc_both_years(tmp_path)
        with pytest.raises(
            FairPOFileError,
            match=r"holds 2007 and 2012\. Choose one: --data-option year=2007\.",
        ):
            load_data(folder)
        with pytest.raises(FairPOFileError, match="has no VOC2010 with Annotations"):
            load_data(folder, year="2010")

    def test_2012_without_test_annotations_uses_val_as_test(self, tmp_path):
        folder = sets.voc2012(tmp_path)
        assert (folder / "VOC2012" / "ImageSets" / "Main" / "test.txt").is_file()
        data = load_data(folder)
        tested = tuple(data.ids[row] for row in data.rows("test"))
        assert tested == sets.VOC_PARTS["2012"]["val"]
        learned = {data.ids[row] for name in ("train", "validation") for row in data.rows(name)}
        assert learned == set(sets.VOC_PARTS["2012"]["train"])

    def test_an_annotation_without_the_mark_is_not_difficult(self, folder):
        annotation = folder / "VOC2007" / "Annotations" / "000017.xml"
        text = annotation.read_text()
        annotation.write_text(text.replace("\t\t<difficult>1</difficult>\n", ""))
        assert values_of(read(folder, "voc"))["000017"] == {"person": 1, "horse": 1}

    def test_tells_where_xml_is_truncated(self, folder):
        annotation = folder / "VOC2007" / "Annotations" / "000007.xml"
        lines = annotation.read_text().splitlines(keepends=True)
        annotation.write_text("".join(lines[:9]) + "\t\t<flick")
        with pytest.raises(FairPOFileError, match=r"000007\.xml: line 10: not valid XML"):
            load_data(folder)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "line 1: not valid XML"),
            (b"<annotation>\n<object>\n</annotation>", "line 3: not valid XML"),
            (b"<annotation>\xff</annotation>", "line 1: not valid XML"),
            (b'<?xml version="1.0" encoding="nonsense"?><annotation/>', "not valid XML"),
            (b'<?xml version="1.0" encoding="gbk"?><annotation/>', "not valid XML"),
        ],
    )
    def test_names_an_annotation_that_is_not_xml(self, folder, content, message):
        (folder / "VOC2007" / "Annotations" / "000007.xml").write_bytes(content)
        with pytest.raises(FairPOFileError, match=rf"000007\.xml: .*{message}"):
            load_data(folder)

    @pytest.mark.parametrize(
        ("old", "new", "name"),
        [
            ("<name>chair</name>", "<name>armchair</name>", "armchair"),
            ("<name>chair</name>", "<name>Chair</name>", "Chair"),
            ("<name>chair</name>", "<name></name>", ""),
            ("<name>chair</name>", "", ""),
        ],
    )
    def test_names_the_object_of_an_unknown_class(self, folder, old, new, name):
        annotation = folder / "VOC2007" / "Annotations" / "000005.xml"
        first, second = annotation.read_text().split(old, 1)
        annotation.write_text(first + old + second.replace(old, new, 1))
        with pytest.raises(
            FairPOFileError, match=rf"000005\.xml: object 2: name '{name}' is not a class of VOC"
        ):
            load_data(folder)

    @pytest.mark.parametrize("part", ["train", "val", "test"])
    @pytest.mark.parametrize("content", ["", " \n\n"])
    def test_names_the_empty_list(self, folder, part, content):
        (folder / "VOC2007" / "ImageSets" / "Main" / f"{part}.txt").write_text(content)
        with pytest.raises(FairPOFileError, match=rf"Main/{part}\.txt: lists no image"):
            load_data(folder)

    def test_names_the_missing_list_of_training_images(self, folder):
        (folder / "VOC2007" / "ImageSets" / "Main" / "train.txt").unlink()
        with pytest.raises(FairPOFileError, match=r"Main/train\.txt: does not exist"):
            load_data(folder)

    def test_names_the_missing_annotation(self, folder):
        (folder / "VOC2007" / "Annotations" / "000017.xml").unlink()
        with pytest.raises(FairPOFileError, match=r"000017\.xml: cannot be read"):
            load_data(folder)

    def test_counts_empty_lines_when_it_names_a_line(self, folder):
        listed = folder / "VOC2007" / "ImageSets" / "Main" / "train.txt"
        listed.write_text("000012\n\n\n../000017\n")
        with pytest.raises(FairPOFileError, match=r"train\.txt: line 4: '\.\./000017"):
            load_data(folder)

    def test_a_test_list_of_a_name_too_long_for_a_file_is_without_annotations(self, folder):
        listed = folder / "VOC2007" / "ImageSets" / "Main" / "test.txt"
        listed.write_text("0" * 400)
        assert load_data(folder).kind.endswith("splits train, val")


class TestYolo:
    @pytest.fixture
    def folder(self, tmp_path):
        return sets.yolo(tmp_path)

    @pytest.fixture
    def label(self, folder):
        return folder / "labels" / "train2014" / "COCO_train2014_000000000009.txt"

    def test_keeps_images_without_label_file_and_says_so(self, folder):
        data = read(folder, "yolo")
        name = "images/train2014/COCO_train2014_000000000034.jpg"
        assert not (folder / name.replace("images", "labels").replace(".jpg", ".txt")).exists()
        assert positives_of(data)[name] == []
        assert data.notes == ("1 of 6 images have no label file and are kept, without a label",)

    def test_an_empty_label_file_is_no_label_and_no_note(self, folder):
        file = folder / "labels" / "train2014" / "COCO_train2014_000000000034.txt"
        file.write_text("\n")
        data = read(folder, "yolo")
        assert positives_of(data)[f"images/train2014/{file.stem}.jpg"] == []
        assert data.notes == ()

    def test_counts_several_boxes_of_a_class_once(self, folder, label):
        assert [line.split()[0] for line in label.read_text().splitlines()] == ["3", "4", "3"]
        data = read(folder, "yolo")
        row = data.ids.index(f"images/train2014/{label.stem}.jpg")
        assert data.targets[row].tolist() == [0, 0, 0, 1, 1]

    def test_finds_labels_of_images_in_subfolders(self, folder):
        for kind in ("images", "labels"):
            place = folder / kind / "train2014" / "more" / "here"
            place.mkdir(parents=True)
            for file in (folder / kind / "train2014").glob("*_000000000025.*"):
                file.rename(place / file.name)
        data = read(folder, "yolo")
        name = "images/train2014/more/here/COCO_train2014_000000000025.jpg"
        assert positives_of(data)[name] == ["person"]
        assert data.items.load(data.ids.index(name)).size == sets.SIZE

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("5 0.5 0.5 0.2 0.2", "class 5 is beyond the 5 names"),
            ("80 0.5 0.5 0.2 0.2", "class 80 is beyond the 5 names"),
            ("dog 0.5 0.5 0.2 0.2", "'dog' is not a class number"),
            ("-1 0.5 0.5 0.2 0.2", "'-1' is not a class number"),
            ("1.0 0.5 0.5 0.2 0.2", r"'1\.0' is not a class number"),
            ("² 0.5 0.5 0.2 0.2", "'²' is not a class number"),
            ("9" * 5000 + " 0.5 0.5 0.2 0.2", "class 9+ is beyond the 5 names"),
            ("1", "'1' is not a class number and a box"),
            ("1 0.5 0.5 0.2", r"'1 0\.5 0\.5 0\.2' is not a class number and a box"),
        ],
    )
    def test_names_the_line_that_is_no_object(self, folder, label, line, message):
        sets.edit_lines(label, lambda lines: lines.__setitem__(1, line))
        with pytest.raises(
            FairPOFileError, match=rf"labels/train2014/{label.name}: line 2: {message}"
        ):
            load_data(folder)

    def test_names_a_label_file_that_is_not_text(self, folder, label):
        label.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(FairPOFileError, match=rf"{label.name}: cannot be read"):
            load_data(folder)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "lists no name"),
            (b"\n\n", "lists no name"),
            (b"person\n\xff\n", "cannot be read"),
            (b"person\n\ndog\n", "line 2: holds no name"),
        ],
    )
    def test_names_a_broken_list_of_names(self, folder, content, message):
        (folder / "coco.names").write_bytes(content)
        with pytest.raises(FairPOFileError, match=rf"coco\.names: {message}"):
            load_data(folder)

    def test_a_name_twice_is_refused(self, folder):
        sets.edit_lines(folder / "coco.names", lambda lines: lines.append("dog"))
        with pytest.raises(FairPOValueError, match=r"coco\.names must be unique, got 'dog'"):
            load_data(folder)

    def test_empty_lines_after_the_names_are_no_names(self, folder):
        sets.edit_lines(folder / "coco.names", lambda lines: lines.extend(["", " "]))
        assert load_data(folder).label_names == sets.YOLO_NAMES

    def test_names_the_missing_folder_of_images(self, folder):
        shutil.rmtree(folder / "images")
        with pytest.raises(FairPOFileError, match="yolo: has no folder images"):
            load_data(folder, format="yolo")

    def test_refuses_several_training_parts(self, folder):
        shutil.copytree(folder / "images" / "train2014", folder / "images" / "train2017")
        with pytest.raises(
            FairPOFileError, match="has several train folders: train2014, train2017"
        ):
            load_data(folder)

    def test_refuses_a_set_without_training_part(self, folder):
        shutil.rmtree(folder / "images" / "train2014")
        with pytest.raises(FairPOFileError, match="has no folder whose name begins with train"):
            load_data(folder)

    def test_names_a_part_without_images(self, folder):
        for file in sets.files_of(folder / "images" / "val2014"):
            file.unlink()
        with pytest.raises(FairPOFileError, match="val2014: holds no image"):
            load_data(folder)

    def test_a_folder_that_is_named_like_an_image_is_skipped(self, folder):
        (folder / "images" / "train2014" / "a.jpg").mkdir()
        data = load_data(folder)
        assert data.n_rows == 6


def _coco_lists(folder, name):
    file = folder / "annotations" / "instances_train2017.json"
    sets.edit_json(file, lambda content: content["images"][0].update(file_name=name))
    return r"instances_train2017\.json: images\[0\]"


def _nuswide_lists(folder, name):
    file = folder / "ImageList" / "TrainImagelist.txt"
    sets.edit_lines(file, lambda lines: lines.__setitem__(0, name))
    return r"TrainImagelist\.txt: line 1"


def _voc_lists(folder, name):
    file = folder / "VOC2007" / "ImageSets" / "Main" / "train.txt"
    sets.edit_lines(file, lambda lines: lines.__setitem__(0, name.removesuffix(".jpg")))
    return r"train\.txt: line 1"


def _table_lists(folder, name):
    sets.edit_lines(
        folder / "metadata.csv", lambda lines: lines.__setitem__(1, f'"{name}",cat,train')
    )
    return r"metadata\.csv: line 2"


LISTING = {
    "coco": (sets.coco2017, _coco_lists, "train2017"),
    "nuswide": (sets.nuswide, _nuswide_lists, "Flickr"),
    "voc": (sets.voc2007, _voc_lists, "VOC2007/JPEGImages"),
    "own-images": (sets.image_folder, _table_lists, "."),
}


@pytest.mark.parametrize(("write", "lists", "below"), LISTING.values(), ids=LISTING)
class TestListedNames:
    @pytest.fixture
    def outside(self, tmp_path):
        """An image with its annotation, of which no reader may make use."""
        sets.write_image(tmp_path / "outside" / "secret.jpg", 1)
        annotation = sets.voc_annotation("2007", "secret", [("cat", 0)])
        (tmp_path / "outside" / "secret.xml").write_text(annotation)
        return tmp_path / "outside"

    @pytest.mark.parametrize(
        ("name", "problem"),
        [
            ("{outside}/secret.jpg", "is an absolute path"),
            ("{up}/outside/secret.jpg", "climbs out"),
            ("sub/../{up}/outside/secret.jpg", "climbs out"),
            (r"..\..\..\..\outside\secret.jpg", "climbs out"),
            (r"\outside\secret.jpg", "is an absolute path"),
            (r"C:\outside\secret.jpg", "is an absolute path"),
            ("c:/outside/secret.jpg", "is an absolute path"),
            (r"\\server\share\secret.jpg", "is an absolute path"),
        ],
    )
    def test_that_leave_the_folder_are_refused(
        self, tmp_path, outside, write, lists, below, name, problem
    ):
        folder = write(tmp_path)
        up = os.path.relpath(tmp_path, folder / below)
        where = lists(folder, name.format(outside=outside, up=up))
        with pytest.raises(FairPOFileError, match=rf"{where}: '.*secret\S*' {problem}"):
            load_data(folder)

    def test_that_stay_below_the_folder_are_let_in(self, tmp_path, write, lists, below):
        folder = write(tmp_path)
        sets.write_image(folder / below / "sub" / "inside.jpg", 5)
        annotations = folder / "VOC2007" / "Annotations" / "sub"
        annotations.mkdir(parents=True)
        (annotations / "inside.xml").write_text(sets.voc_annotation("2007", "inside", [("cat", 0)]))
        lists(folder, r".\sub\inside.jpg")
        data = load_data(folder)
        (row,) = [row for row in range(data.n_rows) if "sub/inside" in data.items.name(row)]
        assert data.items.load(row).size == sets.SIZE
        assert not data.notes or "missing and skipped" not in data.notes[-1]

    def test_that_are_links_out_of_the_folder_are_refused(
        self, tmp_path, outside, write, lists, below
    ):
        folder = write(tmp_path)
        os.symlink(outside / "secret.jpg", folder / below / "linked.jpg")
        (folder / "VOC2007" / "Annotations").mkdir(parents=True, exist_ok=True)
        shutil.copy(outside / "secret.xml", folder / "VOC2007" / "Annotations" / "linked.xml")
        where = lists(folder, "linked.jpg")
        with pytest.raises(FairPOFileError, match=rf"{where}: '.*linked\S*' is a link out"):
            load_data(folder)

    def test_that_are_links_within_the_folder_are_let_in(self, tmp_path, write, lists, below):
        folder = write(tmp_path)
        inside = folder / below / "sub" / "inside.jpg"
        sets.write_image(inside, 5)
        os.symlink(inside, folder / below / "linked.jpg")
        annotations = folder / "VOC2007" / "Annotations"
        annotations.mkdir(parents=True, exist_ok=True)
        (annotations / "linked.xml").write_text(sets.voc_annotation("2007", "inside", [("cat", 0)]))
        lists(folder, "linked.jpg")
        data = load_data(folder)
        (row,) = [row for row in range(data.n_rows) if "linked" in data.items.name(row)]
        assert data.items.load(row).size == sets.SIZE

    def test_below_a_folder_that_is_a_link_out_are_refused(
        self, tmp_path, outside, write, lists, below
    ):
        folder = write(tmp_path)
        os.symlink(outside, folder / below / "sub")
        (folder / "VOC2007" / "Annotations" / "sub").mkdir(parents=True)
        shutil.copy(outside / "secret.xml", folder / "VOC2007" / "Annotations" / "sub")
        where = lists(folder, "sub/secret.jpg")
        with pytest.raises(FairPOFileError, match=rf"{where}: 'sub/secret\S*' is a link out"):
            load_data(folder)

    def test_that_link_to_themselves_are_missing(self, tmp_path, write, lists, below):
        folder = write(tmp_path)
        os.symlink("loop.jpg", folder / below / "loop.jpg")
        (folder / "VOC2007" / "Annotations").mkdir(parents=True, exist_ok=True)
        (folder / "VOC2007" / "Annotations" / "loop.xml").write_text("<annotation/>")
        lists(folder, "loop.jpg")
        assert re.search("1 of . listed images are missing", " ".join(load_data(folder).notes))

    @pytest.mark.parametrize(
        "name",
        ["0" * 300 + ".jpg", "0" * 300 + "/a.jpg", "0/" * 5000 + "a.jpg"],
        ids=["file", "folder", "path"],
    )
    def test_too_long_for_a_file_are_missing(self, tmp_path, write, lists, below, name):
        folder = write(tmp_path)
        lists(folder, name)
        if below.startswith("VOC"):
            with pytest.raises(FairPOFileError, match=r"\.xml: cannot be read"):
                load_data(folder)
        else:
            notes = " ".join(load_data(folder).notes)
            assert re.search("1 of . listed images are missing and skipped", notes)

    def test_with_a_null_character_are_refused(self, tmp_path, write, lists, below):
        folder = write(tmp_path)
        where = lists(folder, "a\0.jpg")
        with pytest.raises(FairPOFileError, match=rf"{where}: .* is not a file name"):
            load_data(folder)


@pytest.mark.parametrize("name", ["\ud800.jpg", "\ud800/a.jpg"])
def test_coco_names_that_no_file_can_have_are_refused(tmp_path, name):
    folder = sets.coco2017(tmp_path)
    where = _coco_lists(folder, name)
    with pytest.raises(FairPOFileError, match=rf"{where}: '\\ud800.*' is not a file name"):
        load_data(folder)


@pytest.mark.parametrize(
    ("write", "name", "list_name"),
    [
        (sets.coco2017, "train2017", r"instances_train2017\.json: images\[0\]"),
        (sets.coco_below_images, "images/train2017", r"instances_train2017\.json: images\[0\]"),
        (sets.coco_below_images, "images", r"instances_train2017\.json: images\[0\]"),
        (sets.nuswide, "Flickr/zoo", r"TrainImagelist\.txt: line 3"),
        (sets.voc2007, "VOC2007/JPEGImages", r"train\.txt: line 1"),
        (sets.voc2007, "VOC2007/Annotations", r"train\.txt: line 1"),
        (sets.yolo, "images/train2014", "'images/train2014"),
        (sets.yolo, "images", "'images/train2014"),
        (sets.yolo, "labels/train2014", "'labels/train2014"),
    ],
)
def test_folders_that_are_links_out_are_refused(tmp_path, write, name, list_name):
    folder = write(tmp_path)
    shutil.move(folder / name, tmp_path / "outside")
    os.symlink(tmp_path / "outside", folder / name)
    with pytest.raises(FairPOFileError, match=rf"{list_name}.* is a link out"):
        load_data(folder)


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (sets.coco2017, "train2017/000000000025.jpg"),
        (sets.nuswide, "Flickr/zoo/0003_2496010155.jpg"),
        (sets.voc2007, "VOC2007/JPEGImages/000017.jpg"),
        (sets.voc2007, "VOC2007/Annotations/000017.xml"),
        (sets.yolo, "images/train2014/COCO_train2014_000000000025.jpg"),
        (sets.yolo, "labels/train2014/COCO_train2014_000000000025.txt"),
    ],
)
def test_files_that_are_links_out_are_refused(tmp_path, write, name):
    folder = write(tmp_path)
    shutil.move(folder / name, tmp_path / "outside")
    os.symlink(tmp_path / "outside", folder / name)
    stem = (folder / name).stem
    with pytest.raises(FairPOFileError, match=rf"{stem}.* is a link out"):
        load_data(folder)


def test_a_yolo_image_with_a_backslash_in_its_name_is_no_way_out(tmp_path):
    folder = sets.yolo(tmp_path)
    sets.write_image(tmp_path / "outside.jpg", 7)
    os.symlink(tmp_path / "outside.jpg", folder / "images" / "train2014" / r"a\b.jpg")
    data = load_data(folder)
    assert data.n_rows == 6
    assert not any("b.jpg" in name for name in data.items.names)


@pytest.mark.parametrize("write", [sets.coco2017, sets.nuswide, sets.voc2007, sets.yolo])
def test_the_folder_itself_may_be_a_link(tmp_path, write):
    folder = write(tmp_path)
    folder.rename(tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", folder)
    data = load_data(folder)
    assert len(data.items) == data.n_rows and not any("missing and" in note for note in data.notes)


_LISTS = ("images", "annotations", "categories")
_KEYS = (*_LISTS, "id", "file_name", "image_id", "category_id", "name")
_TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 1, 9, 51, -1, 2**63, 10**4000])
    | st.floats()
    | _TEXT
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(_KEYS) | _TEXT, inner, max_size=4)
    ),
    max_leaves=12,
)
_ENTRIES = st.lists(_JSON | st.dictionaries(st.sampled_from(_KEYS), _SCALARS), max_size=3)
_DOCUMENTS = _JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(_LISTS, _ENTRIES))


def _places(value, path=()):
    """Every key and position in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in inner:
        yield (*path, key)
        if isinstance(child, dict | list):
            yield from _places(child, (*path, key))


@st.composite
def _mutated(draw):
    document = sets.coco_document("train", "2017", {9: ("bowl", "dog"), 25: ("person",), 36: ()})
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(document))
        if not places:
            break
        *path, last = draw(st.sampled_from(places))
        holder = document
        for key in path:
            holder = holder[key]
        if draw(st.booleans()):
            del holder[last]
        else:
            holder[last] = draw(_JSON)
    content = bytearray(json.dumps(document).encode())
    for place in draw(st.lists(st.integers(0, len(content) - 1), max_size=2)):
        content[place] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.none() | st.integers(0, len(content)))])


def _parses_or_names_the_file(folder, content):
    path = folder / "instances_train2017.json"
    path.write_bytes(content)
    read_back = problem = None
    try:
        read_back = read_instances(path)
    except FairPOFileError as error:
        problem = str(error)
    if read_back is None:
        assert problem.startswith(f"{path}: ")
        return
    assert read_back.names and all(name.strip() for name in read_back.names)
    assert len(set(read_back.categories.values())) == len(read_back.categories) > 0
    assert len(set(read_back.positives)) == len(read_back.positives)
    for image, category in read_back.positives:
        assert 0 <= image < len(read_back.names) and category in read_back.categories


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzzed")


@settings(deadline=None, max_examples=150)
@given(_DOCUMENTS)
def test_any_json_parses_or_is_an_error_that_names_the_file(fuzzed, document):
    _parses_or_names_the_file(fuzzed, json.dumps(document).encode())


@settings(deadline=None, max_examples=150)
@given(_mutated())
@example(b"1" * 5000)
@example(b"[" * 5000)
@example(b'{"images": [{"id": ' + b"[" * 800 + b"]" * 800 + b"}], ")
def test_a_damaged_document_parses_or_is_an_error_that_names_the_file(fuzzed, content):
    _parses_or_names_the_file(fuzzed, content)


def test_the_document_that_is_damaged_is_whole_at_first(fuzzed):
    path = fuzzed / "instances_val2017.json"
    document = sets.coco_document("train", "2017", {9: ("bowl", "dog"), 25: ("person",), 36: ()})
    path.write_text(json.dumps(document))
    read_back = read_instances(path)
    assert read_back.names == [f"{number:012}.jpg" for number in (9, 25, 36)]
    assert read_back.positives == [(0, 18), (0, 51), (1, 1)]
    assert read_back.categories == sets.COCO_CATEGORIES
