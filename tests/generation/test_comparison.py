"""Comparisons of methods on pairs: figures, going on, failures, and one group for all seeds."""

import json
import shutil

import numpy as np
import pytest

import fairpo.generation.comparison as comparison
from fairpo._checks import FairPOError
from fairpo.generation.comparison import run_comparison
from fairpo.generation.comparison_figures import Measured, summarise_comparison
from fairpo.generation.language_models import load_language_model
from fairpo.generation.pair_scores import score_pairs
from fairpo.generation.plans import ComparePlan
from fairpo.generation.runs import read_lm_run
from fairpo.report import render_report
from tests.generation.tiny_lm import NAMES, pairs, rows

QUICK = {
    "max_steps": 3,
    "per_device_train_batch_size": 8,
    "logging_steps": 1,
    "learning_rate": 1e-2,
}
NAMES_SORTED = tuple(sorted(NAMES))
LABELS = "prompt,first,second,attribute,verdict\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "words.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(pairs(120))))
    return path


def plan(data, out, **options):
    told = {
        "pairs": str(data),
        "out": out,
        "methods": "sft,dpo,fairpo-dpo",
        "seeds": 2,
        "privileged": "polite",
        "sft": QUICK,
        "settings": QUICK,
        "max_new_tokens": 4,
        "n_resamples": 50,
    }
    return ComparePlan(**{**told, **options})


def compared(*arguments, **options):
    told = plan(*arguments, **options)
    found = run_comparison(told)
    return found, summarise_comparison(found, "fairpo lm compare")


def test_attributes_that_the_pairs_have_not_are_refused_before_anything_is_trained(data, tmp_path):
    for privileged, words in (("politr", "Did you mean 'polite'"), ("worst:99", "99")):
        with pytest.raises(FairPOError, match=words):
            run_comparison(plan(data, tmp_path / "out", privileged=privileged))
        assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def human(data):
    """A table of verdicts that knows no pair: everything is skipped, and counted."""
    path = data.parent / "labels.csv"
    path.write_text(LABELS + "".join(f"p,a,b,{name},first\n" for name in NAMES))
    return path


@pytest.fixture(scope="module")
def done(data, human, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared") / "out"
    return out, *compared(data, out, judge=f"human:{human}")


def test_reward_accuracy_is_a_mean_over_pairs_and_seeds(done):
    _, found, figures = done
    test = found.parts["test"]
    for method in ("dpo", "fairpo-dpo"):
        won = []
        for seed in (0, 1):
            own, start = found.trials[method, seed].scores, found.trials["sft", seed].scores
            for row in range(len(test)):
                margin = (
                    own.chosen[row] - start.chosen[row] - own.rejected[row] + start.rejected[row]
                )
                won.append((test.attributes[row], float(margin > 0)))
        rates = figures["methods"][method]["reward_accuracy"]
        assert rates["reward"] == "implicit"
        assert rates["overall"]["value"] == pytest.approx(np.mean([w for _, w in won]))
        assert rates["overall"]["wins"] == sum(w for _, w in won)
        for place, name in enumerate(test.attribute_names):
            own = [w for attribute, w in won if attribute == place]
            assert rates["attributes"][name]["value"] == pytest.approx(np.mean(own))
        each = [seed["overall"] for seed in rates["per_seed"]]
        assert rates["overall"]["value"] == pytest.approx(np.mean(each))
        groups = {name: rate["value"] for name, rate in rates["groups"].items()}
        assert rates["worst_group"]["value"] == min(groups.values())
    sft = figures["methods"]["sft"]
    assert sft["reward_accuracy"]["reward"] == "per_token" and sft["drift"] is None
    assert sft["reward_accuracy"]["overall"] == sft["per_token_accuracy"]["overall"]


def test_drift_is_against_the_sft_model_of_the_seed(done):
    _, found, figures = done
    moved = [
        found.trials["dpo", seed].scores.chosen - found.trials["sft", seed].scores.chosen
        for seed in (0, 1)
    ]
    drift = figures["methods"]["dpo"]["drift"]["chosen"]
    assert drift["overall"] == pytest.approx(np.mean(moved))
    polite = found.parts["test"].attributes == NAMES_SORTED.index("polite")
    assert drift["groups"]["privileged"] == pytest.approx(np.mean(np.stack(moved)[:, polite]))


def test_what_nobody_judged_is_counted_and_no_loss(done):
    _, found, figures = done
    win = figures["methods"]["dpo"]["win_rate"]
    texts = [found.trials[method, 0].completions for method in ("sft", "dpo")]
    assert win["overall"]["losses"] == win["overall"]["wins"] == 0
    assert win["overall"]["skipped"] > 0 and texts[0] != texts[1]
    assert any("without a verdict" in note for note in figures["notes"])
    assert figures["methods"]["sft"]["win_rate"] is None


def test_the_folder_holds_figures_logs_samples_and_models(done):
    out, found, figures = done
    assert json.loads((out / "comparison.json").read_text()) == figures
    logs = [json.loads(line) for line in (out / "logs.jsonl").read_text().splitlines()]
    losses = {(row["method"], row["seed"], row["step"]) for row in logs if "loss" in row}
    methods = ("sft", "dpo", "fairpo-dpo")
    assert losses == {(m, seed, step) for m in methods for seed in (0, 1) for step in (1, 2, 3)}
    assert any("group_weights/privileged" in row for row in logs if row["method"] == "fairpo-dpo")
    samples = [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in samples] == list(found.questions.prompts)
    for place, row in enumerate(samples):
        assert set(row["completions"]) == set(methods) and set(row["verdicts"]) == {
            "dpo",
            "fairpo-dpo",
        }
        assert row["completions"]["dpo"] == found.trials["dpo", 0].completions[place]
    run = read_lm_run(out / "models" / "seed-1" / "fairpo-dpo")
    assert run.reference == read_lm_run(out / "models" / "seed-1" / "sft").digest
    assert figures["privileged"] == ["polite"] and not figures["failed"]


@pytest.fixture
def trained(monkeypatch):
    """One entry a training."""
    trained = []
    train = comparison.train_language_model

    def counted(*arguments, **options):
        trained.append(1)
        return train(*arguments, **options)

    monkeypatch.setattr(comparison, "train_language_model", counted)
    return trained


def test_a_judge_can_come_later_and_nothing_is_trained_again(data, tmp_path, human, trained):
    told = {"methods": "dpo", "seeds": 1}
    before = compared(data, tmp_path / "out", **told)[1]
    found, after = compared(data, tmp_path / "out", judge=f"human:{human}", **told)
    assert len(trained) == 2
    assert before["methods"]["dpo"]["win_rate"] is None
    assert after["methods"]["dpo"]["win_rate"]["overall"]["skipped"] > 0
    for name in ("reward_accuracy", "drift", "seconds"):
        assert after["methods"]["dpo"][name] == before["methods"]["dpo"][name]
    whole, _ = compared(data, tmp_path / "other", judge=f"human:{human}", **told)
    assert found.trials["dpo", 0].completions == whole.trials["dpo", 0].completions
    assert compared(data, tmp_path / "out", **told)[1] == before


def test_what_is_done_is_not_done_again_and_more_can_be_asked(data, tmp_path, trained):
    told = {"methods": "dpo", "seeds": 1}
    first = compared(data, tmp_path / "out", **told)[1]
    assert len(trained) == 2
    assert compared(data, tmp_path / "out", **told)[1] == first
    assert len(trained) == 2
    more = compared(data, tmp_path / "out", methods="dpo,group-dro", seeds=1)[1]
    assert len(trained) == 3
    assert more["methods"]["dpo"] == first["methods"]["dpo"]
    compared(data, tmp_path / "out", methods="dpo", seeds=1, overrides={"dpo": {"beta": 0.5}})
    assert len(trained) == 4
    with pytest.raises(FairPOError, match="holds another comparison"):
        compared(data, tmp_path / "out", settings={**QUICK, "max_steps": 2}, **told)
    again = plan(data, tmp_path / "out", settings={**QUICK, "max_steps": 2}, **told)
    run_comparison(again, overwrite=True)
    assert len(trained) == 6


def test_a_trial_whose_model_was_replaced_or_is_gone_is_done_again(data, tmp_path):
    """As after another beta that was stopped between its model and its scores."""
    told = {"methods": "dpo", "seeds": 1}
    _, first = compared(data, tmp_path / "out", **told)
    kept = (tmp_path / "out" / "trials" / "seed-0" / "sft.json").read_text()
    other = {"overrides": {"sft": {**QUICK, "max_steps": 1}}}
    compared(data, tmp_path / "out", **told, **other)
    (tmp_path / "out" / "trials" / "seed-0" / "sft.json").write_text(kept)
    shutil.rmtree(tmp_path / "out" / "models" / "seed-0" / "dpo")
    _, again = compared(data, tmp_path / "out", **told)
    assert not again["failed"]
    rates = [found["methods"]["dpo"]["reward_accuracy"] for found in (first, again)]
    assert rates[0] == rates[1]
    digest = read_lm_run(tmp_path / "out" / "models" / "seed-0" / "sft").digest
    trial = json.loads((tmp_path / "out" / "trials" / "seed-0" / "sft.json").read_text())
    assert trial["model"] == digest
    assert trial == {**json.loads(kept), "seconds": trial["seconds"]}


def test_methods_differ_over_the_seeds_that_both_have(done):
    _, found, _ = done
    n = len(found.parts["test"])
    told = (found.parts["test"].attributes, np.arange(n), found)
    half, all_, none = np.full(n, 0.5), np.ones(n), np.zeros(n)
    measured = Measured({"dpo": {0: none, 1: all_}, "group-dro": {1: half}}, *told)
    gain = measured.difference("dpo", "group-dro")["overall"]
    assert (gain["value"], gain["low"], gain["high"]) == (0.5, 0.5, 0.5)
    apart = Measured({"dpo": {0: none}, "group-dro": {1: half}}, *told)
    assert apart.difference("dpo", "group-dro") is None


def test_a_trial_that_fails_is_recorded_and_the_rest_goes_on(data, tmp_path):
    found, figures = compared(data, tmp_path / "out", seeds=1, overrides={"dpo": {"max_length": 2}})
    assert [failed["method"] for failed in figures["failed"]] == ["dpo"]
    assert "max_length" in figures["failed"][0]["error"]
    assert "dpo" not in figures["methods"] and "fairpo-dpo" in figures["methods"]
    assert ("fairpo-dpo", 0) in found.trials


def test_worst_attributes_are_those_of_the_mean_over_seeds(data, tmp_path):
    found, figures = compared(data, tmp_path / "out", privileged="worst:1", methods="fairpo-dpo")
    validation = found.parts["validation"]
    shares = np.zeros(len(NAMES))
    for seed in (0, 1):
        folder = tmp_path / "out" / "models" / f"seed-{seed}" / "sft"
        scores = score_pairs(load_language_model(str(folder)), validation)
        ahead = scores.chosen / scores.chosen_lengths > scores.rejected / scores.rejected_lengths
        shares += [ahead[validation.attributes == place].mean() for place in range(len(NAMES))]
    (chosen,) = figures["privileged"]
    assert shares[validation.attribute_names.index(chosen)] == shares.min()
    for seed in (0, 1):
        run = read_lm_run(tmp_path / "out" / "models" / f"seed-{seed}" / "fairpo-dpo")
        assert run.label_groups().groups == found.groups.groups


def test_without_groups_only_methods_without_them_run(data, tmp_path):
    _, figures = compared(data, tmp_path / "out", privileged=None, methods="dpo", seeds=1)
    assert figures["privileged"] == []
    assert [(g["name"], g["attributes"]) for g in figures["groups"]] == [
        ("pooled", [*NAMES_SORTED])
    ]
    text = render_report({**figures, "logs": [], "samples": []})
    assert "reward accuracy on all attributes" in text
    assert "privileged attributes" not in text and "non-privileged" not in text
    with pytest.raises(FairPOError, match="--privileged must be given for fairpo-dpo"):
        run_comparison(plan(data, tmp_path / "other", privileged=None))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"methods": "dpo,dppo"}, "method 'dppo'.*Did you mean 'dpo'"),
        ({"judge": "oracle"}, "must be another than oracle"),
        ({"judge": "llm:"}, "--judge must name the name of a model"),
        ({"judge": "reward-accuracy"}, "Reward accuracy is always there"),
        ({"settings": {"max_step": 3}}, "setting 'max_step'.*'max_steps'"),
        ({"settings": {"seed": 3}}, "must be said by its own option"),
        ({"settings": {"learning_rate": "fast"}}, "'learning_rate' must be a number"),
        ({"overrides": {"group-dro": {}}}, "method of overrides 'group-dro'"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(data, tmp_path, options, words):
    with pytest.raises(FairPOError, match=words):
        run_comparison(plan(data, tmp_path / "out", **options))
    assert not (tmp_path / "out").exists()


def test_a_judge_that_lacks_an_attribute_is_refused_before_anything_is_written(data, tmp_path):
    (tmp_path / "some.csv").write_text(f"{LABELS}p,a,b,polite,first\n")
    with pytest.raises(FairPOError, match="is not among the 1 attributes judged"):
        run_comparison(plan(data, tmp_path / "out", judge=f"human:{tmp_path / 'some.csv'}"))
    assert not (tmp_path / "out").exists()


def test_a_row_that_one_seed_knows_counts_by_it(done):
    _, found, _ = done
    n = len(found.parts["test"])
    known, unknown = np.ones(n), np.ones(n)
    unknown[0] = np.nan
    known[0] = 0.0
    measured = Measured(
        {"dpo": {0: known, 1: unknown}}, found.parts["test"].attributes, np.arange(n), found
    )
    rate = measured.of("dpo")["overall"]
    assert rate["value"] == pytest.approx((n - 1) / n)
    assert (rate["wins"], rate["losses"], rate["skipped"]) == (2 * n - 2, 1, 1)
