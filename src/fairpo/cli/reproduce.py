"""``fairpo reproduce``: the paper's experiments, and its tables beside ours."""

from __future__ import annotations

from typing import Annotated

import typer

from fairpo._checks import value_error
from fairpo.cli import options


def reproduce(
    benchmark: Annotated[str, typer.Argument(help="coco, nuswide, or other for any DATA.")],
    data: Annotated[
        str,
        typer.Argument(
            help="Store that `fairpo embed` made of the official folder; of other, as elsewhere."
        ),
    ],
    out: options.Out,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds; the paper has one.")] = 1,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Fewer epochs than the paper's, for a trial run.")
    ] = None,
    format_name: options.Format = None,
    data_root: options.DataRoot = None,
    label_xml: options.LabelXml = None,
    reading: options.Reading = None,
    fetch: options.Fetch = False,
    jobs: options.Jobs = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Run the paper's comparison: both versions' settings, each partition, its rule of selection.

    Writes reproduction.md, Tables 1 and 2 beside ours; mAP of the whole set and the authors' mean
    over batches, each under its name. Other data have their rarest fifth of labels privileged.
    """
    from fairpo._files import write_atomic
    from fairpo.cli.conduct import conduct, show_results
    from fairpo.data import load_data
    from fairpo.experiments.ledger import Ledger
    from fairpo.experiments.paper import PARTITIONS, reproduction
    from fairpo.experiments.paper_tables import reproduction_tables

    if benchmark not in PARTITIONS:
        raise value_error("BENCHMARK", must="be coco, nuswide or other", got=repr(benchmark))
    told = options.data_options(reading, format_name, data_root, label_xml, fetch)
    names = load_data(data, told).label_names
    changes = {} if epochs is None else {"epochs": epochs, "reference_epochs": epochs}
    study = reproduction(benchmark, data, names, seeds=tuple(range(seeds)), changes=changes)
    study = study.model_copy(update={"data_options": told})
    study.check()
    metrics = conduct(study, out, jobs, overwrite=overwrite)
    tables = reproduction_tables(benchmark, metrics, Ledger(out))
    write_atomic(out / "reproduction.md", tables.encode())
    if not as_json:
        print(f"{out / 'reproduction.md'}")
    show_results(metrics, out, as_json=as_json)
