"""Sets for texts: embedded on the way, as by hand, and refused where that is not possible."""

import json

import numpy as np
import pytest
import torch

from fairpo import load_data
from fairpo._checks import FairPOError
from fairpo.data.embedded import embed_into_cache, embed_texts
from fairpo.labelsets import FairPOLabelSetGenerator, load_set_run
from fairpo.models.backbones import load_backbone
from tests.command import fairpo
from tests.models.tiny_models import text_model

QUICK = {"reference_epochs": 40, "width": 16, "batch_size": 32}
LABELS = ["joy", "anger", "you"]


def some_texts(rows=200, seed=0):
    """Words that say a label, and one ("is") that says joy or anger, never both."""
    rng = np.random.default_rng(seed)
    texts, sets = [], []
    for mood, you in zip(rng.integers(0, 3, rows), rng.integers(0, 2, rows), strict=True):
        read = rng.integers(0, 2) if mood == 2 else mood
        words = [["love good", "hate bad", "is is"][mood], "you" if you else "the"]
        texts.append(" ".join(rng.permutation(words)))
        sets.append([int(read == 0), int(read == 1), int(you)])
    return texts, np.array(sets, dtype=np.int8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts")
    text_model(path / "bert")
    texts, y = some_texts()
    lines = [
        f"{text},{';'.join(name for name, one in zip(LABELS, row, strict=True) if one)}"
        for text, row in zip(texts, y, strict=True)
    ]
    (path / "moods.csv").write_text("text,labels\n" + "\n".join(lines) + "\n")
    (path / "new.csv").write_text("text\nlove good you\nis is the\n")
    return path


@pytest.fixture(scope="module")
def trained(folder):
    """The run of the command, on texts that nobody embedded before."""
    settings = [word for key, value in QUICK.items() for word in ("--set", f"{key}={value}")]
    words = ("labelsets", "train", "moods.csv", "--backbone", "bert", "--privileged", "joy")
    done = fairpo(*words, *settings, "--out", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "embeddings by bert of table of texts in column text" in done.stderr
    return settings


def test_a_run_on_texts_is_the_run_on_their_store(folder, trained):
    done = fairpo("embed", "moods.csv", "--backbone", "bert", "--out", "store", cwd=folder)
    assert done.returncode == 0, done.stderr
    words = ("labelsets", "train", "store", "--privileged", "joy", "--out", "by-hand")
    done = fairpo(*words, *trained, cwd=folder)
    assert done.returncode == 0, done.stderr
    here, there = (load_set_run(folder / name) for name in ("run", "by-hand"))
    assert here.backbone == there.backbone
    for name, weights in there.generator.state_dict().items():
        assert torch.equal(here.generator.state_dict()[name], weights)


def test_texts_are_sampled_and_evaluated_through_the_runs_own_backbone(folder, trained):
    done = fairpo("labelsets", "sample", "run", "new.csv", "--out", "s.jsonl", cwd=folder)
    assert done.returncode == 0, done.stderr
    sure, torn = [
        json.loads(line)["sets"] for line in (folder / "s.jsonl").read_text().splitlines()
    ]
    assert set(sure[0]["labels"]) == {"joy", "you"}
    assert {tuple(each["labels"]) for each in torn[:2]} == {("joy",), ("anger",)}
    assert torn[0]["probability"] + torn[1]["probability"] > 0.8
    found = fairpo("labelsets", "evaluate", "run", "--json", cwd=folder)
    assert found.returncode == 0, found.stderr
    assert "embedding bert" in found.stderr
    assert json.loads(found.stdout)["n_rows"] == 40


def test_texts_are_embedded_once(folder, tmp_path):
    data = load_data(folder / "moods.csv")
    backbone = load_backbone(str(folder / "bert"), device="cpu")
    counted = []
    first = embed_into_cache(data, backbone, tmp_path)
    again = embed_into_cache(data, backbone, tmp_path, progress=counted.append)
    (store,) = (tmp_path / "stores").iterdir()
    before = (store / "shard-00000.npy").stat().st_mtime_ns
    assert counted == [data.n_rows]  # all at once: nothing was left to do
    assert (np.asarray(first.features) == np.asarray(again.features)).all()
    assert (store / "shard-00000.npy").stat().st_mtime_ns == before
    np.testing.assert_allclose(
        np.asarray(first.features), embed_texts(data.items.values, backbone), atol=1e-6
    )
    assert (first.targets == data.targets).all()
    text_model(tmp_path / "other", seed=1)
    embed_into_cache(data, load_backbone(str(tmp_path / "other"), device="cpu"), tmp_path)
    assert len(list((tmp_path / "stores").iterdir())) == 2


def test_a_backbone_that_was_moved_is_named(folder, trained, tmp_path):
    words = ("labelsets", "sample", folder / "run", folder / "new.csv", "--out", "s.jsonl")
    done = fairpo(*words, cwd=tmp_path)  # where there is no folder "bert"
    assert done.returncode == 2
    assert "bert: made the features of the run and cannot be loaded from here" in done.stderr
    done = fairpo(*words, "--backbone", folder / "bert", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "s.jsonl").is_file()


@pytest.fixture(scope="module")
def model(folder):
    texts, y = some_texts()
    return FairPOLabelSetGenerator(["label_0"], backbone=str(folder / "bert"), **QUICK).fit(
        texts, y
    )


def test_the_estimator_reads_texts(folder, model):
    texts, y = some_texts(50, seed=1)
    backbone = load_backbone(str(folder / "bert"), device="cpu")
    by_hand = FairPOLabelSetGenerator(["label_0"], **QUICK)
    by_hand.fit(embed_texts(some_texts()[0], backbone), some_texts()[1])
    features = embed_texts(texts, backbone)
    assert by_hand.backbone_ is None
    for X in (texts, np.array(texts), features):
        assert (model.predict(X) == by_hand.predict(features)).all()
    assert model.score(texts, y) == by_hand.score(features, y)
    clear = ["is" not in text for text in texts]
    assert (model.predict(texts)[clear] == y[clear]).all()
    loaded = FairPOLabelSetGenerator(["label_0"], backbone=backbone, **QUICK).fit(texts, y)
    assert loaded.backbone_ == model.backbone_


def test_saved_and_loaded_it_reads_texts_still(folder, model, tmp_path):
    texts, _ = some_texts(20, seed=2)
    model.save(tmp_path / "saved")
    loaded = FairPOLabelSetGenerator.load(tmp_path / "saved")
    assert (loaded.predict(texts) == model.predict(texts)).all()
    text_model(tmp_path / "other", seed=1)
    loaded.set_params(backbone=str(tmp_path / "other"))
    with pytest.raises(FairPOError, match=r"X must be embedded as the run's, by .*bert \(revision"):
        loaded.predict(texts)


def test_texts_need_a_backbone_that_reads_them(folder):
    texts, y = some_texts(20)
    with pytest.raises(FairPOError, match="X must be features, got texts. Name what embeds them"):
        FairPOLabelSetGenerator(**QUICK).fit(texts, y)
    with pytest.raises(FairPOError, match="must read texts, got digits, which reads images"):
        FairPOLabelSetGenerator(backbone="digits", **QUICK).fit(texts, y)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "ambiguous-digits", "--out", "x", "--backbone", "bert"], "They need no"),
        (["train", "moods.csv", "--out", "x", "--backbone", "nowhere"], "neither a folder nor"),
        (["train", "store", "--out", "x", "--pooling", "cls"], "must stand beside --backbone"),
        (["evaluate", "run", "--backbone", "nowhere"], "nowhere: is neither a folder nor"),
        (["evaluate", "run", "store", "--backbone", "bert"], "DATA holds features"),
    ],
)
def test_mistakes(folder, trained, words, message):
    if not (folder / "store").exists():
        fairpo("embed", "moods.csv", "--backbone", "bert", "--out", "store", cwd=folder)
    done = fairpo("labelsets", *words, cwd=folder)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (folder / "x").exists()
