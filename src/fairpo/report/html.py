"""One self-contained page from the figures of ``metrics.json``."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fairpo._checks import file_error
from fairpo.report import charts

METRIC_TITLES = {
    "map": "mAP",
    "sample_f1": "sample-F1",
    "label_accuracy": "label accuracy",
    "exact_match": "exact match",
}


def write_report(folder: Path) -> Path:
    """Render ``metrics.json`` of a folder into ``report.html`` beside it, atomically.

    Raises
    ------
    FairPOFileError
        ``metrics.json`` is missing or broken.
    """
    source = folder / "metrics.json"
    try:
        page = render_report(json.loads(source.read_text(encoding="utf-8")))
    except OSError as error:
        raise file_error(source, f"cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise file_error(source, f"does not hold the figures of a report ({error!r})") from error
    target = folder / "report.html"
    temporary = folder / f".report.{os.getpid()}.tmp"
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(target)
    return target


def render_report(metrics: dict[str, Any]) -> str:
    """Return the page as text; every word that comes from data is escaped.

    Parameters
    ----------
    metrics : dict
        The content of ``metrics.json``.
    """
    template = _environment().get_template("report.html.jinja")
    methods = [row["method"] for row in metrics["rows"] if row["epoch"] == "selected"]
    trained = [name for name in methods if name != metrics["reference_method"]]
    points = _trade_off_points(metrics)
    labels = _label_rows(metrics)
    trace = _trace_rows(metrics)
    specs: dict[str, Any] = {}
    if points:
        specs["trade-off"] = charts.trade_off(points).to_dict()
    views = _label_views(metrics)
    for number, (name, method, epoch) in enumerate(views):
        rows = [_label_change(row, method, epoch) for row in labels]
        drawn = [row for row in rows if row["change"] is not None]
        if drawn:
            specs[f"labels-{number}"] = charts.per_label(drawn, name).to_dict()
    if trace:
        shown = [method for method in trained if any(row["method"] == method for row in trace)]
        specs["weights"] = charts.trace(trace, shown, "weight", "group weight").to_dict()
        specs["losses"] = charts.trace(trace, shown, "loss", "group loss, nats").to_dict()
    return template.render(
        metrics=metrics,
        titles=METRIC_TITLES,
        groups=[group["name"] for group in metrics["groups"]],
        trained=trained,
        views=[name for name, _, _ in views],
        headline=_headline(metrics),
        points=points,
        labels=labels,
        trace=_thin(trace),
        specs=_embedded(specs),
        vega=_vega(),
        pretty=json.dumps(metrics["settings"], indent=1),
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fairpo.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["points"] = lambda value: "-" if value is None else f"{100 * value:.1f}"
    environment.filters["change"] = lambda value: "-" if value is None else f"{100 * value:+.1f}"
    environment.filters["words"] = lambda name: str(name).replace("_", "-")
    return environment


@cache
def _vega() -> Markup:
    import vl_convert
    from altair.utils._importers import vl_version_for_vl_convert

    # The library's own code, which may hold "</script>" in a string.
    bundle = vl_convert.javascript_bundle(vl_version=vl_version_for_vl_convert())  # type: ignore[call-arg]
    return Markup(bundle.replace("</script", "<\\/script"))


def _embedded(specs: dict[str, Any]) -> Markup:
    """JSON that no text inside can end: ``<``, ``>`` and ``&`` as escapes."""
    text = json.dumps(specs, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _headline(metrics: dict[str, Any]) -> list[str]:
    """Say what happened to each group, claiming only what its interval allows."""
    lines = []
    for row in metrics["rows"]:
        if row["epoch"] != "selected" or row["method"] == metrics["reference_method"]:
            continue
        parts = []
        for group in metrics["groups"]:
            cell = row["cells"][f"map/{group['name']}"]
            name = group["name"].replace("_", "-")
            parts.append(f"{name} mAP {_verdict(cell)}")
        if row["fell_back_share"] == 1:
            parts = ["no gain found on validation, so the reference was returned"]
        lines.append(f"{row['method']}: {'; '.join(parts)}.")
    return lines


def _verdict(cell: dict[str, Any]) -> str:
    if cell["difference"] is None or cell["low"] is None:
        return "undefined"
    change, low, high = (100 * cell[part] for part in ("difference", "low", "high"))
    interval = f"({change:+.1f} points, {low:+.1f} to {high:+.1f})"
    if not cell["excludes_zero"]:
        return f"cannot be told apart from the reference's {interval}"
    return f"{'rose' if cell['difference'] > 0 else 'fell'} {interval}"


def _trade_off_points(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    if len(metrics["groups"]) < 2:
        return []
    keys = {
        axis: f"map/{group['name']}" for axis, group in zip("xy", metrics["groups"], strict=False)
    }
    points = []
    for row in metrics["rows"]:
        cells = {axis: row["cells"][key] for axis, key in keys.items()}
        if row["method"] == metrics["reference_method"] or any(
            cell["difference"] is None or cell["low"] is None for cell in cells.values()
        ):
            continue
        point: dict[str, Any] = {"method": row["method"], "epoch": row["epoch"]}
        for axis, cell in cells.items():
            point |= {axis: 100 * cell["difference"]}
            point |= {f"{axis}_{end}": 100 * cell[end] for end in ("low", "high")}
        # A method that returned the reference sits on the origin: name its last epoch instead.
        point["named"] = (row["epoch"] == "selected") != (row["fell_back_share"] == 1)
        points.append(point)
    return points


def _label_rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    order = [group["name"] for group in metrics["groups"]]

    def rank(row: dict[str, Any]) -> tuple[int, int]:
        place = order.index(row["groups"][0]) if row["groups"] else len(order)
        return place, row["train_positives"]

    return sorted(metrics["per_label"], key=rank)


def _label_views(metrics: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Name, method and epoch of each picture: the last epoch where the reference was returned."""
    views = []
    for row in metrics["rows"]:
        if row["method"] == metrics["reference_method"] or row["epoch"] != "selected":
            continue
        if row["fell_back_share"] == 1:
            name = f"{row['method']}, last epoch (the reference was returned)"
            views.append((name, row["method"], "last"))
        else:
            views.append((row["method"], row["method"], "selected"))
    return views


def _label_change(row: dict[str, Any], method: str, epoch: str) -> dict[str, Any]:
    before, after = row["reference_ap"], row["ap" if epoch == "selected" else "ap_last"][method]
    known = before is not None and after is not None
    return {
        "label": row["label"],
        "group": row["groups"][0] if row["groups"] else "other",
        "train_positives": row["train_positives"],
        "before": 100 * before if known else None,
        "after": 100 * after if known else None,
        "change": 100 * (after - before) if known else None,
    }


def _trace_rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "method": point["method"],
            "seed": point["seed"],
            "epoch": point["epoch"],
            "group": group,
            "weight": round(weight, 5),
            "loss": round(point["group_losses"][group], 5),
        }
        for point in metrics["trace"]
        for group, weight in point["group_weights"].items()
    ]


def _thin(rows: list[dict[str, Any]], points: int = 5) -> list[dict[str, Any]]:
    """About ``points`` rows of each line, its last one included, for the table."""
    lines: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        lines[(row["method"], row["seed"], row["group"])].append(row)
    return [
        row
        for line in lines.values()
        for row in line[len(line) - 1 :: -max(1, len(line) // points)][::-1]
    ]
