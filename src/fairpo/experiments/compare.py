"""Compare methods on one data set and write what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fairpo.data.base import MultiLabelData
from fairpo.experiments.plan import Plan
from fairpo.experiments.runner import ProgressFactory, SeedResults, run_seed, silent
from fairpo.experiments.summary import result_rows, summarise
from fairpo.models.checkpoint import write_json
from fairpo.training.fit import Reference
from fairpo.training.run import write_folder, write_jsonl


def compare(
    data: MultiLabelData,
    plan: Plan,
    *,
    command: str = "",
    reference: Reference | None = None,
    progress: ProgressFactory = silent,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run every method of a plan under every seed.

    Parameters
    ----------
    data : MultiLabelData
        With all three splits.
    plan : Plan
    command : str
        How to run it again, for the report.
    reference : Reference, optional
        An existing model, the same for all seeds; trained once a seed when not given.
    progress : callable
        See :data:`~fairpo.experiments.runner.ProgressFactory`.

    Returns
    -------
    (metrics, rows) : the content of ``metrics.json`` and of ``results.jsonl``
    """
    plan.check()
    seeds: list[SeedResults] = []
    for seed in plan.seeds:
        groups = seeds[0].groups if seeds else None
        seeds.append(
            run_seed(data, plan, seed, reference=reference, groups=groups, progress=progress)
        )
    progress("intervals", 1)
    metrics = summarise(data, plan, seeds, kind="comparison", command=command)
    return metrics, [row for results in seeds for row in result_rows(data, plan, results)]


def write_comparison(
    folder: Path,
    metrics: dict[str, Any],
    rows: list[dict[str, Any]],
    report: Any,
    *,
    overwrite: bool = False,
) -> None:
    """Write ``metrics.json``, ``results.jsonl`` and a report, whole or not at all."""

    def fill(target: Path) -> None:
        write_json(target / "metrics.json", metrics)
        write_jsonl(target / "results.jsonl", rows)
        report(target)

    write_folder(folder, fill, overwrite=overwrite)
