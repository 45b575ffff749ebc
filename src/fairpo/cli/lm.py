"""``fairpo lm``: language models, from fine-tuning to a table of win rates."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairpo._checks import file_error, value_error
from fairpo.cli import options
from fairpo.cli.lm_file import commented_plan
from fairpo.cli.lm_options import lm_command
from fairpo.generation.plans import ComparePlan, EvaluatePlan, GeneratePlan, SFTPlan, TrainPlan

if TYPE_CHECKING:
    from fairpo.generation import PreferencePairs

app = typer.Typer(
    help="Language models: pairs with an attribute, from fine-tuning to win rates.",
    no_args_is_help=True,
)


def sft(plan: SFTPlan, *, fetch: bool, overwrite: bool, as_json: bool) -> None:
    """Fine-tune a model on the chosen completions of PAIRS; on verses, on its demonstrations."""
    from fairpo.generation.training import SFT

    _train(plan, SFT, fetch=fetch, overwrite=overwrite, as_json=as_json)


def train(plan: TrainPlan, *, fetch: bool, overwrite: bool, as_json: bool) -> None:
    """Train a method over PAIRS from a model, which is its reference."""
    from fairpo.generation.training import SFT, check_privileged

    check_privileged(plan.method, plan.privileged)
    if plan.method == SFT:
        raise value_error("--method", must="be over pairs", got=SFT, do="That is `fairpo lm sft`.")
    _train(plan, plan.method, fetch=fetch, overwrite=overwrite, as_json=as_json)


def generate(plan: GeneratePlan, *, fetch: bool, overwrite: bool, as_json: bool) -> None:
    """Write completions of prompts."""
    import json

    from fairpo._files import write_atomic
    from fairpo.cli.show import count_bar, print_json
    from fairpo.generation.decoding import write_completions
    from fairpo.generation.language_models import load_language_model
    from fairpo.generation.prompts import COMPLETION, read_prompts

    if plan.out.suffix != ".jsonl":
        raise value_error("--out", must="end in .jsonl", got=repr(plan.out.name))
    if plan.out.exists() and not overwrite:
        raise file_error(plan.out, "already exists", "Choose another file, or say --overwrite.")
    rows = read_prompts(plan.prompts)
    loaded = load_language_model(plan.model, fetch=fetch)
    with count_bar("prompts", len(rows), "prompts", hidden=as_json) as advance:
        completions = write_completions(
            loaded, [row["prompt"] for row in rows], plan, seed=plan.seed, on_batch=advance
        )
    lines = [
        json.dumps({**row, COMPLETION: text}, ensure_ascii=False) + "\n"
        for row, text in zip(rows, completions, strict=True)
    ]
    plan.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(plan.out, "".join(lines).encode())
    if as_json:
        print_json({"file": str(plan.out), "prompts": len(rows)})
    else:
        print(f"{len(rows)} completions: {plan.out}")


def evaluate(plan: EvaluatePlan, *, fetch: bool, overwrite: bool, as_json: bool) -> None:
    """Judge models on the test pairs of PAIRS: reward accuracy, or win rates over a baseline."""
    from fairpo.cli.lm_show import print_lm_evaluation
    from fairpo.cli.show import print_json, say
    from fairpo.generation.held_out import held_out_pairs
    from fairpo.generation.model_evaluation import check_evaluation, evaluate_models

    check_evaluation(plan, overwrite=overwrite)
    parts = held_out_pairs(plan, fetch=fetch)
    test = parts["test"]
    say(f"{test.name}: {len(test)} pairs of {len(test.attribute_names)} attributes are judged")
    for note in test.notes:
        say(f"note: {note}.")
    found = evaluate_models(plan, parts, fetch=fetch, say=say)
    if as_json:
        print_json(found)
    else:
        print_lm_evaluation(found)
        for note in found["notes"]:
            say(f"note: {note}.")
        counts = {name: count for name, count in found["counts"].items() if count}
        if counts:
            say("judge: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    _exit_without_verdicts(list(found["models"].values()), plan.judge)


def compare(plan: ComparePlan, *, fetch: bool, overwrite: bool, as_json: bool) -> None:
    """Compare methods from the same SFT model of each seed; what is done is not done again."""
    show_comparison(conduct_comparison(plan, fetch=fetch, overwrite=overwrite), plan.out, as_json)


def conduct_comparison(plan: ComparePlan, *, fetch: bool, overwrite: bool) -> dict[str, Any]:
    """Run a comparison with progress on stderr, and write what it found and its page."""
    import shlex
    import sys

    from fairpo.cli.lm_show import step_bars
    from fairpo.cli.show import say
    from fairpo.generation.comparison import run_comparison
    from fairpo.generation.comparison_figures import summarise_comparison
    from fairpo.report import write_report

    try:
        with step_bars() as show:
            compared = run_comparison(plan, fetch=fetch, overwrite=overwrite, on_step=show, say=say)
        found = summarise_comparison(compared, "fairpo " + shlex.join(sys.argv[1:]))
        write_report(plan.out)
    except KeyboardInterrupt:
        say(f"stopped; the same command without --overwrite goes on in {plan.out}.")
        raise typer.Exit(130) from None
    return found


def show_comparison(found: dict[str, Any], out: Path, as_json: bool) -> None:
    """Show what a comparison found; exit with 1 where trials of it failed."""
    from fairpo.cli.lm_show import print_lm_comparison
    from fairpo.cli.show import print_json, say

    if as_json:
        print_json(found)
    else:
        print_lm_comparison(found)
        for note in (*found["data"]["notes"], *found["notes"]):
            say(f"note: {note}.")
        print(f"{out / 'report.html'}")
    rates = [method["win_rate"] for method in found["methods"].values() if method["win_rate"]]
    _exit_without_verdicts(rates, found["judge"])
    if found["failed"]:
        say(f"{len(found['failed'])} trials failed; the same command tries them again.")
        raise typer.Exit(1)


def _exit_without_verdicts(rates: list[dict[str, Any]], judge: str | None) -> None:
    """Exit with 1 where a judge said nothing at all: no script is to take that for a result."""
    from fairpo.cli.show import say

    if rates and all(rate["overall"]["value"] is None for rate in rates):
        say(f"{judge} gave no verdict at all, so there are no win rates")
        raise typer.Exit(1)


def _train(
    plan: SFTPlan | TrainPlan, method: str, *, fetch: bool, overwrite: bool, as_json: bool
) -> None:
    from fairpo.cli.lm_show import step_bars
    from fairpo.cli.show import print_json, say
    from fairpo.generation.evaluation import PER_TOKEN
    from fairpo.generation.language_models import load_language_model
    from fairpo.generation.quiet import quiet_transformers
    from fairpo.generation.runs import (
        FILE,
        describe_run,
        is_lm_run,
        read_lm_run,
        reading_of,
        write_lm_run,
    )
    from fairpo.generation.tiny import TINY
    from fairpo.generation.training import (
        SFT,
        demonstrations_of,
        train_language_model,
        training_arguments,
    )
    from fairpo.training.run import check_output

    check_output(plan.out, overwrite=overwrite, marks=(FILE,))
    before = read_lm_run(plan.model) if is_lm_run(plan.model) else None
    tiny = plan.model == TINY or (before is not None and before.tiny)
    privileged = None if isinstance(plan, SFTPlan) else plan.privileged
    each = False if isinstance(plan, SFTPlan) else plan.per_attribute

    def arguments(folder: Path) -> Any:
        return training_arguments(
            method,
            plan.settings,
            tiny=tiny,
            folder=folder,
            privileged=privileged,
            per_attribute=each,
            seed=plan.seed,
        )

    arguments(Path("unused"))  # all faults before any work
    reading = reading_of(plan.pairs, [plan.model], plan.data_options)
    parts = read_pairs_of(plan.pairs, reading, fetch)
    loaded = load_language_model(plan.model, parts["train"], fetch=fetch, seed=plan.seed)
    data = demonstrations_of(parts) if method == SFT else parts["train"]
    with step_bars(hidden=as_json) as show:
        trainer = train_language_model(
            loaded, data, parts["validation"], arguments, on_step=partial(show, method)
        )
    with quiet_transformers():
        measured = trainer.evaluate()
    run = describe_run(
        trainer,
        start=plan.model,
        tiny=tiny,
        reference=None if method == SFT or before is None else before.digest,
        data=plan.pairs,
        data_options=reading,
        settings=plan.settings,
    )
    write_lm_run(plan.out, trainer, run, overwrite=overwrite)
    improved = [trainer.attribute_names[place] for place in trainer.groups.privileged]
    named = improved if privileged is not None else []
    if as_json:
        metrics = {name: value for name, value in measured.items() if name.startswith("eval_")}
        told = {"run": str(plan.out), "method": method, "privileged": named}
        print_json({**told, "validation": metrics})
        return
    say(f"{trainer.state.global_step} steps{_last_loss(run.log_history)}")
    share = 100 * measured[f"eval_{PER_TOKEN}"]
    say(f"validation: the chosen completion is likelier per token in {share:.1f}% of pairs")
    print(f"{method}{', privileged ' + ', '.join(named) if named else ''}: {plan.out}")


def _last_loss(history: Any) -> str:
    losses = [record["loss"] for record in history if "loss" in record]
    return f", last loss {losses[-1]:.3f}" if losses else ""


def read_pairs_of(source: str, told: dict[str, Any], fetch: bool) -> dict[str, PreferencePairs]:
    """Load PAIRS and say what was dropped and decided."""
    import os

    from fairpo._checks import build_settings
    from fairpo.cli.show import say
    from fairpo.generation import PairOptions, load_pairs

    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    parts = load_pairs(source, build_settings(PairOptions, {"fetch": fetch, **told}))
    train = parts["train"]
    sizes = ", ".join(f"{len(part)} {name}" for name, part in parts.items())
    say(f"{train.name}: {len(train.attribute_names)} attributes, pairs: {sizes}")
    for note in dict.fromkeys(note for part in parts.values() for note in part.notes):
        say(f"note: {note}.")
    return parts


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="File to write, such as compare.yaml.")],
    command: Annotated[
        str, typer.Option(help="sft, train, generate, evaluate or compare.")
    ] = "compare",
    overwrite: options.Overwrite = False,
) -> None:
    """Write the options of a command to a file, each with what it means."""
    options.write_new(file, commented_plan(command), overwrite=overwrite)
    print(f"{file}: change it, then run `fairpo lm {command} --config {file}`")


app.command("sft")(lm_command(SFTPlan, sft, ("pairs",)))
app.command("train")(lm_command(TrainPlan, train, ("pairs",)))
app.command("generate")(lm_command(GeneratePlan, generate, ("model", "prompts")))
app.command("evaluate")(lm_command(EvaluatePlan, evaluate, ("models", "pairs")))
app.command("compare")(lm_command(ComparePlan, compare, ("pairs",)))
