"""Readers of TRL's formats: the same pairs from every kind of table, by the same words."""

import gzip
import json
import os
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from fairpo.generation import PairOptions, load_pairs, read_pairs
from fairpo.generation.readers.trl_formats import split_shared


def said(role, content):
    return {"role": role, "content": content}


PLAIN = [
    {"prompt": f"The sky {n} is", "chosen": " blue.", "rejected": " green.", "attribute": name}
    for n, name in enumerate(["true", "kind", "true", "short"])
]
IMPLICIT = [
    {
        "chosen": row["prompt"] + row["chosen"],
        "rejected": row["prompt"] + row["rejected"],
        "attribute": row["attribute"],
    }
    for row in PLAIN
]
TALK = [
    {
        "prompt": [said("user", row["prompt"])],
        "chosen": [said("assistant", row["chosen"])],
        "rejected": [said("assistant", row["rejected"])],
        "attribute": row["attribute"],
    }
    for row in PLAIN
]
IMPLICIT_TALK = [
    {
        "chosen": row["prompt"] + row["chosen"],
        "rejected": row["prompt"] + row["rejected"],
        "attribute": row["attribute"],
    }
    for row in TALK
]
FORMS = {"plain": PLAIN, "implicit": IMPLICIT, "talk": TALK, "implicit-talk": IMPLICIT_TALK}


def write(path, rows):
    if path.name.endswith(".jsonl"):
        path.write_text("\n".join(json.dumps(row) for row in rows))
    elif path.name.endswith(".jsonl.gz"):
        with gzip.open(path, "wt") as stream:
            stream.write("\n".join(json.dumps(row) for row in rows))
    elif path.name.endswith(".json"):
        path.write_text(json.dumps(rows))
    else:
        parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


def only(parts):
    (pairs,) = parts.values()
    return pairs


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "json", "parquet", "rows", "dataset"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_and_table(tmp_path, form, suffix):
    rows = FORMS[form]
    if suffix == "rows":
        source = rows
    elif suffix == "dataset":
        datasets = pytest.importorskip("datasets")
        source = datasets.Dataset.from_list(rows)
    else:
        source = write(tmp_path / f"sky.{suffix}", rows)
    pairs = only(read_pairs(source))
    assert pairs.attribute_names == ("kind", "short", "true")
    assert pairs.attributes.tolist() == [2, 0, 2, 1]
    expected = TALK if "talk" in form else PLAIN
    for name, texts in (("prompt", pairs.prompts), ("chosen", pairs.chosen)):
        assert list(texts) == [row[name] for row in expected]
    assert list(pairs.rejected) == [row["rejected"] for row in expected]
    assert pairs.name == ("pairs" if suffix in ("rows", "dataset") else "sky")
    shared = "the prompt is what chosen and rejected share"
    assert (shared in pairs.notes) == ("implicit" in form)


def test_columns_of_other_names(tmp_path):
    names = {"prompt": "ask", "chosen": "win", "rejected": "lose", "attribute": "aspect"}
    rows = [{names[key]: value for key, value in row.items()} for row in PLAIN]
    path = write(tmp_path / "sky.parquet", rows)
    assert only(read_pairs(path, **names)).chosen == (" blue.",) * 4
    with pytest.raises(OSError, match="sky.parquet: has no column 'chosen'; its columns are"):
        read_pairs(path)
    with pytest.raises(OSError, match="has no column 'question'"):
        read_pairs(path, **{**names, "prompt": "question"})


def test_one_attribute_for_all():
    rows = [{key: row[key] for key in ("prompt", "chosen", "rejected")} for row in PLAIN]
    with pytest.raises(OSError, match="has no column 'attribute'; .* say constant_attribute where"):
        read_pairs(rows)
    assert only(read_pairs(rows, constant_attribute="true")).attribute_names == ("true",)
    pairs = only(read_pairs(PLAIN, constant_attribute="true"))
    assert "the column attribute is not read: constant_attribute is given" in pairs.notes
    with pytest.raises(ValueError, match="attribute names a column and constant_attribute stands"):
        PairOptions(attribute="a", constant_attribute="b")


def test_known_attributes_give_the_order_and_refuse_others():
    names = ("true", "short", "kind", "rare")
    pairs = only(read_pairs(PLAIN, attribute_names=names))
    assert pairs.attribute_names == names
    assert pairs.attributes.tolist() == [0, 2, 0, 1]
    assert "attributes without a training pair: rare" in pairs.notes
    with pytest.raises(ValueError, match=r"1 with an unknown attribute \(row 3\).*: 'short'"):
        read_pairs(PLAIN, attribute_names=("true", "kind"))


def test_faults_are_named_by_line_and_dropped_when_told(tmp_path):
    rows = [*PLAIN, {**PLAIN[0], "chosen": ""}, {**PLAIN[1], "attribute": None}, PLAIN[2]]
    path = tmp_path / "sky.jsonl"
    path.write_text("\n\n".join(json.dumps(row) for row in rows))
    with pytest.raises(ValueError, match="got 3 of 7 that are not") as error:
        read_pairs(path)
    assert "1 without an attribute (line 11); 1 that repeat another (line 13)" in str(error.value)
    pairs = only(read_pairs(path, invalid="drop"))
    assert len(pairs) == 4
    assert "dropped 1 with an empty completion (line 9)" in pairs.notes


def test_equal_texts_with_an_implicit_prompt_are_called_equal():
    rows = [*IMPLICIT, {"chosen": "same", "rejected": "same", "attribute": "true"}]
    with pytest.raises(ValueError, match=r"1 with chosen equal to rejected \(row 4\)"):
        read_pairs(rows)


def test_long_prompts_are_measured_by_a_function():
    rows = [*PLAIN, {**PLAIN[0], "prompt": "a b c d e f"}]

    def words(prompt):
        return len(prompt.split())

    with pytest.raises(ValueError, match=r"1 with a prompt over the limit \(row 4\)"):
        read_pairs(rows, max_prompt_length=5, prompt_length=words)
    pairs = only(read_pairs(rows, max_prompt_length=5, prompt_length=words, invalid="drop"))
    assert len(pairs) == 4
    with pytest.raises(
        ValueError, match="max_prompt_length and prompt_length must be given together"
    ):
        read_pairs(rows, max_prompt_length=5)


def test_splits_of_a_column():
    names = ["train", "train", "dev", "test"]
    rows = [{**row, "split": name} for row, name in zip(PLAIN, names, strict=True)]
    parts = read_pairs(rows)
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 2,
        "validation": 1,
        "test": 1,
    }
    assert parts["test"].attribute_names == ("kind", "short", "true")
    assert "attributes without a training pair: short" in parts["train"].notes
    renamed = [{**row, "part": row["split"]} for row in rows]
    with pytest.raises(OSError, match="row 0: split must be train, validation or test, got n"):
        read_pairs([{**row, "split": None} for row in rows])
    assert len(read_pairs(renamed, split="part")["train"]) == 2
    with pytest.raises(OSError, match="has no column 'fold'"):
        read_pairs(rows, split="fold")


def test_prompts_in_two_splits_are_told():
    rows = [{**PLAIN[0], "split": "train"}, {**PLAIN[0], "split": "test", "chosen": " red."}]
    assert "1 prompts of test are in train too" in read_pairs(rows)["test"].notes


def test_splits_of_a_data_set_and_its_class_names(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "prompt": datasets.Value("string"),
            "chosen": datasets.Value("string"),
            "rejected": datasets.Value("string"),
            "attribute": datasets.ClassLabel(names=["kind", "true"]),
        }
    )
    rows = [{**row, "attribute": number % 2} for number, row in enumerate(PLAIN)]
    parts = datasets.DatasetDict(
        {
            name: datasets.Dataset.from_list(part, features=features)
            for name, part in (("train", rows[:2]), ("test", rows[2:]), ("extra", rows[:1]))
        }
    )
    read = read_pairs(parts)
    assert set(read) == {"train", "test"}
    assert read["test"].attributes.tolist() == [0, 1]
    assert read["train"].attribute_names == ("kind", "true")
    assert "the splits extra are left out" in read["train"].notes
    parts.save_to_disk(str(tmp_path / "saved"))
    assert read_pairs(tmp_path / "saved")["test"].chosen == read["test"].chosen
    unknown = datasets.Dataset.from_list([{**rows[0], "attribute": -1}], features=features)
    with pytest.raises(ValueError, match=r"1 without an attribute \(row train\[0\]\)"):
        read_pairs(unknown)


def test_the_network_only_when_told():
    with pytest.raises(OSError, match="is on the network. Say --fetch"):
        read_pairs("hf:somebody/pairs")


def test_a_data_set_that_streams_is_refused():
    datasets = pytest.importorskip("datasets")
    stream = datasets.Dataset.from_list(PLAIN).to_iterable_dataset()
    with pytest.raises(TypeError, match="loaded as a whole, got IterableDataset. Load it without"):
        read_pairs(stream)


def test_a_plain_prompt_before_conversations():
    """As in ultrafeedback_binarized: the completions hold the prompt, or are the reply alone."""
    both = zip(IMPLICIT_TALK, PLAIN, strict=True)
    whole = [{**talk, "prompt": plain["prompt"]} for talk, plain in both]
    assert list(only(read_pairs(whole)).prompts) == [row["prompt"] for row in TALK]
    reply = [{**talk, "prompt": plain["prompt"]} for talk, plain in zip(TALK, PLAIN, strict=True)]
    pairs = only(read_pairs(reply))
    assert list(pairs.prompts) == [row["prompt"] for row in TALK]
    assert list(pairs.chosen) == [row["chosen"] for row in TALK]


def test_a_prompt_in_front_of_its_completions_is_taken_off():
    rows = [{**one, "prompt": row["prompt"]} for one, row in zip(IMPLICIT, PLAIN, strict=True)]
    pairs = only(read_pairs(rows))
    assert pairs.chosen == (" blue.",) * 4
    assert "chosen and rejected begin with the prompt, which they lose" in pairs.notes
    mixed = [*rows, PLAIN[0]]  # where one does not, the others mean what they say
    assert only(read_pairs(mixed)).chosen[0] == "The sky 0 is blue."
    talk = [{**one, "prompt": row["prompt"]} for one, row in zip(IMPLICIT_TALK, TALK, strict=True)]
    assert list(only(read_pairs(talk)).chosen) == [row["chosen"] for row in TALK]


@pytest.mark.parametrize(
    ("chosen", "rejected", "parts"),
    [
        ("The sky is blue.", "The sky is green.", ("The sky is", " blue.", " green.")),
        ("sky grey", "sky gray", ("sky gr", "ey", "ay")),
        ("a", "b", ("", "a", "b")),
        ("a ", "a b", ("a", " ", " b")),
        ("same", "same", ("", "same", "same")),
        ([1, 2, 3], [1, 2, 4], ([1, 2], [3], [4])),
        ([1], [1, 2], ([1], [], [2])),
    ],
)
def test_shared_beginnings(chosen, rejected, parts):
    assert split_shared(chosen, rejected) == parts


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b'{"prompt": 1}\n{"prompt"\n', r"^\S+a.jsonl: line 2: not valid JSON"),
        ("a.jsonl", b"[1]\n", "line 1: must be an object, got '[1]"),
        ("a.jsonl", b"\xff\n", "is not UTF-8"),
        ("a.jsonl", b'{"prompt": "\\ud83d"}\n', "line 1: not valid JSON"),
        ("a.jsonl", b"\n", "has no rows"),
        ("a.jsonl.gz", b"not gzip", "is not a readable gzip file"),
        (
            "a.json",
            b'{"a": 1}\n{"a": 2}',
            "is not valid JSON (.*). One object a line\\? Call",
        ),
        ("a.json", b'{"prompt": []}', "must hold a list of objects"),
        ("a.parquet", b"PAR1", "is not a readable Parquet file"),
        ("a.txt", b"x", "is not a table; tables end in .jsonl, .json, .parquet, .jsonl.gz"),
    ],
)
def test_damaged_files(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(OSError, match=words.replace("[1]", r"\[1\]")):
        read_pairs(tmp_path / name)


def test_sources_that_are_none(tmp_path):
    with pytest.raises(OSError, match="nothing.jsonl: does not exist."):
        read_pairs(str(tmp_path / "nothing.jsonl"))
    with pytest.raises(TypeError, match="PAIRS must be a name, a path, a list of dicts or a data"):
        read_pairs(3)
    with pytest.raises(ValueError, match="format 'pears' is not among .* Did you mean 'pairs'"):
        read_pairs(PLAIN, format="pears")
    with pytest.raises(ValueError, match="option 'maring' is not among"):
        load_pairs(PLAIN, maring=2)


def test_all_three_splits_are_made_of_whole_prompts():
    rows = [
        {**PLAIN[row % 4], "prompt": f"ask {row // 2}", "chosen": f" {row}"} for row in range(80)
    ]
    parts = load_pairs(rows)
    assert list(parts) == ["train", "validation", "test"]
    prompts = [set(part.prompts) for part in parts.values()]
    assert sum(map(len, prompts)) == len(set.union(*prompts)) == 40
    assert [len(part) for part in parts.values()] == [64, 8, 8]
    assert all((part.counts > 0).all() for part in parts.values())
    own = load_pairs(rows, validation_fraction=0.5, split_seed=1)
    assert len(own["validation"]) == 36
    with pytest.raises(ValueError, match="pairs: the pairs must hold a train split, got only test"):
        load_pairs([{**row, "split": "test"} for row in rows])


def test_every_option_has_a_description():
    assert all(field.description for field in PairOptions.model_fields.values())


@pytest.mark.parametrize(
    ("name", "sizes", "attributes"),
    [
        ("unieval_aspect_pairs", (2964, 283, 337), 6),
        ("anthropic_persona_pairs", (18018, 2002, 1975), 22),
    ],
)
def test_real_pairs(shared_data, name, sizes, attributes):
    path = Path(shared_data) / f"{name}.parquet"
    if not os.path.exists(path):
        pytest.skip(f"{path} is not there")
    parts = load_pairs(path)
    assert tuple(map(len, parts.values())) == sizes
    for part in parts.values():
        assert len(part.attribute_names) == attributes
        assert (part.counts > 0).all() and not part.notes
    assert not set(parts["train"].prompts) & set(parts["test"].prompts)
