"""``fairpo train``: one method on one data set, into a run folder; stopped, it goes on."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairpo._checks import value_error
from fairpo.cli import options

if TYPE_CHECKING:
    from fairpo.experiments.plan import Plan

_WITH_RESUME = ("resume", "device", "threads", "data_root", "fetch", "as_json")


def train(
    context: typer.Context,
    data: options.DataUnlessResumed = None,
    out: options.OutUnlessResumed = None,
    method: Annotated[str, typer.Option(help="See `fairpo methods`.")] = "fairpo-crossfit",
    privileged: options.Privileged = "rarest:20%",
    preset: options.Preset = "paper-v1",
    training_preset: options.TrainingPreset = "default",
    settings: options.Settings = None,
    reference: options.ReferenceOption = None,
    reference_kind: options.ReferenceKind = "logits",
    seed: Annotated[int, typer.Option(min=0, help="Of initial weights, order and draws.")] = 0,
    resume: Annotated[
        Path | None,
        typer.Option(help="Go on with a run that was stopped; data and options are its own."),
    ] = None,
    device: options.Device = None,
    format_name: options.Format = None,
    data_root: options.DataRoot = None,
    label_xml: options.LabelXml = None,
    reading: options.Reading = None,
    fetch: options.Fetch = False,
    threads: options.Threads = 1,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Train a reference, unless one is given, and a method from it; write a run folder.

    Under torchrun or accelerate the processes share each step's rows.
    """
    from fairpo.experiments.plan import Plan
    from fairpo.experiments.train import methods_of_run
    from fairpo.training.distributed import processes

    options.set_threads(threads)
    if resume is not None:
        _check_alone(context)
        _resume(resume, device, data_root, fetch, as_json)
        return
    if data is None or out is None:
        raise value_error(
            "fairpo train",
            must="be given DATA and --out, or --resume",
            got="neither" if data is None and out is None else "one of them",
        )
    assignments = [*(settings or []), *([f"device={device}"] if device else [])]
    told = options.data_options(reading, format_name, data_root, label_xml, fetch)
    plan = options.make_plan(
        Plan,
        assignments,
        training_preset,
        data=data,
        data_options=told,
        methods=methods_of_run(method, reference),
        privileged=privileged,
        seeds=(seed,),
        preset=preset,
        reference=reference,
        reference_kind=reference_kind,
    )
    with processes(plan.training.torch_device()):
        _train(plan, out, overwrite, as_json)


def _train(plan: Plan, out: Path, overwrite: bool, as_json: bool) -> None:
    from fairpo.cli.show import progress_bars
    from fairpo.experiments.given_reference import given_digest
    from fairpo.experiments.train import train_run
    from fairpo.report import write_report
    from fairpo.training.distributed import is_main
    from fairpo.training.run import check_output

    if is_main():  # the others may look when it has begun
        check_output(out, overwrite=overwrite)
    given_digest(plan)  # before the data, which may take long
    loaded = options.load(plan.data, plan.data_options)
    with _interrupted(out), progress_bars() as bars:
        metrics = train_run(
            loaded,
            plan,
            out,
            report=write_report,
            command="fairpo " + shlex.join(sys.argv[1:]),
            overwrite=overwrite,
            progress=bars,
        )
    _show(metrics, out, as_json)


def _resume(
    folder: Path, device: str | None, data_root: str | None, fetch: bool, as_json: bool
) -> None:
    from fairpo.cli.show import progress_bars, say
    from fairpo.experiments.train import resume_run
    from fairpo.models.checkpoint import read_json
    from fairpo.report import write_report
    from fairpo.training.distributed import processes
    from fairpo.training.run import METRICS
    from fairpo.training.unfinished import read_unfinished

    run = read_unfinished(folder)
    if run is None:
        say(f"{folder} is finished: there is nothing to go on with.")
        _show(read_json(folder / METRICS), folder, as_json)
        return
    say(f"{folder} goes on after: {run.place()}.")
    run = run if device is None else run.on_device(device)
    config = run.config
    told = config.data_options.model_copy(update={"fetch": fetch})
    if data_root is not None:
        told = told.model_copy(update={"root": data_root})
    with processes(config.training.torch_device()):
        loaded = options.load(config.data, told)
        with _interrupted(folder), progress_bars() as bars:
            metrics = resume_run(run, loaded, report=write_report, progress=bars)
    _show(metrics, folder, as_json)


def _check_alone(context: typer.Context) -> None:
    """Refuse options that would change the run that goes on."""
    given = options.given(context)
    others = [option for name, option in given.items() if name not in _WITH_RESUME]
    if others:
        raise value_error(
            "--resume",
            must="stand without what the run has already",
            got=", ".join(others),
            do="Train anew with --out to change them.",
        )


@contextmanager
def _interrupted(folder: Path) -> Iterator[None]:
    """Say how to go on after Ctrl-C, or after a scheduler or launcher asked to end."""
    from fairpo.cli.show import say
    from fairpo.training.stop import StoppedError, stop_politely

    try:
        with stop_politely():
            yield
    except StoppedError as error:
        say(f"stopped; `fairpo train --resume {folder}` goes on.")
        raise typer.Exit(128 + error.number) from None


def _show(metrics: dict[str, Any] | None, folder: Path, as_json: bool) -> None:
    from fairpo.cli.show import print_comparison, print_json, say

    if metrics is None:  # the first process speaks for all
        return
    if as_json:
        print_json(metrics)
        return
    print_comparison(metrics)
    for note in metrics["notes"]:
        say(f"note: {note}")
    print(f"{folder / 'report.html'}")
