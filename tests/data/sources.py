"""Small sources of every kind in one folder, as users have them."""

import numpy as np
from PIL import Image
from scipy import sparse

from tests.conftest import problem
from tests.data import image_sets
from tests.models.tiny_models import image_model, text_model


def write_sources(folder):
    """Write a table, photos, texts, image sets, ARFF, svmlight, arrays, reviews and two models."""
    image_model(folder / "vit")
    text_model(folder / "bert")
    X, y = problem(rows=120, features=6, labels=3)
    names = list("abc")
    write_patients(folder, X, y)
    write_photos(folder)
    write_texts(folder)
    for make, name in (
        (image_sets.coco2017, "coco"),
        (image_sets.yolo, "yolo"),
        (image_sets.nuswide, "nuswide"),
        (image_sets.voc_both_years, "VOCdevkit"),
    ):
        written = folder / f"made-{name}"
        written.mkdir()
        make(written).rename(folder / name)
    write_arff(folder, X, y)
    write_svmlight(folder, X, y)
    np.savez(folder / "arrays.npz", X=X, Y=y, label_names=np.array(names))
    (folder / "arrays").mkdir()
    np.save(folder / "arrays" / "X.npy", X)
    sparse.save_npz(folder / "arrays" / "Y.npz", sparse.csr_array(y))
    write_reviews(folder)


def write_patients(folder, X, y):
    lines = ["id,age,city,pressure,is_acute,is_chronic,split"]
    for row, (values, labels) in enumerate(zip(X, y, strict=True)):
        split = ("train", "train", "validation", "test")[row % 4]
        chronic = "" if row == 8 else labels[1]
        city = ("Lima", "Oslo")[row // 4 % 2]
        lines.append(f"p{row},{values[0]},{city},{values[1]},{labels[0]},{chronic},{split}")
    (folder / "patients.csv").write_text("\n".join(lines))


def write_photos(folder):
    rng = np.random.default_rng(0)
    (folder / "photos" / "beach").mkdir(parents=True)
    (folder / "new-photos").mkdir()
    lines = ["path,labels"]
    for number in range(60):
        image = Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8))
        image.save(folder / "photos" / "beach" / f"{number}.jpg")
        lines.append(f"beach/{number}.jpg,{'sea|people' if number % 3 == 0 else 'sea'}")
        if number < 5:
            image.save(folder / "new-photos" / f"{number}.jpg")
    lines[2] = "beach/1.jpg,dune|people"
    lines[3:12] = [line.replace("sea", "dune") for line in lines[3:12]]
    (folder / "photos" / "metadata.csv").write_text("\n".join(lines))


def write_texts(folder):
    """The columns of GoEmotions in a Parquet file."""
    import pandas

    rng = np.random.default_rng(0)
    labels = ["grief", "pride", "relief", "joy", "anger"]
    rows = 150
    table = {
        "text": [
            " ".join(rng.choice(["i", "love", "hate", "the", "good"], 5)) for _ in range(rows)
        ],
        "labels": [
            list(rng.choice(labels, rng.integers(1, 3), replace=False)) for _ in range(rows)
        ],
        "split": ["train", "train", "dev", "test", "train"] * (rows // 5),
    }
    pandas.DataFrame(table).to_parquet(folder / "goemotions.parquet")


def write_arff(folder, X, y):
    (folder / "labels").mkdir()
    xml = "".join(f'<label name="{name}"/>' for name in "abc")
    for path in (folder / "scene.xml", folder / "labels" / "scene.xml"):
        path.write_text(f'<labels xmlns="http://mulan.sourceforge.net/labels">{xml}</labels>')
    head = ["@relation scene", *(f"@attribute x{column} numeric" for column in range(6))]
    head += [*(f"@attribute {name} {{0,1}}" for name in "abc"), "@data"]
    rows = [",".join(map(str, [*values, *labels])) for values, labels in zip(X, y, strict=True)]
    (folder / "scene-train.arff").write_text("\n".join(head + rows[:80]))
    (folder / "scene-test.arff").write_text("\n".join(head + rows[80:]))


def write_svmlight(folder, X, y):
    from sklearn.datasets import dump_svmlight_file

    for name, rows in (("tags-train.svm", slice(80)), ("tags-test.svm", slice(80, 120))):
        dump_svmlight_file(X[rows], y[rows], str(folder / name), multilabel=True, zero_based=False)


def write_reviews(folder):
    import datasets

    kinds = datasets.ClassLabel(names=["fast", "cheap", "kind"])
    features = {"text": datasets.Value("string"), "labels": datasets.List(kinds)}
    rows = {
        "text": ["i love the good", "bad is bad", "you"] * 20,
        "labels": [[0, 1], [2], []] * 20,
    }
    whole = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
    whole.save_to_disk(str(folder / "reviews"))
