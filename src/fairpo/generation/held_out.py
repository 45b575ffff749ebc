"""Pairs that models are judged on: none that a run says it was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fairpo._checks import build_settings, value_error
from fairpo.generation.plans import EvaluatePlan
from fairpo.generation.preferences import PreferencePairs
from fairpo.generation.readers import EMBEDDED, PairOptions, load_pairs, read_pairs
from fairpo.generation.runs import is_lm_run, is_same_source, read_lm_run, reading_of

_LONGEST_LINE = 20
"""Runs of which one began as the other: no more are followed."""


def pairs_to_judge(plan: EvaluatePlan) -> str:
    """Name the pairs: those of the plan, or those that its last run was trained on.

    Raises
    ------
    FairPOValueError
        Neither is known.
    """
    if plan.pairs is not None:
        return plan.pairs
    runs = [read_lm_run(name) for name in plan.models if is_lm_run(name)]
    if not runs:
        raise value_error("PAIRS", must="be given", got="no run that says what it was trained on")
    return runs[-1].data


def held_out_pairs(plan: EvaluatePlan, *, fetch: bool = False) -> dict[str, PreferencePairs]:
    """Load what models are judged on.

    Parameters
    ----------
    plan : EvaluatePlan
    fetch : bool
        Whether pairs may be downloaded.

    Returns
    -------
    dict with "test", the pairs to judge, and "train"
        A source that one of the models, or what it began as, was trained on is read as it was
        then, so that its test pairs are the same; ``plan.data_options`` stand over that. Of any
        other source the test split is taken, and all pairs where it has no splits.

    Raises
    ------
    FairPOError
        As of :func:`~fairpo.generation.readers.load_pairs`.

    Notes
    -----
    A source is known by its path or its file's name: a copy under another name is not.
    """
    source = pairs_to_judge(plan)
    names = (*plan.models, *([plan.baseline] if plan.baseline else []))
    runs = tuple(_lineage(names))
    reading = reading_of(source, runs, plan.data_options)
    options = build_settings(PairOptions, {"fetch": fetch, **reading})
    known = any(is_same_source(source, read_lm_run(run).data) for run in runs)
    if known or source == EMBEDDED:
        return load_pairs(source, options)
    parts = read_pairs(source, options)
    if "test" in parts:
        return {"train": parts.get("train", parts["test"]), "test": parts["test"]}
    if set(parts) != {"train"}:
        return load_pairs(source, options)
    pairs = parts["train"]
    note = f"{pairs.name} has no splits and is not what was trained on: all its pairs are judged"
    pairs = replace(pairs, notes=(*pairs.notes, note))
    return {"train": pairs, "test": pairs}


def _lineage(names: tuple[str, ...]) -> Iterator[str]:
    """Folders of the runs among models, each followed by those that it began as."""
    for name in names:
        for _ in range(_LONGEST_LINE):
            if not is_lm_run(name):
                break
            yield name
            name = read_lm_run(name).start
