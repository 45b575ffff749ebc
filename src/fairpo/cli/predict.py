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
    """Write the probability of every label for every row of DATA."""
    from fairpo.cli.show import print_json
    from fairpo.experiments.predictions import check_predictions_path, write_predictions
    from fairpo.training.alignment import align_features
    from fairpo.training.run import load

    check_predictions_path(out, overwrite=overwrite)
    options.set_threads(threads)
    loaded = load(run)
    told = options.data_options(reading, format_name, data_root, label_xml, fetch)
    unlabelled = told.model_copy(update={"unlabelled": True})
    rows = align_features(options.load(data, unlabelled, as_it_is=True), loaded)
    scores = options.read_scores(reference, reference_kind) if reference else None
    probabilities = loaded.predict_proba(rows.features, scores)
    write_predictions(out, probabilities, loaded.label_names, rows.ids)
    if as_json:
        print_json(
            {"file": str(out), "rows": len(probabilities), "labels": list(loaded.label_names)}
        )
    else:
        print(f"{len(probabilities)} rows x {len(loaded.label_names)} labels: {out}")
