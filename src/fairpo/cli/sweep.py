"""``fairpo sweep``: the settings of a method tuned on validation, what was chosen run on test."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from fairpo.cli import options
from fairpo.cli.conduct import conduct, show_results


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
    from fairpo.experiments.search import read_search
    from fairpo.experiments.sweep import run_sweep
    from fairpo.experiments.sweep_plan import Sweep
    from fairpo.experiments.sweep_store import check_storage

    plan = options.make_plan(
        Sweep,
        settings,
        training_preset,
        data=data,
        data_options=options.data_options(reading, format_name, data_root, label_xml, fetch),
        methods=(method,),
        privileged=privileged,
        seeds=tuple(range(seeds)),
        preset=preset,
        reference=reference,
        reference_kind=reference_kind,
        search=read_search(search or []),
        objective=objective,
        n_trials=trials,
        tuning_seeds=tuple(range(tuning_seeds)),
    )
    if storage is not None:
        check_storage(storage)  # before the data, which may take long
    run = partial(run_sweep, storage=storage)
    show_results(conduct(plan, out, jobs, overwrite=overwrite, run=run), out, as_json=as_json)
