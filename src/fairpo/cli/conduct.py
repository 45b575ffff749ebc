"""What the commands that run studies share: into a folder, with progress, and what was found."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fairpo.cli import options

if TYPE_CHECKING:
    from fairpo.experiments.study import Study
    from fairpo.experiments.sweep_plan import Sweep


def conduct(
    plan: Study | Sweep,
    out: Path,
    jobs: int | None,
    *,
    overwrite: bool,
    more: bool = False,
    run: Callable[..., dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Run a study, or what ``run`` runs, into a folder; of a finished one, return its results."""
    from fairpo.cli.show import say, study_bars
    from fairpo.experiments.conduct import run_study
    from fairpo.experiments.given_reference import given_digest
    from fairpo.experiments.pool import cores
    from fairpo.experiments.study_folder import check_folder, finished, inputs_of
    from fairpo.report import write_report

    check_folder(out, plan, overwrite=overwrite, more=more)
    given_digest(plan)  # before the data, which may take long
    options.set_threads(1)
    data = options.load(plan.data, plan.data_options)
    found = None if overwrite else finished(out, plan, inputs_of(plan, data))
    if found is not None:
        say(f"{out} holds these results already; --overwrite runs them again.")
        return found
    begin: Callable[..., dict[str, Any]] = run or run_study
    with _interrupted(out), study_bars() as (epochs, count):
        return begin(
            plan,
            data,
            out,
            report=write_report,
            command="fairpo " + shlex.join(sys.argv[1:]),
            n_jobs=cores() if jobs is None else jobs,
            overwrite=overwrite,
            progress=epochs,
            count=count,
        )


def show_results(metrics: dict[str, Any], out: Path, *, as_json: bool) -> None:
    """Show what a study found; exit with 1 where trials of it failed."""
    from fairpo.cli.show import print_json, print_study, print_sweep, say

    sweep = metrics.get("sweep")
    if as_json:
        print_json(metrics)
    else:
        if sweep is not None:
            print_sweep(sweep)
        print_study(metrics)
        for note in (*(sweep["notes"] if sweep else ()), *metrics["notes"]):
            say(f"note: {note}")
        print(f"{out / 'report.html'}")
    if metrics["failed"]:
        say(f"{len(metrics['failed'])} trials failed; {_again()} tries them again.")
        raise typer.Exit(1)


@contextmanager
def _interrupted(folder: Path) -> Iterator[None]:
    """Say how to go on after Ctrl-C."""
    from fairpo.cli.show import say

    try:
        yield
    except KeyboardInterrupt:
        say(f"stopped; {_again()} goes on with what is left in {folder}.")
        raise typer.Exit(130) from None


def _again() -> str:
    """What goes on with a study: said again, --overwrite would begin it anew."""
    return "the same command" + (" without --overwrite" if "--overwrite" in sys.argv else "")
