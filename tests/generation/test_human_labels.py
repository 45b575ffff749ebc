"""Verdicts of people: found whatever the order, averaged, and refused by line where faulty."""

import csv

import numpy as np
import pytest

from fairpo._checks import FairPOFileError, FairPOValueError
from fairpo.generation import HumanLabels
from fairpo.generation.judges.human import HumanLabel

COLUMNS = ("prompt", "first", "second", "attribute", "verdict")


def write(path, rows, columns=COLUMNS, **options):
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, **options)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


ROWS = [
    ("Say hi.", "Hi.", "Hello, you.", "short", "first"),
    ("Say hi.", "Hi.", "Hello, you.", "kind", "Second"),
    ("Say no.", "No.", "No!", "short", "tie"),
    ("Say no.", "No.", "Never,\n\nas I said", "short", " first "),
    ("Say it.", "a", "b", "short", ""),
    ("Say it.", "a", "c", "short", "skip"),
]


def test_verdicts_are_found_in_either_order(tmp_path):
    judge = HumanLabels.from_csv(write(tmp_path / "said.csv", ROWS))
    assert judge.name == "human:said" and judge.attributes == ("short", "kind") and len(judge) == 4
    prompts, first, second, *_ = zip(*ROWS, strict=True)
    there = judge.compare(prompts, first, second, "short")
    back = judge.compare(prompts, second, first, "short")
    np.testing.assert_array_equal(there, [1.0, 1.0, 0.5, 1.0, np.nan, np.nan])
    np.testing.assert_array_equal(back, 1.0 - there)
    np.testing.assert_array_equal(
        judge.compare(prompts[:3], first[:3], second[:3], "kind"), [0.0, 0.0, np.nan]
    )


def test_several_people_are_averaged_whatever_order_each_saw(tmp_path):
    rows = [
        ("p", "a", "b", "short", "first"),
        ("p", "b", "a", "short", "second"),
        ("p", "b", "a", "short", "tie"),
        ("p", "b", "a", "short", "first"),
    ]
    judge = HumanLabels.from_csv(write(tmp_path / "x.csv", rows))
    expected = (1 + 1 + 0.5 + 0) / 4
    verdicts = judge.compare(["p", "p"], ["a", "b"], ["b", "a"], "short")
    assert verdicts.tolist() == [expected, 1 - expected]


def test_equal_completions_tie_and_unknown_ones_are_skipped():
    judge = HumanLabels([HumanLabel("p", "a", "b", "short", 1.0)])
    verdicts = judge.compare(["p", "p", "q"], ["x", "a", "a"], ["x", "x", "b"], "short")
    np.testing.assert_array_equal(verdicts, [0.5, np.nan, np.nan])


def test_ids_stand_for_pairs(tmp_path):
    talk = [{"role": "user", "content": "Hi"}]
    pairs = {"7": (talk, "a", "b"), "8": ("p", "c", "d")}
    rows = [("8", "short", "second", "Ann"), ("7", "short", "first", "Bob")]
    path = write(tmp_path / "x.csv", rows, ("ID", "Attribute", "verdict", "who"))
    judge = HumanLabels.from_csv(path, pairs)
    assert judge.compare([talk, "p"], ["a", "c"], ["b", "d"], "short").tolist() == [1.0, 0.0]


def test_a_conversation_is_found_as_judges_are_shown_it(tmp_path):
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
    rows = [("[user]\nHi\n\n[assistant]\nYes?", "a", "b", "short", "first")]
    judge = HumanLabels.from_csv(write(tmp_path / "x.csv", rows))
    assert judge.compare([talk], ["a"], ["b"], "short").tolist() == [1.0]


@pytest.mark.parametrize(
    ("name", "options", "mark"),
    [
        ("x.csv", {"delimiter": ";"}, ""),
        ("x.tsv", {"delimiter": "\t"}, ""),
        ("x.csv", {}, "\ufeff"),
    ],
)
def test_what_spreadsheets_write(tmp_path, name, options, mark):
    path = write(tmp_path / name, ROWS, **options)
    text = path.read_bytes().decode().replace("\r\n", "\n").replace("\n", "\r\n")
    path.write_bytes((mark + text + "\r\n\r\n").encode())
    judge = HumanLabels.from_csv(path)
    prompts, first, second, *_ = zip(*ROWS, strict=True)
    assert judge.compare(prompts, first, second, "short")[3] == 1.0


FAULTY = [
    ("p", "a", "b", "short", "first"),
    ("p\nq", "a", "b", "short", "A"),
    ("p", "a", "b", "", "first"),
    *[("p", "a", "b", "short", str(number)) for number in range(5)],
]


def test_faulty_lines_are_named_all_at_once(tmp_path):
    path = write(tmp_path / "x.csv", FAULTY)
    with pytest.raises(FairPOFileError) as error:
        HumanLabels.from_csv(path)
    told = str(error.value)
    assert told.startswith(f"{path}: line 3: verdict must be first, second, tie or empty, got 'A'.")
    assert "line 5: attribute must be named, got nothing." in told
    assert "line 8" in told and "line 9" not in told and told.endswith("And 2 more.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no column 'prompt' and 'first'.*its columns are none"),
        (b"prompt,first,second,attribute\n", "has no column 'verdict'; its columns are prompt"),
        (b"id,attribute,verdict\n", "has no column 'prompt'.*With ids in place of texts"),
        (b"prompt,first,second,attribute,verdict\n", "holds no verdict"),
        (b"prompt,first,second,attribute,verdict\np,a,b,s,\n", "holds no verdict"),
        (b"prompt,first,second,attribute,verdict\np,a,b,s\n", "line 2: 4 fields for 5 columns"),
        (b'prompt,first,second,attribute,verdict\np,a,b,s,"tie\n', "line 2: unexpected end"),
        (b"prompt,first,second,attribute,verdict\n\xff,a,b,s,tie\n", "is not UTF-8"),
    ],
)
def test_faulty_files_are_named(tmp_path, content, message):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(FairPOFileError, match=message):
        HumanLabels.from_csv(path)


def test_a_column_twice_is_refused(tmp_path):
    path = write(tmp_path / "x.csv", [], (*COLUMNS, "verdict"))
    with pytest.raises(FairPOValueError, match="'verdict' more than once"):
        HumanLabels.from_csv(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FairPOFileError, match="cannot be read"):
        HumanLabels.from_csv(tmp_path / "none.csv")


def test_an_unknown_id_is_named_by_line(tmp_path):
    path = write(tmp_path / "x.csv", [("pair-9", "s", "tie")], ("id", "attribute", "verdict"))
    with pytest.raises(FairPOFileError, match="line 2: id 'pair-9' is not among.*pair-8"):
        HumanLabels.from_csv(path, {"pair-8": ("p", "a", "b")})


def test_an_attribute_nobody_judged_is_named():
    judge = HumanLabels([HumanLabel("p", "a", "b", "short", 1.0)])
    with pytest.raises(FairPOValueError, match="Did you mean 'short'"):
        judge.compare(["p"], ["a"], ["b"], "shorter")
    with pytest.raises(FairPOValueError, match="same number of rows"):
        judge.compare(["p"], ["a"], [], "short")
