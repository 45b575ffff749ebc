"""Win rates of models by a judge: who meets whom, and the figures against loops over prompts."""

import json

import numpy as np
import pytest

from fairpo import LabelPartition
from fairpo._checks import FairPOValueError
from fairpo.generation import OracleJudge, WinRates, judge_models

NAMES = ("short", "polite", "calm")
GROUPS = LabelPartition.from_names(["polite", "calm"], NAMES)
ORACLES = {
    "short": lambda prompt, text: -len(text),
    "polite": lambda prompt, text: text.count("please"),
    "calm": lambda prompt, text: float("nan") if not text else -text.count("!"),
}
WORDS = ["please", "go", "now!", "there", "!"]


def scene(seed=0, n=30, models=("sft", "dpo", "fairpo")):
    rng = np.random.default_rng(seed)
    prompts = [f"Say {rng.integers(0, n // 2)}." for _ in range(n)]
    texts = {
        model: [" ".join(rng.choice(WORDS, rng.integers(0, 5))) for _ in range(n)]
        for model in models
    }
    return prompts, texts


def loop_verdict(prompt, one, other, attribute):
    first, second = (ORACLES[attribute](prompt, text) for text in (one, other))
    if np.isnan(first) or np.isnan(second):
        return np.nan
    return 1.0 if first > second else 0.0 if first < second else 0.5


def loop_rate(prompts, first, second, attributes, asked=lambda row, attribute: True):
    """(rate, wins, ties, losses, skipped), one prompt and one attribute at a time."""
    counts = {1.0: 0, 0.5: 0, 0.0: 0, "skipped": 0}
    total = 0.0
    for row, prompt in enumerate(prompts):
        for attribute in attributes:
            if not asked(row, attribute):
                continue
            verdict = loop_verdict(prompt, first[row], second[row], attribute)
            counts["skipped" if np.isnan(verdict) else verdict] += 1
            total += 0.0 if np.isnan(verdict) else verdict
    judged = counts[1.0] + counts[0.5] + counts[0.0]
    return total / judged, *counts.values()


def judged(prompts, texts, **options):
    return judge_models(OracleJudge(ORACLES), prompts, texts, NAMES, **options)


@pytest.mark.parametrize("baseline", [None, "dpo"])
def test_every_model_meets_the_baseline_and_every_other(baseline):
    prompts, texts = scene()
    verdicts = judged(prompts, texts, baseline=baseline)
    expected = {
        None: [("dpo", "sft"), ("fairpo", "sft"), ("fairpo", "dpo")],
        "dpo": [("sft", "dpo"), ("fairpo", "dpo"), ("fairpo", "sft")],
    }[baseline]
    assert list(verdicts.values) == expected
    found = WinRates.from_verdicts(verdicts, GROUPS, n_resamples=20)
    for first, second in expected:
        run, own = found.of(first, second), (prompts, texts[first], texts[second])
        checks = [
            (run.overall, NAMES),
            (run.groups["privileged"], ("polite", "calm")),
            (run.groups["non_privileged"], ("short",)),
            *((run.attributes[name], (name,)) for name in NAMES),
        ]
        for rate, attributes in checks:
            value, *counts = loop_rate(*own, attributes)
            assert rate.value == pytest.approx(value)
            assert list(rate[3:]) == counts
        assert run.worst_attribute.value == min(r.value for r in run.attributes.values())
    assert found.of("fairpo", expected[1][1]).overall.skipped > 0


def test_each_prompt_by_its_own_attribute():
    prompts, texts = scene(1)
    attributes = np.random.default_rng(1).integers(0, 3, 30)
    verdicts = judged(prompts, texts, attributes=attributes)
    assert len(verdicts.attributes) == 30
    run = WinRates.from_verdicts(verdicts, GROUPS, n_resamples=20).of("fairpo", "sft")
    value, *counts = loop_rate(
        prompts,
        texts["fairpo"],
        texts["sft"],
        NAMES,
        lambda row, attribute: NAMES[attributes[row]] == attribute,
    )
    assert run.overall.value == pytest.approx(value) and list(run.overall[3:]) == counts


def test_an_attribute_without_prompts_is_not_asked_about():
    prompts, texts = scene(2)
    verdicts = judged(prompts, texts, attributes=np.ones(30, int))
    run = WinRates.from_verdicts(verdicts, GROUPS, n_resamples=20).of("dpo", "sft")
    assert np.isnan(run.attributes["short"].value) and run.attributes["short"].skipped == 0
    assert run.worst_attribute.name == "polite"


def test_equal_prompts_are_resampled_together():
    prompts, texts = scene(3)
    verdicts = judged(prompts, texts)
    found = WinRates.from_verdicts(verdicts, GROUPS, n_resamples=20)
    assert found.rates.n_prompts == len(set(prompts)) < 30
    asked = [prompts[row] for row in list(range(30)) * 3]
    same = verdicts.prompts[:, None] == verdicts.prompts
    np.testing.assert_array_equal(same, np.array(asked)[:, None] == np.array(asked))


def test_turning_a_comparison_round_turns_its_rate_round():
    prompts, texts = scene(4, models=("a", "b"))
    there, back = (
        WinRates.from_verdicts(judged(prompts, texts, baseline=baseline), GROUPS, n_resamples=50)
        for baseline in ("b", "a")
    )
    one, other = there.of("a", "b"), back.of("b", "a")
    assert one.overall.value == pytest.approx(1 - other.overall.value)
    assert one.overall.low == pytest.approx(1 - other.overall.high)
    assert (one.overall.wins, one.overall.losses) == (other.overall.losses, other.overall.wins)


def test_a_model_ties_with_itself():
    prompts, texts = scene(5, models=("a",))
    verdicts = judged(prompts, {"a": texts["a"], "copy": texts["a"]})
    run = WinRates.from_verdicts(verdicts, GROUPS, n_resamples=20).of("copy", "a")
    assert run.overall[:3] == (0.5, 0.5, 0.5) and run.overall.wins == run.overall.losses == 0


def test_written_results_hold_paired_differences_against_the_same_opponent():
    prompts, texts = scene(6)
    found = WinRates.from_verdicts(judged(prompts, texts), GROUPS, n_resamples=50)
    written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert written["judge"] == "oracle"
    assert list(written["runs"]) == ["dpo over sft", "fairpo over sft", "fairpo over dpo"]
    (difference,) = written["differences"]
    assert {k: difference[k] for k in ("first", "second", "against")} == {
        "first": "fairpo",
        "second": "dpo",
        "against": "sft",
    }
    values = [found.of(name, "sft").worst_group.value for name in ("fairpo", "dpo")]
    assert difference["keys"]["worst_group"]["value"] == pytest.approx(values[0] - values[1])
    assert difference["keys"]["overall"] == pytest.approx(
        found.rates.difference("fairpo over sft", "dpo over sft")["overall"]._asdict()
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"completions": {"a": ["x"]}}, "at least two models, got 1"),
        ({"baseline": "sftt"}, "Did you mean 'sft'"),
        ({"completions": {"a": ["x"], "b": ["x", "y"]}}, "same number of rows"),
        ({"attribute_names": ["short", "pollite"]}, "Did you mean 'polite'"),
        ({"attributes": np.full(30, 3)}, "attributes must be from 0 to 2"),
        ({"attributes": np.zeros(3, int)}, "same number of rows"),
    ],
)
def test_faults_are_named(changes, message):
    prompts, texts = scene()
    call = {"prompts": prompts, "completions": texts, "attribute_names": NAMES, **changes}
    with pytest.raises(FairPOValueError, match=message):
        judge_models(OracleJudge(ORACLES), **call)


def test_a_comparison_that_was_not_made_is_named():
    prompts, texts = scene()
    found = WinRates.from_verdicts(judged(prompts, texts), GROUPS, n_resamples=2)
    with pytest.raises(FairPOValueError, match="'sft over dpo' is not among the 3 comparisons"):
        found.of("sft", "dpo")
