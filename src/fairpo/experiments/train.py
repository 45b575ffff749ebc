"""One method on one data set, into a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fairpo
from fairpo.data.base import MultiLabelData, fingerprint
from fairpo.experiments.compare import Report, write_results
from fairpo.experiments.plan import Plan
from fairpo.experiments.runner import ProgressFactory, run_seed, silent
from fairpo.experiments.summary import result_rows, summarise
from fairpo.training.fit import Reference
from fairpo.training.run import RunConfig, write_folder, write_run


def train_run(
    data: MultiLabelData,
    plan: Plan,
    folder: Path,
    *,
    report: Report,
    reference: Reference | None = None,
    reference_source: tuple[str | None, str] = (None, "logits"),
    command: str = "",
    overwrite: bool = False,
    progress: ProgressFactory = silent,
) -> dict[str, Any]:
    """Train the last method of a plan under its first seed and write the run folder.

    Parameters
    ----------
    data : MultiLabelData
        With all three splits.
    plan : Plan
    folder : Path
    report : callable
        Adds the report to a folder that holds ``metrics.json``.
    reference : Reference, optional
        An existing model; trained here when not given.
    reference_source : (path or None, "logits" or "probs")
        Where it came from, for the configuration.
    command : str
        How to run it again.
    overwrite : bool
    progress : callable

    Returns
    -------
    dict, the content of ``metrics.json``
    """
    results = run_seed(data, plan, plan.seeds[0], reference=reference, progress=progress)
    metrics = summarise(data, plan, [results], kind="run", command=command)
    fitted = results.results[-1].fitted
    config = RunConfig(
        version=fairpo.__version__,
        method=plan.methods[-1],
        preset=plan.preset,
        options=plan.options_for(plan.methods[-1]),
        privileged=plan.privileged,
        data=plan.data,
        data_options=plan.data_options.model_copy(update={"fetch": False}),
        data_fingerprint=fingerprint(data),
        n_features=data.n_features,
        n_labels=data.n_labels,
        residual=fitted.policy.residual,
        head=fitted.policy.settings,
        training=plan.training.model_copy(update={"seed": plan.seeds[0]}),
        reference=reference_source[0],
        reference_kind=reference_source[1],
    )

    def fill(target: Path) -> None:
        write_run(target, config, fitted, results.reference, data)
        write_results(target, metrics, result_rows(data, plan, results), report)

    write_folder(folder, fill, overwrite=overwrite)
    return metrics
