"""The sections behind the figures: one label at a time, calibration, warning signs, slices."""

from __future__ import annotations

from typing import Any

import altair as alt

from fairpo.report import score_charts
from fairpo.report.slices import slice_tables
from fairpo.report.wording import words

KINDS = ("raw", "recalibrated")


def evidence_content(metrics: dict[str, Any], best: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the templates read of ``evidence``, or None where there is none.

    Parameters
    ----------
    metrics : dict
    best : dict, optional
        The row of the method that is shown first; the first method when not given.
    """
    evidence = metrics.get("evidence")
    if not evidence:
        return None
    models = _model_names(evidence)
    trained = [model["method"] for model in evidence["models"][1:]]
    first = trained.index(best["method"]) if best and best["method"] in trained else 0
    return {
        "seed": evidence["seed"],
        "models": models,
        "first": first,
        "labels": evidence["labels"],
        "score_rows": score_rows(evidence, 0, first) if _has_labels(evidence) else [],
        "confusions": confusion_rows(evidence, 0, first) if _has_labels(evidence) else [],
        "calibration": list(zip(models, evidence["calibration"], strict=True)),
        "curves": _curve_table(evidence["calibration"][min(first + 1, len(models) - 1)]),
        "slices": slice_tables(evidence, models),
        "warnings": evidence["warnings"],
    }


def evidence_charts(
    metrics: dict[str, Any], best: dict[str, Any] | None
) -> dict[str, alt.LayerChart]:
    """Pictures of the sections, by the name of their place."""
    content = evidence_content(metrics, best)
    if content is None:
        return {}
    drawn: dict[str, alt.LayerChart] = {}
    if content["score_rows"]:
        for truth, name in (("1", "scores-true"), ("0", "scores-other")):
            drawn[name] = score_charts.distribution(content["score_rows"], truth)
    evidence, groups = metrics["evidence"], [group["name"] for group in metrics["groups"]]
    shown = min(content["first"] + 1, len(content["models"]) - 1)
    for group in groups:
        rows = _curve_rows(evidence, group)
        drawn[f"calibration-{words(group)}"] = score_charts.reliability(rows, words(group), shown)
    return drawn


def score_rows(evidence: dict[str, Any], label: int, method: int) -> list[dict[str, Any]]:
    """Bins of a label's recalibrated probability: share and number of rows before and after.

    Keys: ``from``, ``to``; for true (1) and other (0) rows ``before_1``, ``after_1``, ... (shares)
    and ``n_before_1``, ... (counts).
    """
    row = evidence["labels"][label]
    counts = {"before": row["scores"][0], "after": row["scores"][method + 1]}
    n_bins = len(counts["before"]["1"])
    rows: list[dict[str, Any]] = [
        {"from": round(k / n_bins, 4), "to": round((k + 1) / n_bins, 4)} for k in range(n_bins)
    ]
    for when, of_truth in counts.items():
        for truth, numbers in of_truth.items():
            total = sum(numbers) or 1
            for each, number in zip(rows, numbers, strict=True):
                each[f"n_{when}_{truth}"] = number
                each[f"{when}_{truth}"] = round(number / total, 5)
    return rows


def confusion_rows(evidence: dict[str, Any], label: int, method: int) -> list[dict[str, Any]]:
    """Labels that are ranked above a label, with counts before and after."""
    return [
        {"label": name, "before": before, "after": after}
        for name, before, after in evidence["labels"][label]["confusions"][method]
    ]


def _has_labels(evidence: dict[str, Any]) -> bool:
    """Whether there is a method, and a label, to look at."""
    return len(evidence["models"]) > 1 and bool(evidence["labels"])


def _model_names(evidence: dict[str, Any]) -> list[str]:
    after = {"selected": "", "last": ", last epoch (the reference was returned)"}
    methods = [model["method"] + after[model["epoch"]] for model in evidence["models"][1:]]
    return [f"reference ({evidence['models'][0]['method']})", *methods]


def _curve_table(by_group: dict[str, Any]) -> list[tuple[str, str, float, float, int]]:
    return [
        (group, kind, *point)
        for group, of_kind in by_group.items()
        for kind in KINDS
        for point in of_kind[kind]["curve"]
    ]


def _curve_rows(evidence: dict[str, Any], group: str) -> list[dict[str, Any]]:
    return [
        {"model": place, "kind": kind, "x": x, "y": y, "entries": entries}
        for place, by_group in enumerate(evidence["calibration"])
        for kind in KINDS
        for x, y, entries in by_group[group][kind]["curve"]
    ]
