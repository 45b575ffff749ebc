"""``fairpo report``: the report of a finished run, study or comparison, made from its files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def report(
    folder: Annotated[
        Path, typer.Argument(help="Folder of a run or study, or of `fairpo lm compare`.")
    ],
    kind: Annotated[
        Literal["html", "markdown", "svg", "png"],
        typer.Option(
            "--format",
            help="html: the page. markdown: its tables as text. svg, png: each picture as a file.",
        ),
    ] = "html",
    out: Annotated[
        Path | None,
        typer.Option(
            help="File, or folder of the pictures; report.html, report.md or figures in FOLDER "
            "by default."
        ),
    ] = None,
) -> None:
    """Make the report of a run, study or comparison from its files; nothing is trained."""
    from fairpo.report import write_figures, write_markdown, write_report

    if kind == "html":
        print(write_report(folder, out))
    elif kind == "markdown":
        print(write_markdown(folder, out))
    else:
        for path in write_figures(folder, kind, out):
            print(path)
