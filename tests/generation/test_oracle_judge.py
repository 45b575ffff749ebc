"""Programs as a judge."""

import numpy as np
import pytest

from fairpo._checks import FairPOValueError
from fairpo.generation import OracleJudge, make_verses
from fairpo.generation.oracles import ORACLES


def test_every_oracle_of_the_embedded_task_judges():
    test = make_verses(seed=0).pairs["test"]
    judge = OracleJudge(ORACLES)
    found = {
        name: judge.compare(test.prompts, test.chosen, test.rejected, name) for name in ORACLES
    }
    for place, name in enumerate(test.attribute_names):
        assert (found[name][test.attributes == place] == 1.0).all(), "it drives these pairs"
        np.testing.assert_array_equal(found[name], (1 + test.agreement[:, place]) / 2)


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
