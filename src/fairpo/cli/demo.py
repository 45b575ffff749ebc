"""``fairpo demo``: the reference and the seven methods on the embedded digit scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fairpo.cli import options


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("runs/demo"),
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds.")] = 2,
    threads: options.Threads = 1,
    as_json: options.Json = False,
) -> None:
    """Compare every method on scenes of real handwritten digits, offline, in about a minute."""
    from fairpo.cli.show import print_comparison, print_json, say
    from fairpo.experiments.plan import MAIN_METHODS

    plan = options.make_plan(
        "digits", MAIN_METHODS, "rarest:20%", tuple(range(seeds)), "paper-v1", "default", None
    )
    metrics = _finished(out, plan)
    if metrics is None:
        options.set_threads(threads)
        metrics = _run(plan, out)
    else:
        say(f"{out} holds these results already; delete it to run again.")
    if as_json:
        print_json(metrics)
        return
    print_comparison(metrics)
    for note in metrics["notes"]:
        say(f"note: {note}")
    print(f"report: {(out / 'report.html').resolve()}")


def _finished(out: Path, plan: Any) -> dict[str, Any] | None:
    """Results of an earlier demo with the same settings and version, whole on disk."""
    import fairpo
    from fairpo._checks import FairPOError
    from fairpo.models.checkpoint import read_json, verify_checksums

    try:
        verify_checksums(out)
        metrics: dict[str, Any] = read_json(out / "metrics.json")
    except FairPOError:
        return None
    same = metrics["version"] == fairpo.__version__ and metrics["plan"] == plan.model_dump(
        mode="json"
    )
    return metrics if same else None


def _run(plan: Any, out: Path) -> dict[str, Any]:
    from fairpo.cli.show import progress_bars, say
    from fairpo.data import load_data
    from fairpo.experiments.compare import compare, write_comparison
    from fairpo.report import write_report
    from fairpo.training.run import check_output

    check_output(out, overwrite=True)
    say("making scenes of handwritten digits (cached after the first time)")
    data = load_data(plan.data)
    with progress_bars() as bars:
        metrics, rows = compare(data, plan, command="fairpo demo", progress=bars)
    write_comparison(out, metrics, rows, write_report, overwrite=True)
    return metrics
