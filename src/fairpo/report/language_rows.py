"""Rows of tables and pictures, from the figures of one comparison of language models."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from fairpo.report.charts import HEADING
from fairpo.report.rows import LONGEST_LINE
from fairpo.report.wording import words

BASELINE = "sft"
"""What every method starts from, is its reference, and is judged against."""

MEAN = "dpo"
"""A method that knows no groups: what its logs call weights are shares of the pairs."""

RATES = {
    "win_rate": "win rate over sft",
    "reward_accuracy": "reward accuracy",
    "per_token_accuracy": "accuracy per token",
}
"""What a method is measured by, the judged figure first: key and title."""

SIDES = ("chosen", "rejected")

TRACED = {"weight": "group_weights", "loss": "group_losses", "reward": "rewards"}
"""What is drawn over a training, and how the logs call it."""

SATURATED = 0.95
"""A group weight above this starves the other groups."""

DISPLACED = 0.5
"""Nats by which a chosen completion may become less likely before the page warns."""

LONGEST_TEXT = 1200
"""Characters of a completion that a page shows."""

MOST_TEXT = 100_000
"""Characters of all samples, verdicts included, that a page shows."""

MOST_POINTS = 2000
"""Points of all lines over a training that a page shows."""


def group_names(compared: dict[str, Any]) -> list[str]:
    """Names of the groups, in their order."""
    return [group["name"] for group in compared["groups"]]


def improved(compared: dict[str, Any]) -> str:
    """Name of the first group to improve, or of the first one."""
    groups = compared["groups"]
    return str(next((g["name"] for g in groups if g["role"] == "improve"), groups[0]["name"]))


def measured_by(compared: dict[str, Any]) -> list[str]:
    """Which of :data:`RATES` this comparison has."""
    return [kind for kind in RATES if methods_by(compared, kind)]


def methods_by(compared: dict[str, Any], kind: str) -> list[str]:
    """Methods that have a rate of this kind, in their order."""
    return [name for name, row in compared["methods"].items() if row[kind]]


def rate_rows(compared: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Rows of the table of a rate: over all, each group and its attributes, the worst of each."""
    methods = methods_by(compared, kind)
    found = [compared["methods"][method][kind] for method in methods]

    def row(line: str, level: int, rates: Iterable[dict[str, Any]]) -> dict[str, Any]:
        cells = [{**rate, "told": told_from_half(rate)} for rate in rates]
        return {"line": line, "level": level, "cells": dict(zip(methods, cells, strict=True))}

    rows = [row("all attributes", 0, [each["overall"] for each in found])]
    for group in compared["groups"]:
        name = group["name"]
        rows.append(row(words(name), 0, [each["groups"][name] for each in found]))
        rows += [
            row(attribute, 1, [each["attributes"][attribute] for each in found])
            for attribute in group["attributes"]
            if len(group["attributes"]) > 1 or attribute != name
        ]
    for key in ("worst_group", "worst_attribute"):
        rows.append(row(words(key).replace("-", " "), 0, [each[key] for each in found]))
    return rows


def rate_points(compared: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Points of the picture of a rate, in percent; the worst of several are in the table alone."""
    points = []
    for row in rate_rows(compared, kind):
        line = row["line"] if row["level"] else f"{HEADING}{row['line']}"
        for method, cell in row["cells"].items():
            if cell["value"] is None or "name" in cell:
                continue
            numbers = {
                key: None if cell[key] is None else round(100 * cell[key], 3)
                for key in ("value", "low", "high")
            }
            counts = {key: cell[key] for key in ("wins", "ties", "losses", "skipped")}
            points.append({"line": line, "method": method, **numbers, **counts})
    return points


def seed_rows(compared: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Rows of the table of single seeds; none where there is one."""
    if len(compared["seeds"]) < 2:
        return []
    names = group_names(compared)
    return [
        {
            "method": method,
            "seed": each["seed"],
            "cells": [
                each["overall"],
                *(each["groups"][name] for name in names),
                each["worst_group"],
                each["worst_attribute"],
            ],
        }
        for method in methods_by(compared, kind)
        for each in compared["methods"][method][kind]["per_seed"]
    ]


def difference_keys(compared: dict[str, Any]) -> list[str]:
    """What methods are compared by: all, each group, the worst."""
    groups = (f"groups/{name}" for name in group_names(compared))
    return ["overall", *groups, "worst_group", "worst_attribute"]


def difference_rows(compared: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Rows of the table of methods against each other, on the same resamples of prompts."""
    return [
        {
            "first": each["first"],
            "second": each["second"],
            "cells": [difference_cell(each["keys"][key]) for key in difference_keys(compared)],
        }
        for each in compared["differences"]
        if each["measure"] == kind
    ]


def difference_cell(found: dict[str, Any]) -> dict[str, Any]:
    """A difference as the cells of other pages have it."""
    low, high = found["low"], found["high"]
    excludes = low is not None and (low > 0 or high < 0)
    return {"difference": found["value"], "low": low, "high": high, "excludes_zero": excludes}


def told_from_half(rate: dict[str, Any]) -> bool:
    """Whether the interval of a rate excludes one half.

    Never of the worst of several, which is lower than each of them would be.
    """
    low, high = rate["low"], rate["high"]
    return "name" not in rate and low is not None and (low > 0.5 or high < 0.5)


def drift_rows(compared: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the table of drift: a method and side each, over all and by group, in nats."""
    return [
        {
            "method": method,
            "side": side,
            "cells": [
                row["drift"][side]["overall"],
                *(row["drift"][side]["groups"][name] for name in group_names(compared)),
            ],
        }
        for method, row in compared["methods"].items()
        if row["drift"]
        for side in SIDES
    ]


def drift_points(compared: dict[str, Any]) -> list[dict[str, Any]]:
    """Points of the picture of drift, over all attributes."""
    return [
        {"method": row["method"], "side": row["side"], "value": round(row["cells"][0], 4)}
        for row in drift_rows(compared)
        if row["cells"][0] is not None
    ]


def trace_panels(compared: dict[str, Any]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Lines of each method over its training: rows for :func:`charts.trace`, by what is drawn."""
    panels: dict[str, dict[str, list[dict[str, Any]]]] = {}
    longest = longest_line(compared)
    for (method, seed), line in _logged(compared).items():
        panel = panels.setdefault(method, {what: [] for what in TRACED})
        for what in TRACED:
            for name, key in _keys_of(compared, what):
                known = [(each["epoch"], each[key]) for each in line if each.get(key) is not None]
                panel[what] += [
                    {"seed": seed, "group": words(name), "epoch": epoch, "value": value}
                    for epoch, value in _windows(known, longest)
                ]
    return panels


def longest_line(compared: dict[str, Any]) -> int:
    """Points that a line over a training may have, for all lines to fit a page."""
    lines = len(_logged(compared)) * sum(len(_keys_of(compared, what)) for what in TRACED)
    return min(LONGEST_LINE, max(10, MOST_POINTS // max(1, lines)))


def is_thinned(compared: dict[str, Any]) -> bool:
    """Whether lines are averaged over windows."""
    most = max((len(line) for line in _logged(compared).values()), default=0)
    return most > longest_line(compared)


def trace_table(compared: dict[str, Any], points: int = 5) -> list[dict[str, Any]]:
    """About ``points`` logged steps of each method and seed, the last one included."""
    keys = [key for what in TRACED for _, key in _keys_of(compared, what)]
    return [
        {
            "method": method,
            "seed": seed,
            "epoch": each["epoch"],
            "cells": [each.get(key) for key in keys],
        }
        for (method, seed), line in _logged(compared).items()
        for each in line[len(line) - 1 :: -max(1, len(line) // points)][::-1]
    ]


def _logged(compared: dict[str, Any]) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """Records of the steps of each method and seed that know of groups; SFT knows none."""
    lines: dict[tuple[str, int], list[dict[str, Any]]] = {}
    weights = [key for _, key in _keys_of(compared, "weight")]
    for record in compared["logs"]:
        if record["method"] != BASELINE and any(record.get(key) is not None for key in weights):
            lines.setdefault((record["method"], record["seed"]), []).append(record)
    return lines


def _keys_of(compared: dict[str, Any], what: str) -> list[tuple[str, str]]:
    """Names of the lines of a quantity, and what the logs call them."""
    if what == "reward":
        return [(side, f"rewards/{side}") for side in SIDES]
    return [(name, f"{TRACED[what]}/{name}") for name in group_names(compared)]


def last_weights(compared: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Group weights at the end of each method's training, mean over seeds."""
    ends: dict[str, list[dict[str, Any]]] = {}
    for (method, _), line in _logged(compared).items():
        ends.setdefault(method, []).append(line[-1])
    return {
        method: {
            name: sum(each[key] for each in last if each.get(key) is not None) / len(last)
            for name, key in _keys_of(compared, "weight")
        }
        for method, last in ends.items()
    }


def shown_samples(compared: dict[str, Any]) -> list[dict[str, Any]]:
    """What models wrote, from the first prompt on, as far as a page holds it.

    Each with ``prompt``, and ``cells``: a ``text``, the attributes it ``won`` and ``lost``, and
    how many were ``tied``, for each method.
    """
    rows: list[dict[str, Any]] = []
    room = MOST_TEXT
    for sample in compared["samples"]:
        cells = [
            {
                "text": clipped(sample["completions"].get(method, "")),
                **told(sample["verdicts"].get(method, {})),
            }
            for method in sample_methods(compared)
        ]
        prompt = clipped(plain_text(sample["prompt"]))
        room -= len(prompt) + sum(len(word) for cell in cells for word in _said(cell))
        if room < 0 and rows:
            break
        rows.append({"prompt": prompt, "cells": cells})
    return rows


def sample_methods(compared: dict[str, Any]) -> list[str]:
    """Methods that wrote something, in their order."""
    wrote = {method for sample in compared["samples"] for method in sample["completions"]}
    return [method for method in compared["methods"] if method in wrote]


def told(verdicts: dict[str, float | None]) -> dict[str, Any]:
    """Attributes by which a completion won and lost, and the number of ties."""
    known = {name: value for name, value in verdicts.items() if value is not None}
    return {
        "won": [name for name, value in known.items() if value > 0.5],
        "lost": [name for name, value in known.items() if value < 0.5],
        "tied": sum(value == 0.5 for value in known.values()),
    }


def _said(cell: dict[str, Any]) -> list[str]:
    """Everything that a cell of the samples says."""
    return [cell["text"], *cell["won"], *cell["lost"]]


def plain_text(text: Any) -> str:
    """A prompt as text; of a conversation each message with its role."""
    if isinstance(text, str):
        return text
    return "\n".join(f"{message['role']}: {message['content']}" for message in text)


def clipped(text: str) -> str:
    """The beginning of a long text, without space around it."""
    bare = text.strip()
    return bare if len(bare) <= LONGEST_TEXT else f"{bare[:LONGEST_TEXT]} ..."


def _windows(known: list[tuple[float, float]], longest: int) -> list[tuple[float, float]]:
    """Average neighbours where there are more points than a line shows."""
    count = min(len(known), longest)
    edges = [len(known) * k // max(1, count) for k in range(count + 1)]
    return [
        (
            round(sum(epoch for epoch, _ in part) / len(part), 3),
            float(f"{sum(value for _, value in part) / len(part):.4g}"),
        )
        for part in (known[start:end] for start, end in pairwise(edges))
    ]
