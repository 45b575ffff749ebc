"""Run a study to its end, from wherever it stands, and write it up."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import fairpo
from fairpo._checks import FairPOError
from fairpo.data.base import MultiLabelData
from fairpo.data.mapped import shared_features
from fairpo.experiments.given_reference import given_reference
from fairpo.experiments.ledger import Ledger
from fairpo.experiments.plan import Plan
from fairpo.experiments.pool import Processes, StudyProgress, uncounted
from fairpo.experiments.runner import (
    MethodResult,
    ModelScores,
    ProgressFactory,
    SeedResults,
    silent,
)
from fairpo.experiments.scores import holds_scores, read_scores
from fairpo.experiments.study import Study, Variant, write_study
from fairpo.experiments.study_folder import empty_folder, inputs_of, seal_folder
from fairpo.experiments.summary import Report, summarise, write_summary
from fairpo.experiments.trials import Bench, Trial, failed
from fairpo.groups import LabelGroups, parse_privileged
from fairpo.models.checkpoint import CHECKSUMS, hold
from fairpo.objectives.catalogue import REFERENCE
from fairpo.training.fit import choose_groups

Task = tuple[Trial, LabelGroups | None]
"""A trial and the groups it is run with; without groups, the reference of a trial."""


def check_privileged(plan: Plan, data: MultiLabelData) -> None:
    """Refuse a choice of privileged labels before any work, unless a reference makes it.

    Raises
    ------
    FairPOValueError
        It names an unknown label, or labels that cannot be trained.
    """
    rule = parse_privileged(plan.privileged)
    if not rule.needs_reference_ap:
        choose_groups(rule, data, None)


def run_study(
    study: Study,
    data: MultiLabelData,
    folder: Path,
    *,
    report: Report,
    command: str = "",
    n_jobs: int = 1,
    overwrite: bool = False,
    progress: ProgressFactory = silent,
    count: StudyProgress = uncounted,
    extra: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Run the trials of a study that are not done yet, then write it up.

    Stopped at any moment, the same call goes on: a trial that was done is not run again. One that
    crashes is recorded, and the others go on; it is run again at the next call. So is a reference,
    without the trials that start from it.

    Parameters
    ----------
    study : Study
    data : MultiLabelData
        With all three splits.
    folder : Path
        Of the study; see :func:`~fairpo.experiments.study_folder.check_folder`.
    report : callable
        Adds the report to a folder that holds ``metrics.json``.
    command : str
        How to run it again, for the report.
    n_jobs : int
        Processes, each with one torch thread. Results do not depend on it.
    overwrite : bool
        Whether what is there goes first: trials that were done are run again.
    progress : callable
        Of the epochs of a training, where there is one process.
    count : callable
        Of references and trials, and of what writing up takes: models, tests, evidence.
    extra : mapping
        Entries of ``metrics.json`` beside the study's own.

    Returns
    -------
    dict, the content of ``metrics.json``; under "failed" the trials that failed, by name

    Raises
    ------
    FairPOError
        The study does not fit the data, or no reference came to an end, or not the one by which
        privileged labels are chosen.
    """
    study.check()
    data.require_features()
    for variant in study.variants():
        check_privileged(variant.plan, data)
    inputs, given = inputs_of(study, data), given_reference(study, data)
    ledger = Ledger(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with hold(folder / ".lock"):
        if overwrite:
            empty_folder(ledger)
        (folder / CHECKSUMS).unlink(missing_ok=True)  # it is being written again
        write_study(folder / study.file_name, study)
        ledger.make_folders()
        own = replace(data, items=None)  # features are all that is read; items may be functions
        sharing = shared_features(own, folder) if n_jobs > 1 else nullcontext(own)
        with sharing as shared, Processes(n_jobs, count) as processes:
            bench = Bench(
                shared,
                inputs["data"],
                ledger,
                given,
                inputs["reference"],
                progress if n_jobs == 1 else silent,
            )
            conductor = _Conductor(bench, processes, count)
            variants = [(variant, conductor.groups(variant)) for variant in study.variants()]
            conductor.run_trials(variants)
            metrics = conductor.write_up(study, variants, command)
        metrics |= {"inputs": inputs, "failed": list(conductor.failures), **extra}
        write_summary(folder, metrics, report)
        seal_folder(folder)
    return metrics


class _Conductor:
    """The trials of a study in their order, in one process or several."""

    def __init__(self, bench: Bench, processes: Processes, count: StudyProgress) -> None:
        self.bench, self.processes, self.count = bench, processes, count
        self.failures: dict[str, str] = {}
        """What went wrong, by name of the trial."""
        self.lost: dict[str, str] = {}
        """What went wrong with references, by key."""

    def groups(self, variant: Variant) -> LabelGroups:
        """Privileged labels of a plan; by reference, they are those of its first seed."""
        rule = parse_privileged(variant.plan.privileged)
        if not rule.needs_reference_ap:
            return choose_groups(rule, self.bench.data, None)
        self._run(self._references([variant]), [])
        first = _trials(variant, [REFERENCE])[0]
        error = self.lost.get(self._reference_key(first))
        if error is not None:
            raise FairPOError(
                f"the reference of seed {first.seed}, which chooses the privileged labels: {error}"
            )
        return choose_groups(rule, self.bench.data, self.bench.reference(first))

    def run_trials(self, variants: Sequence[tuple[Variant, LabelGroups]]) -> None:
        """Run what is not done, and put each result into the ledger as it comes.

        The trials of a seed begin when its reference is there. Trials that depend on the same are
        one: a method is run once where variants leave it alone.
        """
        done = self.bench.ledger.done()
        wanted: dict[str, Task] = {}
        for variant, groups in variants:
            for trial in _trials(variant, variant.plan.methods):
                key = self._key(trial, groups)
                if self._reference_key(trial) in self.lost:
                    continue
                if key not in done or not holds_scores(self.bench.ledger.scores(key)):
                    wanted.setdefault(key, (trial, groups))
        self._run(self._references([variant for variant, _ in variants]), list(wanted.values()))

    def _references(self, variants: Sequence[Variant]) -> list[Task]:
        """What methods start from and is not there: one reference a seed and way to train it."""
        wanted: dict[str, Task] = {}
        for variant in variants:
            for trial in _trials(variant, [REFERENCE]):
                key = self._reference_key(trial)
                if key not in self.lost and not self.bench.has_reference(trial):
                    wanted.setdefault(key, (trial, None))
        return list(wanted.values())

    def _run(self, references: list[Task], trials: list[Task]) -> None:
        """Run references and trials, each trial once its reference is there."""
        counted = {
            name: self.count(name, len(tasks))
            for name, tasks in (("references", references), ("trials", trials))
            if tasks
        }
        done = self.processes.each(
            self.bench,
            type(self.bench).run,
            [*references, *trials],
            lambda task: task[1] is None or self.bench.has_reference(task[0]),
        )
        for (trial, groups), result in done:
            counted["references" if groups is None else "trials"]()
            if groups is None:
                if isinstance(result, Exception):
                    self._lose(trial, result)
                continue
            if self._reference_key(trial) in self.lost:
                continue  # it could not but fail
            if isinstance(result, Exception):
                error = _in_words(result)
                self.failures[trial.name] = error.splitlines()[-1]
                result = failed(trial, self._key(trial, groups), error)
            self.bench.ledger.append(result)

    def _lose(self, trial: Trial, error: Exception) -> None:
        """Record a reference that failed; what would start from it has no result."""
        key, text = self._reference_key(trial), _in_words(error)
        self.failures[f"reference {trial.place}"] = self.lost[key] = text.splitlines()[-1]
        self.bench.ledger.append(failed(trial, key, text))

    def write_up(
        self, study: Study, variants: Sequence[tuple[Variant, LabelGroups]], command: str
    ) -> dict[str, Any]:
        """Build the content of ``metrics.json``."""
        done = self.bench.ledger.done()
        parts: list[dict[str, Any]] = []
        for variant, groups in variants:
            seeds = self._seeds(variant, groups, done)
            if not seeds:
                continue
            kind = "comparison" if study.kind in ("compare", "ablate") else "variant"
            metrics = summarise(
                self.bench.data,
                variant.plan,
                seeds,
                kind=kind,
                command=command,
                processes=self.processes,
            )
            parts.append({"name": variant.name, "metrics": metrics})
        notes = [f"{name} failed: {error}" for name, error in self.failures.items()]
        if not parts:
            name, error = next(iter(self.failures.items()))
            raise FairPOError(f"no trial of the reference came to an end: {name}: {error}")
        if len(variants) == 1:
            only: dict[str, Any] = parts[0]["metrics"]
            return {**only, "notes": [*only["notes"], *notes]}
        return {
            "kind": study.kind,
            "title": f"{self.bench.data.name}: {study.kind}, {len(parts)} variants",
            "plan": study.model_dump(mode="json"),
            "version": fairpo.__version__,
            "command": command,
            "variants": parts,
            "notes": notes,
        }

    def _seeds(
        self, variant: Variant, groups: LabelGroups, done: dict[str, dict[str, Any]]
    ) -> list[SeedResults]:
        """Results of a plan from the ledger; a seed whose reference failed is left out."""
        seeds = []
        for seed in variant.plan.seeds:
            results: list[MethodResult] = []
            start: ModelScores | None = None
            notes: list[str] = []
            for trial in _trials(variant, variant.plan.methods, [seed]):
                key = self._key(trial, groups)
                if key not in done or not holds_scores(self.bench.ledger.scores(key)):
                    continue
                scores, record = read_scores(self.bench.ledger.scores(key)), done[key]
                if trial.method == REFERENCE:
                    start, notes = scores["start"], record["reference_notes"]
                if start is not None:
                    results.append(_result(record, scores, start))
            if start is not None:
                seeds.append(SeedResults(seed, groups, start, notes, results))
        return seeds

    def _reference_key(self, trial: Trial) -> str:
        return trial.reference_key(self.bench.fingerprint, self.bench.given_digest)

    def _key(self, trial: Trial, groups: LabelGroups) -> str:
        return trial.key(self.bench.fingerprint, self.bench.given_digest, groups)


def _trials(
    variant: Variant, methods: Sequence[str], seeds: Sequence[int] | None = None
) -> list[Trial]:
    """Trials of a plan, seed by seed: a process that goes on keeps its reference."""
    return [
        Trial(variant.name, variant.plan, method, seed)
        for seed in seeds or variant.plan.seeds
        for method in methods
    ]


def _result(
    record: dict[str, Any], scores: dict[str, ModelScores], start: ModelScores
) -> MethodResult:
    selected = scores.get("selected", start)
    return MethodResult(
        method=record["method"],
        seed=record["seed"],
        selected=selected,
        last=scores.get("last", selected),
        selected_epoch=record["selected_epoch"],
        n_epochs=record["epochs"],
        fell_back=record["fell_back"],
        seconds=record["seconds"],
        trace=record["trace"],
        notes=record["notes"],
    )


def _in_words(error: Exception) -> str:
    if isinstance(error, FairPOError):
        return str(error)
    return "".join(traceback.format_exception(error)).strip()
