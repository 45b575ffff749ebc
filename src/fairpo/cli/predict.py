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
    """Write the probability of every label for every row of DATA that could be read.

    Probabilities are recalibrated on the run's validation rows; .jsonl also lists the labels above
    their thresholds.
    """
    import numpy as np

    from fairpo.cli.show import print_json, say
    from fairpo.experiments.given_reference import read_scores
    from fairpo.experiments.predictions import check_predictions_path, write_predictions
    from fairpo.training.alignment import align_features
    from fairpo.training.run import load

    check_predictions_path(out, overwrite=overwrite)
    options.set_threads(threads)
    loaded = load(run)
    told = options.data_options(reading, format_name, data_root, label_xml, fetch)
    told = options.as_the_run(told, loaded, alone=True, unlabelled=True)
    rows = align_features(options.load(data, told, as_it_is=True), loaded)
    scores = read_scores(reference, reference_kind) if reference else None
    logits = loaded.predict_logits(rows.features, scores)
    rule = loaded.decisions.model
    probabilities, decided = rule.probabilities(logits), rule.decide(logits)
    readable = np.setdiff1d(np.arange(len(probabilities)), rows.unreadable)
    names = rows.ids if rows.ids is not None else [str(row) for row in range(rows.n_rows)]
    ids = [names[row] for row in readable.tolist()]
    probabilities, decided = probabilities[readable], decided[readable]
    write_predictions(out, probabilities, decided, loaded.label_names, ids)
    left_out = [names[row] for row in rows.unreadable.tolist()]
    if left_out:
        shown = ", ".join(left_out[:5]) + (", ..." if len(left_out) > 5 else "")
        say(f"note: {len(left_out)} items could not be read and have no prediction: {shown}")
    if as_json:
        print_json(
            {
                "file": str(out),
                "rows": len(probabilities),
                "labels": list(loaded.label_names),
                "left_out": left_out,
            }
        )
    else:
        print(f"{len(probabilities)} rows x {len(loaded.label_names)} labels: {out}")
