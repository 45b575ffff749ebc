"""Faults of pairs: each found, counted once, named by its place, refused or dropped."""

import pytest

from fairpo.generation.faults import PairRows, find_faults, settle_faults

GOOD = ("ask", " yes", " no", "kind")


def rows_of(*rows, **changes):
    columns = [list(column) for column in zip(*rows, strict=True)]
    places = [10 + number for number in range(len(rows))]
    return PairRows("pairs.jsonl", *columns, places=places, word="line", **changes)


EVERY = rows_of(
    GOOD,
    ("ask", None, " no", "kind"),
    ("ask", " ", " no", "kind"),
    ("ask", " no", " no", "kind"),
    (" ", " yes", " no", "kind"),
    ("ask", [{"role": "assistant", "content": "yes"}], " no", "kind"),
    ("ask", " yes", " no", None),
    ("ask", " yes", " no", " "),
    ("ask", " yes", " no", 3),
    ("ask", " yes", " no", "knd"),
    ("ask a lot", " yes", " no", "kind"),
    ("ask", " yes", " no", " kind "),
    ("ask", " no", " yes", "kind"),
    (None, None, None, "kind"),
    ("ask", [{"role": "assistant"}], [{"role": "assistant", "content": "no"}], "kind"),
    unreadable={13: "whose transcripts part before the last reply"},
)
EXPECTED = {
    "whose transcripts part before the last reply": [13],
    "with a prompt or completion that is neither text nor messages": [1, 14],
    "with an empty completion": [2],
    "with chosen equal to rejected": [3],
    "without a prompt": [4],
    "with plain text and messages mixed": [5],
    "without an attribute": [6, 7, 8],
    "with an unknown attribute": [9],
    "with a prompt over the limit": [10],
    "that repeat another": [11],
}
LIMIT = {"max_prompt_length": 2, "prompt_length": lambda prompt: len(prompt.split())}


def test_every_fault_is_found_once():
    faults = find_faults(EVERY, attribute_names=("kind",), **LIMIT)
    assert faults == EXPECTED


def test_an_attribute_is_known_where_none_are_given():
    faults = find_faults(EVERY)
    assert "with an unknown attribute" not in faults
    assert "with a prompt over the limit" not in faults


def test_refused_together_by_line():
    faults = find_faults(EVERY, attribute_names=("kind",), **LIMIT)
    with pytest.raises(ValueError, match="must all be sound") as error:
        settle_faults(EVERY, faults, "error")
    text = str(error.value)
    assert text.startswith("pairs.jsonl: the pairs must all be sound, got 13 of 15 that are not:")
    assert "3 without an attribute (lines 16, 17, 18)" in text
    assert "1 that repeat another (line 21)" in text
    assert "Unknown: 'knd'. Mend them, or leave them out with invalid='drop'" in text
    assert text.endswith("(--data-option invalid=drop).")


def test_dropped_and_told():
    faults = find_faults(EVERY, attribute_names=("kind",), **LIMIT)
    kept, notes = settle_faults(EVERY, faults, "drop")
    assert kept.tolist() == [0, 12]
    assert len(notes) == len(EXPECTED)
    assert "dropped 1 with an empty completion (line 12)" in notes


def test_many_rows_are_counted_and_the_first_named():
    rows = rows_of(GOOD, *[("ask", " ", " no", "kind")] * 30)
    _, notes = settle_faults(rows, find_faults(rows), "drop")
    (note,) = notes
    assert note.startswith("dropped 30 with an empty completion (lines 11, 12,")
    assert note.endswith("30 and 10 more)")


def test_nothing_left_is_an_error():
    rows = rows_of(("ask", " ", " no", "kind"))
    with pytest.raises(ValueError, match="must hold a sound one, got 1 with an empty completion"):
        settle_faults(rows, find_faults(rows), "drop")


def test_sound_rows_leave_no_note():
    rows = rows_of(GOOD, ("ask", " yes", " no", "short"), ("ask 2", " yes", " no", "kind"))
    kept, notes = settle_faults(rows, find_faults(rows), "error")
    assert kept.tolist() == [0, 1, 2] and notes == ()


def test_a_limit_needs_a_length():
    with pytest.raises(ValueError, match="max_prompt_length and prompt_length must be given toge"):
        find_faults(EVERY, max_prompt_length=3)
