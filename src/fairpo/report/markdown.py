"""The tables of a report as Markdown, for pages that are read as text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fairpo._files import write_atomic
from fairpo._titles import METRIC_TITLES
from fairpo.report.evidence import evidence_content
from fairpo.report.files import is_language_models, make_from
from fairpo.report.language_markdown import language_models_markdown
from fairpo.report.markdown_text import escaped, made_by, table
from fairpo.report.rows import (
    changed_rows,
    claim_rows,
    label_rows,
    label_views,
    largest_rise,
)
from fairpo.report.variants import tallies, variant_rows
from fairpo.report.verdicts import lead, method_verdict
from fairpo.report.wording import points, probability, signed, words

_SHORT = {"privileged": "P", "non_privileged": "N"}


def write_markdown(folder: Path, out: Path | None = None) -> Path:
    """Write the tables of a folder's report as Markdown, atomically.

    Parameters
    ----------
    folder : Path
        Of a run or study, or of a comparison of language models.
    out : Path, optional
        The file; ``report.md`` in the folder when not given.

    Raises
    ------
    FairPOFileError
        Figures are missing or broken, or the file cannot be written.
    """
    text = make_from(folder, render_markdown)
    path = out or folder / "report.md"
    write_atomic(path, text.encode())
    return path


def render_markdown(metrics: dict[str, Any]) -> str:
    """Return what a report says, without its pictures.

    Parameters
    ----------
    metrics : dict
        The figures, as :func:`fairpo.report.files.make_from` reads them.
    """
    if is_language_models(metrics):
        parts = language_models_markdown(metrics)
    else:
        parts = _of_study(metrics) if "variants" in metrics else _of_comparison(metrics)
    return "\n\n".join(part for part in parts if part) + "\n"


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
    rows = []
    for row in metrics["rows"]:
        back = row["fell_back_share"]
        start = [
            row["method"] if row["epoch"] == "selected" else "",
            row["epoch"],
            "" if back is None or row["epoch"] == "last" else f"{back:.0%}",
        ]
        rows.append(start + [_cell(row["cells"][key]) for key in keys])
    return table(["method", "epoch", "back", *heads], rows, n_text=3)


def _of_comparison(metrics: dict[str, Any]) -> Iterable[str]:
    best = largest_rise(metrics)
    found = lead(metrics, best)
    yield f"# {escaped(metrics['title'])}"
    yield escaped(found["before"] + found["method"] + found["after"])
    verdicts = [method_verdict(metrics, row) for row in changed_rows(metrics)]
    yield "\n".join(f"- **{escaped(v['method'])}**: {escaped(v['text'])}" for v in verdicts)
    yield "## What each method did"
    yield _how(metrics)
    yield comparison_markdown(metrics)
    yield from _tests(metrics)
    yield from _labels(metrics)
    yield from _calibration(metrics, best)
    yield from _slices(metrics, best)
    yield from _notes(metrics)
    yield made_by(metrics)


def _of_study(study: dict[str, Any]) -> Iterable[str]:
    first = study["variants"][0]["metrics"]
    rows = variant_rows(study)
    groups = list(rows[0]["cells"]) if rows else []
    yield f"# {escaped(study['title'])}"
    yield "\n".join(
        f"- **{escaped(t['method'])}**: {escaped(t['text'])}" for t in tallies(study, rows)
    )
    yield "## All variants"
    yield f"{_how(first)} Nothing is corrected over variants: of many, some stand out by chance."
    yield table(
        ["variant", "method", "back", "labels in P", *(f"mAP {_SHORT.get(g, g)}" for g in groups)],
        [
            [row["variant"], row["method"], row["back"], str(row["labels"])]
            + [_cell(row["cells"][group]) for group in groups]
            for row in rows
        ],
        n_text=3,
    )
    for variant in study["variants"]:
        yield f"## {escaped(variant['name'])}"
        yield comparison_markdown(variant["metrics"])
    yield from _notes(study)
    yield made_by(study)


def _notes(metrics: dict[str, Any]) -> Iterable[str]:
    sweep = metrics.get("sweep")
    notes = [*(sweep["notes"] if sweep else []), *metrics["notes"]]
    if notes:
        yield "## Notes"
        yield "\n".join(f"- {escaped(note)}" for note in notes)


def _how(metrics: dict[str, Any]) -> str:
    interval = metrics["interval"]
    return (
        "P = privileged, N = the other labels. Points (x100), test rows; behind each value its "
        f"difference to the reference and the {interval['level']:.0%} interval "
        f"({interval['kind']}), \\* where it excludes 0: of one figure, not corrected for their "
        "number, and not over seeds. Back: in how many seeds the reference was returned."
    )


def _tests(metrics: dict[str, Any]) -> Iterable[str]:
    rows = claim_rows(metrics)
    if not rows:
        return
    claims, groups = metrics["claims"], [group["name"] for group in metrics["groups"]]
    opponents = ["the reference"]
    if claims["best_baseline"] is not None:
        opponents.append(claims["best_baseline"])
    yield "## Tests"
    yield (
        f"Difference of mAP in points and p of a paired permutation test "
        f"({claims['n_permutations']:,} swaps, Holm over methods), selected epoch. Tests are of "
        "the models that were trained: those of another seed may differ by more."
    )
    yield table(
        ["method", *(f"{_SHORT.get(g, g)} against {o}" for o in opponents for g in groups)],
        [
            [row["method"], *(_test(c) for cells in row["cells"][: len(opponents)] for c in cells)]
            for row in rows
        ],
    )


def _test(cell: dict[str, Any] | None) -> str:
    if cell is None or cell["p_holm"] is None:
        return "-"
    sign = "" if cell["p_holm"] < 0.001 else "= "
    return f"{signed(cell['difference'], 2)} (p {sign}{probability(cell['p_holm'])})"


def _labels(metrics: dict[str, Any]) -> Iterable[str]:
    views = label_views(metrics)
    rows = label_rows(metrics, views)
    if not views:
        return
    heads = ["label", "group", "train", "test", "reference", *(name for name, _, _ in views)]
    yield "## Each label"
    yield "Average precision in points, and its change."
    yield table(
        heads,
        [
            [row["label"], row["group"], str(row["train_positives"]), str(row["test_positives"])]
            + [_ap(row["before"])]
            + [_ap(after, row["before"]) for after in row["after"]]
            for row in rows
        ],
        n_text=2,
    )


def _ap(value: float | None, before: float | None = None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" + ("" if before is None else f" {signed((value - before) / 100)}")


def _calibration(metrics: dict[str, Any], best: dict[str, Any] | None) -> Iterable[str]:
    evidence = evidence_content(metrics, best)
    if evidence is None:
        return
    if evidence["warnings"]:
        yield "## Warning signs"
        yield "\n".join(
            f"- **{escaped(sign['method'])}**, {sign['kind']}: {escaped(sign['text'])}"
            for sign in evidence["warnings"]
        )
    groups = [group["name"] for group in metrics["groups"]]
    parts = [
        (group, key, kind)
        for group in groups
        for key in ("brier", "calibration_error")
        for kind in ("raw", "recalibrated")
    ]
    yield "## Calibration"
    yield "In points, test rows of one seed; 0 is best."
    yield table(
        ["model", *(f"{METRIC_TITLES[key]} {_SHORT.get(g, words(g))}, {k}" for g, key, k in parts)],
        [
            [name, *(points(by_group[group][kind][key], 2) for group, key, kind in parts)]
            for name, by_group in evidence["calibration"]
        ],
    )


def _slices(metrics: dict[str, Any], best: dict[str, Any] | None) -> Iterable[str]:
    evidence = evidence_content(metrics, best)
    if evidence is None or not evidence["slices"]:
        return
    groups = [group["name"] for group in metrics["groups"]]
    yield "## Slices of the test rows"
    yield (
        "In points, behind each value its change against the reference; one seed, without "
        "intervals or tests. Positives: true entries of the group in these rows."
    )
    for one in evidence["slices"]:
        titles = [key.split("/") for key in one["keys"]]
        yield table(
            [one["column"], "model", "rows", *(f"positives {_SHORT.get(g, g)}" for g in groups)]
            + [f"{METRIC_TITLES[metric]} {_SHORT.get(group, group)}" for metric, group in titles],
            [
                [row["category"], row["model"], str(row["n_rows"])]
                + [str(row["positives"][group]) for group in groups]
                + [_changed(row["cells"][key], row["is_reference"]) for key in one["keys"]]
                for row in one["rows"]
            ],
            n_text=2,
        )


def _changed(cell: dict[str, Any], is_reference: bool) -> str:
    text = points(cell["value"])
    bare = is_reference or cell["change"] is None
    return text if bare else f"{text} {signed(cell['change'])}"


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
