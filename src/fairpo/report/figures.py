"""The pictures of a report as files of their own, drawn without a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import altair as alt
import vl_convert

from fairpo._checks import file_error
from fairpo._files import write_atomic
from fairpo.report.comparison import comparison_charts
from fairpo.report.files import is_language_models, make_from
from fairpo.report.language_models import language_charts
from fairpo.report.variants import variants_charts

WIDTH, NARROW = 640, 320
"""Pixels; narrow are the pictures that stand side by side on the page."""

_SCALE = 2  # of PNG: two pixels where the page has one
_SIDE_BY_SIDE = ("weight-", "loss-", "reward-", "scores-", "calibration-", "setting-")


def write_figures(folder: Path, kind: Literal["svg", "png"], out: Path | None = None) -> list[Path]:
    """Draw every picture of a folder's report into a file.

    What a page lets its reader choose is drawn as the page first shows it.

    Parameters
    ----------
    folder : Path
        Of a run or study, or of a comparison of language models.
    kind : "svg" or "png"
    out : Path, optional
        Folder of the pictures, made where it is missing; ``figures`` in the folder when not given.

    Raises
    ------
    FairPOFileError
        Figures are missing or broken, or a file cannot be written.
    """
    drawn = make_from(folder, lambda metrics: list(draw(metrics, kind)))
    place = out or folder / "figures"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise file_error(place, f"cannot be made ({error.strerror or error})") from error
    for name, content in drawn:
        write_atomic(place / name, content)
    return [place / name for name, _ in drawn]


def draw(metrics: dict[str, Any], kind: Literal["svg", "png"]) -> Iterable[tuple[str, bytes]]:
    """Name and content of the file of each picture."""
    for name, chart in _charts(metrics).items():
        width = NARROW if name.startswith(_SIDE_BY_SIDE) else WIDTH
        yield f"{_file_name(name)}.{kind}", rendered(chart, kind, width=width)


def rendered(chart: Any, kind: Literal["svg", "png"], **size: int) -> bytes:
    """The chart on white, at a width of its own where one is given."""
    spec = json.dumps({**chart.to_dict(validate=False), **size, "background": "white"})
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    if kind == "svg":
        return vl_convert.vegalite_to_svg(spec, vl_version=version).encode()
    return vl_convert.vegalite_to_png(spec, vl_version=version, scale=_SCALE)


def _charts(metrics: dict[str, Any]) -> dict[str, alt.TopLevelMixin]:
    if is_language_models(metrics):
        return language_charts(metrics)
    return variants_charts(metrics) if "variants" in metrics else comparison_charts(metrics)


def _file_name(name: str) -> str:
    """A name from data as one that every file system takes."""
    return re.sub(r"[^\w.=-]+", "-", name).strip("-.")[:100]
