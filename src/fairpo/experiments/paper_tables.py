"""The tables of a reproduction: our figures, and the paper's under them where it has any.

Source: FairPO (first version, May 2025), Tables 1 and 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from fairpo._markdown import markdown_table
from fairpo.experiments.ledger import Ledger
from fairpo.groups import NON_PRIVILEGED, PRIVILEGED

METRICS = {
    "map": "mAP, whole set",
    "map_batch_mean": "mAP, batch mean",
    "sample_f1": "sample-F1",
    "sample_f1_paper": "sample-F1, empty rows 0",
    "label_accuracy": "accuracy",
    "exact_match": "exact match",
}
"""What the tables show, and their words for it."""

PAPER_METRICS = ("map_batch_mean", "sample_f1_paper", "label_accuracy", "exact_match")
"""What the authors' code computes, and so the paper's tables."""

Pairs = tuple[tuple[float, float], ...]

PAPER: dict[tuple[str, str], dict[str, Pairs]] = {
    ("coco", "first 20"): {
        "bce": ((84.32, 78.53), (54.36, 38.76), (97.54, 97.96), (65.92, 41.63)),
        "fairpo-dpo": ((86.12, 79.84), (56.87, 41.72), (97.89, 98.12), (69.72, 41.78)),
        "fairpo-simpo": ((77.67, 78.23), (53.42, 36.98), (96.43, 97.66), (58.84, 37.45)),
    },
    ("coco", "tail"): {
        "bce": ((79.12, 85.61), (45.68, 53.92), (96.21, 98.78), (43.87, 67.63)),
        "fairpo-dpo": ((75.11, 82.98), (41.98, 51.52), (95.34, 98.29), (38.12, 65.83)),
    },
}
"""Points of privileged and other labels, in the order of ``PAPER_METRICS``; no other rows."""


def reproduction_tables(benchmark: str, metrics: Mapping[str, Any], ledger: Ledger) -> str:
    """Write the tables of a reproduction as Markdown; points, privileged / other labels.

    A method has a row for the epoch that was selected, one for the last, so that a reference that
    was returned (``back``, the share of seeds) hides nothing, and one for the paper where it has
    figures of the partition.

    Parameters
    ----------
    benchmark : "coco", "nuswide" or "other"
    metrics : mapping
        Content of the study's ``metrics.json``.
    ledger : Ledger
        Of that study: its records hold the metrics of the authors' code as well.
    """
    records = ledger.done().values()
    parts = []
    for variant in metrics["variants"]:
        paper = PAPER.get((benchmark, variant["name"].partition(",")[0]), {})
        table = _table(variant["metrics"], records, paper)
        parts.append(f"## {variant['name']}\n\n{_about(variant['metrics'])}\n\n{table}\n")
    return "\n".join(parts)


def _about(metrics: Mapping[str, Any]) -> str:
    data = metrics["data"]
    rows = ", ".join(f"{count} {split}" for split, count in data["n_rows"].items())
    n_privileged = len(_labels(metrics)[PRIVILEGED])
    return f"{rows} rows, {data['n_labels']} labels, {n_privileged} of them privileged."


def _labels(metrics: Mapping[str, Any]) -> dict[str, list[str]]:
    return {group["name"]: group["labels"] for group in metrics["groups"]}


def _table(
    metrics: Mapping[str, Any], records: Iterable[Mapping[str, Any]], paper: Mapping[str, Pairs]
) -> str:
    rows: list[Sequence[str]] = []
    for row in metrics["rows"]:
        method, epoch, back = row["method"], row["epoch"], row["fell_back_share"]
        ours = {r["seed"]: r[epoch] for r in records if _is_of(r, metrics, method)}
        cells = (_mean(ours.values(), metric) for metric in METRICS)
        if epoch == "selected":
            rows.append([method, epoch, "" if back is None else f"{back:.0%}", *cells])
            continue
        rows.append(["", epoch, "", *cells])
        if method in paper:
            theirs = dict(zip(PAPER_METRICS, paper[method], strict=True))
            rows.append(["", "paper", "", *(_pair(theirs.get(m, ())) for m in METRICS)])
    return markdown_table(["method", "epoch", "back", *METRICS.values()], rows, n_text=2)


def _is_of(record: Mapping[str, Any], metrics: Mapping[str, Any], method: str) -> bool:
    """Whether a trial is one of a variant, under whichever variant's name it was recorded."""
    own = (method, metrics["preset"], _labels(metrics)[PRIVILEGED])
    return (record["method"], record["preset"], record["privileged"]) == own


def _mean(found: Iterable[Mapping[str, Any]], metric: str) -> str:
    """Over seeds; a figure that is not defined is a dash."""
    values = [
        [each[f"{metric}/{group}"] for each in found] for group in (PRIVILEGED, NON_PRIVILEGED)
    ]
    return _pair([None if None in of else 100 * fmean(of) for of in values])


def _pair(values: Sequence[float | None]) -> str:
    return " / ".join("\u2013" if value is None else f"{value:.1f}" for value in values)
