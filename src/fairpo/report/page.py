"""What every page is made with: templates that escape, the runtime of the pictures, their data."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import altair
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fairpo.report.rows import is_reference
from fairpo.report.wording import count, digits, points, probability, setting, signed, words


def render_page(template: str, specs: dict[str, altair.TopLevelMixin], **content: Any) -> str:
    """Render a template with its pictures, as one text that needs nothing else.

    Parameters
    ----------
    template : str
        Its file name.
    specs : dict of charts
        By the name of the place where each is drawn.
    content : dict
        What else the template reads.
    """
    drawn = embedded({name: _spec(chart) for name, chart in specs.items()})
    return _environment().get_template(template).render(specs=drawn, vega=_vega(), **content)


def embedded(value: Any) -> Markup:
    """JSON that no text inside can end: ``<``, ``>`` and ``&`` as escapes."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fairpo.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": count,
        "digits": digits,
        "is_reference": is_reference,
        "plain": lambda value: value if isinstance(value, str) else json.dumps(value),
        "points": points,
        "probability": probability,
        "setting": setting,
        "signed": signed,
        "thousands": "{:,}".format,
        "words": words,
    }
    return environment


@cache
def _vega() -> Markup:
    version = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    # The library's own code, which may hold "</script>" in a string.
    bundle = vl_convert.javascript_bundle(vl_version=version)  # type: ignore[call-arg]
    return Markup(bundle.replace("</script", "<\\/script"))


def _spec(chart: Any) -> dict[str, Any]:
    """The chart without the address of its schema: the page names no place on a network."""
    # Tests hold every chart against the schema; here that would take longer than all the rest.
    made = chart.to_dict(validate=False)
    return {key: value for key, value in made.items() if key != "$schema"}
