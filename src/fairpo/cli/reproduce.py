"""``fairpo reproduce``: the paper's experiments, and its tables beside ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fairpo._checks import value_error
from fairpo.cli import options

_OF_THE_PAPER = frozenset(
    ("seeds", "epochs", "format_name", "data_root", "label_xml", "reading", "fetch")
)
_OF_RARE_LABELS = frozenset(("sets", "design"))


def reproduce(
    context: typer.Context,
    benchmark: Annotated[
        str, typer.Argument(help="coco, nuswide, other for any DATA, or rare-labels.")
    ],
    data: Annotated[
        str,
        typer.Argument(
            help="Store that `fairpo embed` made of the official folder; of other, as elsewhere; "
            "of rare-labels, the folder of its sets."
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
    sets: Annotated[
        str | None, typer.Option(help="Of rare-labels: names with commas; all when not given.")
    ] = None,
    design: Annotated[
        bool,
        typer.Option(
            "--design",
            help="Of rare-labels: show every part of the method instead, judged by rows of the "
            "training rows; the test rows are not looked at.",
        ),
    ] = False,
) -> None:
    """Run the paper's comparison: both versions' settings, each partition, its rule of selection.

    Writes reproduction.md, Tables 1 and 2 beside ours; mAP of the whole set and the authors' mean
    over batches, each under its name. Other data have their rarest fifth of labels privileged.

    rare-labels is our own question instead: eight sets, every baseline tuned, one default of ours.
    It writes rare-labels.md, .json and .png, and goes on where it was stopped.
    """
    _refuse_without_effect(
        context, benchmark, _OF_THE_PAPER if benchmark == "rare-labels" else _OF_RARE_LABELS
    )
    if benchmark == "rare-labels":
        _rare_labels(data, out, sets, jobs, design=design, overwrite=overwrite, as_json=as_json)
        return
    from fairpo._files import write_atomic
    from fairpo.cli.conduct import conduct, show_results
    from fairpo.data import load_data
    from fairpo.experiments.ledger import Ledger
    from fairpo.experiments.paper import PARTITIONS, reproduction
    from fairpo.experiments.paper_tables import reproduction_tables

    if benchmark not in PARTITIONS:
        raise value_error(
            "BENCHMARK", must="be coco, nuswide, other or rare-labels", got=repr(benchmark)
        )
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


def _refuse_without_effect(context: typer.Context, benchmark: str, others: frozenset[str]) -> None:
    given = [option for name, option in options.given(context).items() if name in others]
    if given:
        raise value_error(
            f"reproduce {benchmark}",
            must="stand without options of the other benchmarks",
            got=", ".join(given),
            do="Leave them out: they have no effect here.",
        )


def _rare_labels(
    data: str,
    out: Path,
    sets: str | None,
    jobs: int | None,
    *,
    design: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    from fairpo._files import write_atomic
    from fairpo.cli.show import print_json, study_bars
    from fairpo.experiments.pool import cores
    from fairpo.experiments.rare_labels.run import FIGURES, PICTURE, run_suite
    from fairpo.experiments.rare_labels.suite import SOURCES
    from fairpo.models.checkpoint import read_json
    from fairpo.report.figures import rendered
    from fairpo.report.own_rows import own_rows

    names = list(SOURCES) if sets is None else [name.strip() for name in sets.split(",")]
    options.set_threads(1)
    with study_bars() as (_, count):
        page = run_suite(
            Path(data),
            out,
            names,
            design=design,
            overwrite=overwrite,
            n_jobs=cores() if jobs is None else jobs,
            count=count,
        )
    figures = read_json(out / FIGURES)
    if not design:
        write_atomic(out / PICTURE, rendered(own_rows(figures), "png"))
    if as_json:
        print_json(figures)
        return
    print(page.read_text())
    print(f"{page}")
