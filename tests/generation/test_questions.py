"""What a judge is asked about: every prompt once, and rows of what it is judged by."""

import numpy as np
import pytest

from fairpo.generation import OracleJudge
from fairpo.generation.preferences import PreferencePairs
from fairpo.generation.questions import ask, questions_of

PAIRS = PreferencePairs(
    prompts=("p", "q", "p", "r", "q", "p"),
    chosen=("1",) * 6,
    rejected=("2",) * 6,
    attributes=np.array([0, 1, 1, 0, 1, 0]),
    attribute_names=("kind", "true"),
)


def rows(questions):
    names = [questions.attribute_names[at] for at in questions.attributes]
    return [
        (questions.prompts[place], name)
        for place, name in zip(questions.places, names, strict=True)
    ]


def test_own_attributes_are_asked_once_each():
    found = questions_of(PAIRS, every_attribute=False)
    assert found.prompts == ("p", "q", "r")
    assert rows(found) == [("p", "kind"), ("p", "true"), ("q", "true"), ("r", "kind")]


def test_every_attribute_of_every_prompt():
    found = questions_of(PAIRS, every_attribute=True)
    assert rows(found) == [(prompt, name) for prompt in "pqr" for name in ("kind", "true")]


@pytest.mark.parametrize("every", [False, True])
def test_fewer_prompts_are_from_all_places(every):
    found = questions_of(PAIRS, every_attribute=every, n_prompts=2)
    assert found.prompts == ("p", "r")
    assert set(rows(found)) <= set(rows(questions_of(PAIRS, every_attribute=every)))
    assert len(questions_of(PAIRS, every_attribute=every, n_prompts=9).prompts) == 3


def test_verdicts_stand_in_the_rows_they_are_of():
    judge = OracleJudge({"kind": lambda _, text: len(text), "true": lambda p, t: -len(t)})
    found = questions_of(PAIRS, every_attribute=False)
    verdicts = ask(judge, found, ["aa", "a", "a"], ["a", "aa", "a"])
    assert verdicts.tolist() == [1.0, 0.0, 1.0, 0.5]
