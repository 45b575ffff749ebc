"""Files of predictions against slow loops, in one block and in many."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from fairpo._checks import FairPOFileError, FairPOValueError
from fairpo.data import MultiLabelData
from fairpo.decisions import DecisionRule
from fairpo.decisions.recalibration import Recalibration
from fairpo.experiments.predictions import write_predictions
from fairpo.groups import LabelPartition
from fairpo.models import HeadSettings, Policy
from fairpo.training import run as runs
from fairpo.training.run import Run, RunConfig, RunDecisions

NAMES = ("cat", "a, b", 'say "no"', "zebra", "é", "dog", "ox")
N_ROWS = 11


@pytest.fixture
def made(tmp_path):
    """A run whose recalibration changes the order of labels and makes some equal, and rows."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    head = HeadSettings(hidden=(4,), scaling="none")
    policy = Policy(3, len(NAMES), head).eval()
    last = policy.last_layer
    for place in (1, 4, 6):  # always equal: of equal weights, products may round differently
        last.weight.data[place], last.bias.data[place] = 0.0, last.bias.data[1]
    slopes, shifts = rng.uniform(0.2, 3, len(NAMES)), rng.normal(0, 2, len(NAMES))
    slopes[[4, 6]], shifts[[4, 6]] = slopes[1], shifts[1]
    rule = DecisionRule(Recalibration.straight(slopes, shifts), rng.normal(size=len(NAMES)))
    config = RunConfig(
        version="0", method="bce", privileged="cat", data="made", data_fingerprint="",
        n_features=3, n_labels=len(NAMES), head=head,
    )  # fmt: skip
    groups = LabelPartition.from_indices([0], len(NAMES))
    run = Run(tmp_path, config, NAMES, groups, policy, None, None, RunDecisions(rule, rule))
    features = rng.normal(size=(N_ROWS, 3)).astype(np.float32)
    ids = tuple(f"row {row}" for row in range(N_ROWS))
    return run, MultiLabelData(features, np.empty((N_ROWS, 0), dtype=np.int8), (), ids=ids)


def best(values, top):
    """Numbers of the labels with the highest values, the first of equals first."""
    left = list(range(len(values)))
    found = []
    for _ in range(top):
        highest = left[0]
        for number in left:
            if values[number] > values[highest]:
                highest = number
        found.append(highest)
        left.remove(highest)
    return found


def content(path):
    if path.suffix == ".parquet":
        import pyarrow.parquet as parquet

        return parquet.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("rows_of_a_block", [1, 4, 4096])
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("top", [None, 1, 3, len(NAMES)])
def test_files_hold_what_the_run_predicts(
    made, tmp_path, monkeypatch, suffix, top, rows_of_a_block
):
    run, data = made
    monkeypatch.setattr(runs, "block_rows", lambda _: rows_of_a_block)
    path = tmp_path / f"p.{suffix}"
    assert write_predictions(path, run, data, top=top) == N_ROWS
    probabilities, decided = run.predict_proba(data.features), run.predict(data.features)
    logits = run.predict_logits(data.features)
    assert any(best(p, 3) != best(x, 3) for p, x in zip(probabilities, logits, strict=True))
    rows = content(path)
    assert [row["id"] for row in rows] == list(data.ids)
    for row, values, own in zip(rows, probabilities, decided, strict=True):
        ranked = best(values, top or 1)
        if suffix == "jsonl":
            assert row["labels"] == [NAMES[k] for k in range(len(NAMES)) if own[k]]
            found = list(row["probs"].items())
        elif top is None:
            found = [(name, float(row[name])) for name in NAMES]
        else:
            assert list(row)[1:3] == ["label_1", "probability_1"]
            found = [(row[f"label_{n}"], float(row[f"probability_{n}"])) for n in range(1, top + 1)]
        shown = range(len(NAMES)) if top is None else ranked
        assert [name for name, _ in found] == [NAMES[k] for k in shown]
        assert [p for _, p in found] == pytest.approx([values[k] for k in shown], abs=1e-14)


def test_equal_labels_stand_in_the_order_of_the_run(made, tmp_path):
    run, data = made
    write_predictions(tmp_path / "p.jsonl", run, data, top=len(NAMES))
    for row in content(tmp_path / "p.jsonl"):
        assert row["probs"]["a, b"] == row["probs"]["é"] == row["probs"]["ox"]
        place = list(row["probs"]).index("a, b")
        assert list(row["probs"])[place : place + 3] == ["a, b", "é", "ox"]


def test_rows_that_could_not_be_read_are_left_out(made, tmp_path):
    run, data = made
    some = replace(data, unreadable=np.array([0, 7]))
    assert write_predictions(tmp_path / "p.csv", run, some, top=1) == 9
    names = [row["id"] for row in content(tmp_path / "p.csv")]
    assert names == [name for name in data.ids if name not in ("row 0", "row 7")]
    nothing = replace(data, unreadable=np.arange(N_ROWS))
    assert write_predictions(tmp_path / "none.csv", run, nothing, top=1) == 0
    assert (tmp_path / "none.csv").read_text() == "id,label_1,probability_1\n"


def test_more_places_than_labels_are_refused(made, tmp_path):
    run, data = made
    with pytest.raises(
        FairPOValueError, match="--top must be at most 7, the labels of the run, got 8"
    ):
        write_predictions(tmp_path / "p.csv", run, data, top=8)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_stopped_half_way_is_not_there(made, tmp_path, monkeypatch):
    """Rows that cannot be read later on: neither a part nor the name it was written under stays."""
    run, data = made
    monkeypatch.setattr(runs, "block_rows", lambda _: 4)
    path = tmp_path / "p.csv"
    path.write_text("old")
    for error in (FairPOFileError("shard-00001.npy: is damaged."), KeyboardInterrupt()):

        class Names(tuple):
            def __getitem__(self, row, error=error):
                if row == 6:
                    raise error
                return f"row {row}"

        object.__setattr__(data, "ids", Names(data.ids))
        with pytest.raises(type(error)):
            write_predictions(path, run, data)
        assert path.read_text() == "old"
        assert [each.name for each in tmp_path.iterdir()] == ["p.csv"]
