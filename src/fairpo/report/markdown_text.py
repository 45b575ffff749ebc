"""Tables and words as Markdown, escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from fairpo._markdown import markdown_table


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, n_text: int = 1) -> str:
    """A table whose first columns are text; every cell is escaped."""
    shown = [[escaped(cell) for cell in row] for row in rows]
    return markdown_table([escaped(head) for head in heads], shown, n_text=n_text)


def escaped(text: str) -> str:
    """Text that cannot end a cell or begin a tag."""
    one_line = " ".join(str(text).splitlines())
    return one_line.replace("|", r"\|").replace("<", "&lt;").replace(">", "&gt;")


def as_written(text: str) -> str:
    """Text that somebody else wrote: it makes no emphasis, code, link or picture."""
    return re.sub(r"([\\`*_\[\]])", r"\\\1", text)


def made_by(figures: dict[str, Any]) -> str:
    """How to make the figures again, and with what."""
    # An indented block: no text inside can end it.
    command = "\n".join(f"    {line}" for line in figures["command"].splitlines())
    return f"Made by fairpo {figures['version']}:\n\n{command}"
