"""Anthropic's folders: transcripts into messages, helpful and harmless, train and test."""

import gzip
import json

import pytest

from fairpo.generation import load_pairs, read_pairs
from fairpo.generation.readers.hh_rlhf import parse_transcript

START = "\n\nHuman: How do I bake bread?\n\nAssistant: With flour.\n\nHuman: And then?"


def line(number, chosen="Knead it.", rejected="No idea."):
    start = START.replace("bread", f"bread {number}")
    return json.dumps(
        {
            "chosen": f"{start}\n\nAssistant: {chosen}",
            "rejected": f"{start}\n\nAssistant: {rejected}",
        }
    )


@pytest.fixture
def folder(tmp_path):
    files = {
        "helpful-base/train.jsonl": [line(n) for n in range(4)],
        "helpful-base/test.jsonl.gz": [line(n) for n in range(4, 6)],
        "harmless-base/train.jsonl.gz": [line(n) for n in range(6, 9)],
        "harmless-base/test.jsonl": [line(9)],
        "red-team-attempts/red_team_attempts.jsonl.gz": ["{}"],
    }
    for name, lines in files.items():
        path = tmp_path / "hh" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "\n".join(lines).encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return tmp_path / "hh"


def test_folders_become_attributes_and_files_splits(folder):
    parts = read_pairs(folder)
    assert set(parts) == {"train", "test"}
    train, test = parts["train"], parts["test"]
    assert train.attribute_names == ("harmless", "helpful")
    assert train.counts.tolist() == [3, 4] and test.counts.tolist() == [1, 2]
    assert train.prompts[-1] == [
        {"role": "user", "content": "How do I bake bread 3?"},
        {"role": "assistant", "content": "With flour."},
        {"role": "user", "content": "And then?"},
    ]
    assert train.chosen[-1] == [{"role": "assistant", "content": "Knead it."}]
    assert train.rejected[-1] == [{"role": "assistant", "content": "No idea."}]


def test_one_of_the_folders(folder):
    parts = load_pairs(folder / "helpful-base", validation_fraction=0.3)
    assert parts["train"].attribute_names == ("helpful",)
    assert [len(part) for part in parts.values()] == [3, 1, 2]


def test_a_file_that_is_there_twice_is_read_once(folder):
    packed = folder / "helpful-base" / "train.jsonl.gz"
    with gzip.open(packed, "wt") as stream:
        stream.write(line(0))
    train = read_pairs(folder)["train"]
    assert len(train) == 7
    assert "train.jsonl.gz of helpful-base is not read: train.jsonl is" in train.notes


def test_faults_are_named_by_file_and_line(folder):
    broken = [
        line(20),
        line(21, chosen=""),
        line(22, chosen="Same.", rejected="Same."),
        json.dumps({"chosen": "Hello", "rejected": START}),
        json.dumps(
            {
                "chosen": f"{START}\n\nAssistant: Knead.",
                "rejected": "\n\nHuman: Hi\n\nAssistant: Hello!",
            }
        ),
        json.dumps({"chosen": START, "rejected": START}),
        json.dumps({"chosen": None, "rejected": START}),
    ]
    (folder / "helpful-base" / "train.jsonl").write_text("\n".join(broken))
    with pytest.raises(ValueError, match="got 6 of 13 that are not") as error:
        read_pairs(folder)
    text = str(error.value)
    assert "1 with an empty completion (row helpful-base/train.jsonl:2)" in text
    assert "1 with chosen equal to rejected (row helpful-base/train.jsonl:3)" in text
    assert "1 with a text that is no transcript of Human and Assistant (row helpful-ba" in text
    assert "2 whose transcripts part before the last reply (rows helpful-base/train.js" in text
    assert "neither text nor messages (row helpful-base/train.jsonl:7)" in text
    train = read_pairs(folder, invalid="drop")["train"]
    assert train.counts.tolist() == [3, 1]
    assert len([note for note in train.notes if note.startswith("dropped")]) == 5


def test_a_folder_without_pairs(tmp_path):
    (tmp_path / "helpful-base").mkdir()
    (tmp_path / "helpful-base" / "train.jsonl").write_text("")
    with pytest.raises(OSError, match="holds no train.jsonl or test.jsonl with pairs"):
        read_pairs(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match="holds no train.jsonl or test.jsonl with pairs"):
        read_pairs(tmp_path / "empty", format="hh-rlhf")
    with pytest.raises(OSError, match="is not a folder; hh-rlhf is one"):
        read_pairs(tmp_path / "nothing", format="hh-rlhf")


def test_turns_keep_the_words_in_them():
    text = "\n\nHuman: Say\n\n'Human: x'\n\nAssistant: Assistant: y\n\nAssistant:  z \n"
    assert [(turn["role"], turn["content"]) for turn in parse_transcript(text)] == [
        ("user", "Say\n\n'Human: x'"),
        ("assistant", "Assistant: y"),
        ("assistant", "z"),
    ]
