"""Small image sets in the structures their publishers use, with real JPEG files."""

import json
import shutil
from pathlib import Path

from PIL import Image

SIZE = (24, 18)

COCO_CATEGORIES = {1: "person", 2: "bicycle", 18: "dog", 51: "bowl", 56: "broccoli"}
COCO_TRAIN = {
    30: ("bowl",),
    9: ("bowl", "broccoli", "bowl"),
    25: ("person", "dog"),
    34: ("dog",),
    42: ("person", "bicycle"),
    36: (),
}
COCO_VAL = {139: ("person", "bowl"), 285: (), 632: ("broccoli",)}

YOLO_NAMES = ("person", "bicycle", "dog", "bowl", "broccoli")
YOLO_TRAIN = {9: ("bowl", "broccoli", "bowl"), 25: ("person",), 30: ("bicycle", "dog"), 34: ()}
YOLO_VAL = {42: ("dog",), 73: ("person", "broccoli")}

NUSWIDE_CONCEPTS = ("animal", "beach", "clouds", "sky")
NUSWIDE_TRAIN = {
    "actor/0001_2124494179": ("animal",),
    "actor/0002_174174086": ("beach", "clouds", "sky"),
    "zoo/0003_2496010155": ("animal", "sky"),
    "zoo/0004_150763131": (),
}
NUSWIDE_TEST = {"actor/0005_532374017": ("clouds",), "zoo/0006_2082743083": ("animal", "beach")}

VOC_PARTS = {
    "2007": {
        "train": ("000012", "000017", "000023"),
        "val": ("000005", "000007"),
        "test": ("000001", "000002"),
    },
    "2012": {
        "train": ("2008_000008", "2008_000015", "2008_000019"),
        "val": ("2008_000002", "2008_000003"),
        "test": ("2008_000001", "2008_000004"),
    },
}
VOC_OBJECTS = {
    "train": ((("car", 0),), (("person", 0), ("horse", 1)), (("bicycle", 1), ("bicycle", 0))),
    "val": ((("chair", 0), ("chair", 0), ("chair", 1)), ()),
    "test": ((("dog", 0), ("person", 1)), (("train", 0),)),
}
"""Class and ``difficult`` of every object, of each image of :data:`VOC_PARTS` in its order."""

TABLE = {
    "a.jpg": ("cat", "train"),
    "b.jpg": ("dog", "train"),
    "c.jpg": ("cat|dog", "train"),
    "d.jpg": ("cat|dog", "test"),
}


def write_image(path, number):
    """Write a JPEG; every third one is grey, as some of COCO's are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = tuple(number * step % 256 for step in (37, 59, 83))
    image = Image.new("RGB", SIZE, colour)
    image.convert("L" if number % 3 == 0 else "RGB").save(path, "JPEG")


def edit_json(path, change):
    """Let a function change the content of a JSON file."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def edit_lines(path, change):
    """Let a function change the list of a text file's lines."""
    lines = path.read_text().splitlines()
    change(lines)
    path.write_text("".join(f"{line}\n" for line in lines))


def coco_name(part, year, number):
    """Official name of an image file: COCO_train2014_000000000009.jpg, 000000000009.jpg."""
    return f"COCO_{part}2014_{number:012}.jpg" if year == "2014" else f"{number:012}.jpg"


def coco_document(part, year, objects):
    """An ``instances_*.json`` with all of its official keys."""
    category = {name: number for number, name in COCO_CATEGORIES.items()}
    images = [
        {
            "license": 3,
            "file_name": coco_name(part, year, number),
            "coco_url": f"http://images.cocodataset.org/{part}{year}/{number:012}.jpg",
            "height": SIZE[1],
            "width": SIZE[0],
            "date_captured": "2013-11-19 20:40:11",
            "flickr_url": "http://farm5.staticflickr.com/4026/4622125393_84c270fe45_z.jpg",
            "id": number,
        }
        for number in objects
    ]
    annotations = [
        {
            "segmentation": [[1.0, 1.0, 8.5, 1.0, 8.5, 7.25, 1.0, 7.25]]
            if place
            else {"counts": [20, 4, 408], "size": [18, 24]},
            "area": 46.875,
            "iscrowd": 0 if place else 1,
            "image_id": number,
            "bbox": [1.0, 1.0, 7.5, 6.25],
            "category_id": category[name],
            "id": 1000 * number + place,
        }
        for number, names in objects.items()
        for place, name in enumerate(names)
    ]
    return {
        "info": {
            "description": f"COCO {year} Dataset",
            "url": "http://cocodataset.org",
            "version": "1.0",
            "year": int(year),
            "contributor": "COCO Consortium",
            "date_created": "2017/09/01",
        },
        "licenses": [
            {
                "url": "http://creativecommons.org/licenses/by-nc-nd/2.0/",
                "id": 3,
                "name": "Attribution-NonCommercial-NoDerivs License",
            }
        ],
        "images": images,
        "annotations": annotations,
        "categories": [
            {"supercategory": "things", "id": number, "name": name}
            for number, name in COCO_CATEGORIES.items()
        ],
    }


def _coco(folder, year, images="."):
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    for part, objects in (("train", COCO_TRAIN), ("val", COCO_VAL)):
        document = json.dumps(coco_document(part, year, objects))
        (folder / "annotations" / f"instances_{part}{year}.json").write_text(document)
        for number in objects:
            name = coco_name(part, year, number)
            write_image(folder / images / f"{part}{year}" / name, number)
    return folder


def coco2017(tmp_path):
    return _coco(tmp_path / "coco", "2017")


def coco2014(tmp_path):
    return _coco(tmp_path / "coco", "2014")


def coco_both_years(tmp_path):
    coco2014(tmp_path)
    return coco2017(tmp_path)


def coco_below_images(tmp_path):
    return _coco(tmp_path / "coco", "2017", "images")


def yolo(tmp_path):
    """COCO 2014 as the authors of FairPO keep it."""
    folder = tmp_path / "yolo"
    folder.mkdir()
    (folder / "coco.names").write_text("".join(f"{name}\n" for name in YOLO_NAMES))
    for part, objects in (("train", YOLO_TRAIN), ("val", YOLO_VAL)):
        for number, names in objects.items():
            name = coco_name(part, "2014", number)
            write_image(folder / "images" / f"{part}2014" / name, number)
            label = (folder / "labels" / f"{part}2014" / name).with_suffix(".txt")
            label.parent.mkdir(parents=True, exist_ok=True)
            lines = [
                f"{YOLO_NAMES.index(name)} 0.479492 0.688771 0.955609 0.{place}955\n"
                for place, name in enumerate(names)
            ]
            if names:  # images without objects have no label file
                label.write_text("".join(lines))
    return folder


def yolo_three_parts(tmp_path):
    """The same with a test part, so that val is the validation split."""
    folder = yolo(tmp_path)
    for kind in ("images", "labels"):
        shutil.copytree(folder / kind / "val2014", folder / kind / "test2014")
    return folder


def nuswide(tmp_path):
    folder = tmp_path / "nuswide"
    for name in ("ImageList", "Groundtruth/TrainTestLabels", "ConceptsList"):
        (folder / name).mkdir(parents=True)
    concepts = "".join(f"{concept}\n" for concept in NUSWIDE_CONCEPTS)
    (folder / "ConceptsList" / "Concepts81.txt").write_text(concepts)
    everything = NUSWIDE_TRAIN | NUSWIDE_TEST
    parts = {"Train": NUSWIDE_TRAIN, "Test": NUSWIDE_TEST, "": everything}
    for part, labels in parts.items():
        lines = "".join(f"{name}.jpg\r\n" for name in labels).replace("/", "\\")
        (folder / "ImageList" / f"{part}Imagelist.txt").write_bytes(lines.encode())
        for concept in NUSWIDE_CONCEPTS if part else ():
            marks = "".join(f"{int(concept in names)}\n" for names in labels.values())
            file = folder / "Groundtruth" / "TrainTestLabels" / f"Labels_{concept}_{part}.txt"
            file.write_text(marks)
    for number, name in enumerate(everything):
        write_image(folder / "Flickr" / f"{name}.jpg", number)
    return folder


_OBJECT = """\
	<object>
		<name>{name}</name>
		<pose>Frontal</pose>
		<truncated>{truncated}</truncated>
		<difficult>{difficult}</difficult>
		<bndbox>
			<xmin>2</xmin>
			<ymin>3</ymin>
			<xmax>19</xmax>
			<ymax>14</ymax>
		</bndbox>
{part}	</object>
"""
_PART = """\
		<part>
			<name>head</name>
			<bndbox>
				<xmin>4</xmin>
				<ymin>3</ymin>
				<xmax>9</xmax>
				<ymax>8</ymax>
			</bndbox>
		</part>
"""


def voc_annotation(year, identity, objects):
    """One file of Annotations with all of its official elements."""
    described = "".join(
        _OBJECT.format(
            name=name,
            truncated=place % 2,
            difficult=difficult,
            part=_PART if name == "person" else "",
        )
        for place, (name, difficult) in enumerate(objects)
    )
    return f"""\
<annotation>
	<folder>VOC{year}</folder>
	<filename>{identity}.jpg</filename>
	<source>
		<database>The VOC{year} Database</database>
		<annotation>PASCAL VOC{year}</annotation>
		<image>flickr</image>
		<flickrid>341012865</flickrid>
	</source>
	<owner>
		<flickrid>Fried Camels</flickrid>
		<name>Jinky the Fruit Bat</name>
	</owner>
	<size>
		<width>{SIZE[0]}</width>
		<height>{SIZE[1]}</height>
		<depth>3</depth>
	</size>
	<segmented>0</segmented>
{described}</annotation>
"""


def _voc(tmp_path, year, annotated):
    folder = tmp_path / "VOCdevkit" / f"VOC{year}"
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (folder / "Annotations").mkdir()
    parts = VOC_PARTS[year]
    for part, identities in (parts | {"trainval": parts["train"] + parts["val"]}).items():
        (lists / f"{part}.txt").write_text("".join(f"{name}\n" for name in identities))
        marks = "".join(f"{name} {place % 3 - 1:2}\n" for place, name in enumerate(identities))
        (lists / f"person_{part}.txt").write_text(marks)
    for part, identities in parts.items():
        for identity, objects in zip(identities, VOC_OBJECTS[part], strict=True):
            write_image(folder / "JPEGImages" / f"{identity}.jpg", int(identity[-6:]))
            if part in annotated:
                file = folder / "Annotations" / f"{identity}.xml"
                file.write_text(voc_annotation(year, identity, objects))
    return tmp_path / "VOCdevkit"


def voc2007(tmp_path):
    return _voc(tmp_path, "2007", ("train", "val", "test"))


def voc2012(tmp_path):
    """With the list and the images of the test part, as its test server hands them out."""
    return _voc(tmp_path, "2012", ("train", "val"))


def voc_both_years(tmp_path):
    voc2007(tmp_path)
    return voc2012(tmp_path)


def image_folder(tmp_path):
    folder = tmp_path / "own"
    rows = [f"{name},{labels},{split}\n" for name, (labels, split) in TABLE.items()]
    for number, name in enumerate(TABLE):
        write_image(folder / name, number)
    (folder / "metadata.csv").write_text("path,labels,split\n" + "".join(rows))
    return folder


def voc_positives(year, parts, difficult=-1):
    """What the annotations of some parts say: label values by image."""
    found = {}
    for part in parts:
        for identity, objects in zip(VOC_PARTS[year][part], VOC_OBJECTS[part], strict=True):
            easy = {name for name, hard in objects if not hard}
            found[identity] = {
                name: 1 if name in easy else difficult
                for name, _ in objects
                if name in easy or difficult
            }
    return found


def files_of(folder):
    """Every image of a folder, which tests remove or break."""
    return sorted(Path(folder).rglob("*.jpg"))
