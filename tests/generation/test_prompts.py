"""Prompts to be completed: rows of a file, and what is wrong with others."""

import json

import pytest

from fairpo._checks import FairPOFileError
from fairpo.generation.prompts import read_prompts


def test_rows_keep_their_columns(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "a", "id": 3}\n\n{"prompt": [{"role": "user", "content": "b"}]}\n')
    assert read_prompts(str(path)) == [
        {"prompt": "a", "id": 3},
        {"prompt": [{"role": "user", "content": "b"}]},
    ]


def test_a_line_ends_where_json_lines_end_and_nowhere_else(tmp_path):
    prompt = "one\u2028two\x85three\x0cfour"
    path = tmp_path / "prompts.jsonl"
    text = json.dumps({"prompt": prompt}, ensure_ascii=False).replace("\\f", "\\u000c")
    path.write_text(f"{text}\n", encoding="utf-8")
    assert read_prompts(str(path)) == [{"prompt": prompt}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '{"prompt": "a"}\n{"prompt": " "}\n{"question": "c"}\n{"prompt": [3]}\n',
            "3 lines hold no prompt, among them 2, 3, 4",
        ),
        ('{"prompt": "a"}\nd\n', "line 2: not valid JSON"),
        ('{"prompt": "a", "completion": "b"}\n', "has a column 'completion'.*Rename"),
        ("\n", "holds no prompt"),
    ],
)
def test_lines_without_a_prompt_are_named(tmp_path, text, words):
    path = tmp_path / "prompts.jsonl"
    path.write_text(text)
    with pytest.raises(FairPOFileError, match=words):
        read_prompts(str(path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FairPOFileError, match="does not exist"):
        read_prompts(str(tmp_path / "nothing.jsonl"))


def test_the_embedded_task_gives_its_test_prompts():
    rows = read_prompts("verses")
    assert len(rows) == 300 and rows[0]["prompt"].endswith(":")


@pytest.mark.parametrize("source", ["What is 3 + 4?", "pairs.parquet"])
def test_what_is_no_file_of_lines_is_told_what_one_is(source):
    with pytest.raises(FairPOFileError, match="is no .jsonl file. A line is"):
        read_prompts(source)
