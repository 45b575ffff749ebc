"""``fairpo lm`` as a user types it: from fine-tuning to a table, by flags and by a file."""

import json
import sys

import pytest
import typer
import yaml

from tests.command import fairpo

QUICK = ("--set", "max_steps=3", "--set", "logging_steps=1", "--set", "learning_rate=1e-3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("lm")
    rows = [
        {
            "prompt": f"What is {n} + 1?",
            "chosen": f" It is {n + 1}.",
            "rejected": " Who knows?",
            "attribute": ["true", "kind"][n % 2],
        }
        for n in range(80)
    ]
    (path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = fairpo("lm", "sft", "pairs.jsonl", "--out", "sft", *QUICK, cwd=path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "sft: sft\n"
    done = fairpo(
        *("lm", "train", "pairs.jsonl", "--model", "sft", "--out", "fairpo"),
        *("--privileged", "true", *QUICK),
        cwd=path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "fairpo-dpo, privileged true: fairpo\n"
    return path


def test_completions_are_written_a_line_each(folder):
    words = ("lm", "generate", "fairpo", "pairs.jsonl", "--out", "written.jsonl")
    more = ("--max-new-tokens", "4", "--sample")
    done = fairpo(*words, *more, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"file": "written.jsonl", "prompts": 80}
    rows = [json.loads(line) for line in (folder / "written.jsonl").read_text().splitlines()]
    assert all(isinstance(row["completion"], str) and row["attribute"] for row in rows)
    again = fairpo(*words, *more, cwd=folder)
    assert again.returncode == 2 and "already exists" in again.stderr


def test_a_run_is_evaluated_against_its_reference(folder):
    done = fairpo("lm", "evaluate", "fairpo", "pairs.jsonl", "--baseline", "sft", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "pairs: implicit reward against sft" in done.stdout
    assert "true *" in done.stdout and "worst attribute" in done.stdout
    words = ("lm", "evaluate", "sft", "fairpo", "pairs.jsonl", "--attributes", "true", "--json")
    found = json.loads(fairpo(*words, cwd=folder).stdout)
    assert list(found["models"]) == ["sft", "fairpo"] and found["attribute_names"] == ["true"]
    own = json.loads(fairpo("lm", "evaluate", "sft", "fairpo", "--json", cwd=folder).stdout)
    assert list(own["models"]) == ["sft", "fairpo"] and own["data"]["name"] == "pairs"
    assert own["data"]["n_pairs"] == 8


def test_pairs_are_read_as_the_run_read_them(folder):
    """Another split would test the run on pairs that it has learnt."""
    from fairpo.generation import load_pairs
    from fairpo.generation.runs import read_lm_run

    out, split = ("--out", "split"), ("--data-option", "split_seed=3")
    assert fairpo("lm", "sft", "pairs.jsonl", *out, *split, *QUICK, cwd=folder).returncode == 0
    done = fairpo(
        *("lm", "train", "./pairs.jsonl", "--model", "split", "--out", "on"),
        *("--method", "dpo", *QUICK),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert read_lm_run(folder / "on").data_options == {"split_seed": 3}
    judged = ("lm", "evaluate", "on", "pairs.jsonl", "--baseline", "split", "--out", "of-split")
    labels = "prompt,first,second,attribute,verdict\np,a,b,true,first\np,a,b,kind,first\n"
    (folder / "labels.csv").write_text(labels)
    quick = ("--max-new-tokens", "1", "--judge", "human:labels.csv")
    done = fairpo(*judged, *quick, cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = (folder / "of-split" / "samples.jsonl").read_text().splitlines()
    prompts = {json.loads(line)["prompt"] for line in lines}
    parts = load_pairs(folder / "pairs.jsonl", split_seed=3)
    assert prompts == set(parts["test"].prompts) and not prompts & set(parts["train"].prompts)
    mixed = fairpo("lm", "evaluate", "on", "pairs.jsonl", "--baseline", "sft", cwd=folder)
    assert mixed.returncode == 2
    assert "'split_seed' of the pairs must be told" in mixed.stderr


def test_a_file_says_what_flags_say_and_flags_stand_over_it(folder):
    made = fairpo("lm", "init", "compare.yaml", cwd=folder)
    assert made.returncode == 0, made.stderr
    told = yaml.safe_load((folder / "compare.yaml").read_text())
    told |= {"pairs": "pairs.jsonl", "privileged": "true", "seeds": 2, "out": "compared"}
    told |= {"sft": {"max_steps": 2}, "settings": {"max_steps": 2, "beta": 0.3}}
    (folder / "compare.yaml").write_text(yaml.safe_dump(told))
    words = ("lm", "compare", "--config", "compare.yaml", "--seeds", "1", "--methods", "fairpo-dpo")
    done = fairpo(*words, "--set", "beta=0.2", "--n-resamples", "20", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["settings"]["settings"] == {"max_steps": 2, "beta": 0.2}
    assert list(found["methods"]) == ["sft", "fairpo-dpo"] and found["seeds"] == [0]
    shown = fairpo(*words, "--set", "beta=0.2", "--n-resamples", "20", cwd=folder)
    assert "pairs: reward accuracy on test pairs, 1 seed" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "compared/report.html"
    assert "of sft itself the log-probability per token, another measure" in shown.stdout
    page = (folder / "compared" / "report.html").read_text()
    assert "reward accuracy" in page and "fairpo-dpo" in page


def test_verses_are_judged_by_their_own_programs(tmp_path):
    (tmp_path / "it.yaml").write_text("sft: {max_steps: 2}\nmethods: fairpo-dpo/no-constraint\n")
    words = ("lm", "compare", "verses", "--config", "it.yaml", "--privileged", "rhyme,clean")
    quick = ("--set", "max_steps=1", "--set", "precompute_ref_log_probs=false", "--seeds", "1")
    sizes = ("--n-prompts", "9", "--max-new-tokens", "8", "--n-resamples", "20", "--out", "out")
    done = fairpo(*words, *quick, *sizes, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "win rate over sft, judged by oracle, 9 prompts" in done.stdout
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert found["privileged"] == ["rhyme", "clean"]
    rate = found["methods"]["fairpo-dpo/no-constraint"]["win_rate"]["overall"]
    assert rate["wins"] + rate["ties"] + rate["losses"] + rate["skipped"] == 9 * 6


@pytest.mark.parametrize("command", ["sft", "train", "generate", "evaluate", "compare"])
def test_every_command_has_a_file_that_its_options_read(tmp_path, command):
    from fairpo.cli.lm_options import read_plan
    from fairpo.generation.plans import PLANS

    assert fairpo("lm", "init", "it.yaml", "--command", command, cwd=tmp_path).returncode == 0
    text = (tmp_path / "it.yaml").read_text()
    plan = read_plan(PLANS[command], tmp_path / "it.yaml", {})
    for name, field in PLANS[command].model_fields.items():
        assert f"\n{name}:" in text, name
        if not field.is_required() and name != "privileged":
            assert getattr(plan, name) == field.get_default(call_default_factory=True), name
    assert fairpo("lm", "init", "it.yaml", cwd=tmp_path).returncode == 2


def test_null_in_a_file_lifts_a_limit_and_is_no_number(tmp_path):
    from fairpo._checks import FairPOError
    from fairpo.cli.lm_options import read_plan
    from fairpo.generation.plans import ComparePlan

    (tmp_path / "it.yaml").write_text("out: x\nmax_length: null\nn_prompts: null\nsettings:\n")
    plan = read_plan(ComparePlan, tmp_path / "it.yaml", {})
    assert plan.max_length is None and plan.n_prompts is None and plan.settings == {}
    (tmp_path / "it.yaml").write_text("out: x\nseeds: null\n")
    with pytest.raises(FairPOError, match="seeds"):
        read_plan(ComparePlan, tmp_path / "it.yaml", {})


def test_a_comparison_with_a_failed_trial_ends_with_1(folder):
    (folder / "failing.yaml").write_text("overrides: {dpo: {max_length: 2}}\n")
    words = ("lm", "compare", "pairs.jsonl", "--config", "failing.yaml", "--out", "failing")
    more = ("--methods", "dpo", "--seeds", "1", "--set", "max_steps=1")
    done = fairpo(*words, *more, cwd=folder)
    assert done.returncode == 1
    assert "dpo, seed 0 failed:" in done.stderr and "1 trials failed" in done.stderr


def test_a_command_that_is_stopped_says_so(capsys):
    from fairpo.cli.lm_options import lm_command
    from fairpo.generation.plans import GeneratePlan

    def stopped(plan, **_):
        raise KeyboardInterrupt

    command = lm_command(GeneratePlan, stopped, ("model", "prompts"))
    common = {"config": None, "fetch": False, "overwrite": False, "as_json": False, "threads": 1}
    with pytest.raises(typer.Exit) as ended:
        command(model="run", out="x.jsonl", **common)
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == "stopped; nothing was written.\n"


def test_groups_are_shown_where_attributes_are_privileged(capsys):
    from fairpo.cli.lm_show import print_rates

    rate = {"value": 0.5, "low": 0.4, "high": 0.6}
    shown = {"attributes": {"kind": rate}, "groups": {"privileged": rate, "non_privileged": rate}}
    shown |= {"overall": rate, "worst_group": rate, "worst_attribute": rate}
    print_rates("with", {"dpo": shown}, ["kind"])
    told = capsys.readouterr().out
    assert "kind *" in told and "others" in told and "worst group" in told
    print_rates("without", {"dpo": shown}, [])
    told = capsys.readouterr().out
    assert "kind" in told and "worst attribute" in told
    assert not any(word in told for word in ("privileged", "others", "worst group"))


def test_a_judge_without_any_verdict_ends_with_1(capsys):
    from fairpo.cli.lm import _exit_without_verdicts

    none, some = ({"overall": {"value": value}} for value in (None, 0.5))
    with pytest.raises(typer.Exit) as ended:
        _exit_without_verdicts([none, none], "llm:down")
    assert ended.value.exit_code == 1
    assert "llm:down gave no verdict at all" in capsys.readouterr().err
    _exit_without_verdicts([none, some], "llm:up")
    _exit_without_verdicts([], None)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("train", "pairs.jsonl", "--out", "x"), "--model must be given"),
        (("train", "pairs.jsonl", "--model", "sft", "--out", "x"), "--privileged must be given"),
        (("train", "--method", "sft", "--model", "sft", "--out", "x"), "That is `fairpo lm sft`"),
        (("sft", "pairs.jsonl", "--out", "fairpo"), "already holds a run"),
        (("sft", "pairs.jsonl", "--out", "x", "--set", "beta=-1"), "beta must be greater than 0"),
        (("sft", "pairs.jsonl", "--out", "x", "--set", "epochs=1"), "setting 'epochs'"),
        (("sft", "nothing.jsonl", "--out", "x"), "nothing.jsonl"),
        (("generate", "nothing", "--out", "x.jsonl"), "neither a folder nor in the local cache"),
        (("generate", "sft", "--out", "x.txt"), "must end in .jsonl"),
        (("evaluate", "pairs.jsonl"), "PAIRS must be given, got no run"),
        (("evaluate", "x.jsonl", "pairs.jsonl"), "x.jsonl: is "),
        (("compare", "--out", "x", "--config", "pairs.jsonl"), "pairs.jsonl: cannot be read"),
        (("init", "x.yaml", "--command", "tune"), "command 'tune'"),
    ],
)
def test_a_mistake_is_one_message(folder, words, error):
    done = fairpo("lm", *words, cwd=folder)
    assert done.returncode == 2
    assert error in done.stderr and "Traceback" not in done.stderr
    assert not (folder / "x").exists()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"attribute": None}, "has no column 'attribute'"),
        ({"chosen": ""}, "with an empty completion"),
    ],
)
def test_faulty_pairs_are_named(tmp_path, change, error):
    row = {"prompt": "a", "chosen": "b", "rejected": "c", "attribute": "kind"} | change
    kept = {name: value for name, value in row.items() if value is not None}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(kept) + "\n")
    done = fairpo("lm", "sft", "pairs.jsonl", "--out", "x", cwd=tmp_path)
    assert done.returncode == 2 and error in done.stderr


def test_an_unknown_key_of_a_file_is_answered_with_the_nearest(tmp_path):
    (tmp_path / "it.yaml").write_text("method: dpo\nout: x\n")
    done = fairpo("lm", "compare", "--config", "it.yaml", cwd=tmp_path)
    assert done.returncode == 2 and "Did you mean 'methods'" in done.stderr


@pytest.mark.parametrize(
    "words", [("lm", "sft", "verses", "--out", "x"), ("demo", "--generation", "--out", "x")]
)
def test_without_transformers_the_extra_is_named(tmp_path, monkeypatch, words):
    monkeypatch.setitem(sys.modules, "transformers", None)
    done = fairpo(*words, cwd=tmp_path)
    assert done.returncode == 2 and 'pip install "fairpo[generation]"' in done.stderr
    assert not (tmp_path / "x").exists()


def test_what_is_not_there_is_called_by_its_own_words(tmp_path, monkeypatch):
    monkeypatch.delenv("FAIRPO_DATA", raising=False)
    done = fairpo("lm", "compare", "verses", "--privileged", "rhime", "--out", tmp_path / "out")
    assert "attribute 'rhime' is not among the 6 attributes. Did you mean 'rhyme'?" in done.stderr
    done = fairpo("lm", "sft", "nowhere.jsonl", "--out", tmp_path / "out")
    assert "nowhere.jsonl: does not exist." in done.stderr
    assert "--data-option root=DIR, or FAIRPO_DATA." in done.stderr
    assert not (tmp_path / "out").exists()
