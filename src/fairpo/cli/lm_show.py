"""What ``fairpo lm`` draws: progress on stderr, tables of shares won on stdout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

OnStep = Callable[[str, int, int], None]

_GROUPS = {"privileged": "privileged", "non_privileged": "others"}


@contextmanager
def step_bars(*, hidden: bool = False) -> Iterator[OnStep]:
    """Yield what draws one line a training on stderr, told its name, the step, and how many."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(stderr=True), disable=hidden) as bars:
        tasks: dict[str, TaskID] = {}

        def show(name: str, step: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name)
            bars.update(tasks[name], completed=step, total=total)

        yield show


def print_lm_comparison(found: dict[str, Any]) -> None:
    """Print a comparison: reward accuracy, and win rates over SFT where somebody judged."""
    methods = found["methods"]
    seeds = f"{len(found['seeds'])} seeds" if len(found["seeds"]) > 1 else "1 seed"
    print_rates(
        f"{found['data']['name']}: reward accuracy on test pairs, {seeds}",
        {name: method["reward_accuracy"] for name, method in methods.items()},
        found["privileged"],
    )
    judged = {name: method["win_rate"] for name, method in methods.items() if method["win_rate"]}
    if judged:
        title = f"win rate over sft, judged by {found['judge']}, {found['n_prompts']} prompts"
        print_rates(title, judged, found["privileged"])
    level = f"{found['level']:.0%}"
    star = "* privileged. " if found["privileged"] else ""
    lines = [f"{star}In brackets: {level} intervals over prompts; 50 is a draw with sft."]
    if judged:
        lines.append("Ties count one half.")
    lines.append(
        "Reward: gain over sft; of sft itself the log-probability per token, another measure."
    )
    for line in lines:
        _line(line)


def print_lm_evaluation(found: dict[str, Any]) -> None:
    """Print an evaluation of some models, and what its figures are."""
    words = {
        "implicit": f"implicit reward against {found['baseline']}",
        "per_token": "log-probability per token; --baseline RUN gives the implicit reward",
        None: f"win rate over {found['baseline']}, judged by {found['measure']}",
    }
    title = f"{found['data']['name']}: {words[found['reward']]}"
    print_rates(title, found["models"], found["privileged"])
    star = "* privileged. " if found["privileged"] else ""
    _line(f"{star}In brackets: {found['level']:.0%} intervals over {found['n_prompts']} prompts.")


def print_rates(title: str, columns: dict[str, dict[str, Any]], privileged: list[str]) -> None:
    """Print shares in points: attributes, groups, all rows and the worst, a column a model.

    Parameters
    ----------
    title : str
    columns : dict from model to rates
        As ``RunRates.to_dict`` gives them.
    privileged : list of str
        Attributes that are marked; without any there are no rows of groups.
    """
    table = Table("points (x100)", pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    first = next(iter(columns.values()))
    grouped = bool(privileged) and len(first["groups"]) > 1
    for part, marked in (("attributes", privileged), ("groups", [])):
        for name in first[part] if grouped or part == "attributes" else ():
            words = _GROUPS.get(name, name) if part == "groups" else name
            cells = [_cell(column[part][name]) for column in columns.values()]
            table.add_row(f"{words}{' *' if name in marked else ''}", *cells)
        table.add_section()
    for key, words in _LAST.items():
        if key == "worst_group" and not grouped:
            continue
        table.add_row(words, *(_cell(column[key]) for column in columns.values()))
    width = None if Console().is_terminal else max(80, 24 + 20 * len(columns))
    _line(title)
    Console(highlight=False, markup=False, width=width).print(table)


def _line(text: str) -> None:
    Console(highlight=False, soft_wrap=True).print(text, markup=False)


_LAST = {"overall": "all", "worst_group": "worst group", "worst_attribute": "worst attribute"}


def _cell(rate: dict[str, Any]) -> str:
    if rate["value"] is None:
        return "-"
    return f"{100 * rate['value']:.1f} [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}]"
