"""Preference pairs: what is checked at the door, subsets, and splits by prompt."""

import numpy as np
import pytest

from fairpo.generation import PreferencePairs
from fairpo.groups import LabelPartition, parse_privileged

NAMES = ("kind", "short", "true")


def pairs(n=6, **changes):
    values = {
        "prompts": [f"ask {row % 4}" for row in range(n)],
        "chosen": [f" good {row}" for row in range(n)],
        "rejected": [f" bad {row}" for row in range(n)],
        "attributes": np.arange(n) % 2,
        "attribute_names": NAMES,
    }
    return PreferencePairs(**{**values, **changes})


def test_counts_targets_and_groups():
    some = pairs(5)
    assert len(some) == 5
    assert some.counts.tolist() == [3, 2, 0]
    assert some.targets.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]]
    groups = LabelPartition.from_names(["true"], some.attribute_names)
    assert groups.privileged.tolist() == [2]
    rarest = parse_privileged("rarest:50%").resolve(some.targets, some.attribute_names)
    assert rarest.privileged.tolist() == [1]


def test_conversations_are_texts_too():
    ask, answer = [{"role": "user", "content": "Hi"}], [{"role": "assistant", "content": "Hello"}]
    other = [{"role": "assistant", "content": "What?"}]
    some = PreferencePairs([ask], [answer], [other], [0], ["kind"])
    assert some.chosen[0] == answer
    assert some.attributes.dtype == np.int64


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"chosen": [" a", "  "]}, "got 1 of 2 that are not: 1 with an empty completion (row 1)."),
        ({"chosen": [" bad 0", " b"]}, "1 with chosen equal to rejected (row 0)"),
        ({"prompts": ["", "a"]}, "1 without a prompt (row 0)"),
        ({"prompts": [3, None]}, "2 with a prompt or completion that is neither text nor messages"),
        (
            {"prompts": [[{"role": "user", "content": "a"}]] * 2},
            "2 with plain text and messages mixed (rows 0, 1)",
        ),
        ({"prompts": ["a"]}, "prompts and chosen and rejected and attributes must have the same"),
        ({"prompts": "ab"}, "prompts must be a sequence of texts, got one text"),
        ({"attributes": [0, 3]}, "attributes must be from 0 to 2, places in attribute_names"),
        ({"attributes": [0, -1]}, "got -1 in row 1"),
        ({"attributes": ["kind", "true"]}, "attributes must be whole numbers, one for each pair"),
        ({"attribute_names": ("a", "a")}, "attribute names must be unique, got 'a' more than once"),
        ({"agreement": np.zeros((2, 2))}, "agreement must be -1, 0 or 1 for each pair and attr"),
        ({"agreement": np.full((2, 3), 2)}, "shape (2, 3), values [2]"),
        (
            {"agreement": np.array([[1, 0, 0], [1, 0, 0]])},
            "agreement of the driving attribute must be 1: it prefers chosen, got 1 other "
            "entries, the first in row 1.",
        ),
    ],
)
def test_what_is_refused(changes, words):
    with pytest.raises((ValueError, TypeError)) as error:
        pairs(2, **changes)
    assert words in str(error.value)


def test_subset_keeps_everything_of_its_rows():
    agreement = np.where(pairs().targets == 1, 1, -1)
    some = pairs(agreement=agreement, name="mine", notes=("dropped 1",))
    part = some.subset([4, 1])
    assert part.chosen == (" good 4", " good 1")
    assert part.attributes.tolist() == [0, 1]
    assert part.agreement.tolist() == agreement[[4, 1]].tolist()
    assert (part.name, part.notes) == ("mine", ("dropped 1",))
    assert some.subset(np.arange(6) > 4).chosen == (" good 5",)
    assert some.subset(slice(0, 2)).chosen == (" good 0", " good 1")
    assert len(some.subset([])) == 0


def test_conflicts_are_read_from_agreement():
    some = pairs(2, agreement=[[1, 0, -1], [0, 1, 1]])
    assert some.conflicts.tolist() == [True, False]
    with pytest.raises(ValueError, match="conflicts of pairs must have agreement to be read from"):
        _ = pairs().conflicts


def test_a_split_parts_prompts_and_keeps_every_attribute_on_both_sides():
    n = 200
    names = [f"ask {row // 3}" for row in range(n)]
    attributes = np.zeros(n, dtype=int)
    attributes[[0, 30, 90, 150]] = 2
    some = pairs(n, prompts=names, attributes=attributes)
    first, second = some.split(0.2, seed=3)
    assert len(first) + len(second) == n
    assert not set(first.prompts) & set(second.prompts)
    assert len(set(second.prompts)) == round(0.2 * len(set(names)))
    assert first.counts[2] > 0 and second.counts[2] > 0
    again = some.split(0.2, seed=3)
    assert again[1].chosen == second.chosen
    assert some.split(0.2, seed=4)[1].chosen != second.chosen


def test_a_split_needs_two_prompts_and_a_share():
    with pytest.raises(ValueError, match="the prompts of pairs must be at least 2, got 1"):
        pairs(3, prompts=["a"] * 3).split(0.5)
    with pytest.raises(ValueError, match=r"must be in \(0, 1\)"):
        pairs().split(1.0)


def test_long_prompts_are_refused_or_dropped():
    some = pairs(4, prompts=["a b c", "a", "a b", "a b c d"])

    def words(prompt):
        return len(prompt.split())

    with pytest.raises(ValueError, match=r"2 with a prompt over the limit \(rows 0, 3\)"):
        some.within(2, words)
    short = some.within(2, words, invalid="drop")
    assert short.prompts == ("a", "a b")
    assert short.notes == ("dropped 2 with a prompt over the limit (rows 0, 3)",)
    assert len(some.within(4, words)) == 4
    with pytest.raises(ValueError, match="must hold a sound one"):
        some.within(0, words, invalid="drop")
    with pytest.raises(ValueError, match="invalid must be 'error' or 'drop', got 'skip'"):
        some.within(2, words, invalid="skip")
