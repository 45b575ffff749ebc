"""Language models judged on test pairs: by what they find likely, or by what they write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

import fairpo
from fairpo._checks import check_unique, unknown_name, value_error
from fairpo.generation.attribute_groups import resolve_attributes, together
from fairpo.generation.comparison_folder import SAMPLES, write_lines
from fairpo.generation.decoding import write_completions
from fairpo.generation.held_out import pairs_to_judge
from fairpo.generation.implicit_reward import (
    length_normalised_margins,
    reference_margins,
    reward_accuracy,
)
from fairpo.generation.judges.named import ORACLE, REWARD, check_judge, judge_named
from fairpo.generation.language_models import load_language_model
from fairpo.generation.pair_scores import score_pairs
from fairpo.generation.plans import EvaluatePlan
from fairpo.generation.preferences import PreferencePairs
from fairpo.generation.questions import (
    Questions,
    ask,
    check_asked,
    questions_of,
    sample_lines,
)
from fairpo.generation.rates import Rates, plain
from fairpo.generation.runs import LMRun, is_lm_run, read_lm_run
from fairpo.groups import LabelGroups, LabelPartition, parse_privileged
from fairpo.metrics.ranking import Floats
from fairpo.models.checkpoint import write_json
from fairpo.training.run import check_output

EVALUATION = "evaluation.json"


def check_evaluation(plan: EvaluatePlan, *, overwrite: bool) -> None:
    """Refuse, before any work, what cannot be judged.

    Raises
    ------
    FairPOError
        An unknown judge, one model where two are compared, a run folder that is damaged, or an
        output folder that holds something else.
    """
    check_unique(plan.models, "the models")
    source = pairs_to_judge(plan)
    others = [name for name in plan.models if name != plan.baseline]
    if plan.judge != REWARD:
        check_judge(plan.judge, source)
        if len({*plan.models, plan.baseline} - {None}) < 2:
            raise value_error(
                "the models",
                must="be two at least for a judge, or one beside --baseline",
                got=len(plan.models),
            )
    if not others:
        raise value_error(
            "the models", must="hold another than the baseline", got=", ".join(plan.models)
        )
    for name in (*plan.models, *([plan.baseline] if plan.baseline else [])):
        if Path(name).is_dir() and is_lm_run(name):
            read_lm_run(name)
    if plan.out is not None:
        check_output(plan.out, overwrite=overwrite, marks=(EVALUATION,))


def evaluate_models(
    plan: EvaluatePlan,
    parts: Mapping[str, PreferencePairs],
    *,
    fetch: bool = False,
    say: Callable[[str], object] | None = None,
) -> dict[str, Any]:
    """Judge models on the test split of pairs.

    Parameters
    ----------
    plan : EvaluatePlan
    parts : mapping from split to PreferencePairs
        Of :func:`~fairpo.generation.held_out.held_out_pairs`: ``test`` is judged.
    fetch : bool
        Whether models may be downloaded.
    say : callable, optional
        Told what is being done.

    Returns
    -------
    dict, JSON-able
        ``measure`` (reward-accuracy, or the judge's name), ``reward`` (implicit or per_token),
        ``baseline``, ``attribute_names``, ``privileged``, ``models`` with rates as in a comparison,
        paired ``differences``, ``counts`` of the judge, and ``notes``.

    Raises
    ------
    FairPOError
        What is not there, does not fit, or was never trained on.
    """
    told = say or (lambda _: None)
    names = [*dict.fromkeys([*([plan.baseline] if plan.baseline else []), *plan.models])]
    baseline = plan.baseline if plan.baseline or plan.judge == REWARD else names[0]
    runs = {name: read_lm_run(name) for name in names if is_lm_run(name)}
    pairs = restrict_to(parts["test"], plan.attributes)
    _check_attributes(pairs, runs)
    groups, privileged = _groups(plan, parts, pairs.attribute_names, runs)
    judged = plan.judge != REWARD
    judge = judge_named(plan.judge, pairs_to_judge(plan), fetch=fetch) if judged else None
    questions = questions_of(pairs, every_attribute=plan.judge == ORACLE)
    if judge is not None:
        check_asked(judge, questions)
    heard: dict[str, Any] = {}
    for name in names:
        told(f"{name}: {'writing' if judged else 'scoring'}")
        loaded = load_language_model(name, fetch=fetch)
        if judged:
            heard[name] = write_completions(loaded, questions.prompts, plan, seed=plan.seed)
        else:
            heard[name] = score_pairs(
                loaded, pairs, max_length=plan.max_length, batch_size=plan.batch_size
            )
    others = [name for name in names if name != baseline]
    if judge is None:
        rates = reward_accuracy(
            {name: _margins(heard, name, baseline) for name in others},
            pairs.attributes,
            pairs.attribute_names,
            groups,
            pairs.prompt_numbers,
            n_resamples=plan.n_resamples,
        )
        verdicts: dict[str, Floats] = {}
    else:
        verdicts = {
            name: ask(judge, questions, heard[name], heard[str(baseline)]) for name in others
        }
        rates = Rates.from_values(
            verdicts,
            questions.attributes,
            pairs.attribute_names,
            groups,
            questions.places,
            n_resamples=plan.n_resamples,
        )
    found = {
        "kind": "lm-evaluation",
        "version": fairpo.__version__,
        "settings": plan.model_dump(mode="json"),
        "data": {"name": pairs.name, "n_pairs": len(pairs), "notes": list(pairs.notes)},
        "measure": REWARD if judge is None else judge.name,
        "reward": ("per_token" if baseline is None else "implicit") if judge is None else None,
        "baseline": baseline,
        "level": rates.level,
        "n_prompts": rates.n_prompts,
        "attribute_names": list(pairs.attribute_names),
        "privileged": privileged,
        "models": {name: run.to_dict() for name, run in rates.runs.items()},
        "differences": [
            {
                "first": later,
                "second": earlier,
                "keys": {key: plain(d) for key, d in rates.difference(later, earlier).items()},
            }
            for earlier, later in combinations(others, 2)
        ],
        "counts": dict(getattr(judge, "counts", {})),
        "notes": _notes(rates),
    }
    if plan.out is not None:
        _write(plan.out, found, questions, heard if judged else {}, verdicts)
    return found


def restrict_to(pairs: PreferencePairs, names: tuple[str, ...]) -> PreferencePairs:
    """Pairs of some attributes, numbered anew; all of them where none is named.

    Raises
    ------
    FairPOValueError
        An unknown attribute, or none of the pairs is left.
    """
    if not names:
        return pairs
    for name in names:
        if name not in pairs.attribute_names:
            raise unknown_name("attribute", name, pairs.attribute_names, of="attributes")
    places = {pairs.attribute_names.index(name): number for number, name in enumerate(names)}
    kept = np.isin(pairs.attributes, list(places))
    if not kept.any():
        raise value_error(
            "the attributes", must="drive a test pair", got=f"none for {', '.join(names)}"
        )
    part = pairs.subset(kept)
    numbers = np.array([places[place] for place in part.attributes.tolist()], dtype=np.int64)
    agreement = None if part.agreement is None else part.agreement[:, list(places)]
    return replace(part, attributes=numbers, attribute_names=names, agreement=agreement)


def _check_attributes(pairs: PreferencePairs, runs: Mapping[str, LMRun]) -> None:
    """Refuse pairs of an attribute that no run has seen in training."""
    seen = {name for run in runs.values() for name in run.attribute_names}
    if not runs:
        return
    for name, count in zip(pairs.attribute_names, pairs.counts.tolist(), strict=True):
        if count and name not in seen:
            trained = sorted(seen)
            error = unknown_name("attribute", name, trained, of="attributes in training")
            raise type(error)(f"{error} Choose others with --attributes.")


def _groups(
    plan: EvaluatePlan,
    parts: Mapping[str, PreferencePairs],
    names: tuple[str, ...],
    runs: Mapping[str, LMRun],
) -> tuple[LabelGroups, list[str]]:
    """Groups over the attributes that are judged, and the privileged ones by name."""
    if plan.privileged is not None:
        rule = parse_privileged(plan.privileged)
        if rule.needs_reference_ap:
            raise value_error(
                "--privileged",
                must="name attributes here",
                got=repr(plan.privileged),
                do="A run knows which it was trained with: leave it out.",
            )
        train = restrict_to(parts["train"], names)
        groups = resolve_attributes(rule, train.targets, names)
        return groups, [names[place] for place in groups.privileged]
    for run in reversed(list(runs.values())):
        of_run = run.label_groups()
        chosen = [run.attribute_names[place] for place in of_run.privileged]
        privileged = [name for name in names if name in chosen]
        if len(chosen) < len(run.attribute_names) and privileged:
            return LabelPartition.from_names(privileged, names), privileged
    return together(len(names)), []


def _margins(heard: dict[str, Any], name: str, baseline: str | None) -> Floats:
    own = heard[name]
    if baseline is None:
        return length_normalised_margins(*own)
    start = heard[baseline]
    return reference_margins(own.chosen, own.rejected, start.chosen, start.rejected)


def _notes(rates: Rates) -> list[str]:
    skipped = max(run.overall.skipped for run in rates.runs.values())
    return [f"up to {skipped} rows of a model are without a verdict, and in no rate"] * bool(
        skipped
    )


def _write(
    folder: Path,
    found: dict[str, Any],
    questions: Questions,
    written: dict[str, list[str]],
    verdicts: dict[str, Floats],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / EVALUATION, found)
    if written:
        write_lines(folder / SAMPLES, sample_lines(questions, written, verdicts))
    else:
        (folder / SAMPLES).unlink(missing_ok=True)  # of an evaluation that this one replaces
