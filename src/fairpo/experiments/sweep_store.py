"""Trials of a sweep in a database that processes and machines share: what Optuna does for it.

A trial that was killed leaves its place to the next one, which is then seeded as it was: a sweep
that was stopped ends as one that was not.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairpo._checks import FairPOError, FairPOImportError, value_error
from fairpo._optional import require
from fairpo.experiments.search import Choices, Range, SearchSpace

require("optuna", extra="tuning", purpose="a sweep")

import optuna  # noqa: E402
import sqlalchemy  # noqa: E402
from optuna.distributions import (  # noqa: E402
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState  # noqa: E402

HEARTBEAT_SECONDS = 15
GRACE_SECONDS = 60
"""After so long without a heartbeat a trial of another machine is taken for killed."""

FEWEST_FOR_IMPORTANCE = 10
"""Below so many complete trials an importance is noise."""

_FEWEST_BEFORE_PRUNING = 5
_ATTEMPTS, _PAUSE_SECONDS = 5, 0.3
_PLACE, _SLOT, _ERROR, _SEEN = "place", "slot", "error", "seen"
_ENDED = (ValueError, optuna.exceptions.UpdateFinishedTrialError)
"""What Optuna raises where a trial that is over is told how it ended, or anything else."""

ReportStep = Callable[[int, float], None]
"""``(step, value)``, the higher the better; ends a trial that is pruned."""

ABOUT = ("privileged", "non_privileged", "non_privileged_change", "epochs", "fell_back_share")
"""Kept of a complete trial beside its values: validation mAP as fractions, of which epochs, and
in which share of the seeds the reference would be returned."""

Train = Callable[[Mapping[str, Any], ReportStep], tuple[tuple[float, ...], dict[str, Any]]]
"""``(settings, report)`` to the values of a trial and :data:`ABOUT`."""


@dataclass(frozen=True)
class SweepStore:
    """Where the trials of a sweep are, and how the next one is chosen.

    Parameters
    ----------
    url : str
        Of the database, as SQLAlchemy has it.
    name : str
        Of the sweep in it.
    space : SearchSpace
    whole : frozenset of str
        Settings that are whole numbers.
    given : mapping or None
        Settings of the first trial.
    n_values : int
        1 is pruned; of 2 the Pareto front is sought.
    warmup : int
        Steps before a trial may be pruned.
    seed : int
    """

    url: str
    name: str
    space: SearchSpace
    whole: frozenset[str]
    given: dict[str, Any] | None
    n_values: int
    warmup: int
    seed: int

    @contextmanager
    def open(self) -> Iterator[SweepTrials]:
        """Connect, and make what is not there yet.

        Raises
        ------
        FairPOValueError
            Not an URL of a database.
        FairPOImportError
            The driver of the database is not installed.
        FairPOError
            The database cannot be reached.
        """
        sampler = _SeededByPlace(self)
        with _quiet():
            storage = _connect(self.url)
            try:
                study = optuna.create_study(
                    storage=storage,
                    study_name=self.name,
                    load_if_exists=True,
                    directions=["maximize"] * self.n_values,
                    sampler=sampler,
                    pruner=optuna.pruners.MedianPruner(_FEWEST_BEFORE_PRUNING, self.warmup),
                )
                yield SweepTrials(self, study, storage, sampler)
            finally:
                storage.remove_session()
                storage.engine.dispose()

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Return the settings of a trial."""
        settings: dict[str, Any] = {}
        for name, dimension in self.space.items():
            if isinstance(dimension, Choices):
                settings[name] = trial.suggest_categorical(name, dimension.choices)
            elif name in self.whole:
                whole = int(dimension.low), int(dimension.high)
                settings[name] = trial.suggest_int(name, *whole, log=dimension.log)
            else:
                ends = dimension.low, dimension.high
                settings[name] = trial.suggest_float(name, *ends, log=dimension.log)
        return settings

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the space in Optuna's terms."""
        return {name: self._distribution(name, d) for name, d in self.space.items()}

    def _distribution(self, name: str, dimension: Range | Choices) -> BaseDistribution:
        if isinstance(dimension, Choices):
            return CategoricalDistribution(dimension.choices)
        if name in self.whole:
            return IntDistribution(int(dimension.low), int(dimension.high), dimension.log)
        return FloatDistribution(dimension.low, dimension.high, dimension.log)


class SweepTrials:
    """The trials of a sweep, the database being open."""

    def __init__(
        self,
        store: SweepStore,
        study: optuna.Study,
        storage: optuna.storages.RDBStorage,
        sampler: _SeededByPlace,
    ) -> None:
        self.store, self.study, self.storage, self.sampler = store, study, storage, sampler

    def run(self, train: Train, most: int, slot: str) -> None:
        """Run the next trial, unless there are enough; what goes wrong in it is recorded.

        Parameters
        ----------
        train : callable
        most : int
            Trials in all.
        slot : str
            By which :meth:`bury` finds the trial if its process dies.
        """

        def objective(trial: optuna.Trial) -> tuple[float, ...]:
            if self.sampler.place >= most:
                raise _OneTooManyError
            trial.set_user_attr(_PLACE, self.sampler.place)
            trial.set_user_attr(_SLOT, slot)
            settings = self.store.suggest(trial)

            def report(step: int, value: float) -> None:
                if self.store.n_values > 1:
                    return
                trial.report(value, step)
                if trial.should_prune():
                    raise optuna.TrialPruned

            try:
                values, about = train(settings, report)
            except optuna.TrialPruned:
                raise
            except Exception as error:
                trial.set_user_attr(_ERROR, str(error) or type(error).__name__)
                raise
            for key, value in about.items():
                trial.set_user_attr(key, value)
            return values

        try:
            self.study.optimize(objective, n_trials=1, catch=(Exception,))
        except _ENDED:
            # Taken for killed, as after a pause of the machine, it is over: another has its place.
            if not any(trial.state.is_finished() for trial in self._of(slot)):
                raise

    def counted(self) -> list[FrozenTrial]:
        """Trials that are done or running; not those that were killed."""
        return _counted(self.study)

    def n_running(self) -> int:
        """Trials that no process has ended, whether it lives or not."""
        return sum(trial.state == TrialState.RUNNING for trial in self.counted())

    def free_stale(self) -> None:
        """Free the places of trials without a heartbeat.

        Optuna counts from the last one, and never ends a trial that was killed before its first:
        whoever waits gives each trial one, once, so that its silence can be counted from there.
        """
        optuna.storages.fail_stale_trials(self.study)
        study = self.storage.get_study_id_from_name(self.store.name)
        for trial in self.counted():
            if trial.state == TrialState.RUNNING and _SEEN not in trial.user_attrs:
                known = self.storage.get_trial_id_from_study_id_trial_number(study, trial.number)
                with suppress(*_ENDED):  # it may end meanwhile
                    self.storage.set_trial_user_attr(known, _SEEN, True)
                    self.storage.record_heartbeat(known)

    def free_running(self) -> None:
        """Free the places of all trials under way: whoever ran them is dead."""
        for trial in self.counted():
            if trial.state == TrialState.RUNNING:
                self.study.tell(trial.number, state=TrialState.FAIL)

    def bury(self, slot: str, error: Exception) -> None:
        """Record the trial of a process that died, unless it is over; raise what is no trial's."""
        found = self._of(slot)
        if not found:
            raise error
        for trial in found:
            if trial.state == TrialState.RUNNING:
                with suppress(*_ENDED):  # by another call, meanwhile
                    self.storage.set_trial_user_attr(trial._trial_id, _ERROR, str(error))
                    self.study.tell(trial.number, state=TrialState.FAIL)

    def _of(self, slot: str) -> list[FrozenTrial]:
        """The trial that was run for a slot, if it has begun."""
        found = self.study.get_trials(deepcopy=False)
        return [trial for trial in found if trial.user_attrs.get(_SLOT) == slot]

    def table(self) -> list[dict[str, Any]]:
        """Return what is known of each trial that is over, in their order."""
        return [_row(trial) for trial in self.counted() if trial.state.is_finished()]

    def importance(self) -> dict[str, float] | None:
        """Relative importance of each setting for privileged mAP (fANOVA).

        Shares that add up to 1, however little all of them explain; of random values too.
        """
        complete = [t for t in self.counted() if t.state == TrialState.COMPLETE]
        different = {_privileged(trial) for trial in complete}
        if len(complete) < FEWEST_FOR_IMPORTANCE or len(different) < 2:
            return None
        found = optuna.importance.get_param_importances(
            self.study,
            evaluator=optuna.importance.FanovaImportanceEvaluator(seed=self.store.seed),
            target=_privileged,
        )
        return {name: float(value) for name, value in found.items()}


def check_storage(url: str) -> None:
    """Refuse a database that cannot be used, as :meth:`SweepStore.open` does, before any work."""
    with _quiet():
        _connect(url).engine.dispose()


def without_password(url: str) -> str:
    """Return the URL of a database as it may be shown; what is no URL may hold a password too."""
    try:
        return sqlalchemy.make_url(url).render_as_string(hide_password=True)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        return re.sub(r":[^:@]*@", ":***@", url)


def _connect(url: str) -> optuna.storages.RDBStorage:
    """Connect; of calls that make the tables at once all but one fail, and try again."""
    left = _ATTEMPTS
    while True:
        try:
            return _connect_once(url)
        except sqlalchemy.exc.ArgumentError as error:
            raise value_error(
                "storage",
                must="be a database as SQLAlchemy has it",
                got=repr(without_password(url)),
                do="Such as sqlite:///sweep.db or postgresql://user@host/name.",
            ) from error
        except ImportError as error:
            shown, why = without_password(url), error.__cause__ or error
            raise FairPOImportError(f"the driver of {shown} is missing: {why}.") from error
        except (
            sqlalchemy.exc.SQLAlchemyError,
            optuna.exceptions.StorageInternalError,
        ) as error:
            left -= 1
            if not left:
                shown, reason = without_password(url), str(error).splitlines()[0]
                raise FairPOError(f"{shown} cannot be used: {reason}.") from error
            time.sleep(_PAUSE_SECONDS)


def _connect_once(url: str) -> optuna.storages.RDBStorage:
    sqlite = sqlalchemy.make_url(url).get_backend_name() == "sqlite"
    return optuna.storages.RDBStorage(
        url,
        # SQLite lets one process write at a time; the others wait.
        engine_kwargs={"connect_args": {"timeout": 100}} if sqlite else None,
        heartbeat_interval=HEARTBEAT_SECONDS,
        grace_period=GRACE_SECONDS,
    )


class _OneTooManyError(Exception):
    """Another process was faster: there are enough trials."""


class _SeededByPlace(optuna.samplers.BaseSampler):
    """Optuna's TPE, seeded anew for each trial by its place; the settings as given come first."""

    def __init__(self, store: SweepStore) -> None:
        self.store = store
        self.place = 0
        self._tpe = optuna.samplers.TPESampler()

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self.place = _free_place(_counted(study), trial.number)
        seed = np.random.SeedSequence((self.store.seed, self.place)).generate_state(1)[0]
        self._tpe = optuna.samplers.TPESampler(seed=int(seed), constant_liar=True)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        if self._as_given is not None:
            return self.store.distributions()
        return self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._as_given or self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)

    @property
    def _as_given(self) -> dict[str, Any] | None:
        return self.store.given if self.place == 0 else None


def _counted(study: optuna.Study) -> list[FrozenTrial]:
    """Trials but those that were killed, or that were one too many: they have no place."""
    found = study.get_trials(deepcopy=False)
    return [
        trial for trial in found if trial.state != TrialState.FAIL or _ERROR in trial.user_attrs
    ]


def _free_place(counted: list[FrozenTrial], number: int) -> int:
    """First place that no trial has, after those of earlier trials that have not said theirs."""
    taken = {t.user_attrs[_PLACE] for t in counted if _PLACE in t.user_attrs}
    earlier = sum(_PLACE not in t.user_attrs and t.number < number for t in counted)
    free = (place for place in range(len(counted) + len(taken) + 1) if place not in taken)
    for _ in range(earlier):
        next(free)
    return next(free)


def _privileged(trial: FrozenTrial) -> float:
    """Privileged mAP of a complete trial; its value where no privileged label has a positive."""
    found = trial.user_attrs.get("privileged")
    return float(trial.values[0] if found is None else found)


def _row(trial: FrozenTrial) -> dict[str, Any]:
    names = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}
    return {
        "number": trial.number,
        "state": names.get(trial.state, "failed"),
        "settings": trial.params,
        "values": trial.values,
        **{key: trial.user_attrs.get(key) for key in ABOUT},
        "seconds": None if trial.duration is None else round(trial.duration.total_seconds(), 3),
        "error": trial.user_attrs.get(_ERROR),
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """What Optuna says of each trial, and of what is new in it, is not for our users."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
