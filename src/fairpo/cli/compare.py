"""``fairpo compare``: many methods, one table with intervals, one report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairpo.cli import options

if TYPE_CHECKING:
    from fairpo.experiments.study import Study


def compare(
    data: options.Data,
    out: options.Out,
    methods: Annotated[
        str | None, typer.Option(help="Names with commas between; all of the paper's by default.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds.")] = 2,
    privileged: options.Privileged = "rarest:20%",
    preset: options.Preset = "paper-v1",
    training_preset: options.TrainingPreset = "default",
    settings: options.Settings = None,
    reference: options.ReferenceOption = None,
    reference_kind: options.ReferenceKind = "logits",
    format_name: options.Format = None,
    data_root: options.DataRoot = None,
    label_xml: options.LabelXml = None,
    reading: options.Reading = None,
    fetch: options.Fetch = False,
    jobs: options.Jobs = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Compare methods from one shared reference a seed; write metrics, results and a report.

    Stopped, the same command goes on.
    """
    from fairpo._checks import build_settings
    from fairpo.experiments.plan import MAIN_METHODS
    from fairpo.experiments.study import Study

    told = options.data_options(reading, format_name, data_root, label_xml, fetch)
    names = MAIN_METHODS if methods is None else tuple(name.strip() for name in methods.split(","))
    plan = options.make_plan(
        data, names, privileged, tuple(range(seeds)), preset, training_preset, settings, told
    )
    study = build_settings(Study, {name: getattr(plan, name) for name in type(plan).model_fields})
    study.check()
    conduct(study, out, (reference, reference_kind), jobs, overwrite, as_json)


def conduct(
    study: Study,
    out: Path,
    reference: tuple[str | None, str],
    jobs: int | None,
    overwrite: bool,
    as_json: bool,
    *,
    more: bool = False,
) -> None:
    """Run a study into a folder and show what it found."""
    from fairpo.cli.show import print_json, print_study, say, study_bars
    from fairpo.experiments.conduct import is_done, run_study
    from fairpo.experiments.pool import cores
    from fairpo.models.checkpoint import read_json
    from fairpo.report import write_report
    from fairpo.training.run import METRICS
    from fairpo.training.unfinished import digest_reference

    if is_done(out, study, overwrite=overwrite, more=more) and not overwrite:
        say(f"{out} holds these results already; delete it to run again.")
        metrics: dict[str, Any] = read_json(out / METRICS)
    else:
        options.set_threads(1)
        loaded = options.load(study.data, study.data_options)
        path, kind = reference
        given = options.load_reference(path, kind, loaded, study) if path else None
        with interrupted(out), study_bars() as (epochs, count):
            metrics = run_study(
                study,
                loaded,
                out,
                report=write_report,
                reference=given,
                reference_digest=digest_reference(Path(path)) if path else "",
                command="fairpo " + shlex.join(sys.argv[1:]),
                n_jobs=cores() if jobs is None else jobs,
                overwrite=overwrite,
                progress=epochs,
                count=count,
            )
    if as_json:
        print_json(metrics)
    else:
        print_study(metrics)
        for note in metrics["notes"]:
            say(f"note: {note}")
        print(f"{out / 'report.html'}")


@contextmanager
def interrupted(folder: Path) -> Iterator[None]:
    """Say how to go on after Ctrl-C."""
    from fairpo.cli.show import say

    try:
        yield
    except KeyboardInterrupt:
        say(f"stopped; the same command goes on with what is left in {folder}.")
        raise typer.Exit(130) from None
