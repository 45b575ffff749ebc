"""``fairpo data``: what lies there, and what can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairpo.cli import options

if TYPE_CHECKING:
    from fairpo.data.inspection import Inspection

app = typer.Typer(
    name="data",
    help="Look at data before training on it; list what can be read.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def inspect(
    data: options.Data,
    labels: Annotated[int, typer.Option(min=1, help="Most labels to list.")] = 40,
    format_name: options.Format = None,
    data_root: options.DataRoot = None,
    label_xml: options.LabelXml = None,
    reading: options.Reading = None,
    fetch: options.Fetch = False,
    as_json: options.Json = False,
) -> None:
    """Print counts, label frequencies, leaks between splits and what cannot be read."""
    from fairpo.cli.show import count_bar, print_json
    from fairpo.data.inspection import inspect_data

    told = options.data_options(reading, format_name, data_root, label_xml, fetch)
    loaded = options.load(data, told)
    with count_bar("reading", loaded.n_rows, "rows") as count:
        found = inspect_data(loaded, progress=count)
    if as_json:
        print_json(found.to_dict())
    else:
        _print(found, labels)


@app.command()
def formats(as_json: options.Json = False) -> None:
    """List the kinds of data that can be read, and the options of their readers."""
    from rich.console import Console
    from rich.table import Table

    from fairpo.cli.show import print_json
    from fairpo.data.formats import FORMATS
    from fairpo.data.options import DataOptions

    fields = DataOptions.model_fields.items()
    known = {name: field.description or "" for name, field in fields}
    if as_json:
        words = {name: entry.words for name, entry in FORMATS.items()}
        print_json({"formats": words, "options": known})
        return
    console = Console(highlight=False)
    table = Table("--format", "DATA", pad_edge=False)
    for name, entry in FORMATS.items():
        table.add_row(name, entry.words)
    table.add_row("", "digits: scenes of handwritten digits, comes with fairpo")
    table.add_row("", "ambiguous-digits: the same with half-hidden digits, for label sets")
    table.add_row("", "openml:NAME or openml:NAME:VERSION, with --fetch")
    console.print(table)
    settings = Table("--data-option NAME=VALUE", "", pad_edge=False)
    for name, meaning in known.items():
        settings.add_row(name, meaning)
    console.print(settings)


def _print(found: Inspection, n_labels: int) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    what = f"{found.item_kind}s" if found.item_kind else f"{found.n_features} features"
    rows = ", ".join(f"{count} {name}" for name, count in found.rows.items())
    print(f"{found.name}: {found.kind}")
    print(f"{found.n_rows} rows ({rows}), {what}, {found.n_labels} labels")
    print(
        f"{found.cardinality:.2f} labels a row ({found.density:.1%} of all), "
        f"{found.rows_without_labels} rows without any, {found.missing_entries} entries missing"
    )
    if found.feature_columns:
        columns = found.feature_columns
        shown = ", ".join(columns[:12]) + (", ..." if len(columns) > 12 else "")
        console.print(f"features from {len(columns)} columns: {shown}", markup=False)
    table = Table(pad_edge=False)
    table.add_column("label", no_wrap=True, max_width=40)
    for name in found.rows:
        table.add_column(f"{name} positives", justify="right")
    table.add_column("share", justify="right")
    table.add_column("")
    for label in found.labels[:n_labels]:
        counts = [str(label.positives[name]) for name in found.rows]
        mark = "suggested" if label.suggested else ""
        table.add_row(label.name, *counts, f"{label.share:.2%}", mark)
    Console(highlight=False, markup=False).print(table)
    if len(found.labels) > n_labels:
        print(f"... and {len(found.labels) - n_labels} more frequent labels (--labels N)")
    for line in _findings(found):
        console.print(line, markup=False)


def _findings(found: Inspection) -> list[str]:
    lines = []
    for name, labels in found.without_positives.items():
        if labels:
            lines.append(f"{len(labels)} labels have no {name} positive: {_few(labels)}")
    pairs = [f"{first} = {second}" for first, second in found.duplicates]
    lines.append(
        f"{len(pairs)} rows are also in another split: {_few(pairs)}"
        if pairs
        else "no row is in two splits"
    )
    if found.item_kind:
        lines.append(
            f"{len(found.unreadable)} items cannot be read: {_few(found.unreadable)}"
            if found.unreadable
            else f"every {found.item_kind} can be read"
        )
    for column, categories in found.slices.items():
        rows = ", ".join(f"{name} {count}" for name, count in categories.items())
        lines.append(f"test rows by {column}: {rows}")
    if found.suggested:
        names = ",".join(found.suggested)
        lines.append(
            f"suggested: --privileged rarest:20%, or by name, those with positives in every "
            f"split: {names}"
        )
    return lines


def _few(names: Any) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
