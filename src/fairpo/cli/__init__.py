"""The command line: one module a command, heavy imports inside the command."""

from __future__ import annotations

import os
import sys
import warnings

import typer

from fairpo._checks import FairPOError, FairPOWarning, value_error
from fairpo.cli.check import check
from fairpo.cli.compare import compare
from fairpo.cli.data import app as data_app
from fairpo.cli.demo import demo
from fairpo.cli.embed import embed
from fairpo.cli.evaluate import evaluate
from fairpo.cli.labelsets import app as labelsets_app
from fairpo.cli.lm import app as lm_app
from fairpo.cli.methods import methods
from fairpo.cli.predict import predict
from fairpo.cli.report import report
from fairpo.cli.reproduce import reproduce
from fairpo.cli.study import ablate, partitions
from fairpo.cli.study import app as study_app
from fairpo.cli.sweep import sweep
from fairpo.cli.train import train

app = typer.Typer(
    name="fairpo",
    help="Make multi-label models good on the labels that matter, and show the evidence.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (
    demo,
    embed,
    train,
    evaluate,
    check,
    compare,
    ablate,
    partitions,
    sweep,
    reproduce,
    report,
    predict,
    methods,
):
    app.command()(command)
app.add_typer(data_app, name="data")
app.add_typer(labelsets_app, name="labelsets")
app.add_typer(lm_app, name="lm")
app.add_typer(study_app, name="study", help="Run studies from files that say all of them.")


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if several and context.invoked_subcommand not in ("train", "embed", None):
        raise value_error(
            f"fairpo {context.invoked_subcommand}",
            must="run in one process",
            got=f"{os.environ['WORLD_SIZE']} of them",
            do="train and embed share their work among processes; the others do not.",
        )
    if version:
        import fairpo

        typer.echo(fairpo.__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; an error of ours is one message on stderr and exit code 2."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        app()
    except FairPOError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("stopped; nothing was written.", file=sys.stderr)
        raise SystemExit(130) from None


def _show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    name = "note" if issubclass(category, FairPOWarning) else category.__name__
    print(f"{name}: {message}", file=sys.stderr)
