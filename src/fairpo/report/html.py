"""From ``metrics.json`` of a folder to one self-contained page."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from jinja2 import UndefinedError

from fairpo._checks import file_error
from fairpo.report.comparison import render_comparison
from fairpo.report.variants import render_variants

_FAULTS = (ValueError, LookupError, TypeError, AttributeError, UndefinedError)
"""What figures that are not those of a report make the code below raise."""


def write_report(folder: Path) -> Path:
    """Render ``metrics.json`` of a folder into ``report.html`` beside it, atomically.

    Raises
    ------
    FairPOFileError
        ``metrics.json`` is missing or broken.
    """
    source = folder / "metrics.json"
    metrics = _read(source)
    try:
        page = render_report(metrics)
    except _FAULTS as error:
        raise file_error(source, f"does not hold the figures of a report ({error!r})") from error
    target = folder / "report.html"
    temporary = folder / f".report.{os.getpid()}.tmp"
    try:
        temporary.write_text(page, encoding="utf-8")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def render_report(metrics: dict[str, Any]) -> str:
    """Return the page as text; every word that comes from data is escaped.

    Parameters
    ----------
    metrics : dict
        The content of ``metrics.json``.
    """
    return render_variants(metrics) if "variants" in metrics else render_comparison(metrics)


def _read(source: Path) -> Any:
    try:
        return json.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise file_error(source, f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise file_error(source, f"cannot be read ({error.reason})") from error
    except ValueError as error:
        raise file_error(source, f"does not hold the figures of a report ({error!r})") from error
