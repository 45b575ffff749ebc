"""``fairpo check``: may a run take its reference's place; the exit code answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fairpo.cli import options

EXIT_CODES = {"pass": 0, "fail": 1, "undecided": 3}  # 2 is a mistake in the command


def check(
    run: Annotated[Path, typer.Argument(help="Folder that `fairpo train` wrote.")],
    data: Annotated[
        str | None, typer.Argument(help="Other data; the run's own test split by default.")
    ] = None,
    max_drop_points: Annotated[
        float, typer.Option(help="Most mAP x100 that the other labels may lose.")
    ] = 0.5,
    min_gain_points: Annotated[
        float | None, typer.Option(help="Least mAP x100 that the privileged labels must gain.")
    ] = None,
    per_label: Annotated[
        bool, typer.Option("--per-label", help="Hold the AP of every label to --max-drop-points.")
    ] = False,
    min_positives: Annotated[
        int, typer.Option(help="Labels with fewer test positives are told, not judged.")
    ] = 20,
    level: Annotated[float, typer.Option(help="Of each one-sided bound.")] = 0.95,
    reference: options.ReferenceScores = None,
    reference_kind: options.ReferenceKind = "logits",
    format_name: options.Format = None,
    data_root: options.DataRoot = None,
    label_xml: options.LabelXml = None,
    reading: options.Reading = None,
    fetch: options.Fetch = False,
    threads: options.Threads = 1,
    as_json: options.Json = False,
) -> None:
    """Judge a run against its reference on held-out rows.

    Exit code 0: pass; 1: fail; 3: undecided, more rows are needed; 2: a mistake in the command.
    """
    from fairpo._checks import build_settings
    from fairpo.cli.show import print_gate, print_json, say
    from fairpo.experiments.gate import GateSettings, check_run
    from fairpo.experiments.given_reference import read_scores
    from fairpo.training.run import load

    settings = build_settings(
        GateSettings,
        {
            "max_drop_points": max_drop_points,
            "min_gain_points": min_gain_points,
            "per_label": per_label,
            "min_positives": min_positives,
            "level": level,
        },
    )
    options.set_threads(threads)
    loaded = load(run)
    result: dict[str, Any] = check_run(
        loaded,
        settings,
        data,
        read_scores(reference, reference_kind) if reference else None,
        options=options.held_out_options(
            loaded,
            data,
            options.data_options(reading, format_name, data_root, label_xml, fetch),
        ),
    )
    result = {"run": str(run), **result}
    if as_json:
        print_json(result)
    else:
        print_gate(result)
        for note in result["notes"]:
            say(f"note: {note}.")
    raise typer.Exit(EXIT_CODES[result["outcome"]])
