"""The page of one comparison or run."""

from __future__ import annotations

from typing import Any

import altair as alt

from fairpo._titles import METRIC_TITLES
from fairpo.report import charts
from fairpo.report.evidence import evidence_charts, evidence_content
from fairpo.report.page import embedded, render_page
from fairpo.report.rows import (
    LONGEST_LINE,
    changed_rows,
    claim_rows,
    label_rows,
    label_views,
    largest_rise,
    longest_line,
    map_changes,
    table_rows,
    trace_panels,
    trace_table,
    trade_off_points,
)
from fairpo.report.sweep import sweep_charts, sweep_content
from fairpo.report.verdicts import lead, method_verdict
from fairpo.report.wording import words


def render_comparison(metrics: dict[str, Any]) -> str:
    """Return the page as text.

    Parameters
    ----------
    metrics : dict
        The content of ``metrics.json``, or of one variant in it.
    """
    groups = [group["name"] for group in metrics["groups"]]
    changed = changed_rows(metrics)
    best = largest_rise(metrics)
    views = label_views(metrics)
    labels = label_rows(metrics, views)
    evidence = evidence_content(metrics, best)
    return render_page(
        "comparison.html.jinja",
        comparison_charts(metrics),
        metrics=metrics,
        titles=METRIC_TITLES,
        groups=groups,
        n_trained=len(changed),
        rows=table_rows(metrics),
        lead=lead(metrics, best),
        verdicts=[method_verdict(metrics, row) for row in changed],
        returned=[row["method"] for row in changed if row["fell_back_share"] == 1],
        tests=claim_rows(metrics),
        changes=map_changes(metrics),
        points=trade_off_points(metrics),
        views=[name for name, _, _ in views],
        view_heads=[f"{m} (last)" if key == "ap_last" else m for _, m, key in views],
        first_view=_first_view(metrics),
        labels=labels,
        many=len(_drawn(labels)) > charts.MANY_LABELS,
        panels=[method for method, _ in trace_panels(metrics)],
        thinned=longest_line(metrics) > LONGEST_LINE,
        trace=trace_table(metrics),
        keys=_keys(groups),
        evidence=evidence,
        sweep=sweep_content(metrics),
        embedded_evidence=embedded(evidence and evidence["labels"]),
    )


def comparison_charts(metrics: dict[str, Any]) -> dict[str, alt.TopLevelMixin]:
    """Every picture of a comparison, by the name of its place on the page."""
    groups = [words(group["name"]) for group in metrics["groups"]]
    drawn: dict[str, alt.TopLevelMixin] = {}
    if points := trade_off_points(metrics):
        titles = [f"change of {name} mAP, points" for name in groups[:2]]
        drawn["trade-off"] = charts.trade_off(points, *titles)
    views = label_views(metrics)
    if rows := _drawn(label_rows(metrics, views)):
        names = [name for name, _, _ in views]
        drawn["labels"] = charts.per_label(rows, names, groups, start=_first_view(metrics))
    for method, lines in trace_panels(metrics):
        for quantity, line in lines.items():
            drawn[f"{quantity}-{method}"] = charts.trace(line, groups, quantity)
    return drawn | sweep_charts(metrics) | evidence_charts(metrics, largest_rise(metrics))


def _first_view(metrics: dict[str, Any]) -> int:
    """The method that is shown first: the one whose improved group rose most."""
    best, methods = largest_rise(metrics), [method for _, method, _ in label_views(metrics)]
    return methods.index(best["method"]) if best else 0


def _drawn(labels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in labels if any(after is not None for after in row["after"])]


def _keys(groups: list[str]) -> list[tuple[str, str, str]]:
    """Name, colour and dash of each group."""
    dashes = (" ".join(map(str, dash)) for dash in charts.group_dashes(groups))
    return list(zip(groups, charts.group_colours(groups), dashes, strict=True))
