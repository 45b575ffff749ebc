"""The page of a comparison of language models."""

from __future__ import annotations

from typing import Any

import altair as alt

from fairpo.report import charts, rate_charts
from fairpo.report.language_rows import (
    BASELINE,
    MEAN,
    RATES,
    SIDES,
    difference_rows,
    drift_points,
    drift_rows,
    group_names,
    is_thinned,
    measured_by,
    methods_by,
    rate_points,
    rate_rows,
    sample_methods,
    seed_rows,
    shown_samples,
    trace_panels,
    trace_table,
)
from fairpo.report.language_verdicts import lead, method_verdicts, notes, warning_signs
from fairpo.report.page import render_page
from fairpo.report.wording import words

DRAWN = ("win_rate", "reward_accuracy")
"""Rates that have a picture; the other one is a table below."""

SIDE_COLOURS = ["#009E73", "#CC79A7"]
"""Of chosen and rejected completions: of the palette, and of no group of two."""


def render_language_models(compared: dict[str, Any]) -> str:
    """Return the page as text.

    Parameters
    ----------
    compared : dict
        The content of ``comparison.json``, with the lines of ``logs.jsonl`` as ``logs`` and those
        of ``samples.jsonl`` as ``samples``.
    """
    groups = [words(name) for name in group_names(compared)]
    return render_page(
        "language_models.html.jinja",
        language_charts(compared),
        compared=compared,
        groups=groups,
        baseline=BASELINE,
        mean=MEAN,
        lead=lead(compared),
        verdicts=method_verdicts(compared),
        signs=warning_signs(compared),
        rates=[rate_content(compared, kind) for kind in measured_by(compared)],
        drift=drift_rows(compared),
        panels=trace_panels(compared),
        thinned=is_thinned(compared),
        trace=trace_table(compared),
        keys=_keys(groups, charts.group_colours(groups)),
        side_keys=_keys(list(SIDES), SIDE_COLOURS),
        sample_methods=sample_methods(compared),
        samples=shown_samples(compared),
        notes=notes(compared),
    )


def rate_content(compared: dict[str, Any], kind: str) -> dict[str, Any]:
    """What the page says of one rate."""
    return {
        "kind": kind,
        "title": RATES[kind],
        "is_drawn": kind in DRAWN,
        "methods": methods_by(compared, kind),
        "rows": rate_rows(compared, kind),
        "differences": difference_rows(compared, kind),
        "seeds": seed_rows(compared, kind),
    }


def language_charts(compared: dict[str, Any]) -> dict[str, alt.TopLevelMixin]:
    """Every picture of the page, by the name of its place."""
    drawn: dict[str, alt.TopLevelMixin] = {}
    everyone = list(compared["methods"])
    for kind in measured_by(compared):
        if kind in DRAWN:
            points = rate_points(compared, kind)
            name = f"{RATES[kind]}, percent"
            drawn[f"rates-{kind}"] = rate_charts.by_attribute(points, everyone, name)
    if points := drift_points(compared):
        drawn["drift"] = rate_charts.drift(points, list(SIDES), SIDE_COLOURS)
    groups = [words(name) for name in group_names(compared)]
    for method, panel in trace_panels(compared).items():
        for what, lines in panel.items():
            if not lines:
                continue
            if what == "reward":
                chart = charts.trace(lines, list(SIDES), "reward", SIDE_COLOURS)
            else:
                chart = charts.trace(lines, groups, what)
            drawn[f"{what}-{method}"] = chart
    return drawn


def _keys(names: list[str], colours: list[str]) -> list[tuple[str, str, str]]:
    """Name, colour and dash of each line."""
    dashes = (" ".join(map(str, dash)) for dash in charts.group_dashes(names))
    return list(zip(names, colours, dashes, strict=True))
