"""``fairpo methods``: every method by name."""

from __future__ import annotations

from fairpo.cli import options


def methods(as_json: options.Json = False) -> None:
    """List the methods, baselines and ablations."""
    from rich.console import Console
    from rich.table import Table

    from fairpo.cli.show import print_json
    from fairpo.objectives.catalogue import get_method, method_names

    summaries = {name: get_method(name).summary for name in method_names()}
    if as_json:
        print_json(summaries)
        return
    table = Table("method", "what it minimises", pad_edge=False)
    for name, summary in summaries.items():
        table.add_row(name, summary)
    Console(highlight=False).print(table)
