"""What people read in a terminal: progress on stderr, tables on stdout."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from fairpo._titles import METRIC_TITLES

GROUP_TITLES = {"privileged": "P", "non_privileged": "N"}

EpochBars = Callable[[str, int], Callable[[dict[str, Any]], None]]
StudyBars = Callable[[str, int], Callable[[], None]]

_CELL_WIDTH = 17
_FIXED_WIDTH = 45
_WIDEST = 1000
_MOST_GATE_LABELS = 100
_MOST_TRIALS = 10


def print_json(value: Any) -> None:
    """Print one JSON document, alone on stdout."""
    print(json.dumps(value, indent=1, allow_nan=False))


def is_first_process() -> bool:
    """Whether this is the process that speaks, of several that a launcher started."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """Print a line for people on stderr; of several processes the first one does."""
    if not is_first_process():
        return
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


@contextmanager
def study_bars() -> Iterator[tuple[EpochBars, StudyBars]]:
    """Yield what draws a study on stderr: the epochs of a training, and what of it is done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        training: dict[str, TaskID] = {}

        def epochs(name: str, _: int) -> Callable[[dict[str, Any]], None]:
            def show(record: dict[str, Any]) -> None:
                figures = f"{name}, epoch {record['epoch']}: {_figures(record)}"
                for task in training.values():
                    bars.update(task, figures=figures)

            return show

        def count(name: str, total: int) -> Callable[[], None]:
            for task in training.values():
                bars.update(task, figures="")
            training.clear()
            task = training[name] = bars.add_task(name, total=total, figures="")
            return lambda: bars.update(task, advance=1)

        yield epochs, count


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int], Callable[[dict[str, Any]], None]]]:
    """Yield a factory of epoch callbacks that draw one line per training, on stderr."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=8),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[figures]}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not is_first_process()) as bars:

        def start(name: str, epochs: int) -> Callable[[dict[str, Any]], None]:
            for task in bars.tasks:  # one that stopped early is done
                bars.update(task.id, total=max(task.completed, 1), completed=max(task.completed, 1))
            current = bars.add_task(name, total=epochs, figures="")

            def show(record: dict[str, Any]) -> None:
                bars.update(current, completed=record["epoch"], figures=_figures(record))

            return show

        yield start


def _figures(record: dict[str, Any]) -> str:
    weights = " ".join(
        f"{GROUP_TITLES.get(name, name)} {value:.2f}"
        for name, value in record["group_weights"].items()
    )
    validation = record["validation"]
    scores = " ".join(
        f"{GROUP_TITLES[key.partition('/')[2]]} {100 * value:.1f}"
        for key, value in validation.items()
        if "/" in key and value is not None
    )
    scores = scores or f"{100 * (validation['map'] or 0):.1f}"
    return f"loss {record['loss']:.3f}, weights {weights}, mAP {scores}"


def epoch_line(say_each: int) -> Callable[[dict[str, Any]], None]:
    """Say, every so many epochs, what an epoch measured."""

    def show(record: dict[str, Any]) -> None:
        if record["epoch"] % say_each == 0:
            figures = ", ".join(
                f"{name} {value:.3f}" for name, value in record.items() if name != "epoch"
            )
            say(f"epoch {record['epoch']}: {figures}")

    return show


def print_study(metrics: dict[str, Any]) -> None:
    """Print the tables of a study: one, or one for each variant."""
    if "variants" not in metrics:
        print_comparison(metrics)
        return
    groups = ("privileged", "non_privileged")
    table = Table(title=metrics["title"], title_justify="left", pad_edge=False)
    titles = [f"mAP {GROUP_TITLES[group]}" for group in groups]
    for name in ("variant", "method", "labels in P", "back", *titles, "p of mAP P"):
        table.add_column(name, justify="left" if name in ("variant", "method") else "right")
    for variant in metrics["variants"]:
        found = variant["metrics"]
        shown = [row for row in found["rows"] if row["epoch"] == "selected" or _returned(row)]
        for number, row in enumerate(shown):
            last = row["epoch"] == "last"
            back = row["fell_back_share"]
            key = f"map/{groups[0]}"
            table.add_row(
                variant["name"] if number == 0 else "",
                "  its last epoch" if last else row["method"],
                str(len(found["groups"][0]["labels"])) if number == 0 else "",
                "" if back is None or last else f"{back:.0%}",
                *(_cell(row["cells"][f"map/{group}"]).replace("\n", " ") for group in groups),
                "-" if last else _against_reference(found, row["method"], key),
                style="dim" if last else None,
                end_section=number == len(shown) - 1,
            )
    _print_table(table)
    interval = metrics["variants"][0]["metrics"]["interval"]
    _lines(
        "Points (x100), test rows, the selected epoch: mAP, the difference to the reference, its "
        f"{interval['level']:.0%} interval ({interval['kind']}), * where it excludes 0. p: "
        "permutation test against the reference, Holm over the methods of a variant. 'back': in "
        "how many seeds the reference was returned; where in all, the last epoch stands below."
    )


def _returned(row: dict[str, Any]) -> bool:
    """Whether no seed of a method had an epoch that beat the reference."""
    return bool(row["fell_back_share"] == 1)


def _against_reference(metrics: dict[str, Any], method: str, key: str) -> str:
    """The p-value of a method against the reference, corrected over methods."""
    claims = metrics.get("claims")
    found = claims["against"]["reference"].get(method, {}).get(key) if claims else None
    return "-" if found is None or found["p_holm"] is None else _probability(found["p_holm"])


def print_comparison(metrics: dict[str, Any]) -> None:
    """Print the table of a comparison in points, as wide as the terminal allows."""
    console = Console(highlight=False)
    groups = [group["name"] for group in metrics["groups"]]
    needed = _FIXED_WIDTH + _CELL_WIDTH * len(groups) * len(metrics["metrics"])
    width = console.width if console.is_terminal else needed
    per_table = max(1, (width - _FIXED_WIDTH) // (_CELL_WIDTH * len(groups)))
    names = metrics["metrics"]
    for start in range(0, len(names), per_table):
        table = _comparison_table(metrics, names[start : start + per_table], groups)
        Console(highlight=False, markup=False, width=width).print(table)
    _print_tests(metrics)
    interval = metrics["interval"]
    _lines(
        f"P = privileged ({_labels(metrics)}), N = the other labels. Points (x100), test rows; "
        f"below: difference to the reference with a {interval['level']:.0%} interval "
        f"({interval['kind']}), * where it excludes 0.",
        "'last' is the last epoch; 'selected' the best on validation, the reference included: "
        "'back' says in how many seeds the reference was returned. What does not start from it "
        "(kernel-ridge, fairpo-crossfit) is 'selected' unless it is worse by more than a standard "
        "error.",
        *_undefined(metrics),
    )


def _print_tests(metrics: dict[str, Any]) -> None:
    """Print what a claim rests on: each method's privileged mAP against its opponents, tested."""
    claims = metrics.get("claims")
    if not claims or not claims["against"]["reference"]:
        return
    opponents = {"reference": "the reference"}
    if claims["against"]["best_baseline"]:
        opponents["best_baseline"] = f"the best baseline, {claims['best_baseline']}"
    key = f"map/{metrics['groups'][0]['name']}"
    methods = list(claims["against"]["reference"])
    table = Table(title="mAP P, tested", title_justify="left", pad_edge=False)
    table.add_column("method", no_wrap=True)
    for name in opponents.values():
        table.add_column(f"against {name}", justify="right")
    for method in methods:
        tests = [claims["against"][name].get(method, {}).get(key) for name in opponents]
        table.add_row(method, *(_test(found) for found in tests))
    _print_table(table)
    over = f", Holm over {len(methods)} methods" if len(methods) > 1 else ""
    _lines(
        "Tested: the selected epoch's difference in points; p of a permutation test "
        f"({claims['n_permutations']:,} swaps{over})."
    )


def _test(found: dict[str, Any] | None) -> str:
    if found is None or found["p_holm"] is None:
        return "-"
    sign = "" if found["p_holm"] < 0.001 else "= "
    return f"{100 * found['difference']:+.2f}, p {sign}{_probability(found['p_holm'])}"


def _probability(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _print_table(table: Table) -> None:
    """Print a table: as wide as a terminal allows, whole where nobody's screen sets the width."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        whole = console.measure(table, options=console.options.update(width=_WIDEST)).maximum
        console.width = max(console.width, whole)
    console.print(table)


def _lines(*lines: str) -> None:
    for line in lines:
        Console(highlight=False, soft_wrap=True).print(line, markup=False)


def _labels(metrics: dict[str, Any]) -> str:
    names = metrics["groups"][0]["labels"]
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    count = f"{len(names)} label{'' if len(names) == 1 else 's'}"
    return f"{metrics['privileged']['spec']}, {count}: {shown}"


def _undefined(metrics: dict[str, Any]) -> list[str]:
    undefined = metrics["undefined"]
    names, count = undefined["labels_without_positives"], undefined["n_labels_without_positives"]
    if not count:
        return []
    shown = ", ".join(names[:5]) + (", ..." if count > 5 else "")
    return [f"{count} labels have no test positive and are in no mAP: {shown}."]


def _comparison_table(metrics: dict[str, Any], names: list[str], groups: list[str]) -> Table:
    table = Table(title=metrics["title"], title_justify="left", pad_edge=False)
    table.add_column("method", no_wrap=True)
    table.add_column("epoch", no_wrap=True)
    table.add_column("back", justify="right", no_wrap=True)
    for name in names:
        for group in groups:
            table.add_column(
                f"{METRIC_TITLES.get(name, name)} {GROUP_TITLES.get(group, group)}",
                justify="right",
                no_wrap=True,
            )
    for number, row in enumerate(metrics["rows"]):
        selected = row["epoch"] == "selected"
        back = row["fell_back_share"]
        cells = [_cell(row["cells"][f"{name}/{group}"]) for name in names for group in groups]
        table.add_row(
            row["method"] if selected else "",
            row["epoch"],
            "" if back is None or not selected else f"{back:.0%}",
            *cells,
            style=None if selected else "dim",
            end_section=number % 2 == 1,
        )
    return table


def _cell(cell: dict[str, Any]) -> str:
    if cell["value"] is None:
        return "-"
    text = f"{100 * cell['value']:.1f}"
    if cell["difference"] is None:
        return text
    mark = "*" if cell["excludes_zero"] else ""
    change = f"{100 * cell['difference']:+.1f}{mark}"
    if cell["low"] is None:
        return f"{text} {change}"
    return f"{text} {change}\n[{100 * cell['low']:+.1f}, {100 * cell['high']:+.1f}]"


def print_sweep(sweep: dict[str, Any]) -> None:
    """Print the best trials of a sweep, those on the Pareto front first where one was sought."""
    complete = [row for row in sweep["trials"] if row["state"] == "complete"]
    complete.sort(key=lambda row: -row["values"][0])
    if sweep["objective"] == "pareto":
        complete.sort(key=lambda row: row["number"] not in sweep["front"])
    names = list(sweep["search"])
    table = Table(
        title=f"{sweep['method']}: trials, validation rows", title_justify="left", pad_edge=False
    )
    for name in ("trial", "mAP P", "mAP N", "change of P", "change of N", "back", *names):
        table.add_column(name, justify="right")
    start = sweep["reference"]
    table.add_row("reference", *_points([start["privileged"], start["non_privileged"]]))
    for row in complete[:_MOST_TRIALS]:
        figures = row["privileged"], row["non_privileged"]
        changes = [
            None if None in (figure, first) else figure - first
            for figure, first in zip(figures, start.values(), strict=True)
        ]
        chosen = row["number"] in sweep["chosen"]
        table.add_row(
            f"{row['number']}{' chosen' if chosen else ''}",
            *_points(figures),
            *_points(changes, sign="+"),
            f"{row['fell_back_share']:.0%}",
            *(_setting(row["settings"][name]) for name in names),
            style="bold" if chosen else None,
        )
    _print_table(table)
    counts = Counter(row["state"] for row in sweep["trials"])
    text = ", ".join(f"{count} {state}" for state, count in counts.items())
    _lines(
        f"Trials: {text}. P = privileged, N = the other labels; points (x100).",
        "back: in how many of its seeds the reference would be returned.",
    )
    if sweep["importance"]:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in sweep["importance"].items())
        _lines(f"Relative importance for privileged mAP (adds up to 100% in any case): {shares}.")


def _points(values: Iterable[float | None], sign: str = "") -> list[str]:
    return ["-" if value is None else f"{100 * value:{sign}.2f}" for value in values]


def _setting(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def print_frame(title: str, columns: dict[str, dict[str, Any]], groups: list[str]) -> None:
    """Print metrics of one or more models side by side, in points."""
    table = Table(title=title, title_justify="left", pad_edge=False)
    table.add_column("points (x100)")
    for name in columns:
        table.add_column(name, justify="right")
    for metric, heading in METRIC_TITLES.items():
        if not any(metric in column for column in columns.values()):
            continue
        for group in [*groups, None]:
            key = f"{metric}/{group}" if group else metric
            place = GROUP_TITLES.get(group, group) if group else "all labels"
            values = [column.get(key) for column in columns.values()]
            cells = ["-" if value is None else f"{100 * value:.1f}" for value in values]
            table.add_row(f"{heading}, {place}", *cells, end_section=group is None)
    _print_table(table)


def print_gate(result: dict[str, Any]) -> None:
    """Print the answers of `fairpo check` in points; labels that failed come first."""
    rows = f"{result['n_rows']} rows"
    if result["clusters"] is not None:
        rows += f" in {result['clusters']} blocks"
    title = f"{result['run']} on {rows} of {result['data']}"
    table = Table(title=title, title_justify="left", pad_edge=False)
    table.add_column("points (x100)", overflow="fold")  # figures stay whole
    for name in ("reference", "model", "difference", "bounds", "needed"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    for check in result["checks"]:
        place = f"mAP, {GROUP_TITLES.get(check['group'], check['group'])}"
        table.add_row(place, *_gate_cells(check, check["reference_map"], check["map"]))
    order = ("fail", "undecided", "pass", "too few positives")
    labels = sorted(result["labels"], key=lambda label: order.index(label["outcome"]))
    if labels:
        table.add_section()
    for label in labels[:_MOST_GATE_LABELS]:
        place = f"AP, {label['label']} ({label['positives']})"
        table.add_row(place, *_gate_cells(label, label["reference_ap"], label["ap"]))
    _print_table(table)
    level = result["settings"]["level"]
    about = ". In brackets: test positives" if labels else ""
    _lines(f"bounds: one-sided, {level:.0%} each{about}.")
    if labels:
        counts = ", ".join(
            f"{count} {name}"
            for name in order
            if (count := sum(label["outcome"] == name for label in labels))
        )
        _lines(f"labels: {counts}")
    failed = f": {', '.join(result['failed'])}" if result["failed"] else ""
    _lines(f"{result['outcome']}{failed}")


def _gate_cells(
    check: dict[str, Any], reference: float | None, model: float | None
) -> tuple[str, ...]:
    if reference is None or model is None:
        return "-", "-", "-", "-", "-", check["outcome"]
    needed = "-" if check["margin"] is None else f">= {100 * check['margin']:+.2f}"
    bounds = "-"
    if check["low"] is not None:
        bounds = f"{100 * check['low']:+.2f} to {100 * check['high']:+.2f}"
    return (
        f"{100 * reference:.1f}",
        f"{100 * model:.1f}",
        f"{100 * check['difference']:+.2f}",
        bounds,
        needed,
        check["outcome"],
    )


@contextmanager
def count_bar(
    description: str, total: int, unit: str, *, hidden: bool = False
) -> Iterator[Callable[[int], None]]:
    """Yield a function that counts items, drawn as one line with its rate, on stderr."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        _Rate(unit),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(stderr=True), disable=hidden) as bars:
        task = bars.add_task(description, total=total)
        yield lambda count: bars.update(task, advance=count)


class _Rate(ProgressColumn):
    """Items a second over the last while."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} {self.unit}/s")
