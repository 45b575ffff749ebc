"""YAML for people: every option with its default, and what it means in a comment above it."""

from __future__ import annotations

import textwrap
from typing import Any

import yaml

_WIDTH = 96


def entry(name: str, value: Any, description: str | None) -> str:
    """One option at a value, under what it means."""
    return f"{_comment(description or '')}{_yaml({name: value})}"


def block(name: str, description: str, fields: dict[str, tuple[Any, str]]) -> str:
    """A mapping whose entries stand at their defaults until they are uncommented."""
    lines = [f"{_comment(description)}{name}:\n"]
    for field, (value, meaning) in fields.items():
        text = _yaml({field: value}).rstrip("\n")
        lines.append(textwrap.indent(f"{_comment(meaning)}# {text}\n", "  "))
    return "".join(lines)


def _comment(text: str) -> str:
    lines = textwrap.wrap(text, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return "".join(f"# {line}\n" for line in lines)


def _yaml(value: dict[str, Any]) -> str:
    flow = None if isinstance(next(iter(value.values())), list | dict) else False
    text: str = yaml.safe_dump(
        value, sort_keys=False, allow_unicode=True, default_flow_style=flow, width=_WIDTH
    )
    return text
