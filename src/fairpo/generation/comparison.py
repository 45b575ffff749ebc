"""Methods over pairs compared: SFT once a seed, every method from it, all on one budget.

The models of all seeds and methods are judged on the same test pairs and prompts. Where the
privileged attributes are chosen by the reference's accuracy, it is the mean over the seeds' SFT
models, so that the groups are the same under every seed.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fairpo._checks import (
    FairPOError,
    FairPOFileError,
    build_settings,
    check_unique,
    unknown_name,
    value_error,
)
from fairpo.generation.attribute_groups import one_each, resolve_attributes, together
from fairpo.generation.comparison_folder import (
    begin_folder,
    digest_of,
    digest_of_pairs,
    model_folder,
    read_trial,
    trial_file,
    write_trial,
)
from fairpo.generation.decoding import write_completions
from fairpo.generation.implicit_reward import length_normalised_margins
from fairpo.generation.judges.judge import Judge
from fairpo.generation.judges.named import ORACLE, REWARD, check_judge, judge_named
from fairpo.generation.language_models import load_language_model
from fairpo.generation.pair_scores import PairScores, score_pairs
from fairpo.generation.plans import ComparePlan
from fairpo.generation.preferences import PreferencePairs
from fairpo.generation.questions import Questions, check_asked, questions_of
from fairpo.generation.readers import EMBEDDED, PairOptions, load_pairs
from fairpo.generation.runs import describe_run, read_lm_run, write_lm_run
from fairpo.generation.tiny import TINY, LanguageModel
from fairpo.generation.training import (
    SFT,
    OnStep,
    check_privileged,
    demonstrations_of,
    train_language_model,
    training_arguments,
)
from fairpo.groups import LabelGroups, parse_privileged
from fairpo.objectives.pair_catalogue import get_pair_method


@dataclass(frozen=True)
class Trial:
    """A method under a seed: what its model says of the test pairs, and what it writes.

    Parameters
    ----------
    method : str
    seed : int
    scores : PairScores
        Of the test pairs.
    completions : list of str
        Of the prompts of the questions; none where nobody judges.
    log : list of dict
        Every record of its training.
    seconds : float
        That the training took.
    """

    method: str
    seed: int
    scores: PairScores
    completions: list[str]
    log: list[dict[str, Any]]
    seconds: float


@dataclass(frozen=True)
class Compared:
    """What a comparison ran.

    Parameters
    ----------
    plan : ComparePlan
    parts : dict from split to PreferencePairs
    groups : LabelGroups
        Over the attributes.
    questions : Questions
    judge : Judge or None
    trials : dict from (method, seed) to Trial
    failed : list of dict
        Method, seed and error of the trials that failed.
    """

    plan: ComparePlan
    parts: dict[str, PreferencePairs]
    groups: LabelGroups
    questions: Questions
    judge: Judge | None
    trials: dict[tuple[str, int], Trial]
    failed: list[dict[str, Any]] = field(default_factory=list)

    @property
    def methods(self) -> tuple[str, ...]:
        """SFT, and then the others in the order of the plan."""
        return methods_of(self.plan)


def methods_of(plan: ComparePlan) -> tuple[str, ...]:
    """Methods of a plan, SFT first."""
    return (SFT, *(method for method in plan.methods if method != SFT))


def check_plan(plan: ComparePlan) -> None:
    """Refuse, before any work, what cannot be run.

    Raises
    ------
    FairPOError
        Unknown methods, settings or judges, or no privileged attributes for a method that knows
        groups.
    """
    check_unique(plan.methods, "the methods")
    for method in plan.overrides:
        if method not in methods_of(plan):
            raise unknown_name("method of overrides", method, methods_of(plan), of="methods")
    for method in methods_of(plan):
        _arguments(plan, method, 0, tiny=True, folder=Path("unused"))
        check_privileged(method, plan.privileged)
    if plan.judge == REWARD:
        raise value_error(
            "--judge", must="be left out", got=REWARD, do="Reward accuracy is always there."
        )
    if plan.judge is not None:
        check_judge(plan.judge, plan.pairs)


def run_comparison(
    plan: ComparePlan,
    *,
    fetch: bool = False,
    overwrite: bool = False,
    on_step: Callable[[str, int, int], object] | None = None,
    say: Callable[[str], object] | None = None,
) -> Compared:
    """Run what is not done yet.

    Parameters
    ----------
    plan : ComparePlan
    fetch : bool
        Whether pairs and models may be downloaded.
    overwrite : bool
        Whether what is in the folder is to be deleted first.
    on_step : callable, optional
        Told what is trained, the step, and the number of steps.
    say : callable, optional
        Told what a user should know, a line at a time.

    Returns
    -------
    Compared
        Of the whole folder, what was done before included. A trial that failed is recorded, and
        the rest goes on.

    Raises
    ------
    FairPOError
        Options, pairs or a judge that do not fit, before any training; a folder that holds
        something else; or no SFT model under any seed.
    """
    check_plan(plan)
    told = say or (lambda _: None)
    options = build_settings(PairOptions, {"fetch": fetch, **plan.data_options})
    parts = load_pairs(plan.pairs, options)
    judge_name = plan.judge or (ORACLE if plan.pairs == EMBEDDED else None)
    judge = None if judge_name is None else judge_named(judge_name, plan.pairs, fetch=fetch)
    questions = questions_of(
        parts["test"], every_attribute=judge_name == ORACLE, n_prompts=plan.n_prompts
    )
    if judge is not None:
        check_asked(judge, questions)
    _check_groups(plan, parts)
    begin_folder(plan, overwrite=overwrite)
    runner = _Runner(plan, parts, questions, judge is not None, fetch, on_step)
    trials: dict[tuple[str, int], Trial] = {}
    failed: list[dict[str, Any]] = []

    def attempt(method: str, seed: int, groups: LabelGroups | None) -> None:
        try:
            if method != SFT and (SFT, seed) not in trials:
                raise value_error("the SFT model", must="be there", got=f"none for seed {seed}")
            trials[method, seed] = runner.trial(method, seed, groups)
        except Exception as error:  # of one trial: it is recorded, and the others go on
            lines = traceback.format_exception(error)
            words = str(error) or type(error).__name__
            failed.append({"method": method, "seed": seed, "error": words, "trace": "".join(lines)})
            told(f"{method}, seed {seed} failed: {words}")

    for seed in range(plan.seeds):
        attempt(SFT, seed, None)
    if not trials:
        raise FairPOError(f"no SFT model could be trained: {failed[0]['error']}")
    groups = _groups(plan, parts, [runner.start(seed) for _, seed in trials])
    for seed in range(plan.seeds):
        for method in methods_of(plan)[1:]:
            attempt(method, seed, groups)
    return Compared(plan, parts, groups, questions, judge, trials, failed)


class _Runner:
    """Runs trials, or reads them where they are done."""

    def __init__(
        self,
        plan: ComparePlan,
        parts: dict[str, PreferencePairs],
        questions: Questions,
        judged: bool,
        fetch: bool,
        on_step: Callable[[str, int, int], object] | None,
    ) -> None:
        self._plan, self._parts, self._questions = plan, parts, questions
        self._judged, self._fetch, self._on_step = judged, fetch, on_step
        self._of_pairs = digest_of_pairs(parts)

    def start(self, seed: int) -> Path:
        """The folder of a seed's SFT model."""
        return model_folder(self._plan.out, SFT, seed)

    def trial(self, method: str, seed: int, groups: LabelGroups | None) -> Trial:
        """Train a method under a seed, and hear its model; or read what it said."""
        folder = self._plan.out
        trained = digest_of(self._depends_on(method, seed, groups))
        key = digest_of([trained, self._heard_of()])
        found = read_trial(folder, method, seed, key=key)
        if found is None or found.get("model") != self._written(method, seed):
            before = read_trial(folder, method, seed, trained=trained)
            if before is None or before.get("model") != self._written(method, seed):
                loaded, seconds = self._train(method, seed, groups)
            else:  # a judge came or went: the model stays
                loaded = load_language_model(str(model_folder(folder, method, seed)))
                seconds = before["seconds"]
            found = {"key": key, "trained": trained, "seconds": seconds}
            found |= {"model": self._written(method, seed), **self._heard(loaded, seed)}
            write_trial(folder, method, seed, found)
        log = read_lm_run(model_folder(folder, method, seed)).log_history
        return Trial(
            method,
            seed,
            PairScores(*(np.array(column, dtype=np.float64) for column in found["scores"])),
            found["completions"],
            list(log),
            found["seconds"],
        )

    def _written(self, method: str, seed: int) -> str | None:
        """Digest of the model that is there: one that was stopped may have replaced it."""
        try:
            return read_lm_run(model_folder(self._plan.out, method, seed)).digest
        except FairPOFileError:
            return None

    def _heard_of(self) -> list[Any]:
        """What decides on scores and completions, beside the model."""
        plan = self._plan
        written = [plan.max_new_tokens, plan.sample, plan.temperature, self._judged]
        return [*written, len(self._questions.prompts), plan.max_length]

    def _depends_on(self, method: str, seed: int, groups: LabelGroups | None) -> dict[str, Any]:
        """What decides on the model."""
        plan = self._plan
        told: dict[str, Any] = {
            "pairs": self._of_pairs,
            "method": method,
            "seed": seed,
            "settings": settings_of(plan, method),
        }
        if method == SFT:
            return {**told, "model": plan.model}
        start = read_lm_run(self.start(seed)).digest
        if get_pair_method(method).mean_of is not None:
            return {**told, "start": start}
        assert groups is not None
        return {**told, "start": start, "groups": _plain(groups)}

    def _train(
        self, method: str, seed: int, groups: LabelGroups | None
    ) -> tuple[LanguageModel, float]:
        """Train a model and write it; and the seconds that the training took."""
        plan, parts = self._plan, self._parts
        source = plan.model if method == SFT else str(self.start(seed))
        loaded = load_language_model(source, parts["train"], fetch=self._fetch, seed=seed)
        tiny = plan.model == TINY
        on_step: OnStep | None = None
        if self._on_step is not None:
            on_step = partial(self._on_step, f"{method}, seed {seed}")
        begun = time.perf_counter()
        trainer = train_language_model(
            loaded,
            demonstrations_of(parts) if method == SFT else parts["train"],
            parts["validation"],
            lambda folder: _arguments(plan, method, seed, tiny=tiny, folder=folder),
            groups=groups,
            on_step=on_step,
        )
        seconds = time.perf_counter() - begun
        run = describe_run(
            trainer,
            start=source,
            tiny=tiny,
            reference=None if method == SFT else read_lm_run(self.start(seed)).digest,
            data=plan.pairs,
            data_options=plan.data_options,
            settings=settings_of(plan, method),
        )
        trial_file(plan.out, method, seed).unlink(missing_ok=True)  # it is of another model
        write_lm_run(model_folder(plan.out, method, seed), trainer, run, overwrite=True)
        return loaded, seconds

    def _heard(self, loaded: LanguageModel, seed: int) -> dict[str, Any]:
        """What a model says of the test pairs, and what it writes."""
        plan, parts = self._plan, self._parts
        scores = score_pairs(
            loaded, parts["test"], max_length=plan.max_length, batch_size=plan.batch_size
        )
        completions = []
        if self._judged:
            completions = write_completions(loaded, self._questions.prompts, plan, seed=seed)
        columns = [[None if np.isnan(x) else x for x in part.tolist()] for part in scores]
        return {"scores": columns, "completions": completions}


def settings_of(plan: ComparePlan, method: str) -> dict[str, Any]:
    """Settings of a method: the plan's, and its own over them."""
    common = plan.sft if method == SFT else plan.settings
    return {**common, **plan.overrides.get(method, {})}


def _arguments(plan: ComparePlan, method: str, seed: int, *, tiny: bool, folder: Path) -> Any:
    settings = settings_of(plan, method)
    return training_arguments(method, settings, tiny=tiny, folder=folder, seed=seed)


def _check_groups(plan: ComparePlan, parts: Mapping[str, PreferencePairs]) -> None:
    """Refuse, before any training, privileged attributes that these pairs have not."""
    if plan.privileged is not None:
        train = parts["train"]
        any_accuracy = np.linspace(0.0, 1.0, len(train.attribute_names))
        rule = parse_privileged(plan.privileged)
        resolve_attributes(rule, train.targets, train.attribute_names, any_accuracy)


def _groups(
    plan: ComparePlan, parts: Mapping[str, PreferencePairs], starts: list[Path]
) -> LabelGroups:
    """Groups of all seeds; without privileged attributes all are of one."""
    names = parts["train"].attribute_names
    if plan.privileged is None:
        return together(len(names))
    rule = parse_privileged(plan.privileged)
    accuracy = None
    if rule.needs_reference_ap:
        accuracy = _mean_accuracy(plan, parts["validation"], starts)
    groups = resolve_attributes(rule, parts["train"].targets, names, accuracy)
    return one_each(groups, names) if plan.per_attribute else groups


def _mean_accuracy(plan: ComparePlan, pairs: PreferencePairs, starts: list[Path]) -> Any:
    """Accuracy per token of each attribute on validation pairs, a mean over the SFT models."""
    shares = []
    for start in starts:
        loaded = load_language_model(str(start))
        margins = length_normalised_margins(
            *score_pairs(loaded, pairs, max_length=plan.max_length, batch_size=plan.batch_size)
        )
        places = range(len(pairs.attribute_names))
        known = [margins[(pairs.attributes == at) & ~np.isnan(margins)] for at in places]
        shares.append([(own > 0).mean() if len(own) else np.nan for own in known])
    return np.mean(shares, axis=0)


def _plain(groups: LabelGroups) -> list[Any]:
    return [[group.name, list(group.indices), group.role] for group in groups.groups]
