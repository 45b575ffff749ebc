"""Programs as a judge."""

import numpy as np
import pytest

from fairpo._checks import FairPOValueError
from fairpo.generation import OracleJudge
from fairpo.generation.oracles import ORACLES


def test_every_oracle_of_the_embedded_task_judges():
    judge = OracleJudge(ORACLES)
    prompt = "write 2 to 3 words about the cat , rhyme with day , with a stop :"
    texts = ["the cat may", "kindly a cat , bay .", "ugly dog", ""]
    first = [one for one in texts for _ in texts]
    second = texts * 4
    for name, oracle in ORACLES.items():
        verdicts = judge.compare([prompt] * 16, first, second, name)
        for one, other, verdict in zip(first, second, verdicts, strict=True):
            scores = oracle(prompt, one), oracle(prompt, other)
            assert verdict == (scores[0] > scores[1]) + 0.5 * (scores[0] == scores[1])


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_no_verdict(score):
    judge = OracleJudge({"x": lambda prompt, text: score if text == "odd" else 1.0})
    verdicts = judge.compare(["p"] * 3, ["odd", "a", "odd"], ["a", "a", "odd"], "x")
    np.testing.assert_array_equal(verdicts, [np.nan, 0.5, np.nan])


def test_nothing_to_compare_and_a_name():
    judge = OracleJudge({"x": lambda prompt, text: 0.0}, name="rules")
    assert judge.compare([], [], [], "x").shape == (0,) and judge.name == "rules"


def test_faults_are_named():
    judge = OracleJudge({"polite": lambda prompt, text: 0.0})
    with pytest.raises(FairPOValueError, match="Did you mean 'polite'"):
        judge.compare(["p"], ["a"], ["b"], "polit")
    with pytest.raises(FairPOValueError, match="first completions"):
        judge.compare(["p"], [], ["b"], "polite")
