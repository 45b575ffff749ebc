"""Run a sweep: try settings on validation, then run what was chosen as a study on test."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fairpo._checks import value_error
from fairpo.data.base import MultiLabelData
from fairpo.experiments.conduct import check_privileged, run_study
from fairpo.experiments.given_reference import given_reference
from fairpo.experiments.ledger import Ledger, digest
from fairpo.experiments.pool import Processes, StudyProgress, uncounted
from fairpo.experiments.runner import ProgressFactory, silent
from fairpo.experiments.search import Choices, setting_type
from fairpo.experiments.study import Study, write_study
from fairpo.experiments.study_folder import DATABASE, empty_folder, inputs_of
from fairpo.experiments.summary import Report
from fairpo.experiments.sweep_plan import Sweep
from fairpo.experiments.sweep_store import ReportStep, SweepStore, check_storage, without_password
from fairpo.experiments.trials import Bench, Trial
from fairpo.groups import LabelGroups, parse_privileged
from fairpo.models.checkpoint import CHECKSUMS, hold
from fairpo.pareto import pareto_front
from fairpo.training.fit import choose_groups, most_epochs, train_method
from fairpo.training.loop import EpochCallback, none_if_nan
from fairpo.training.selection import ValidationScores
from fairpo.training.validation import score_logits

MOST_FROM_FRONT = 4
"""Members of a Pareto front that are run on test."""

_WAIT_SECONDS = 1.0


def run_sweep(
    sweep: Sweep,
    data: MultiLabelData,
    folder: Path,
    *,
    report: Report,
    storage: str | None = None,
    command: str = "",
    n_jobs: int = 1,
    overwrite: bool = False,
    progress: ProgressFactory = silent,
    count: StudyProgress = uncounted,
) -> dict[str, Any]:
    """Search settings on the validation rows; then run what was chosen, once, on the test rows.

    Stopped at any moment, the same call goes on: trials that were under way are run anew. Calls
    of the same sweep on the same storage, from any machine, share its trials; each waits for
    those of the others before it chooses. One process gives the same trials each time.

    Parameters
    ----------
    sweep : Sweep
    data : MultiLabelData
        With all three splits. The search is handed no test row.
    folder : Path
        Of the sweep; see :func:`~fairpo.experiments.study_folder.check_folder`.
    report : callable
        Adds the report to a folder that holds ``metrics.json``.
    storage : str, optional
        Database, as SQLAlchemy has it; ``sweep.db`` in the folder when not given.
    command : str
        How to run it again, for the report; the password of the storage is taken out.
    n_jobs : int
        Processes, each with one torch thread.
    overwrite : bool
        Whether what is in the folder goes first; a storage elsewhere keeps its trials.
    progress : callable
        Of the epochs of a training, where there is one process.
    count : callable
        Of references and trials.

    Returns
    -------
    dict, the content of ``metrics.json``: the study of what was chosen beside the settings as
    given, and under "sweep" the trials, the numbers of those on the Pareto front and of those
    chosen, and the importance of each setting

    Raises
    ------
    FairPOError
        The sweep does not fit the data, the storage cannot be used, or no trial came to an end.
    """
    sweep.check()
    data.require_features()
    if storage is not None:
        check_storage(storage)
        command = command.replace(storage, without_password(storage))
    url = storage or f"sqlite:///{(folder / DATABASE).absolute()}"
    check_privileged(sweep, data)
    inputs, given = inputs_of(sweep, data), given_reference(sweep, data)
    ledger = Ledger(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with hold(folder / ".lock"):
        if overwrite:
            empty_folder(ledger)
        (folder / CHECKSUMS).unlink(missing_ok=True)  # it is being written again
        write_study(folder / sweep.file_name, sweep)
        ledger.make_folders()
        bench = Bench(
            _without_test(data),
            inputs["data"],
            ledger,
            given,
            inputs["reference"],
            progress if n_jobs == 1 else silent,
        )
        search = _Search.prepare(sweep, bench, url, count)
        search.run(n_jobs, count, alone=storage is None)
        entry, chosen = search.write_up()
    study = sweep.study(chosen)
    entry["notes"] += _looked_before(ledger, study)
    return run_study(
        study,
        data,
        folder,
        report=report,
        command=command,
        n_jobs=n_jobs,
        progress=progress,
        count=count,
        extra={"sweep": entry},
    )


@dataclass(frozen=True)
class _Search:
    """The search of a sweep, as each process has it."""

    sweep: Sweep
    bench: Bench
    groups: LabelGroups
    starts: dict[int, ValidationScores]
    """What the reference of each tuning seed scores on validation."""
    store: SweepStore

    @classmethod
    def prepare(cls, sweep: Sweep, bench: Bench, url: str, count: StudyProgress) -> _Search:
        """Train the references that are missing, and find what all trials share."""
        rule = parse_privileged(sweep.privileged)
        of_groups = [sweep.seeds[0]] if rule.needs_reference_ap else []
        trials = {seed: _trial(sweep, seed) for seed in [*of_groups, *sweep.tuning_seeds]}
        _train_references(bench, list(trials.values()), count)
        known = bench.reference(trials[sweep.seeds[0]]) if rule.needs_reference_ap else None
        groups = choose_groups(rule, bench.data, known)
        starts = {
            seed: score_logits(bench.reference(trials[seed]).logits, bench.data, groups)
            for seed in sweep.tuning_seeds
        }
        _check_defined(sweep, starts)
        keys = [
            trials[seed].key(bench.fingerprint, bench.given_digest, groups)
            for seed in sweep.tuning_seeds
        ]
        identity = sweep.model_dump(
            mode="json", include={"search", "objective", "tuning_seeds", "sampler_seed"}
        )
        whole = [
            name
            for name, dimension in sweep.search.items()
            if not isinstance(dimension, Choices) and setting_type(sweep.method, name) is int
        ]
        store = SweepStore(
            url,
            f"{sweep.method} {digest({**identity, 'trials': keys})}",
            sweep.search,
            frozenset(whole),
            sweep.given(),
            n_values=1 if sweep.objective == "constrained" else 2,
            warmup=most_epochs(sweep.method, sweep.training_for(sweep.method)) // 4,
            seed=sweep.sampler_seed,
        )
        return cls(sweep, bench, groups, starts, store)

    def run(self, n_jobs: int, count: StudyProgress, *, alone: bool) -> None:
        """Run trials until there are enough, and wait for those of other processes.

        Parameters
        ----------
        n_jobs : int
        count : callable
        alone : bool
            Whether nobody else writes to the storage: what is under way there is dead.
        """
        with self.store.open() as trials:
            if alone:
                trials.free_running()
        while True:
            with self.store.open() as trials:
                trials.free_stale()
                missing = self.sweep.n_trials - len(trials.counted())
                n_running = trials.n_running()
            if missing > 0:
                self._run_some(missing, n_jobs, count)
            elif n_running:
                time.sleep(_WAIT_SECONDS)
            else:
                return

    def run_slot(self, slot: str) -> dict[str, Any]:
        """Run one trial, in whatever process."""
        with self.store.open() as trials:
            trials.run(self.train, self.sweep.n_trials, slot)
        return {}

    def train(
        self, settings: Mapping[str, Any], report: ReportStep
    ) -> tuple[tuple[float, ...], dict[str, Any]]:
        """Train the method under settings; the value on validation, and what it consists of."""
        sweep = self.sweep
        plan = sweep.with_settings(settings)
        best: list[_BestEpoch] = []
        fell_back: list[bool] = []
        for seed in sweep.tuning_seeds:
            training = plan.training_for(sweep.method).model_copy(update={"seed": seed})
            best.append(_BestEpoch(self.starts[seed], training.tolerance_points / 100))
            epochs = most_epochs(sweep.method, training)
            show = self.bench.progress(f"{sweep.method} {seed}", epochs)

            def on_epoch(
                record: dict[str, Any],
                *,
                first: int = (len(best) - 1) * epochs,
                show: EpochCallback = show,
            ) -> None:
                show(record)
                best[-1].offer(record)
                report(first + record["epoch"], _mean([each.value for each in best]))

            trial = _trial(sweep, seed)
            fitted = train_method(
                self.bench.data,
                self.bench.reference(trial),
                self.groups,
                sweep.method,
                training,
                preset=plan.preset,
                options=plan.options_for(sweep.method),
                head=plan.head,
                closed_form=self.bench.closed_form(trial),
                on_epoch=on_epoch,
            )
            fell_back.append(fitted.fell_back)
        goal, privileged, non_privileged, change = (
            _mean([getattr(each, name) for each in best])
            for name in ("goal", "privileged", "non_privileged", "change")
        )
        about = {
            "privileged": none_if_nan(privileged),
            "non_privileged": none_if_nan(non_privileged),
            "non_privileged_change": none_if_nan(change),
            "epochs": [each.epoch for each in best],
            "fell_back_share": _mean(fell_back),
        }
        if sweep.objective == "pareto":
            return (goal, change), about
        return (_mean([each.value for each in best]),), about

    def write_up(self) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
        """Build the entry "sweep" of ``metrics.json``, and choose what is run on test.

        Raises
        ------
        FairPOError
            No trial came to an end.
        """
        with self.store.open() as trials:
            table = trials.table()
            importance = trials.importance()
        complete = [row for row in table if row["state"] == "complete"]
        if not complete:
            raise value_error(
                "a sweep",
                must="have a trial that came to an end",
                got=f"{len(table)} that failed, the first with: {table[0]['error']}",
            )
        reference = {
            name: none_if_nan(_mean([getattr(start, name) for start in self.starts.values()]))
            for name in ("privileged", "non_privileged")
        }
        front = trial_front(complete, reference["privileged"])
        chosen, note = self._choose(complete, front)
        entry = {
            "method": self.sweep.method,
            "objective": self.sweep.objective,
            "search": self.sweep.model_dump(mode="json")["search"],
            "given": self.store.given,
            "tuning_seeds": list(self.sweep.tuning_seeds),
            "storage": without_password(self.store.url),
            "name": self.store.name,
            "reference": reference,
            "trials": table,
            "front": [row["number"] for row in front],
            "chosen": [row["number"] for row in chosen],
            "importance": importance,
            "notes": note,
        }
        return entry, {row["number"]: row["settings"] for row in chosen}

    def _choose(
        self, complete: list[dict[str, Any]], front: list[dict[str, Any]]
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Trials to run on test, and a note where there is none."""
        moved = [row for row in complete if row["fell_back_share"] < 1]
        if not moved:
            return [], ["no trial beat the reference on validation within tolerance."]
        if self.sweep.objective == "constrained":
            best = max(moved, key=lambda row: row["values"][0])  # of equal ones the first
            if best["settings"] == self.store.given:
                return [], ["no trial beat the settings as given on validation."]
            return [best], []
        on_front = [row for row in front if row["fell_back_share"] < 1]
        if not on_front:
            return [], ["no trial that beat the reference on validation is on the front with it."]
        places = np.linspace(0, len(on_front) - 1, min(len(on_front), MOST_FROM_FRONT)).round()
        return [on_front[int(place)] for place in places], []

    def _run_some(self, missing: int, n_jobs: int, count: StudyProgress) -> None:
        advance = count("trials", missing)
        slots = [uuid.uuid4().hex for _ in range(missing)]
        with Processes(n_jobs) as processes:
            for slot, result in processes.each(self, _Search.run_slot, slots):
                if isinstance(result, Exception):
                    with self.store.open() as trials:
                        trials.bury(slot, result)
                advance()


class _BestEpoch:
    """The epoch that would be returned, were the reference no candidate.

    Where the reference beats all epochs of all trials, they would be equal with it as one: the
    search would learn nothing from them.

    Parameters
    ----------
    start : ValidationScores
        The reference's.
    tolerance : float
        A fraction, not points.
    """

    def __init__(self, start: ValidationScores, tolerance: float) -> None:
        self.start, self.tolerance = start, tolerance
        self.epoch = 0
        self.value = -np.inf
        self.goal = self.privileged = self.non_privileged = self.change = np.nan

    def offer(self, record: Mapping[str, Any]) -> None:
        """Enter an epoch; the better one is kept.

        Its value is its privileged mAP, or, past the tolerance, how far it is past it, below 0.
        """
        keys = ("map/privileged", "map/non_privileged", "map")
        found = (record["validation"][key] for key in keys)
        scores = ValidationScores(*(np.nan if figure is None else figure for figure in found))
        past = self.start.non_privileged - self.tolerance - scores.non_privileged
        value = -past if past > 1e-12 else scores.goal
        if value > self.value:
            self.epoch, self.value, self.goal = record["epoch"], value, scores.goal
            self.privileged, self.non_privileged = scores.privileged, scores.non_privileged
            self.change = scores.non_privileged - self.start.non_privileged


def trial_front(rows: list[dict[str, Any]], reference: float | None) -> list[dict[str, Any]]:
    """Trials that neither another nor the reference beats on both groups, by rising privileged mAP.

    Parameters
    ----------
    rows : list of dict
        Complete trials, with "privileged" and "non_privileged_change"; one without them is on no
        front.
    reference : float or None
        Its privileged mAP; without it there is no front.
    """
    if reference is None:
        return []
    found = [row for row in rows if None not in (row["privileged"], row["non_privileged_change"])]
    points = [(row["privileged"] - reference, row["non_privileged_change"]) for row in found]
    front = pareto_front([(0.0, 0.0), *points])
    return [found[place - 1] for place in front if place]


def _train_references(bench: Bench, trials: list[Trial], count: StudyProgress) -> None:
    missing = [trial for trial in trials if not bench.has_reference(trial)]
    advance = count("references", len(missing)) if missing else lambda: None
    for trial in missing:
        bench.train_reference(trial)
        advance()


def _trial(sweep: Sweep, seed: int) -> Trial:
    """The method as given under a tuning seed: what its reference and its key depend on."""
    return Trial("", sweep.with_settings({}), sweep.method, seed)


def _without_test(data: MultiLabelData) -> MultiLabelData:
    split = {name: data.rows(name) for name in ("train", "validation")}
    return replace(data, split=split, items=None, clusters=None)


def _check_defined(sweep: Sweep, starts: Mapping[int, ValidationScores]) -> None:
    """Refuse a search whose value is not a number."""
    for start in starts.values():
        if np.isnan(start.goal):
            raise value_error(
                "a sweep", must="have validation rows with positives", got="none of any label"
            )
        if sweep.objective == "pareto" and np.isnan([start.privileged, start.non_privileged]).any():
            raise value_error(
                "a sweep of a Pareto front",
                must="have validation positives in both groups of labels",
                got="a group without",
            )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _looked_before(ledger: Ledger, study: Study) -> list[str]:
    """Say which trials were run on test before, chosen from fewer."""
    names = {record["variant"] for record in ledger.records()} - {"", "as given"}
    before = sorted(names - study.chosen.keys())
    if not before:
        return []
    return [
        f"{', '.join(before)}, chosen earlier, ran on test too (results.jsonl): the test rows were "
        "looked at more than once."
    ]
