"""From the figures of a folder to one self-contained page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fairpo._files import write_atomic
from fairpo.report.comparison import render_comparison
from fairpo.report.files import is_language_models, make_from
from fairpo.report.language_models import render_language_models
from fairpo.report.variants import render_variants


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Render the figures of a folder into one page, atomically.

    Parameters
    ----------
    folder : Path
        Of a run or study, or of a comparison of language models.
    out : Path, optional
        The page; ``report.html`` in the folder when not given.

    Raises
    ------
    FairPOFileError
        Figures are missing or broken, or the page cannot be written.
    """
    page = make_from(folder, render_report)
    path = out or folder / "report.html"
    write_atomic(path, page.encode())
    return path


def render_report(metrics: dict[str, Any]) -> str:
    """Return the page as text; every word that comes from data is escaped.

    Parameters
    ----------
    metrics : dict
        The figures, as :func:`fairpo.report.files.make_from` reads them.
    """
    if is_language_models(metrics):
        return render_language_models(metrics)
    return render_variants(metrics) if "variants" in metrics else render_comparison(metrics)
