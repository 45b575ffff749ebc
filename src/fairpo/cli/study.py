"""``fairpo study``, ``ablate``, ``partitions``: studies from a file, and two with a name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fairpo._checks import value_error
from fairpo.cli import options
from fairpo.cli.conduct import conduct, show_results

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)

_PARTITIONS = (
    "rarest:10%,rarest:20%,rarest:30%,rarest:40%,rarest:50%,frequent:20%,worst:20%,random:20%"
)

Seeds = Annotated[int, typer.Option(min=1, help="Number of seeds.")]


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="File to write, such as study.yaml.")],
    kind: Annotated[
        str, typer.Option(help="compare, ablate, partitions, sensitivity or setups.")
    ] = "compare",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace FILE where it exists.")
    ] = False,
) -> None:
    """Write a study with every setting, its default and what it means."""
    from fairpo.experiments.study_file import commented

    options.write_new(file, commented(kind), overwrite=overwrite)
    print(f"{file}: change it, then run `fairpo study run {file} --out runs/{file.stem}`")


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="Study file, or the folder of a study.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder; one that holds trials of it goes on.")
    ] = None,
    jobs: options.Jobs = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Run a study file; trials that are done are not run again."""
    from fairpo.experiments.study import Study, read_study

    if out is None and not file.is_dir():
        raise value_error("--out", must="be given with a study file", got="none")
    study = read_study(file / Study.file_name if file.is_dir() else file)
    folder = file if out is None else out
    metrics = conduct(study, folder, jobs, overwrite=overwrite, more=True)
    show_results(metrics, folder, as_json=as_json)


def ablate(
    data: options.Data,
    out: options.Out,
    methods: Annotated[
        str, typer.Option(help="FairPO methods to take parts out of, with commas between.")
    ] = "fairpo-dpo,fairpo-simpo,fairpo-cpo",
    seeds: Seeds = 2,
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
    """Take the preference, the constraint and the weights out of each method in turn.

    Cross-entropy continued for the same budget stands beside them.
    """
    from fairpo.experiments.study import Study

    study = options.make_plan(
        Study,
        settings,
        training_preset,
        kind="ablate",
        data=data,
        data_options=options.data_options(reading, format_name, data_root, label_xml, fetch),
        methods=("bce-continued", *options.names(methods)),
        privileged=privileged,
        seeds=tuple(range(seeds)),
        preset=preset,
        reference=reference,
        reference_kind=reference_kind,
    )
    show_results(conduct(study, out, jobs, overwrite=overwrite), out, as_json=as_json)


def partitions(
    data: options.Data,
    out: options.Out,
    choices: Annotated[
        str,
        typer.Option(
            help="Choices of privileged labels, with commas between. Names of labels go into a "
            "study file."
        ),
    ] = _PARTITIONS,
    methods: Annotated[
        str, typer.Option(help="With commas between.")
    ] = "bce-continued,bce-reweighted,fairpo-dpo",
    seeds: Seeds = 2,
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
    """Run the same methods under other choices of the privileged labels."""
    from fairpo.experiments.study import Study

    specs = options.names(choices)
    study = options.make_plan(
        Study,
        settings,
        training_preset,
        kind="partitions",
        partitions=specs,
        data=data,
        data_options=options.data_options(reading, format_name, data_root, label_xml, fetch),
        methods=options.names(methods),
        privileged=specs[0],
        seeds=tuple(range(seeds)),
        preset=preset,
        reference=reference,
        reference_kind=reference_kind,
    )
    show_results(conduct(study, out, jobs, overwrite=overwrite), out, as_json=as_json)
