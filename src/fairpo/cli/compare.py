"""``fairpo compare``: many methods, one table with intervals, one report."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from fairpo.cli import options


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
    threads: options.Threads = 1,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Compare methods from one shared reference a seed; write metrics, results and a report."""
    from fairpo.cli.show import print_comparison, print_json, progress_bars, say
    from fairpo.experiments.compare import compare as run_comparison
    from fairpo.experiments.compare import write_comparison
    from fairpo.experiments.plan import MAIN_METHODS
    from fairpo.experiments.summary import REFERENCE
    from fairpo.report import write_report
    from fairpo.training.run import check_output

    check_output(out, overwrite=overwrite)
    told = options.data_options(reading, format_name, data_root, label_xml, fetch)
    names = MAIN_METHODS if methods is None else tuple(name.strip() for name in methods.split(","))
    names = names if REFERENCE in names else (REFERENCE, *names)  # what all others differ from
    plan = options.make_plan(
        data, names, privileged, tuple(range(seeds)), preset, training_preset, settings, told
    )
    options.set_threads(threads)
    loaded = options.load(data, told)
    given = options.load_reference(reference, reference_kind, loaded, plan) if reference else None
    with progress_bars() as bars:
        metrics, rows = run_comparison(
            loaded,
            plan,
            command="fairpo " + shlex.join(sys.argv[1:]),
            reference=given,
            progress=bars,
        )
    write_comparison(out, metrics, rows, write_report, overwrite=overwrite)
    if as_json:
        print_json(metrics)
    else:
        print_comparison(metrics)
        for note in metrics["notes"]:
            say(f"note: {note}")
        print(f"{out / 'report.html'}")
