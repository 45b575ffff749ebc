"""``fairpo predict``: probabilities of a run for new rows, into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fairpo.cli import options


def predict(
    run: Annotated[Path, typer.Argument(help="Folder that `fairpo train` wrote.")],
    data: options.Data,
    out: Annotated[Path, typer.Option(help="File to write: .csv, .jsonl or .parquet.")],
    top: Annotated[
        int | None,
        typer.Option(
            min=1, help="Write only so many labels a row, the most probable first; all by default."
        ),
    ] = None,
    reference: options.ReferenceScores = None,
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
    """Write the probability of every label for every row of DATA that could be read.

    Probabilities are recalibrated on the run's validation rows; .jsonl also lists the labels above
    their thresholds. With --top, columns label_1, probability_1, ... instead of one a label.
    """
    from fairpo.cli.show import print_json, say
    from fairpo.experiments.given_reference import read_scores
    from fairpo.experiments.predictions import (
        check_predictions_path,
        check_top,
        write_predictions,
    )
    from fairpo.training.alignment import align_features
    from fairpo.training.run import load

    check_predictions_path(out, overwrite=overwrite)
    options.set_threads(threads)
    loaded = load(run)
    n_labels = len(loaded.label_names)
    check_top(top, n_labels)
    told = options.data_options(reading, format_name, data_root, label_xml, fetch)
    told = options.as_the_run(told, loaded, alone=True, unlabelled=True)
    rows = align_features(options.load(data, told, as_it_is=True), loaded)
    scores = read_scores(reference, reference_kind) if reference else None
    n_rows = write_predictions(out, loaded, rows, scores, top=top)
    left_out = [rows.row_name(row) for row in rows.unreadable.tolist()]
    if left_out:
        shown = ", ".join(left_out[:5]) + (", ..." if len(left_out) > 5 else "")
        say(f"note: {len(left_out)} items could not be read and have no prediction: {shown}")
    if as_json:
        print_json(
            {
                "file": str(out),
                "rows": n_rows,
                "labels": list(loaded.label_names),
                "top": top,
                "left_out": left_out,
            }
        )
        return
    labels = f"{n_labels} labels" if top is None else f"the {top} best of {n_labels} labels"
    print(f"{n_rows} rows x {labels}: {out}")
