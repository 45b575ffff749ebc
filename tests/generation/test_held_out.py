"""What models are judged on: test pairs as a training left them out, or all pairs of other data."""

import json

import pytest

from fairpo._checks import FairPOError
from fairpo.generation import load_pairs
from fairpo.generation.held_out import held_out_pairs, pairs_to_judge
from fairpo.generation.plans import EvaluatePlan
from fairpo.generation.runs import FILE
from fairpo.models.checkpoint import write_checksums, write_json
from tests.generation.tiny_lm import pairs, rows

OPTIONS = {"attribute": "aspect", "split_seed": 3, "test_fraction": 0.3}


def write(path, told):
    path.write_text("".join(json.dumps(row) + "\n" for row in told))


def write_run(folder, data, start="tiny", **options):
    folder.mkdir()
    told = {"method": "sft", "start": start, "tiny": True, "data": str(data), "n_pairs": 1}
    told |= {"attribute_names": [], "groups": [], "seed": 0, "settings": {}, "versions": {}}
    write_json(folder / FILE, told | {"data_options": options, "digest": "", "log_history": []})
    write_checksums(folder)


@pytest.fixture
def folder(tmp_path):
    own = [{**row, "aspect": row["attribute"]} for row in rows(pairs(60))]
    for row in own:
        del row["attribute"]
    write(tmp_path / "own.jsonl", own)
    others = [{**row, "prompt": f"other {row['prompt']}"} for row in rows(pairs(40))]
    write(tmp_path / "other.jsonl", others)
    write(tmp_path / "test.jsonl", [{**row, "split": "test"} for row in others])
    split = [{**row, "split": ["train", "dev"][n % 2]} for n, row in enumerate(others)]
    write(tmp_path / "both.jsonl", split)
    write_run(tmp_path / "sft", tmp_path / "own.jsonl", **OPTIONS)
    write_run(tmp_path / "fairpo", "elsewhere.jsonl", start=str(tmp_path / "sft"))
    return tmp_path


def plan(folder, source=None, model="sft", **options):
    source = None if source is None else str(folder / source)
    return EvaluatePlan(models=str(folder / model), pairs=source, **options)


@pytest.mark.parametrize("source", [None, "own.jsonl", "./own.jsonl"])
def test_what_was_trained_on_is_split_as_it_was_then(folder, source):
    test = held_out_pairs(plan(folder, source))["test"]
    expected = load_pairs(folder / "own.jsonl", **OPTIONS)["test"]
    assert test.prompts == expected.prompts and len(test) < 60
    assert test.prompts != load_pairs(folder / "own.jsonl", attribute="aspect")["test"].prompts


def test_what_the_first_model_of_the_line_was_trained_on_is_known_too(folder):
    test = held_out_pairs(plan(folder, "own.jsonl", model="fairpo"))["test"]
    assert test.prompts == load_pairs(folder / "own.jsonl", **OPTIONS)["test"].prompts
    assert pairs_to_judge(plan(folder, model="fairpo")) == "elsewhere.jsonl"


def test_options_of_the_plan_stand_over_those_of_the_run(folder):
    told = plan(folder, data_options={"test_fraction": 0.5})
    expected = load_pairs(folder / "own.jsonl", **{**OPTIONS, "test_fraction": 0.5})["test"]
    assert held_out_pairs(told)["test"].prompts == expected.prompts


def test_all_pairs_of_other_data_are_judged(folder):
    parts = held_out_pairs(plan(folder, "other.jsonl"))
    assert len(parts["test"]) == 40 and len(parts["train"]) == 40
    assert "all its pairs are judged" in parts["test"].notes[-1]


def test_a_test_split_needs_no_other(folder):
    test = held_out_pairs(plan(folder, "test.jsonl"))["test"]
    assert len(test) == 40 and not test.notes


def test_where_there_are_splits_but_no_test_one_is_taken_from_training(folder):
    test = held_out_pairs(plan(folder, "both.jsonl"))["test"]
    assert test.prompts == load_pairs(folder / "both.jsonl")["test"].prompts


def test_without_a_run_the_pairs_are_to_be_named(folder):
    with pytest.raises(FairPOError, match="PAIRS must be given"):
        pairs_to_judge(plan(folder, model="elsewhere"))
