"""``fairpo labelsets``: train a generator of label sets, sample from it, measure it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairpo._checks import unknown_name, value_error
from fairpo.cli import options

if TYPE_CHECKING:
    from pydantic import BaseModel

    from fairpo.data import MultiLabelData
    from fairpo.labelsets import SetConstraints
    from fairpo.labelsets.folder import SetRun
    from fairpo.labelsets.intervals import Interval, SetComparison

app = typer.Typer(
    help="Generate label sets for inputs that several of them fit.", no_args_is_help=True
)

_Run = Annotated[Path, typer.Argument(help="Folder that `fairpo labelsets train` wrote.")]
_K = Annotated[int, typer.Option("--k", min=1, help="Sets for each row.")]

METRICS = {
    "possible": ("can occur", 100),
    "log_chance": ("log-chance", 1),
    "distinct": ("distinct sets", 1),
    "jaccard_distance": ("Jaccard distance", 100),
    "coverage": ("true set covered", 100),
    "first_f1": ("sample-F1, first set", 100),
    "best_f1": ("sample-F1, best set", 100),
    "calibration_error": ("calibration error", 100),
    "brier": ("Brier score", 100),
    "log_likelihood": ("log-likelihood", 1),
    "divergence": ("divergence from truth", 1),
}
"""Titles of the metrics, and what a table multiplies them by: points, sets or nats."""


@app.command()
def train(
    data: options.Data,
    out: options.NewOut,
    method: Annotated[
        str,
        typer.Option(help="likelihood, or a method over pairs such as fairpo-dpo."),
    ] = "likelihood",
    privileged: options.Privileged = "rarest:20%",
    backbone: options.Backbone = None,
    pooling: options.Pooling = None,
    settings: options.Settings = None,
    seed: Annotated[int, typer.Option(min=0, help="Of initial weights, order and draws.")] = 0,
    device: options.Device = None,
    format_name: options.Format = None,
    data_root: options.DataRoot = None,
    label_xml: options.LabelXml = None,
    reading: options.Reading = None,
    fetch: options.Fetch = False,
    threads: options.Threads = 1,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Train a reference by likelihood, and a method over pairs of sets from it.

    Images and texts are embedded first, by --backbone, into the cache.
    """
    from fairpo.cli.backbones import embedded
    from fairpo.cli.show import epoch_line, print_json, say
    from fairpo.groups import parse_privileged
    from fairpo.labelsets.fit import fit_label_sets
    from fairpo.labelsets.folder import save_set_run
    from fairpo.training.run import check_output

    options.set_threads(threads)
    check_output(out, overwrite=overwrite)
    network, training, pairs = _settings(settings, {"seed": seed, "device": device})
    rule = parse_privileged(privileged)
    told = options.data_options(reading, format_name, data_root, label_xml, fetch)
    loaded = embedded(options.load(data, told), backbone, pooling, device, fetch)
    run = fit_label_sets(
        loaded,
        rule,
        method,
        network,
        training,
        options=pairs,
        on_reference_epoch=epoch_line(10),
        on_epoch=epoch_line(1),
        described={"privileged": privileged, "data": data, "data_options": told},
    )
    for note in run.notes:
        say(f"note: {note}")
    save_set_run(out, run, overwrite=overwrite)
    privileged_names = [run.label_names[place] for place in run.groups.privileged]
    if as_json:
        print_json({"run": str(out), "method": method, "privileged": privileged_names})
    else:
        print(f"{method}, privileged {', '.join(privileged_names)}: {out}")


@app.command()
def sample(
    run: _Run,
    data: options.Data,
    out: Annotated[Path, typer.Option(help="File to write: .jsonl, one row a line.")],
    k: _K = 5,
    draw: Annotated[
        bool, typer.Option("--draw", help="Draw sets instead of searching the most probable.")
    ] = False,
    temperature: Annotated[
        float, typer.Option(help="With --draw: below 1 the likely becomes likelier.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="With --draw.")] = 0,
    must_have: Annotated[str, typer.Option(help="Labels of every set, such as cat,dog.")] = "",
    must_not: Annotated[str, typer.Option(help="Labels of no set.")] = "",
    exclusive: Annotated[
        list[str] | None,
        typer.Option(help="Labels of which a set has one at most; repeatable."),
    ] = None,
    backbone: options.BackboneNow = None,
    format_name: options.Format = None,
    data_root: options.DataRoot = None,
    label_xml: options.LabelXml = None,
    reading: options.Reading = None,
    fetch: options.Fetch = False,
    threads: options.Threads = 1,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Write k different sets with their probabilities for every row of DATA that can be read."""
    import json

    import numpy as np

    from fairpo._checks import file_error
    from fairpo._files import write_atomic
    from fairpo.cli.backbones import embedded_as_the_run
    from fairpo.cli.show import print_json
    from fairpo.data.base import feature_rows
    from fairpo.labelsets import NetworkSets, SetConstraints, load_set_run
    from fairpo.training.alignment import align_features

    if out.suffix != ".jsonl":
        raise value_error("--out", must="end in .jsonl", got=repr(out.name))
    if out.exists() and not overwrite:
        raise file_error(out, "already exists", "Choose another file, or say --overwrite.")
    options.set_threads(threads)
    loaded = load_set_run(run)
    rules: SetConstraints = SetConstraints.from_names(
        loaded.label_names,
        must_have=_names(must_have),
        must_not=_names(must_not),
        exclusive=[_names(group) for group in exclusive or []],
    )
    told = options.data_options(reading, format_name, data_root, label_xml, fetch)
    told = options.as_the_run(told, loaded, alone=True, unlabelled=True)
    read = options.load(data, told, as_it_is=True)
    rows = align_features(embedded_as_the_run(read, loaded, backbone, fetch), loaded)
    readable = np.setdiff1d(np.arange(rows.n_rows), rows.unreadable)
    features = feature_rows(rows.features, readable)
    model = NetworkSets(loaded.generator, rules)
    if draw:
        found = model.sample(features, k, seed, temperature=temperature)
    else:
        found = model.most_probable(features, k)
    names = rows.ids if rows.ids is not None else [str(row) for row in range(rows.n_rows)]
    lines = []
    for place, row in enumerate(readable.tolist()):
        there = np.flatnonzero(found.present[place])
        sets = [
            {
                "labels": [loaded.label_names[at] for at in np.flatnonzero(found.sets[place, one])],
                "probability": float(found.probs[place, one]),
            }
            for one in there
        ]
        lines.append(json.dumps({"id": names[row], "sets": sets}, ensure_ascii=False) + "\n")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, "".join(lines).encode())
    if as_json:
        print_json({"file": str(out), "rows": len(lines), "k": k})
    else:
        print(f"{len(lines)} rows, up to {k} sets each: {out}")


@app.command()
def evaluate(
    run: _Run,
    data: Annotated[
        str | None, typer.Argument(help="Other data; the run's own test split by default.")
    ] = None,
    k: _K = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    backbone: options.BackboneNow = None,
    format_name: options.Format = None,
    data_root: options.DataRoot = None,
    label_xml: options.LabelXml = None,
    reading: options.Reading = None,
    fetch: options.Fetch = False,
    threads: options.Threads = 1,
    as_json: options.Json = False,
) -> None:
    """Measure a run and its reference on test rows: coherence, diversity, coverage, calibration.

    With 95% intervals by a paired bootstrap over rows, and that of the difference. On
    ambiguous-digits they are compared with the true distribution over sets.
    """
    from fairpo.cli.backbones import embedded_as_the_run
    from fairpo.cli.show import print_json, say
    from fairpo.data.base import feature_rows
    from fairpo.labelsets import NetworkSets, compare_sets, load_set_run, measure_sets
    from fairpo.training.alignment import align_features, align_labels

    options.set_threads(threads)
    loaded = load_set_run(run)
    told = options.data_options(reading, format_name, data_root, label_xml, fetch)
    source = data or loaded.config.data
    if not source:
        raise value_error("DATA", must="be given: this run was saved without", got="none")
    read = options.load(source, options.held_out_options(loaded, data, told))
    read = embedded_as_the_run(read, loaded, backbone, fetch)
    aligned: MultiLabelData = align_labels(align_features(read, loaded), loaded)
    rows = aligned.rows("test")
    measured = {
        name: measure_sets(
            NetworkSets(network),
            feature_rows(aligned.features, rows),
            aligned.targets_of(rows),
            loaded.groups,
            k=k,
            seed=seed,
            truth=_truth(source, rows),
        )
        for name, network in _models(loaded).items()
    }
    clusters = None if aligned.clusters is None else aligned.clusters[rows]
    found = compare_sets(measured, clusters=clusters)
    if as_json:
        print_json({"data": aligned.name, "n_rows": len(rows), "k": k, **found.to_dict()})
        return
    print_comparison(f"{run} on {len(rows)} rows of {aligned.name}, k = {k}", found)
    if _is_reference(loaded):
        method = loaded.config.method
        say(f"note: {method} found no gain on validation, so the run is its reference.")


def print_comparison(title: str, found: SetComparison) -> None:
    """Print metrics x groups, a column a model and a difference; shares in points."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from fairpo.cli.show import GROUP_TITLES

    differences = {
        f"{name} - {next(iter(found.models))}": each for name, each in found.differences.items()
    }
    table = Table(
        "points; sets; nats",
        "",
        *found.models,
        *differences,
        title=Text(f"{title}, {found.level:.0%} intervals", "table.title"),
        pad_edge=False,
    )
    first = next(iter(found.models.values()))
    for metric, (words, scale) in METRICS.items():
        for group in first.get(metric, ()):
            cells = [_cell(each[metric][group], scale, "") for each in found.models.values()]
            cells += [_cell(each[metric][group], scale, "+") for each in differences.values()]
            table.add_row(words, GROUP_TITLES.get(group, group), *cells)
    width = None if Console().is_terminal else 120
    Console(highlight=False, markup=False, width=width).print(table)


def _cell(found: Interval, scale: int, sign: str) -> str:
    """A value with its interval: points to a tenth, sets and nats to a hundredth."""
    if found.value != found.value:
        return "-"
    value, low, high = (f"{scale * part:{sign}.{1 if scale > 1 else 2}f}" for part in found)
    return f"{value} [{low}, {high}]"


def _models(run: SetRun) -> dict[str, Any]:
    from fairpo.labelsets.fit import REFERENCE

    if run.config.method == REFERENCE:
        return {REFERENCE: run.generator}
    return {"reference": run.reference, run.config.method: run.generator}


def _is_reference(run: SetRun) -> bool:
    """Whether a method over pairs gave the reference back."""
    from fairpo.labelsets.fit import REFERENCE

    own, start = run.generator.state_dict(), run.reference.state_dict()
    same = all(bool((own[name] == start[name]).all()) for name in own)
    return run.config.method != REFERENCE and same


def _truth(source: str, rows: Any) -> Any:
    from fairpo.data.ambiguous_digits import NAME, load_ambiguous_scenes

    return load_ambiguous_scenes().truth.rows(rows) if source == NAME else None


def _names(text: str) -> list[str]:
    return [name for name in options.names(text) if name]


def _settings(
    assignments: list[str] | None, fixed: dict[str, Any]
) -> tuple[Any, Any, dict[str, Any]]:
    """Deal ``NAME=VALUE`` to the settings that have the name, and build them."""
    from fairpo._checks import build_settings
    from fairpo.labelsets.generator import GeneratorSettings
    from fairpo.labelsets.settings import SetTrainingSettings
    from fairpo.objectives.pair_settings import PairSettings

    models: tuple[type[BaseModel], ...] = (GeneratorSettings, SetTrainingSettings, PairSettings)
    values: tuple[dict[str, Any], ...] = ({}, {}, {})
    values[1].update({name: value for name, value in fixed.items() if value is not None})
    for name, value in options.parse_assignments(assignments or []).items():
        place = next((at for at, model in enumerate(models) if name in model.model_fields), None)
        if place is None:
            known = [known for model in models for known in model.model_fields]
            raise unknown_name("setting", name, known, of="settings")
        values[place][name] = value
    build_settings(PairSettings, values[2])
    return build_settings(models[0], values[0]), build_settings(models[1], values[1]), values[2]
