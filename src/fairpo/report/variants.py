"""The page of a study of several variants: partitions, sensitivity, what a sweep chose."""

from __future__ import annotations

from typing import Any

import altair as alt

from fairpo._titles import METRIC_TITLES
from fairpo.report import variant_charts
from fairpo.report.page import embedded, render_page
from fairpo.report.rows import (
    can_be_told,
    changed_rows,
    claim_rows,
    improve_and_protect,
    label_rows,
    p_value,
    table_rows,
)
from fairpo.report.sweep import sweep_charts, sweep_content
from fairpo.report.verdicts import method_verdict
from fairpo.report.wording import count, words


def render_variants(study: dict[str, Any]) -> str:
    """Return the page as text.

    Parameters
    ----------
    study : dict
        The content of ``metrics.json``: ``kind``, ``title``, ``variants`` (each with a ``name`` and
        the ``metrics`` of a comparison), ``plan``, ``notes``, ``command`` and ``version``.
    """
    first = study["variants"][0]["metrics"]
    rows = variant_rows(study)
    return render_page(
        "variants.html.jinja",
        variants_charts(study),
        study=study,
        first=first,
        titles=METRIC_TITLES,
        improve=improve_and_protect(first)[0],
        protect=improve_and_protect(first)[1],
        methods=_methods(study),
        rows=rows,
        tallies=tallies(study, rows),
        settings=list(study["plan"].get("grid") or {}) if study["kind"] == "sensitivity" else [],
        sections=[_section(variant) for variant in study["variants"]],
        sweep=sweep_content(study),
        label_table=_label_rows(first),
        embedded_labels=embedded(labels_of_variants(study)),
    )


def variants_charts(study: dict[str, Any]) -> dict[str, alt.TopLevelMixin]:
    """Every picture of such a study, by the name of its place on the page."""
    rows, methods = variant_rows(study), _methods(study)
    names = [variant["name"] for variant in study["variants"]]
    groups = [group for group in improve_and_protect(study["variants"][0]["metrics"]) if group]
    drawn: dict[str, alt.TopLevelMixin] = {}
    for group in groups:
        points = [
            _point(row, group) for row in rows if row["cells"][group]["difference"] is not None
        ]
        title = f"change of {words(group)} mAP, points"
        if study["kind"] != "sensitivity":
            drawn[f"variants-{words(group)}"] = variant_charts.by_variant(
                points, names, methods, title
            )
            continue
        for setting, values in study["plan"]["grid"].items():
            along = [
                {**point, "value": value}
                for value in values
                for point in points
                if point["variant"] == f"{setting}={value}"
            ]
            drawn[f"setting-{setting}-{words(group)}"] = variant_charts.by_value(
                along, setting, methods, title
            )
    if any(row["after"][0] is not None for row in _label_rows(study["variants"][0]["metrics"])):
        drawn["labels-of-variant"] = _label_picture(study)
    return drawn | sweep_charts(study)


def variant_rows(study: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each variant and method: mAP of the group to improve and of the one to protect.

    Keys: ``place`` and ``variant``, ``method``, ``labels`` (how many are to be improved), ``back``
    (in how many seeds the reference was returned), ``returned`` (whether in all), and by group
    ``cells``, ``p``, ``told``; ``last``, the cells of the last epoch, where it was returned.
    """
    rows = []
    for place, variant in enumerate(study["variants"]):
        metrics = variant["metrics"]
        groups = [group for group in improve_and_protect(metrics) if group]
        seeds = len(metrics["seeds"])
        n_labels = sum(len(g["labels"]) for g in metrics["groups"] if g["name"] == groups[0])
        for row in changed_rows(metrics):
            share = row["fell_back_share"]
            rows.append(
                {
                    "place": place,
                    "variant": variant["name"],
                    "method": row["method"],
                    "labels": n_labels,
                    "back": "" if share is None else f"{round(share * seeds)} of {seeds}",
                    "returned": share == 1,
                    "cells": {group: row["cells"][f"map/{group}"] for group in groups},
                    "last": _last_cells(metrics, row, groups) if share == 1 else {},
                    "p": {group: p_value(metrics, row, f"map/{group}") for group in groups},
                    "told": {group: can_be_told(metrics, row, f"map/{group}") for group in groups},
                }
            )
    return rows


def _last_cells(
    metrics: dict[str, Any], row: dict[str, Any], groups: list[str]
) -> dict[str, dict[str, Any]]:
    """Of the last epoch of a method: what the training did where the reference was returned."""
    return {
        group: other["cells"][f"map/{group}"]
        for other in metrics["rows"]
        if (other["method"], other["epoch"]) == (row["method"], "last")
        for group in groups
    }


def labels_of_variants(study: dict[str, Any]) -> dict[str, Any]:
    """AP of every label under every variant and method, in points, as short as it can be said.

    Keys: ``methods``; ``labels`` (name, training and test positives); ``variants``, each with
    ``group`` (the group of each label), ``before`` and ``after`` (a list a method), None where a
    figure is undefined.
    """
    methods = _methods(study)
    labels: dict[str, list[Any]] = {}
    for variant in study["variants"]:
        for row in variant["metrics"]["per_label"]:
            counts = [row["label"], row["train_positives"], row["test_positives"]]
            labels.setdefault(row["label"], counts)
    return {
        "methods": methods,
        "groups": [words(group["name"]) for group in study["variants"][0]["metrics"]["groups"]],
        "labels": list(labels.values()),
        "variants": [
            _labels_of(variant["metrics"], methods, labels) for variant in study["variants"]
        ],
    }


def _labels_of(
    metrics: dict[str, Any], methods: list[str], labels: dict[str, list[Any]]
) -> dict[str, Any]:
    names = [group["name"] for group in metrics["groups"]]
    found = {row["label"]: row for row in metrics["per_label"]}

    def column(read: Any) -> list[float | None]:
        values = (read(found[name]) if name in found else None for name in labels)
        return [None if value is None else round(100 * value, 2) for value in values]

    return {
        "group": [
            names.index(found[name]["groups"][0]) if name in found and found[name]["groups"] else -1
            for name in labels
        ],
        "before": column(lambda row: row["reference_ap"]),
        "after": [column(lambda row, m=method: row["ap"].get(m)) for method in methods],
    }


def _label_rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Labels of the variant and method that are shown first."""
    views = [(row["method"], row["method"], "ap") for row in changed_rows(metrics)][:1]
    return label_rows(metrics, views) if views else []


def _label_picture(study: dict[str, Any]) -> alt.TopLevelMixin:
    groups = [words(group["name"]) for group in study["variants"][0]["metrics"]["groups"]]
    rows = [
        {**row, "change": round(row["after"][0] - row["before"], 2), "now": row["after"][0]}
        for row in _label_rows(study["variants"][0]["metrics"])
        if row["after"][0] is not None
    ]
    return variant_charts.label_changes(rows, groups)


def _methods(study: dict[str, Any]) -> list[str]:
    return list(
        dict.fromkeys(
            row["method"]
            for variant in study["variants"]
            for row in changed_rows(variant["metrics"])
        )
    )


def _point(row: dict[str, Any], group: str) -> dict[str, Any]:
    cell = row["last"].get(group, row["cells"][group])
    points = {key: cell[key] for key in ("difference", "low", "high")}
    return {
        "variant": row["variant"],
        "method": row["method"],
        "epoch": "last" if row["last"] else "selected",
        "returned": row["returned"],
        **{key: None if value is None else round(100 * value, 3) for key, value in points.items()},
    }


def tallies(study: dict[str, Any], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In how many variants a method's change of each group's mAP can be told from chance."""
    groups = [group for group in improve_and_protect(study["variants"][0]["metrics"]) if group]
    found = []
    for method in _methods(study):
        own = [row for row in rows if row["method"] == method]
        back = sum(row["returned"] for row in own)
        parts = [f"{words(group)} mAP {_tally(own, group)}" for group in groups]
        if back:
            parts.append(f"the reference was returned in every seed in {back}")
        text = f"of {count(len(own), 'variant')}, {'; '.join(parts)}."
        found.append({"method": method, "text": text})
    return found


def _tally(rows: list[dict[str, Any]], group: str) -> str:
    told = [row["cells"][group]["difference"] for row in rows if row["told"][group]]
    numbers = {"rose": sum(d > 0 for d in told), "fell": sum(d < 0 for d in told)}
    parts = [f"{verb} in {number}" for verb, number in numbers.items() if number]
    return " and ".join(parts) or "changed in none"


def _section(variant: dict[str, Any]) -> dict[str, Any]:
    metrics = variant["metrics"]
    return {
        "name": variant["name"],
        "metrics": metrics,
        "rows": table_rows(metrics),
        "tests": claim_rows(metrics),
        "verdicts": [method_verdict(metrics, row) for row in changed_rows(metrics)],
        "warnings": (metrics.get("evidence") or {"warnings": []})["warnings"],
    }
