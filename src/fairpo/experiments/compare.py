"""Compare methods on one data set and write what was found."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairpo._checks import FairPOError, FairPOWarning
from fairpo.data.base import MultiLabelData
from fairpo.experiments.plan import Plan
from fairpo.experiments.runner import ProgressFactory, SeedResults, run_seed, silent
from fairpo.experiments.summary import result_rows, summarise
from fairpo.models.checkpoint import write_json
from fairpo.training.fit import Reference
from fairpo.training.run import write_folder, write_jsonl

Report = Callable[[Path], object]
"""Adds a report to a folder that holds ``metrics.json``."""


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
    report: Report,
    *,
    overwrite: bool = False,
) -> None:
    """Write ``metrics.json``, ``results.jsonl`` and a report, whole or not at all."""
    write_folder(
        folder, lambda target: write_results(target, metrics, rows, report), overwrite=overwrite
    )


def write_results(
    target: Path, metrics: dict[str, Any], rows: list[dict[str, Any]], report: Report
) -> None:
    """Write figures and report into an existing folder; a report that fails costs no figure."""
    write_json(target / "metrics.json", metrics)
    write_jsonl(target / "results.jsonl", rows)
    try:
        report(target)
    except FairPOError as error:
        warnings.warn(f"there is no report: {error}", FairPOWarning, stacklevel=2)
