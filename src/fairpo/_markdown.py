"""Tables as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_TEXT, _NUMBER = "---", "--:"


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, n_text: int = 1) -> str:
    """A table whose first columns are text; cells are written as they are."""
    kinds = [_TEXT] * n_text + [_NUMBER] * (len(heads) - n_text)
    head, *body = (f"| {' | '.join(cells)} |" for cells in (heads, *rows))
    return "\n".join([head, f"|{'|'.join(kinds)}|", *body])
