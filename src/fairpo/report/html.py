"""One self-contained page from the figures of ``metrics.json``."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import altair
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined, UndefinedError
from markupsafe import Markup

from fairpo._checks import file_error
from fairpo.report import charts

METRIC_TITLES = {
    "map": "mAP",
    "sample_f1": "sample-F1",
    "label_accuracy": "label accuracy",
    "exact_match": "exact match",
    "precision_at_1": "P@1",
    "precision_at_5": "P@5",
    "ndcg_at_5": "nDCG@5",
}

LONGEST_LINE = 60
"""Points of a line over the training; a longer one is averaged over windows."""

_MINUS = "\u2212"
_TRACED = {"weight": "group_weights", "loss": "group_losses"}


def write_report(folder: Path) -> Path:
    """Render ``metrics.json`` of a folder into ``report.html`` beside it, atomically.

    Raises
    ------
    FairPOFileError
        ``metrics.json`` is missing or broken.
    """
    source = folder / "metrics.json"
    try:
        text = source.read_text(encoding="utf-8")
    except OSError as error:
        raise file_error(source, f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise file_error(source, f"cannot be read ({error.reason})") from error
    try:
        page = render_report(json.loads(text))
    except (ValueError, LookupError, TypeError, AttributeError, UndefinedError) as error:
        raise file_error(source, f"does not hold the figures of a report ({error!r})") from error
    target = folder / "report.html"
    temporary = folder / f".report.{os.getpid()}.tmp"
    try:
        temporary.write_text(page, encoding="utf-8")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def render_report(metrics: dict[str, Any]) -> str:
    """Return the page as text; every word that comes from data is escaped.

    Parameters
    ----------
    metrics : dict
        The content of ``metrics.json``.
    """
    groups = [group["name"] for group in metrics["groups"]]
    changed = _changed(metrics)
    best = _largest_rise(metrics)
    views = _label_views(metrics)
    first = next((n for n, view in enumerate(views) if best and view[1] == best["method"]), 0)
    labels = _label_rows(metrics, views)
    panels = _trace_panels(metrics)
    points = trade_off_points(metrics)
    specs = {}
    if points:
        titles = [f"change of {_words(name)} mAP, points" for name in groups[:2]]
        specs["trade-off"] = charts.trade_off(points, *titles)
    if drawn := [row for row in labels if any(after is not None for after in row["after"])]:
        names = [name for name, _, _ in views]
        specs["labels"] = charts.per_label(drawn, names, [*map(_words, groups)], start=first)
    for number, (_, lines) in enumerate(panels):
        for quantity, rows in lines.items():
            specs[f"{quantity}-{number}"] = charts.trace(rows, [*map(_words, groups)], quantity)
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            metrics=metrics,
            titles=METRIC_TITLES,
            groups=groups,
            n_trained=len(changed),
            rows=_table_rows(metrics),
            lead=_lead(metrics, best),
            verdicts=[_method_verdict(metrics, row) for row in changed],
            returned=[row["method"] for row in changed if row["fell_back_share"] == 1],
            changes=_map_changes(metrics),
            points=points,
            views=[name for name, _, _ in views],
            view_heads=[f"{m} (last)" if key == "ap_last" else m for _, m, key in views],
            first_view=first,
            labels=labels,
            many=len(drawn) > charts.MANY_LABELS,
            panels=[method for method, _ in panels],
            thinned=_longest(metrics) > LONGEST_LINE,
            trace=_trace_table(metrics),
            keys=list(zip(groups, charts.group_colours(groups), _dashes(groups), strict=True)),
            specs=_embedded({name: _spec(chart) for name, chart in specs.items()}),
            vega=_vega(),
        )
    )


def trade_off_points(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Changes of mAP of the first two groups, in points, for :func:`charts.trade_off`.

    A method that returned the reference in every seed has only its last epoch here, and one
    whose last epoch is the selected one has only that: a point is drawn once.
    """
    if len(metrics["groups"]) < 2:
        return []
    keys = {
        axis: f"map/{group['name']}" for axis, group in zip("xy", metrics["groups"], strict=False)
    }
    points: list[dict[str, Any]] = []
    for row in _change_rows(metrics):
        cells = {axis: row["cells"][key] for axis, key in keys.items()}
        returned = row["epoch"] == "selected" and row["fell_back_share"] == 1
        if returned or any(cell["difference"] is None for cell in cells.values()):
            continue
        point: dict[str, Any] = {"method": row["method"], "epoch": row["epoch"]}
        for axis, cell in cells.items():
            point |= {axis: 100 * cell["difference"]}
            for end in ("low", "high"):
                point[f"{axis}_{end}"] = None if cell[end] is None else 100 * cell[end]
        if {**point, "epoch": "selected"} not in points:
            points.append(point)
    return points


# -- the words ---------------------------------------------------------------------------------


def _lead(metrics: dict[str, Any], best: dict[str, Any] | None) -> dict[str, str]:
    """The main result as ``before``, ``method``, ``after``, claiming what its interval allows."""
    changed = _changed(metrics)
    if not changed:
        text = "Only the reference was trained: there is no change to report."
        return {"before": text, "method": "", "after": ""}
    improve, protect = _improve_and_protect(metrics)
    if len(changed) == 1:
        verdict = _method_verdict(metrics, changed[0])
        return {"before": "", "method": verdict["method"], "after": f": {verdict['text']}"}
    if best is None:
        text = (
            f"For none of the {len(changed)} methods can a rise of {_words(improve)} mAP "
            "be told from chance."
        )
        return {"before": text, "method": "", "after": ""}
    interval = _interval(best["cells"][f"map/{improve}"], metrics["interval"]["level"])
    after = f": {interval}."
    if protect is not None:
        after += f" Its {_words(protect)} mAP {_verdict(best['cells'][f'map/{protect}'])}."
    start = f"Of {len(changed)} methods, {_words(improve)} mAP rose most under "
    return {"before": start, "method": best["method"], "after": after}


def _method_verdict(metrics: dict[str, Any], row: dict[str, Any]) -> dict[str, str]:
    """What happened to each group's mAP under a method, in one line."""
    share, seeds = row["fell_back_share"], len(metrics["seeds"])
    if share == 1:
        last = next(
            (
                other
                for other in metrics["rows"]
                if other["method"] == row["method"] and other["epoch"] == "last"
            ),
            None,
        )
        text = "no gain found on validation, so the reference was returned"
        if last is not None:
            text += f"; at its last epoch, {_group_verdicts(metrics, last)}"
    else:
        text = _group_verdicts(metrics, row)
        if share:
            text += f"; the reference was returned in {round(share * seeds)} of {seeds} seeds"
    return {"method": row["method"], "text": f"{text}."}


def _group_verdicts(metrics: dict[str, Any], row: dict[str, Any]) -> str:
    names = [group["name"] for group in metrics["groups"]]
    return ", ".join(
        f"{_words(name)} mAP {_verdict(row['cells'][f'map/{name}'])}" for name in names
    )


def _verdict(cell: dict[str, Any]) -> str:
    difference = cell["difference"]
    if difference is None:
        return "undefined"
    if cell["low"] is None:
        return f"differs by {_signed(difference)} points, without an interval"
    if _is_reference(cell):
        return "unchanged"
    if not cell["excludes_zero"]:
        return f"shows no change that can be told from chance ({_interval(cell)})"
    return f"{'rose' if difference > 0 else 'fell'} ({_interval(cell)})"


def _interval(cell: dict[str, Any], level: float | None = None) -> str:
    digits = _digits(cell)
    change, low, high = (_signed(cell[key], digits) for key in ("difference", "low", "high"))
    if level is None:
        return f"{change} points, {low} to {high}"
    return f"{change} points ({round(100 * level)}% interval {low} to {high})"


def _digits(cell: dict[str, Any]) -> int:
    """One decimal, or as many as an end that excludes 0 needs not to be rounded to it."""
    if cell["low"] is None or not cell["excludes_zero"]:
        return 1
    nearest = 100 * min(abs(cell["low"]), abs(cell["high"]))
    return next((digits for digits in (1, 2, 3) if round(nearest, digits)), 4)


def _points(value: float | None) -> str:
    return "\u2013" if value is None else f"{100 * value:.1f}"


def _signed(value: float | None, digits: int = 1) -> str:
    if value is None:
        return "\u2013"
    text = f"{100 * value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", _MINUS)


def _words(name: object) -> str:
    return str(name).replace("_", "-")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


# -- the rows ----------------------------------------------------------------------------------


def _changed(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """The selected rows of all methods but the reference."""
    return [row for row in _change_rows(metrics) if row["epoch"] == "selected"]


def _change_rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in metrics["rows"] if row["method"] != metrics["reference_method"]]


def _improve_and_protect(metrics: dict[str, Any]) -> tuple[str, str | None]:
    groups = metrics["groups"]
    improve = next((group for group in groups if group["role"] == "improve"), groups[0])
    others = (group["name"] for group in groups if group is not improve)
    return improve["name"], next(others, None)


def _largest_rise(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """The method whose improved group rose most, among rises that exclude 0."""
    key = f"map/{_improve_and_protect(metrics)[0]}"
    rows = [
        row
        for row in _changed(metrics)
        if row["cells"][key]["excludes_zero"] and row["cells"][key]["difference"] > 0
    ]
    return max(rows, key=lambda row: row["cells"][key]["difference"], default=None)


def _is_reference(cell: dict[str, Any]) -> bool:
    return all(cell[key] == 0 for key in ("difference", "low", "high"))


def _table_rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the main table; a last epoch that scores as the selected one is not repeated."""
    rows: list[dict[str, Any]] = []
    seeds = len(metrics["seeds"])
    for row in metrics["rows"]:
        share = row["fell_back_share"]
        back = "" if share is None else f"{round(share * seeds)} of {seeds}"
        row = {**row, "back": back}
        twin = rows[-1] if rows and rows[-1]["method"] == row["method"] else None
        if twin and all(
            twin["cells"][key]["value"] == cell["value"] for key, cell in row["cells"].items()
        ):
            twin["epoch"] = "selected, last"
        else:
            rows.append({**row, "repeats": twin is not None})
    return rows


def _map_changes(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the table beside the trade-off: every method and epoch, the reference aside."""
    return [
        {**row, "cells": [row["cells"][f"map/{group['name']}"] for group in metrics["groups"]]}
        for row in _change_rows(metrics)
    ]


def _label_views(metrics: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Name, method and key of each view: the last epoch where the reference was returned."""
    has_last = any("ap_last" in row for row in metrics["per_label"])
    views = []
    for row in _changed(metrics):
        if row["fell_back_share"] == 1 and has_last:
            name = f"{row['method']}, last epoch (the reference was returned)"
            views.append((name, row["method"], "ap_last"))
        else:
            views.append((row["method"], row["method"], "ap"))
    return views


def _label_rows(
    metrics: dict[str, Any], views: Iterable[tuple[str, str, str]]
) -> list[dict[str, Any]]:
    """Labels by group and then by frequency, the rarest first, with the AP of each view."""
    order = [group["name"] for group in metrics["groups"]]

    def rank(row: dict[str, Any]) -> tuple[int, int]:
        place = order.index(row["groups"][0]) if row["groups"] else len(order)
        return place, row["train_positives"]

    def points(value: float | None) -> float | None:
        return None if value is None else round(100 * value, 2)

    rows = []
    for row in sorted(metrics["per_label"], key=rank):
        before = points(row["reference_ap"])
        after = [None if before is None else points(row[key][method]) for _, method, key in views]
        rows.append(
            {
                "label": row["label"],
                "group": _words(row["groups"][0]) if row["groups"] else "no group",
                "train_positives": row["train_positives"],
                "test_positives": row["test_positives"],
                "before": before,
                "after": after,
            }
        )
    return rows


def _trace_panels(metrics: dict[str, Any]) -> list[tuple[str, dict[str, list[dict[str, Any]]]]]:
    """The lines of each method: ``weight`` and ``loss`` rows for :func:`charts.trace`."""
    panels: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for (method, seed), line in _trace_lines(metrics).items():
        panel = panels.setdefault(method, {quantity: [] for quantity in _TRACED})
        for window in _windows(line):
            epoch = round(sum(point["epoch"] for point in window) / len(window), 3)
            for quantity, rows in panel.items():
                for group in window[0][_TRACED[quantity]]:
                    value = _mean_of(window, quantity, group)
                    if value is not None:
                        name = _words(group)
                        rows.append({"seed": seed, "group": name, "epoch": epoch, "value": value})
    return list(panels.items())


def _mean_of(window: list[dict[str, Any]], quantity: str, group: str) -> float | None:
    key = _TRACED[quantity]
    known = [point[key][group] for point in window if point[key][group] is not None]
    return float(f"{sum(known) / len(known):.4g}") if known else None


def _trace_lines(metrics: dict[str, Any]) -> dict[tuple[str, int], list[dict[str, Any]]]:
    lines: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for point in metrics["trace"]:
        lines[point["method"], point["seed"]].append(point)
    return lines


def _longest(metrics: dict[str, Any]) -> int:
    return max((len(line) for line in _trace_lines(metrics).values()), default=0)


def _windows(line: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Split a line into at most ``LONGEST_LINE`` runs of neighbours."""
    count = min(len(line), LONGEST_LINE)
    edges = [len(line) * k // count for k in range(count + 1)]
    return [line[start:end] for start, end in pairwise(edges)]


def _trace_table(metrics: dict[str, Any], points: int = 5) -> list[dict[str, Any]]:
    """About ``points`` steps of each method and seed, the last one included."""
    return [
        point
        for line in _trace_lines(metrics).values()
        for point in line[len(line) - 1 :: -max(1, len(line) // points)][::-1]
    ]


# -- the page ----------------------------------------------------------------------------------


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fairpo.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": _count,
        "digits": _digits,
        "is_reference": _is_reference,
        "plain": lambda value: value if isinstance(value, str) else json.dumps(value),
        "points": _points,
        "signed": _signed,
        "thousands": "{:,}".format,
        "words": _words,
    }
    return environment


@cache
def _vega() -> Markup:
    version = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    # The library's own code, which may hold "</script>" in a string.
    bundle = vl_convert.javascript_bundle(vl_version=version)  # type: ignore[call-arg]
    return Markup(bundle.replace("</script", "<\\/script"))


def _spec(chart: Any) -> dict[str, Any]:
    """The chart without the address of its schema: the page names no place on a network."""
    return {key: value for key, value in chart.to_dict().items() if key != "$schema"}


def _dashes(groups: list[str]) -> list[str]:
    dashes = (charts.DASHES[k % len(charts.DASHES)] for k in range(len(groups)))
    return [" ".join(map(str, dash)) for dash in dashes]


def _embedded(specs: dict[str, Any]) -> Markup:
    """JSON that no text inside can end: ``<``, ``>`` and ``&`` as escapes."""
    text = json.dumps(specs, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
