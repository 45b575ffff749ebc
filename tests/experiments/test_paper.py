"""The paper's study: its partitions and settings, and its tables beside ours."""

import json
import re

import numpy as np
import pytest

from fairpo import load_data
from fairpo._checks import FairPOValueError
from fairpo.experiments.ledger import Ledger
from fairpo.experiments.paper import N_LABELS, PARTITIONS, reproduction
from fairpo.experiments.paper_tables import METRICS, PAPER, PAPER_METRICS, reproduction_tables
from fairpo.groups import LabelPartition
from fairpo.metrics import map_batch_mean
from tests.command import fairpo

VARIANTS = [
    f"{partition}, {preset}"
    for partition in ("first 20", "tail")
    for preset in ("paper-v1", "paper-v2")
]
GROUPS = ("privileged", "non_privileged")
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
    assert list(variants) == VARIANTS
    tail = variants["tail, paper-v2"]
    assert len(tail.privileged.split(",")) == 20
    assert tail.privileged.startswith("label 78,label 70,label 12")
    assert (tail.preset, tail.training.epochs, tail.training.gradient_clip) == ("paper-v2", 25, 1.0)
    assert variants["tail, paper-v1"].training.batch_size == 32
    assert tail.training.tolerance_points == 100
    for benchmark, n_labels in N_LABELS.items():
        for places in PARTITIONS[benchmark].values():
            assert len(set(places)) == len(places)
            assert max(places) < n_labels


def test_data_of_other_labels_are_refused(coco, tmp_path):
    with pytest.raises(FairPOValueError, match="must have the 81 labels of nuswide, got 80"):
        reproduction("nuswide", "x", NAMES)
    result = fairpo("reproduce", "voc", coco, "--out", tmp_path / "out")
    assert "BENCHMARK must be coco, nuswide, other or rare-labels, got 'voc'" in result.stderr
    assert not (tmp_path / "out").exists()


def table(text, name):
    """Rows of a variant's table, by method and epoch; cells by the words of the metrics."""
    (part,) = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    head, _, *lines = [line for line in part.splitlines() if line.startswith("|")]
    titles = [title.strip() for title in head.strip("|").split("|")]
    rows, method = {}, ""
    for line in lines:
        cells = dict(zip(titles, [cell.strip() for cell in line[1:-1].split("|")], strict=True))
        method = cells["method"] or method
        rows[method, cells["epoch"]] = cells
    return rows


def pair(privileged, other):
    return f"{privileged:.1f} / {other:.1f}"


def test_the_papers_figures_stand_under_ours(reproduced):
    out, result = reproduced
    assert "reproduction.md" in result.stdout
    text = (out / "reproduction.md").read_text()
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == VARIANTS
    rows = table(text, "tail, paper-v2")
    metrics = json.loads((out / "metrics.json").read_text())
    for found in metrics["variants"][3]["metrics"]["rows"]:
        cells = rows[found["method"], found["epoch"]]
        for metric in ("map", "sample_f1", "label_accuracy", "exact_match"):
            ours = [found["cells"][f"{metric}/{group}"]["value"] for group in GROUPS]
            assert cells[METRICS[metric]] == pair(*(100 * value for value in ours))
    theirs = dict(zip(PAPER_METRICS, PAPER["coco", "tail"]["fairpo-dpo"], strict=True))
    cells = rows["fairpo-dpo", "paper"]
    assert {title: cells[title] for title in METRICS.values()} == {
        title: pair(*theirs[metric]) if metric in theirs else ""
        for metric, title in METRICS.items()
    }
    assert [method for method, epoch in rows if epoch == "paper"] == list(PAPER["coco", "tail"])


def test_a_trial_counts_under_whichever_variant_it_was_recorded(reproduced, tmp_path):
    out, _ = reproduced
    metrics = json.loads((out / "metrics.json").read_text())
    ledger = Ledger(tmp_path)
    for record in Ledger(out).records():
        ledger.append({**record, "variant": "another"})
    assert reproduction_tables("coco", metrics, ledger) == (out / "reproduction.md").read_text()


def test_any_other_data_have_their_rarest_labels_privileged(coco, tmp_path):
    out = tmp_path / "out"
    result = fairpo("reproduce", "other", coco, "--out", out, "--epochs", 1, "--jobs", 1)
    assert result.returncode == 0, result.stderr
    text = (out / "reproduction.md").read_text()
    assert "80 labels, 16 of them privileged" in text
    data = load_data(coco)
    rarest = LabelPartition.rarest(data.targets_of(data.rows("train")), 0.2).privileged
    (record, *_) = Ledger(out).records()
    assert record["privileged"] == [NAMES[index] for index in rarest]
    for name in ("rarest 20%, paper-v1", "rarest 20%, paper-v2"):
        rows = table(text, name)
        assert {epoch for _, epoch in rows} == {"selected", "last"}


def test_a_figure_that_is_undefined_is_a_dash(reproduced, tmp_path):
    out, _ = reproduced
    metrics = json.loads((out / "metrics.json").read_text())
    ledger = Ledger(tmp_path)
    for record in Ledger(out).records():
        ledger.append({**record, "last": {**record["last"], "map_batch_mean/privileged": None}})
    rows = table(reproduction_tables("coco", metrics, ledger), "tail, paper-v1")
    title = METRICS["map_batch_mean"]
    assert re.fullmatch(r"\u2013 / \d+\.\d", rows["bce", "last"][title])
    assert re.fullmatch(r"\d+\.\d / \d+\.\d", rows["bce", "selected"][title])


def test_the_batch_mean_is_the_authors(reproduced, coco):
    out, _ = reproduced
    records = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    record = next(
        r for r in records if (r["variant"], r["method"]) == ("tail, paper-v1", "bce-continued")
    )
    with np.load(out / "scores" / f"{record['key']}.npz") as scores, np.load(coco) as arrays:
        targets = arrays["Y"][arrays["test_idx"]]
        own = "last.test." if "last.test." in scores else "selected.test."  # the last, if best
        logits = scores[own]
    tail = list(PARTITIONS["coco"]["tail"])
    expected = map_batch_mean(logits[:, tail], targets[:, tail])
    assert record["last"]["map_batch_mean/privileged"] == pytest.approx(expected)
