"""``fairpo sweep``: the settings of a method tuned on validation, what was chosen run on test."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairpo.cli import options

if TYPE_CHECKING:
    from fairpo.experiments.sweep_plan import Sweep


def sweep(
    data: options.Data,
    out: options.Out,
    method: Annotated[str, typer.Option(help="The method to tune.")] = "fairpo-dpo",
    trials: Annotated[int, typer.Option(min=1, help="Trials in all, earlier ones included.")] = 20,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE|NAME=LOW:HIGH[:log]|NAME=VALUE,VALUE",
            help="Settings to vary, in a YAML file or one by one; repeatable. Each method has its "
            "own by default.",
        ),
    ] = None,
    objective: Annotated[
        str,
        typer.Option(
            help="constrained: privileged mAP within the tolerance of the others'; pareto: both "
            "against each other."
        ),
    ] = "constrained",
    storage: Annotated[
        str | None,
        typer.Option(
            help="Database that machines share, such as postgresql://user@host/name; a SQLite "
            "file in the folder by default."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of the final figures.")] = 2,
    tuning_seeds: Annotated[int, typer.Option(min=1, help="Seeds of each trial.")] = 1,
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
    """Search settings of a method on the validation rows; run the best on the test rows, once.

    Stopped, the same command goes on; with more --trials it adds to them.
    """
    from fairpo._checks import build_settings
    from fairpo.experiments.search import read_search
    from fairpo.experiments.sweep_plan import Sweep
    from fairpo.objectives.catalogue import REFERENCE

    told = options.data_options(reading, format_name, data_root, label_xml, fetch)
    plan = options.make_plan(
        data,
        tuple(dict.fromkeys((REFERENCE, method))),
        privileged,
        tuple(range(seeds)),
        preset,
        training_preset,
        settings,
        told,
    )
    values = {name: getattr(plan, name) for name in type(plan).model_fields}
    values |= {
        "search": read_search(search or []),
        "objective": objective,
        "n_trials": trials,
        "tuning_seeds": tuple(range(tuning_seeds)),
    }
    checked = build_settings(Sweep, values)
    checked.check()
    _conduct(checked, out, storage, (reference, reference_kind), jobs, overwrite, as_json)


def _conduct(
    sweep: Sweep,
    out: Path,
    storage: str | None,
    reference: tuple[str | None, str],
    jobs: int | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    from fairpo.cli.compare import interrupted
    from fairpo.cli.show import print_json, print_study, print_sweep, say, study_bars
    from fairpo.experiments.pool import cores
    from fairpo.experiments.sweep import run_sweep
    from fairpo.experiments.sweep_plan import open_sweep
    from fairpo.experiments.sweep_store import without_password
    from fairpo.models.checkpoint import read_json
    from fairpo.report import write_report
    from fairpo.training.run import METRICS
    from fairpo.training.unfinished import digest_reference

    if open_sweep(out, sweep, overwrite=overwrite):
        say(f"{out} holds these results already; --trials adds to them.")
        metrics: dict[str, Any] = read_json(out / METRICS)
    else:
        command = "fairpo " + shlex.join(sys.argv[1:])
        if storage is not None:
            command = command.replace(storage, without_password(storage))
        options.set_threads(1)
        loaded = options.load(sweep.data, sweep.data_options)
        path, kind = reference
        given = options.load_reference(path, kind, loaded, sweep) if path else None
        with interrupted(out), study_bars() as (epochs, count):
            metrics = run_sweep(
                sweep,
                loaded,
                out,
                report=write_report,
                storage=storage,
                reference=given,
                reference_digest=digest_reference(Path(path)) if path else "",
                command=command,
                n_jobs=cores() if jobs is None else jobs,
                progress=epochs,
                count=count,
            )
    if as_json:
        print_json(metrics)
    else:
        print_sweep(metrics["sweep"])
        print_study(metrics)
        for note in (*metrics["sweep"]["notes"], *metrics["notes"]):
            say(f"note: {note}")
        print(f"{out / 'report.html'}")
