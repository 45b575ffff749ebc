"""Models judged on test pairs: rates by hand, groups of a run, judges that fail, and mistakes."""

import json

import numpy as np
import pytest

from fairpo._checks import FairPOError
from fairpo.cli.lm_show import print_lm_comparison, print_lm_evaluation
from fairpo.generation import load_pairs
from fairpo.generation.language_models import load_language_model
from fairpo.generation.model_evaluation import check_evaluation, evaluate_models, restrict_to
from fairpo.generation.pair_scores import score_pairs
from fairpo.generation.plans import EvaluatePlan
from fairpo.generation.runs import describe_run, write_lm_run
from tests.generation.chat_server import answers, hangs, serving
from tests.generation.tiny_lm import pairs, rows, trained
from tests.report.language_examples import compared as compared_examples


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("evaluated")
    (path / "words.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(pairs(120))))
    for name, options in {"sft": {"method": "sft"}, "fairpo": {"max_steps": 6}}.items():
        trainer = trained(path / f"{name}-training", **options)
        told = {"start": "x", "tiny": False, "reference": None, "data": "words.jsonl"}
        run = describe_run(trainer, **told, data_options={}, settings={})
        write_lm_run(path / name, trainer, run)
    return path


def plan(folder, *models, **options):
    told = {"models": [str(folder / name) for name in models], "n_resamples": 50}
    told |= {"pairs": str(folder / "words.jsonl"), "max_new_tokens": 4}
    if "baseline" in options:
        options["baseline"] = str(folder / options["baseline"])
    return EvaluatePlan(**{**told, **options})


def evaluated(*arguments, **options):
    told = plan(*arguments, **options)
    check_evaluation(told, overwrite=False)
    return evaluate_models(told, load_pairs(told.pairs))


def test_implicit_reward_against_a_baseline_and_the_groups_of_the_run(folder):
    found = evaluated(folder, "fairpo", baseline="sft")
    assert found["reward"] == "implicit" and found["privileged"] == ["polite", "short"]
    test = load_pairs(folder / "words.jsonl")["test"]
    own, start = (
        score_pairs(load_language_model(str(folder / n)), test) for n in ("fairpo", "sft")
    )
    won = own.chosen - start.chosen > own.rejected - start.rejected
    rates = found["models"][str(folder / "fairpo")]
    assert rates["overall"]["value"] == pytest.approx(won.mean())
    inside = np.isin(test.attributes, [test.attribute_names.index(n) for n in ("polite", "short")])
    assert rates["groups"]["privileged"]["value"] == pytest.approx(won[inside].mean())
    assert list(found["models"]) == [str(folder / "fairpo")]


def test_without_a_baseline_all_are_judged_per_token(folder):
    found = evaluated(folder, "sft", "fairpo")
    assert found["reward"] == "per_token" and len(found["models"]) == 2
    (difference,) = found["differences"]
    values = [run["overall"]["value"] for run in found["models"].values()]
    assert difference["keys"]["overall"]["value"] == pytest.approx(values[1] - values[0])


def test_where_nothing_is_privileged_no_group_is_called_so(folder, capsys):
    found = evaluated(folder, "sft", "fairpo", attributes="kind")
    assert found["privileged"] == []
    assert [list(run["groups"]) for run in found["models"].values()] == [["pooled"]] * 2
    print_lm_evaluation(found)
    shown = capsys.readouterr().out
    assert "privileged" not in shown and "others" not in shown and "worst group" not in shown


def test_names_in_brackets_are_shown_as_they_are(capsys):
    figures = compared_examples(attributes=("le[red]ngth", "a[/b]"), privileged=("a[/b]",))
    print_lm_comparison(figures)
    shown = capsys.readouterr().out
    assert "le[red]ngth" in shown and "a[/b] *" in shown


def test_attributes_can_be_chosen(folder):
    found = evaluated(folder, "sft", "fairpo", attributes="short,kind")
    assert found["attribute_names"] == ["short", "kind"] and found["privileged"] == ["short"]
    whole = evaluated(folder, "sft", "fairpo")
    for name, run in found["models"].items():
        expected = whole["models"][name]["attributes"]["kind"]
        assert run["attributes"]["kind"]["value"] == expected["value"]


def test_restricted_pairs_keep_what_each_attribute_says():
    from fairpo.generation import make_verses

    whole = make_verses().pairs["test"]
    part = restrict_to(whole, ("clean", "length"))
    assert part.attribute_names == ("clean", "length")
    rows_of = np.flatnonzero(np.isin(whole.attributes, [0, 5]))
    assert part.prompts == tuple(whole.prompts[row] for row in rows_of)
    assert (part.agreement == whole.agreement[rows_of][:, [5, 0]]).all()
    with pytest.raises(FairPOError, match="attribute 'topics'.*Did you mean 'topic'"):
        restrict_to(whole, ("topics",))


@pytest.mark.filterwarnings("ignore::fairpo._checks.FairPOWarning")
def test_a_judge_that_answers_nonsense_or_hangs_is_counted_and_costs_no_figure(
    folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("FAIRPO_CACHE", str(tmp_path))
    with serving(faults=[answers("perhaps")] * 2) as server:
        monkeypatch.setenv("FAIRPO_JUDGE_URL", server.url)
        found = evaluated(folder, "sft", "fairpo", judge="llm:tiny", out=tmp_path / "out")
    assert found["measure"] == "llm:tiny" and found["counts"]["nonsense"] == 2
    rates = found["models"][str(folder / "fairpo")]
    skipped = rates["overall"]["skipped"]
    assert 1 <= skipped <= 2 and f"{skipped} rows" in found["notes"][0]
    whole = rates["overall"]
    judged = whole["wins"] + whole["ties"] + whole["losses"]
    assert whole["value"] == pytest.approx((whole["wins"] + whole["ties"] / 2) / judged)
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text()) == found
    samples = (tmp_path / "out" / "samples.jsonl").read_text().splitlines()
    assert {*json.loads(samples[0])["completions"]} == {str(folder / n) for n in ("sft", "fairpo")}


@pytest.mark.filterwarnings("ignore::fairpo._checks.FairPOWarning")
def test_a_judge_that_never_answers_leaves_everything_skipped(folder, tmp_path, monkeypatch):
    import fairpo.generation.judges.llm as llm

    monkeypatch.setenv("FAIRPO_CACHE", str(tmp_path))
    fields = llm.LLMJudgeSettings.model_fields
    monkeypatch.setattr(fields["timeout"], "default", 0.05)
    monkeypatch.setattr(fields["tries"], "default", 1)
    llm.LLMJudgeSettings.model_rebuild(force=True)
    with serving(faults=[hangs] * 50) as server:
        monkeypatch.setenv("FAIRPO_JUDGE_URL", server.url)
        found = evaluated(folder, "sft", "fairpo", judge="llm:tiny", attributes="short")
    rates = found["models"][str(folder / "fairpo")]["overall"]
    assert rates["wins"] == rates["losses"] == 0 and rates["skipped"] > 0
    monkeypatch.undo()
    llm.LLMJudgeSettings.model_rebuild(force=True)


@pytest.mark.parametrize(
    ("models", "options", "words"),
    [
        (("sft",), {"judge": "human:x.csv"}, "must be two at least for a judge"),
        (("sft",), {"baseline": "sft"}, "must hold another than the baseline"),
        (("sft", "sft"), {}, "the models must be unique"),
        (("sft", "fairpo"), {"judge": "orakel"}, "judge 'orakel'.*Did you mean 'oracle'"),
        (("sft", "fairpo"), {"judge": "oracle"}, "must be another than oracle"),
        (("sft", "fairpo"), {"privileged": "worst:1"}, "must name attributes here"),
        (("sft", "fairpo"), {"privileged": "polit"}, "Did you mean 'polite'"),
    ],
)
def test_mistakes_are_told(folder, models, options, words):
    with pytest.raises(FairPOError, match=words):
        evaluated(folder, *models, **options)


def test_an_attribute_that_was_never_trained_is_refused(folder, tmp_path):
    path = tmp_path / "other.jsonl"
    other = [{**row, "attribute": "brief"} for row in rows(pairs(40))]
    path.write_text("".join(json.dumps(row) + "\n" for row in other))
    with pytest.raises(FairPOError, match="attribute 'brief' is not among.*--attributes"):
        evaluated(folder, "sft", "fairpo", pairs=str(path))
