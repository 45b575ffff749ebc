"""One method on one data set, into a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fairpo
from fairpo._checks import build_settings, value_error
from fairpo.data.base import MultiLabelData, fingerprint
from fairpo.experiments.given_reference import given_digest, given_reference
from fairpo.experiments.plan import Plan
from fairpo.experiments.runner import ProgressFactory, SeedResults, SeedRunner, silent
from fairpo.experiments.summary import Report, result_row, summarise, write_summary
from fairpo.objectives.catalogue import REFERENCE, reference_method
from fairpo.training.distributed import is_main
from fairpo.training.reference import Reference
from fairpo.training.run import RunConfig, RunDecisions, write_jsonl, write_run
from fairpo.training.unfinished import UnfinishedRun, begin_run


def train_run(
    data: MultiLabelData,
    plan: Plan,
    folder: Path,
    *,
    report: Report,
    command: str = "",
    overwrite: bool = False,
    progress: ProgressFactory = silent,
) -> dict[str, Any] | None:
    """Train the last method of a plan under its first seed and write the run folder.

    Stopped at any moment, :func:`resume_run` goes on.

    Parameters
    ----------
    data : MultiLabelData
        With all three splits.
    plan : Plan
    folder : Path
    report : callable
        Adds the report to a folder that holds ``metrics.json``.
    command : str
        How to run it again.
    overwrite : bool
    progress : callable

    Returns
    -------
    dict, the content of ``metrics.json``; None on other processes than the first
    """
    reference = given_reference(plan, data)
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
        residual=reference is not None and reference.policy is None,
        head=plan.head,
        training=plan.training.model_copy(update={"seed": plan.seeds[0]}),
        decisions=plan.decisions,
        reference=plan.reference,
        reference_kind=plan.reference_kind,
    )
    run = UnfinishedRun(folder, config, command, given_digest(plan))
    run = begin_run(run, overwrite=overwrite)
    with run.forgotten_if_refused():
        return _train(run, data, plan, reference, report, progress)


def resume_run(
    run: UnfinishedRun,
    data: MultiLabelData,
    *,
    report: Report,
    progress: ProgressFactory = silent,
) -> dict[str, Any] | None:
    """Go on with a run that was stopped; the result is that of one that was not.

    Parameters
    ----------
    run : UnfinishedRun
    data : MultiLabelData
        The run's own.
    report, progress
        As in :func:`train_run`.

    Raises
    ------
    FairPOValueError
        Data or reference are not those the run began with.
    """
    if fingerprint(data) != run.config.data_fingerprint:
        raise value_error(
            f"DATA ({run.config.data})",
            must=f"be what {run.folder} began with",
            got="other content",
            do="Train anew with --overwrite.",
        )
    plan = plan_of(run.config)
    if given_digest(plan) != run.reference_digest:
        raise value_error(
            f"the reference ({plan.reference})",
            must=f"be what {run.folder} began with",
            got="other content",
            do="Train anew with --overwrite.",
        )
    return _train(run, data, plan, given_reference(plan, data), report, progress)


def methods_of_run(method: str, reference: str | None) -> tuple[str, ...]:
    """A method, after the one that its reference is made by."""
    made = REFERENCE if reference is not None else reference_method(method)
    return tuple(dict.fromkeys((made, method)))


def plan_of(config: RunConfig) -> Plan:
    """Rebuild the plan that a run follows."""
    methods = methods_of_run(config.method, config.reference)
    shared = (
        "data",
        "data_options",
        "privileged",
        "preset",
        "options",
        "training",
        "head",
        "decisions",
        "reference",
        "reference_kind",
    )
    values = {name: getattr(config, name) for name in shared}
    return build_settings(Plan, {**values, "methods": methods, "seeds": (config.training.seed,)})


def _train(
    run: UnfinishedRun,
    data: MultiLabelData,
    plan: Plan,
    reference: Reference | None,
    report: Report,
    progress: ProgressFactory,
) -> dict[str, Any] | None:
    with run.held():
        runner = SeedRunner(
            data,
            plan,
            plan.seeds[0],
            reference=reference,
            progress=progress,
            checkpoint=run.checkpoint,
        )
        ran = [runner.run(method) for method in plan.methods]
        if not is_main():
            return None
        results = [result for result, _ in ran]
        seed = SeedResults(
            runner.seed,
            runner.groups,
            runner.start,
            runner.reference.notes,
            results,
            plan.reference_method,
        )
        metrics = summarise(data, plan, [seed], kind="run", command=run.command)
        rows = [result_row(data, plan, runner.groups, result) for result in results]
        rules = RunDecisions(
            results[-1].selected.rule(data, plan.decisions), runner.start.rule(data, plan.decisions)
        )

        def fill(target: Path) -> None:
            write_run(target, run.config, ran[-1][1], runner.reference, data, rules)
            write_jsonl(target / "results.jsonl", rows)
            write_summary(target, metrics, report)

        run.finish(fill)
    return metrics
