"""The embedded task: its oracles, and that its pairs are what they say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairpo.generation import load_pairs, make_verses
from fairpo.generation.oracles import FORBIDDEN, NOUNS, ORACLES, POLITE, RHYMES
from fairpo.generation.verses import (
    ATTRIBUTES,
    Request,
    VersesSettings,
    draw_draft,
    write_verse,
)

PROMPT = "write 4 to 6 words about the cat , rhyme with day , in brackets :"
SMALL = VersesSettings(
    train_prompts=60,
    validation_prompts=20,
    test_prompts=20,
    train_pairs=300,
    validation_pairs=5,
    test_pairs=5,
)


@pytest.fixture(scope="module")
def task():
    return make_verses(3, settings=SMALL)


@pytest.mark.parametrize(
    ("attribute", "completion", "score"),
    [
        ("length", " ( cat sings by hay )", 1),
        ("length", " ( cat sings hay )", 0),
        ("length", " one two three four five six seven", 0),
        ("length", "", 0),
        ("topic", "A Cat.", 1),
        ("topic", "cats", 0),
        ("format", " ( cat ) ", 1),
        ("format", " ( cat ) .", 0),
        ("format", "(", 0),
        ("format", "", 0),
        ("polite", "Please!", 1),
        ("polite", "pleased", 0),
        ("rhyme", "cat sings by hay .", 1),
        ("rhyme", "cat sings by day .", 0),
        ("rhyme", "hay sings by moon", 0),
        ("rhyme", ")", 0),
        ("clean", "cat", 1),
        ("clean", "an UGLY cat", 0),
        ("clean", "", 1),
    ],
)
def test_oracles(attribute, completion, score):
    assert ORACLES[attribute](PROMPT, completion) == score


def test_a_sentence_ends_with_a_stop():
    prompt = PROMPT.replace("in brackets", "as sentence")
    assert ORACLES["format"](prompt, " cat sings .") == 1
    assert ORACLES["format"](prompt, " ( cat sings )") == 0


def test_oracles_read_conversations():
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}]
    verse = " ( cat sings by hay )"
    for name, oracle in ORACLES.items():
        assert oracle(talk, verse) == oracle(PROMPT, verse), name


@given(st.text(), st.text())
def test_oracles_score_any_text(prompt, completion):
    for oracle in ORACLES.values():
        score = oracle(prompt, completion)
        assert math.isnan(score) or score in (0.0, 1.0)


@given(st.text())
def test_oracles_score_any_completion_of_a_prompt(completion):
    assert all(oracle(PROMPT, completion) in (0.0, 1.0) for oracle in ORACLES.values())


def test_what_is_not_asked_for_has_no_score():
    scores = {name: oracle("Tell me more", "Please, no.") for name, oracle in ORACLES.items()}
    asked = {name for name, score in scores.items() if not math.isnan(score)}
    assert asked == {"polite", "clean"}
    assert math.isnan(ORACLES["rhyme"]("rhyme with silver", "river"))


def test_a_verse_has_exactly_the_wanted_attributes():
    """Every combination, for every length and form."""
    rng = np.random.default_rng(0)
    for length in ((4, 6), (7, 9), (10, 12)):
        for form in ("in brackets", "as sentence"):
            request = Request(length, "owl", "moon", form)
            for code in range(2 ** len(ATTRIBUTES)):
                has = (code >> np.arange(len(ATTRIBUTES))) & 1 == 1
                text = write_verse(request, has, draw_draft(request, rng))
                scores = [oracle(request.prompt, text) for oracle in ORACLES.values()]
                assert scores == has.astype(float).tolist(), text
                assert text.startswith(" ")


def test_pairs_are_what_the_oracles_say(task):
    for pairs in task.pairs.values():
        texts = list(zip(pairs.prompts, pairs.chosen, pairs.rejected, strict=True))
        says = np.array([[o(p, c) - o(p, r) for o in task.oracles.values()] for p, c, r in texts])
        assert (says == pairs.agreement).all()


def test_the_texts_of_a_pair_differ_only_where_attributes_do(task):
    """Sharing a draft, they part in one word, two marks, or the length of the filling."""
    pairs = task.pairs["train"]
    seen = set()
    for row in np.flatnonzero((pairs.agreement != 0).sum(axis=1) == 1):
        name = pairs.attribute_names[pairs.attributes[row]]
        chosen, rejected = pairs.chosen[row].split(), pairs.rejected[row].split()
        if name == "length":  # the longer goes on where the shorter ends
            shared = min(len(chosen), len(rejected)) - 4
            assert chosen[:shared] == rejected[:shared]
        else:
            most = 2 if name == "format" else 1
            assert len(set(chosen) - set(rejected)) <= most
            assert len(set(rejected) - set(chosen)) <= most
        seen.add(name)
    assert {"length", "topic", "format"} <= seen


def test_conflicts_and_concord_come_as_often_as_set(task):
    pairs = make_verses(0, settings=SMALL.model_copy(update={"train_pairs": 3000})).pairs["train"]
    others = pairs.agreement[pairs.targets == 0]
    assert abs((others == -1).mean() - 0.2) < 0.02
    assert abs((others == 1).mean() - 0.1) < 0.02
    assert pairs.conflicts.mean() > 0.5
    calm = VersesSettings(**{**SMALL.model_dump(), "conflict": 0, "concord": 0})
    assert not make_verses(0, settings=calm).pairs["train"].conflicts.any()


def test_two_attributes_are_rare_in_training_and_not_in_test():
    task = make_verses()
    shares = task.pairs["train"].counts / len(task.pairs["train"])
    assert (shares < 0.05).tolist() == [False, False, False, False, True, True]
    assert (shares > 0.015).all()
    assert task.pairs["validation"].counts.tolist() == [50] * 6
    assert task.pairs["test"].counts.tolist() == [100] * 6


def test_prompts_are_in_one_split(task):
    used = {name: set(part) for name, part in task.prompts.items()}
    assert [len(used[name]) for name in ("train", "validation", "test")] == [60, 20, 20]
    assert len(set.union(*used.values())) == 100
    for name, pairs in task.pairs.items():
        assert set(pairs.prompts) <= used[name]
    assert set(task.sft["train"].prompts) == used["train"]
    assert set(task.sft["validation"].prompts) == used["validation"]


def test_demonstrations_leave_something_to_gain():
    texts = make_verses().sft["train"]
    for name, oracle in ORACLES.items():
        share = np.mean([oracle(*pair) for pair in zip(*texts, strict=True)])
        assert abs(share - 0.6) < 0.04, name


def test_the_vocabulary_is_closed(task):
    words = set(task.vocabulary)
    assert len(words) == len(task.vocabulary) < 100
    for pairs in task.pairs.values():
        for texts in (pairs.prompts, pairs.chosen, pairs.rejected):
            assert {word for text in texts for word in text.split()} <= words
    assert {word for text in task.sft["train"].completions for word in text.split()} <= words
    lists = [NOUNS, POLITE, FORBIDDEN, *RHYMES]
    assert len(set().union(*lists)) == sum(map(len, lists))


def test_the_same_for_a_seed(task):
    again = make_verses(3, settings=SMALL)
    assert again.pairs["train"].chosen == task.pairs["train"].chosen
    assert again.sft == task.sft and again.prompts == task.prompts
    other = make_verses(4, settings=SMALL)
    assert other.pairs["train"].chosen != task.pairs["train"].chosen
    assert set(other.prompts["test"]) != set(task.prompts["test"])
    assert make_verses(0).pairs["train"].chosen[0] == FIRST


FIRST = " ( sorry stupid wolf waits gladly and hides by plane )"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train_prompts": 1800}, "there are 1800 prompts, and the splits want 2300"),
        ({"frequencies": (0,) * 6}, "frequencies must be 0 or more, and not all 0"),
        ({"frequencies": (1, 1)}, "at least 6 items"),
        ({"conflict": 0.6, "concord": 0.5}, "conflict and concord must not exceed 1 together"),
    ],
)
def test_settings_that_cannot_be(changes, words):
    with pytest.raises(ValueError, match=words):
        VersesSettings(**changes)


def test_the_task_has_a_name():
    parts = load_pairs("verses")
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 4000,
        "validation": 300,
        "test": 600,
    }
    assert parts["train"].attribute_names == ATTRIBUTES
    with pytest.raises(ValueError, match="4000 with a prompt over the limit"):
        load_pairs("verses", max_prompt_length=5, prompt_length=lambda text: len(text.split()))
