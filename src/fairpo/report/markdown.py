"""The main table of ``metrics.json`` as Markdown, for pages that are read as text."""

from __future__ import annotations

from typing import Any

from fairpo.report.wording import METRIC_TITLES

_SHORT = {"privileged": "P", "non_privileged": "N"}


def comparison_markdown(metrics: dict[str, Any]) -> str:
    """Rows methods, columns metric and group; value and difference in points, ``*`` as marked.

    Parameters
    ----------
    metrics : dict
        The content of ``metrics.json``.
    """
    groups = [group["name"] for group in metrics["groups"]]
    keys = [f"{metric}/{group}" for metric in metrics["metrics"] for group in groups]
    heads = [
        f"{METRIC_TITLES.get(metric, metric)} {_SHORT.get(group, group)}"
        for metric in metrics["metrics"]
        for group in groups
    ]
    lines = [
        "| method | epoch | back | " + " | ".join(heads) + " |",
        "|---|---|---|" + "--:|" * len(heads),
    ]
    for row in metrics["rows"]:
        back = row["fell_back_share"]
        start = [
            row["method"] if row["epoch"] == "selected" else "",
            row["epoch"],
            "" if back is None or row["epoch"] == "last" else f"{back:.0%}",
        ]
        lines.append("| " + " | ".join(start + [_cell(row["cells"][key]) for key in keys]) + " |")
    return "\n".join(lines)


def _cell(cell: dict[str, Any]) -> str:
    if cell["value"] is None:
        return "-"
    text = f"{100 * cell['value']:.1f}"
    if cell["difference"] is None:
        return text
    if cell["low"] is None:
        return f"{text} {100 * cell['difference']:+.1f}"
    low, high = (f"{100 * cell[end]:+.1f}" for end in ("low", "high"))
    star = r"\*" if cell["excludes_zero"] else ""
    return f"{text} {100 * cell['difference']:+.1f}{star} [{low}, {high}]"
