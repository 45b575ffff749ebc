"""The paper's study: its partitions and settings, and its tables beside ours."""

import json
import re

import numpy as np
import pytest

from fairpo._checks import FairPOValueError
from fairpo.experiments.paper import N_LABELS, PAPER, PARTITIONS, reproduction
from fairpo.metrics import map_batch_mean
from tests.command import fairpo

NAMES = tuple(f"label {number}" for number in range(80))


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    """Arrays with the labels of COCO, learnable."""
    rng = np.random.default_rng(0)
    targets = (rng.random((500, 80)) < 0.08).astype(np.int8)
    features = targets @ rng.normal(size=(80, 24)) + rng.normal(size=(500, 24))
    path = tmp_path_factory.mktemp("paper") / "coco.npz"
    rows = np.arange(500)
    names = np.array(NAMES)
    np.savez(
        path, X=features, Y=targets, label_names=names, train_idx=rows[:400], test_idx=rows[400:]
    )
    return path


@pytest.fixture(scope="module")
def reproduced(coco):
    out = coco.parent / "out"
    result = fairpo("reproduce", "coco", coco, "--out", out, "--epochs", 1, "--jobs", 1)
    assert result.returncode == 0, result.stderr
    return out, result


def test_partitions_and_settings_are_the_papers():
    study = reproduction("coco", "coco-vit", NAMES)
    variants = {variant.name: variant.plan for variant in study.variants()}
    assert list(variants) == [
        "first 20, paper-v1",
        "first 20, paper-v2",
        "tail, paper-v1",
        "tail, paper-v2",
    ]
    tail = variants["tail, paper-v2"]
    assert len(tail.privileged.split(",")) == 20
    assert tail.privileged.startswith("label 78,label 70,label 12")
    assert (tail.preset, tail.training.epochs, tail.training.gradient_clip) == ("paper-v2", 25, 1.0)
    assert variants["tail, paper-v1"].training.batch_size == 32
    assert tail.training.tolerance_points == 100
    for benchmark, partitions in PARTITIONS.items():
        for places in partitions.values():
            assert len(set(places)) == len(places)
            assert max(places) < N_LABELS[benchmark]


def test_data_of_other_labels_are_refused(coco, tmp_path):
    with pytest.raises(FairPOValueError, match="must have the 81 labels of nuswide, got 80"):
        reproduction("nuswide", "x", NAMES)
    result = fairpo("reproduce", "voc", coco, "--out", tmp_path / "out")
    assert "BENCHMARK must be coco or nuswide, got 'voc'" in result.stderr
    assert not (tmp_path / "out").exists()


def test_tables_stand_side_by_side(reproduced, coco):
    out, result = reproduced
    assert "reproduction.md" in result.stdout
    text = (out / "reproduction.md").read_text()
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == [
        "first 20, paper-v1",
        "first 20, paper-v2",
        "tail, paper-v1",
        "tail, paper-v2",
    ]
    (row,) = re.findall(r"^\| fairpo-dpo \| (75\.1 / 83\.0.*) \|$", text.split("## ")[4], re.M)
    cells = row.split(" | ")
    metrics = json.loads((out / "metrics.json").read_text())
    (ours,) = [
        r["cells"]
        for r in metrics["variants"][3]["metrics"]["rows"]
        if (r["method"], r["epoch"]) == ("fairpo-dpo", "selected")
    ]
    assert cells[2] == " / ".join(
        f"{100 * ours[f'map/{group}']['value']:.1f}" for group in ("privileged", "non_privileged")
    )
    theirs = PAPER["coco", "tail"]["fairpo-dpo"]
    assert cells[7] == f"{theirs[3][0]:.1f} / {theirs[3][1]:.1f}"


def test_the_batch_mean_is_the_authors(reproduced, coco):
    out, _ = reproduced
    records = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    record = next(
        r for r in records if (r["variant"], r["method"]) == ("tail, paper-v1", "bce-continued")
    )
    with np.load(out / "scores" / f"{record['key']}.npz") as scores, np.load(coco) as arrays:
        targets = arrays["Y"][arrays["test_idx"]]
        logits = scores["last.test."]
    tail = list(PARTITIONS["coco"]["tail"])
    expected = map_batch_mean(logits[:, tail], targets[:, tail])
    assert record["last"]["map_batch_mean/privileged"] == pytest.approx(expected)
