"""``fairpo train``: one method on one data set, into a run folder."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from fairpo.cli import options


def train(
    data: options.Data,
    out: options.Out,
    method: Annotated[str, typer.Option(help="See `fairpo methods`.")] = "fairpo-dpo",
    privileged: options.Privileged = "rarest:20%",
    preset: options.Preset = "paper-v1",
    training_preset: options.TrainingPreset = "default",
    settings: options.Settings = None,
    reference: options.ReferenceOption = None,
    reference_kind: options.ReferenceKind = "logits",
    seed: Annotated[int, typer.Option(min=0, help="Of initial weights, order and draws.")] = 0,
    format_name: options.Format = None,
    data_root: options.DataRoot = None,
    label_xml: options.LabelXml = None,
    reading: options.Reading = None,
    fetch: options.Fetch = False,
    threads: options.Threads = 1,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Train a reference, unless one is given, and a method from it; write a run folder."""
    from fairpo.cli.show import print_comparison, print_json, progress_bars, say
    from fairpo.training.run import check_output

    check_output(out, overwrite=overwrite)
    told = options.data_options(reading, format_name, data_root, label_xml, fetch)
    methods = ("bce",) if method == "bce" else ("bce", method)
    plan = options.make_plan(
        data, methods, privileged, (seed,), preset, training_preset, settings, told
    )
    options.set_threads(threads)
    loaded = options.load(data, told)
    given = options.load_reference(reference, reference_kind, loaded, plan) if reference else None
    from fairpo.experiments.train import train_run
    from fairpo.report import write_report

    with progress_bars() as bars:
        metrics = train_run(
            loaded,
            plan,
            out,
            report=write_report,
            reference=given,
            reference_source=(reference, reference_kind),
            command="fairpo " + shlex.join(sys.argv[1:]),
            overwrite=overwrite,
            progress=bars,
        )
    if as_json:
        print_json(metrics)
    else:
        print_comparison(metrics)
        for note in metrics["notes"]:
            say(f"note: {note}")
        print(f"{out / 'report.html'}")
