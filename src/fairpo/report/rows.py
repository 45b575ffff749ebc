"""Rows of tables and pictures, from the figures of one comparison."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from fairpo.report.wording import words

LONGEST_LINE = 60
"""Points of a line over the training; a longer one is averaged over windows."""

_TRACED = {"weight": "group_weights", "loss": "group_losses"}


def trade_off_points(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the changes of mAP of the first two groups, in points, for :func:`charts.trade_off`.

    A method that returned the reference in every seed has only its last epoch here, and one
    whose last epoch is the selected one has only that: a point is drawn once.
    """
    if len(metrics["groups"]) < 2:
        return []
    keys = {
        axis: f"map/{group['name']}" for axis, group in zip("xy", metrics["groups"], strict=False)
    }
    points: list[dict[str, Any]] = []
    for row in change_rows(metrics):
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


def changed_rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Selected rows of all methods but the reference."""
    return [row for row in change_rows(metrics) if row["epoch"] == "selected"]


def change_rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of all methods but the reference."""
    return [row for row in metrics["rows"] if row["method"] != metrics["reference_method"]]


def improve_and_protect(metrics: dict[str, Any]) -> tuple[str, str | None]:
    """Names of the first group to improve, and of the first other one."""
    groups = metrics["groups"]
    improve = next((group for group in groups if group["role"] == "improve"), groups[0])
    others = (group["name"] for group in groups if group is not improve)
    return improve["name"], next(others, None)


def largest_rise(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """The method whose improved group rose most, among rises that exclude 0."""
    key = f"map/{improve_and_protect(metrics)[0]}"
    rows = [
        row
        for row in changed_rows(metrics)
        if row["cells"][key]["difference"] is not None
        and row["cells"][key]["difference"] > 0
        and can_be_told(metrics, row, key)
    ]
    return max(rows, key=lambda row: row["cells"][key]["difference"], default=None)


def p_value(metrics: dict[str, Any], row: dict[str, Any], key: str) -> float | None:
    """Of a selected row's change against the reference, corrected over methods; None untested."""
    claims = metrics.get("claims")
    if not claims or row["epoch"] != "selected":
        return None
    found = claims["against"]["reference"].get(row["method"], {}).get(key, {}).get("p_holm")
    return None if found is None else float(found)


def can_be_told(metrics: dict[str, Any], row: dict[str, Any], key: str) -> bool:
    """Whether a change can be told from chance: by its interval, and by its test if there is one.

    A run whose figures have tests claims nothing that they did not look at. Where there are seeds
    enough for an interval over them, it must agree: tests are of the models that were trained.
    """
    cell = row["cells"][key]
    if not cell["excludes_zero"]:
        return False
    low, high = cell.get("seeds_low"), cell.get("seeds_high")
    if low is not None and high is not None and low <= 0 <= high:
        return False
    if not metrics.get("claims"):
        return True
    p = p_value(metrics, row, key)
    return p is not None and p < 1 - metrics["interval"]["level"]


def is_reference(cell: dict[str, Any]) -> bool:
    """Whether nothing was changed: the reference was returned in every seed."""
    return all(cell[key] == 0 for key in ("difference", "low", "high"))


def table_rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
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


def map_changes(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the table beside the trade-off: every method and epoch, the reference aside."""
    return [
        {**row, "cells": [row["cells"][f"map/{group['name']}"] for group in metrics["groups"]]}
        for row in change_rows(metrics)
    ]


def claim_rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the table of tests: a method each, its mAP against what, by group and opponent."""
    claims = metrics.get("claims")
    if not claims:
        return []
    keys = [f"map/{group['name']}" for group in metrics["groups"]]
    against = claims["against"]
    return [
        {
            "method": row["method"],
            "cells": [
                [against[opponent].get(row["method"], {}).get(key) for key in keys]
                for opponent in ("reference", "best_baseline")
            ],
        }
        for row in changed_rows(metrics)
    ]


def label_views(metrics: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Name, method and key of each view: the last epoch where the reference was returned."""
    has_last = any("ap_last" in row for row in metrics["per_label"])
    views = []
    for row in changed_rows(metrics):
        if row["fell_back_share"] == 1 and has_last:
            name = f"{row['method']}, last epoch (the reference was returned)"
            views.append((name, row["method"], "ap_last"))
        else:
            views.append((row["method"], row["method"], "ap"))
    return views


def label_rows(
    metrics: dict[str, Any], views: Iterable[tuple[str, str, str]]
) -> list[dict[str, Any]]:
    """Labels by group and then by frequency, the rarest first, with the AP of each view."""
    order = [group["name"] for group in metrics["groups"]]

    def rank(row: dict[str, Any]) -> tuple[int, int]:
        place = order.index(row["groups"][0]) if row["groups"] else len(order)
        return place, row["train_positives"]

    def points(value: float | None) -> float | None:
        return None if value is None else round(100 * value, 2)

    told = _told_labels(metrics)
    rows = []
    for place, row in sorted(enumerate(metrics["per_label"]), key=lambda pair: rank(pair[1])):
        before = points(row["reference_ap"])
        after = [None if before is None else points(row[key][method]) for _, method, key in views]
        rows.append(
            {
                "label": row["label"],
                "group": words(row["groups"][0]) if row["groups"] else "no group",
                "train_positives": row["train_positives"],
                "test_positives": row["test_positives"],
                "before": before,
                "after": after,
                "told": [key == "ap" and place in told.get(method, ()) for _, method, key in views],
            }
        )
    return rows


def _told_labels(metrics: dict[str, Any]) -> dict[str, set[int]]:
    """Positions of the labels whose change a test tells from chance, by method."""
    claims = metrics.get("claims")
    # Of very many labels only some are listed, and the tests do not say which they are of.
    if not claims or len(metrics["per_label"]) < metrics["data"]["n_labels"]:
        return {}
    limit = 1 - metrics["interval"]["level"]
    return {
        method: {place for place, p in enumerate(values) if p is not None and p < limit}
        for method, values in claims["labels"].items()
    }


def trace_panels(metrics: dict[str, Any]) -> list[tuple[str, dict[str, list[dict[str, Any]]]]]:
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
                        name = words(group)
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


def longest_line(metrics: dict[str, Any]) -> int:
    """Points of the longest line over a training."""
    return max((len(line) for line in _trace_lines(metrics).values()), default=0)


def _windows(line: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Split a line into at most ``LONGEST_LINE`` runs of neighbours."""
    count = min(len(line), LONGEST_LINE)
    edges = [len(line) * k // count for k in range(count + 1)]
    return [line[start:end] for start, end in pairwise(edges)]


def trace_table(metrics: dict[str, Any], points: int = 5) -> list[dict[str, Any]]:
    """About ``points`` steps of each method and seed, the last one included."""
    return [
        point
        for line in _trace_lines(metrics).values()
        for point in line[len(line) - 1 :: -max(1, len(line) // points)][::-1]
    ]
