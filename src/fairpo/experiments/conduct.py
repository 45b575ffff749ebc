"""Run a study to its end, from wherever it stands, and write it up."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import fairpo
from fairpo._checks import FairPOError
from fairpo.data.base import MultiLabelData
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
from fairpo.experiments.scores import read_scores
from fairpo.experiments.study import Study, Variant, write_study
from fairpo.experiments.study_folder import empty_folder, inputs_of
from fairpo.experiments.summary import Report, summarise, write_summary
from fairpo.experiments.trials import Bench, Trial, failed
from fairpo.groups import LabelGroups, parse_privileged
from fairpo.models.checkpoint import CHECKSUMS, hold, write_checksums
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
    crashes is recorded, and the others go on; it is run again at the next call.

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
        Of references and trials, and of what writing up takes: models judged, tests, evidence.
    extra : mapping
        Entries of ``metrics.json`` beside the study's own.

    Returns
    -------
    dict, the content of ``metrics.json``; under "failed" the trials that failed, by name

    Raises
    ------
    FairPOError
        The study does not fit the data, or no trial of a reference came to an end.
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
        bench = Bench(
            replace(data, items=None),  # features are all that is read, and items may be functions
            inputs["data"],
            ledger,
            given,
            inputs["reference"],
            progress if n_jobs == 1 else silent,
        )
        with Processes(n_jobs, count) as processes:
            conductor = _Conductor(bench, processes, count)
            conductor.train_references(study)
            variants = [(variant, conductor.groups(variant)) for variant in study.variants()]
            conductor.run_trials(variants)
            metrics = conductor.write_up(study, variants, command)
        metrics |= {"inputs": inputs, "failed": list(conductor.failures), **extra}
        write_summary(folder, metrics, report)
        write_checksums(folder)
    return metrics


class _Conductor:
    """The trials of a study in their order, in one process or several."""

    def __init__(self, bench: Bench, processes: Processes, count: StudyProgress) -> None:
        self.bench, self.processes, self.count = bench, processes, count
        self.failures: dict[str, str] = {}
        """What went wrong, by name of the trial."""

    def train_references(self, study: Study) -> None:
        """Train what methods start from: one reference for each seed and way to train it."""
        if self.bench.given is not None:
            return
        wanted: dict[str, Trial] = {}
        for variant in study.variants():
            for trial in _trials(variant, [REFERENCE]):
                key = trial.reference_key(self.bench.fingerprint, "")
                if not self.bench.ledger.reference(key).is_file():
                    wanted.setdefault(key, trial)
        tasks: list[Task] = [(trial, None) for trial in wanted.values()]
        for (trial, _), result in self._results(tasks, "references"):
            if isinstance(result, Exception):
                raise FairPOError(f"the reference of seed {trial.seed}: {result}") from result

    def groups(self, variant: Variant) -> LabelGroups:
        """Privileged labels of a plan; by reference, they are those of its first seed."""
        rule = parse_privileged(variant.plan.privileged)
        first = _trials(variant, [REFERENCE])[0]
        known = self.bench.reference(first) if rule.needs_reference_ap else None
        return choose_groups(rule, self.bench.data, known)

    def run_trials(self, variants: Sequence[tuple[Variant, LabelGroups]]) -> None:
        """Run what is not done, and put each result into the ledger as it comes.

        Trials that depend on the same are one: a method is run once where variants leave it alone.
        """
        done = self.bench.ledger.done()
        wanted: dict[str, Task] = {}
        for variant, groups in variants:
            for trial in _trials(variant, variant.plan.methods):
                key = self._key(trial, groups)
                if key not in done or not self.bench.ledger.scores(key).is_file():
                    wanted.setdefault(key, (trial, groups))
        for (trial, grouped), result in self._results(list(wanted.values()), "trials"):
            if isinstance(result, Exception):
                assert grouped is not None
                error = _in_words(result)
                self.failures[trial.name] = error.splitlines()[-1]
                result = failed(trial, self._key(trial, grouped), error)
            self.bench.ledger.append(result)

    def write_up(
        self, study: Study, variants: Sequence[tuple[Variant, LabelGroups]], command: str
    ) -> dict[str, Any]:
        """Build the content of ``metrics.json``."""
        done = self.bench.ledger.done()
        parts: list[dict[str, Any]] = []
        for variant, groups in variants:
            seeds = self._seeds(variant, groups, done)
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
        if len(parts) == 1:
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
                if key not in done:
                    continue
                scores, record = read_scores(self.bench.ledger.scores(key)), done[key]
                if trial.method == REFERENCE:
                    start, notes = scores["start"], record["reference_notes"]
                if start is not None:
                    results.append(_result(record, scores, start))
            if start is not None:
                seeds.append(SeedResults(seed, groups, start, notes, results))
        if not seeds:
            name, error = next(iter(self.failures.items()))
            raise FairPOError(f"no trial of the reference came to an end: {name}: {error}")
        return seeds

    def _key(self, trial: Trial, groups: LabelGroups) -> str:
        return trial.key(self.bench.fingerprint, self.bench.given_digest, groups)

    def _results(
        self, tasks: list[Task], name: str
    ) -> Iterator[tuple[Task, dict[str, Any] | Exception]]:
        if not tasks:
            return
        advance = self.count(name, len(tasks))
        for task, result in self.processes.each(self.bench, type(self.bench).run, tasks):
            advance()
            yield task, result


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
