"""``fairpo evaluate``: a run against its reference on test rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fairpo.cli import options


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder that `fairpo train` wrote.")],
    data: Annotated[
        str | None, typer.Argument(help="Other data; the run's own test split by default.")
    ] = None,
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
    """Print the metrics of a run and of its reference, each with its own recalibration.

    Both were fitted on the run's validation rows, thresholds too.
    """
    from fairpo.cli.show import print_frame, print_json, say
    from fairpo.experiments.evaluate import evaluate_run
    from fairpo.experiments.given_reference import read_scores
    from fairpo.training.run import load

    options.set_threads(threads)
    loaded = load(run)
    told = options.data_options(reading, format_name, data_root, label_xml, fetch)
    result: dict[str, Any] = evaluate_run(
        loaded,
        data,
        read_scores(reference, reference_kind) if reference else None,
        options=options.held_out_options(loaded, data, told),
    )
    if as_json:
        print_json(result)
        return
    columns = {name: result[name] for name in ("reference", "model") if result[name] is not None}
    print_frame(f"{run} on {result['n_rows']} rows of {result['data']}", columns, result["groups"])
    for note in result["notes"]:
        say(f"note: {note}.")
    model = result["model"]
    named = model.get("labels_without_positives")
    missing = model["n_labels_without_positives"] if named is None else len(named)
    if missing:
        say(f"note: {missing} labels have no positive here and are in no mAP.")
