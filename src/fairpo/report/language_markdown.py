"""A comparison of language models as Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fairpo.report.language_rows import (
    RATES,
    difference_rows,
    drift_rows,
    group_names,
    measured_by,
    methods_by,
    rate_rows,
    sample_methods,
    shown_samples,
)
from fairpo.report.language_verdicts import lead, method_verdicts, notes, warning_signs
from fairpo.report.markdown_text import as_written, escaped, made_by, table
from fairpo.report.wording import points, signed, words

MOST_SAMPLES = 10
"""Prompts whose completions are shown: text is read from top to bottom."""


def language_models_markdown(compared: dict[str, Any]) -> Iterable[str]:
    """Paragraphs and tables of what a comparison found, without its pictures.

    Parameters
    ----------
    compared : dict
        As of :func:`fairpo.report.language_models.render_language_models`.
    """
    found = lead(compared)
    yield f"# {escaped(compared['title'])}"
    yield escaped(found["before"] + found["method"] + found["after"])
    yield _bullets((v["method"], f": {escaped(v['text'])}") for v in method_verdicts(compared))
    signs = warning_signs(compared)
    if signs:
        yield "## Warning signs"
        yield _bullets((s["method"], f", {s['kind']}: {escaped(s['text'])}") for s in signs)
    for kind in measured_by(compared):
        yield from _rate(compared, kind)
    yield from _drift(compared)
    yield from _samples(compared)
    told = notes(compared)
    if told:
        yield "## Notes"
        yield "\n".join(f"- {escaped(note)}" for note in told)
    yield made_by(compared)


def _rate(compared: dict[str, Any], kind: str) -> Iterable[str]:
    methods = methods_by(compared, kind)
    yield f"## {RATES[kind].capitalize()}"
    yield (
        f"In percent, with {compared['level']:.0%} intervals (paired bootstrap over test prompts), "
        "\\* where they exclude one half; behind them won / tied / lost over all seeds."
    )
    yield table(
        ["attribute", *methods],
        [
            [row["line"], *(_cell(row["cells"][m]) for m in methods)]
            for row in rate_rows(compared, kind)
        ],
    )
    rows = difference_rows(compared, kind)
    if rows:
        yield "Differences in points, on the same resamples, \\* where the interval excludes 0:"
        yield table(
            [
                "first",
                "second",
                "all",
                *map(words, group_names(compared)),
                "worst group",
                "worst attribute",
            ],
            [[row["first"], row["second"], *map(_change, row["cells"])] for row in rows],
            n_text=2,
        )


def _drift(compared: dict[str, Any]) -> Iterable[str]:
    rows = drift_rows(compared)
    if not rows:
        return
    yield "## Drift of the completions"
    yield "Change of log-probability against the sft model, nats a completion of the test pairs."
    yield table(
        ["method", "completion", "all", *map(words, group_names(compared))],
        [
            [row["method"], row["side"]]
            + ["-" if value is None else f"{value:+.2f}" for value in row["cells"]]
            for row in rows
        ],
        n_text=2,
    )


def _samples(compared: dict[str, Any]) -> Iterable[str]:
    rows = shown_samples(compared)[:MOST_SAMPLES]
    if not rows:
        return
    heads = ["prompt", *sample_methods(compared)]
    yield "## What they write"
    yield f"The first {len(rows)} test prompts of seed {compared['seeds'][0]}; nothing is picked."
    yield table(
        heads,
        [
            [as_written(row["prompt"]), *(as_written(cell["text"]) for cell in row["cells"])]
            for row in rows
        ],
        n_text=len(heads),
    )


def _cell(cell: dict[str, Any]) -> str:
    if cell["value"] is None:
        return "-"
    star = "*" if cell["told"] else ""
    text = f"{points(cell['value'])}{star}"
    if cell["low"] is not None:
        text += f" [{points(cell['low'])}, {points(cell['high'])}]"
    if "name" in cell:
        return f"{text} {words(cell['name'])}"
    return f"{text} {cell['wins']} / {cell['ties']} / {cell['losses']}"


def _change(cell: dict[str, Any]) -> str:
    if cell["difference"] is None:
        return "-"
    star = "*" if cell["excludes_zero"] else ""
    text = f"{signed(cell['difference'])}{star}"
    if cell["low"] is None:
        return text
    return f"{text} [{signed(cell['low'])}, {signed(cell['high'])}]"


def _bullets(lines: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- **{escaped(name)}**{text}" for name, text in lines)
