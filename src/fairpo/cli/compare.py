"""``fairpo compare``: many methods, one table with intervals, one report."""

from __future__ import annotations

from typing import Annotated

import typer

from fairpo.cli import options
from fairpo.cli.conduct import conduct, show_results


def compare(
    data: options.Data,
    out: options.Out,
    methods: Annotated[
        str | None,
        typer.Option(help="Names with commas between; all but the ablations by default."),
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
    """Compare methods against one shared reference a seed; write metrics, results and a report.

    Stopped, the same command goes on.
    """
    from fairpo.experiments.study import Study

    study = options.make_plan(
        Study,
        settings,
        training_preset,
        data=data,
        data_options=options.data_options(reading, format_name, data_root, label_xml, fetch),
        methods=_default_methods(settings) if methods is None else options.names(methods),
        privileged=privileged,
        seeds=tuple(range(seeds)),
        preset=preset,
        reference=reference,
        reference_kind=reference_kind,
    )
    show_results(conduct(study, out, jobs, overwrite=overwrite), out, as_json=as_json)


def _default_methods(settings: list[str] | None) -> tuple[str, ...]:
    """All but the ablations; of these, what the head can hold."""
    from fairpo.cli.show import say
    from fairpo.experiments.plan import MAIN_METHODS
    from fairpo.objectives.catalogue import get_method

    if options.parse_assignments(settings or []).get("kind") != "per-label":
        return MAIN_METHODS
    left_out = [name for name in MAIN_METHODS if get_method(name).needs_closed_form]
    say(f"note: without {' and '.join(left_out)}, which a per-label head cannot hold.")
    return tuple(name for name in MAIN_METHODS if name not in left_out)
