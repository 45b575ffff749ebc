"""The figures of the suite as Markdown, and as JSON beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fairpo._markdown import markdown_table
from fairpo._titles import METRIC_TITLES
from fairpo.experiments.rare_labels.conduct import PAPER_LAST, SEEDS, TOLERANCE, UNTUNED
from fairpo.experiments.rare_labels.figures import (
    METRICS,
    Difference,
    SetFigures,
    over_sets,
    time_ratio,
)
from fairpo.experiments.rare_labels.trials import ALIKE, N_SCRATCH, N_TRIALS, OURS, VARIANTS
from fairpo.groups import NON_PRIVILEGED, PRIVILEGED
from fairpo.objectives.catalogue import CLOSED_FORM

_P, _N = f"map/{PRIVILEGED}", f"map/{NON_PRIVILEGED}"
_NO_BASELINE = (PAPER_LAST, CLOSED_FORM, ALIKE, OURS)
_UNDER, _PRICE = -1.0, 1.5


def rare_labels_page(sets: Sequence[SetFigures]) -> str:
    """Write the page of the claim."""
    parts = [
        _claim(sets),
        "## Ours against the best baseline of each set\n\n" + _gains(sets),
        "## Every method\n\n" + _methods(sets),
        "## Decisions, re-calibrated\n\n" + _decisions(sets),
        "## Runs against their own reference\n\n" + _runs(sets),
        "## What references say of their own rows\n\n" + _own_rows(sets),
    ]
    return "\n\n".join(parts) + "\n"


def parts_page(sets: Sequence[SetFigures]) -> str:
    """Write the page of the method's parts."""
    return f"## Part by part\n\n{_parts(sets)}\n"


def _claim(sets: Sequence[SetFigures]) -> str:
    held = [each.against["reference"][_N] for each in sets]
    seconds = [(each.seconds[OURS], each.seconds[UNTUNED]) for each in sets]
    ratio = sum(own for own, _ in seconds) / sum(other for _, other in seconds)
    slow = [each for each in sets if time_ratio(each) > _PRICE]
    worse = [each for each in sets if each.against["reference"][_N].value < -0.3]
    below = [
        f"{key} on {each.name}"
        for each in sets
        for key, difference in each.against["reference"].items()
        if difference.high < 0 and "/" in key and not key.startswith("map/")
    ]
    highest = np.mean([_highest(each) for each in sets])
    told = (
        f"{len(sets)} sets, P the rarest fifth of the labels that can be judged, N the others; "
        f"points on the test rows; {N_TRIALS} trials a baseline and head under one seed, "
        f"{N_SCRATCH} more from scratch where a loss is made for it; {len(SEEDS)} final seeds; "
        f"`{OURS}` with its one default (docs/LOG.md says how it was chosen)."
    )
    rows = [
        (
            "mean gain on P over the best baseline of each set, hierarchical bootstrap",
            "interval above 0; +2",
            _told(over_sets(sets)),
        ),
        ("the same over the baseline that is best on the test rows", "", f"{highest:+.1f}"),
        (
            "the same over kernel ridge regression alone, which it holds",
            "",
            _told(over_sets(sets, "closed_form")),
        ),
        (
            "the same over that and cross-entropy weighed, all labels alike",
            "",
            _told(over_sets(sets, "alike")),
        ),
        (
            "N against the better of ridge regression and cross-entropy, worst set",
            "-0.3 or more",
            f"{min(each.value for each in held):+.1f}; below -0.3: {_named(worse)}",
        ),
        (
            "decisions on P and N against the same, intervals below 0",
            "none",
            ", ".join(below) or "none",
        ),
        (
            "runs more than 1 point under their own reference on P",
            "1 in 20 at most, none significantly",
            _under(sets, "closed_form"),
        ),
        (
            "runs more than 1 point under the better of ridge regression and cross-entropy on P",
            "",
            _under(sets, "reference"),
        ),
        (
            "processor time over that of cross-entropy, all sets",
            f"{_PRICE} at most",
            f"{ratio:.2f}, median {np.median([time_ratio(each) for each in sets]):.2f}; "
            f"above: {_named(slow)}",
        ),
    ]
    return f"{told}\n\n{markdown_table(['claim', 'wanted', 'found'], rows, n_text=3)}"


def _named(sets: Sequence[SetFigures]) -> str:
    return ", ".join(each.name for each in sets) or "none"


def _highest(each: SetFigures) -> float:
    """Ours less the highest of all baselines."""
    others = [means[_P] for method, means in each.means.items() if method not in _NO_BASELINE]
    return each.means[OURS][_P] - max(others)


def _under(sets: Sequence[SetFigures], role: str) -> str:
    runs = [run for each in sets for run in each.by_run[role]]
    under = [run for run in runs if run.value < _UNDER]
    return f"{len(under)} of {len(runs)}, significantly {sum(run.high < 0 for run in under)}"


def _gains(sets: Sequence[SetFigures]) -> str:
    heads = (
        "set",
        "labels, P, their training positives",
        "best baseline",
        "its P / N",
        "ours, P / N",
        "gain on P",
        "best reference",
        "ours against it, P",
        "N",
        "time",
    )
    rows = [
        (
            each.name,
            f"{each.n_labels}, {each.n_privileged}, {each.positives[0]} to {each.positives[1]}",
            each.best_baseline,
            _pair(each, each.best_baseline),
            _pair(each, OURS),
            _told(each.against["baseline"][_P]),
            each.best_reference,
            _told(each.against["reference"][_P]),
            _told(each.against["reference"][_N]),
            f"{time_ratio(each):.2f}",
        )
        for each in sets
    ]
    return markdown_table(heads, rows, n_text=3) + (
        "\n\nBest by validation rows: the highest mAP on P among those within "
        f"{100 * TOLERANCE:g} points of the best reference's on N. Time: of the processor, in one "
        "training, over that of cross-entropy with the settings it comes with, closed form "
        "included. Labels: "
        + "; ".join(f"{each.name} {', '.join(each.notes)}" for each in sets)
        + "."
    )


def _methods(sets: Sequence[SetFigures]) -> str:
    methods = [*(method for method in sets[0].means if method not in _NO_BASELINE), *_NO_BASELINE]
    rows = [[method, *(_pair(each, method) for each in sets)] for method in methods]
    return markdown_table(["mAP, P / N", *(each.name for each in sets)], rows)


def _decisions(sets: Sequence[SetFigures]) -> str:
    keys = [f"{m}/{g}" for m in METRICS[1:] for g in (PRIVILEGED, NON_PRIVILEGED)]
    heads = ["set", *(f"{METRIC_TITLES[m]} {group}" for m in METRICS[1:] for group in "PN")]
    rows = [[each.name, *(_told(each.against["reference"][key]) for key in keys)] for each in sets]
    return (
        "Ours less the better of ridge regression and cross-entropy, both by Platt scaling on "
        f"the validation rows and at 0.5.\n\n{markdown_table(heads, rows)}"
    )


def _runs(sets: Sequence[SetFigures]) -> str:
    rows = [
        (
            each.name,
            _told(each.against["closed_form"][_P]),
            _told(each.against["closed_form"][_N]),
            " ".join(f"{run.value:+.1f}" for run in each.by_run["closed_form"]),
        )
        for each in sets
    ]
    return (
        "Ours less the closed form that it starts from (kernel ridge regression).\n\n"
        + markdown_table(["set", "P", "N", "P, run by run"], rows)
    )


def _own_rows(sets: Sequence[SetFigures]) -> str:
    heads = (
        "set",
        "cross-entropy, in sample",
        "kernel ridge, in sample",
        "kernel ridge, left out",
        "kernel ridge, test rows",
        "with a confusing negative: in sample",
        "left out",
        f"{PAPER_LAST}, P / N",
    )
    rows = []
    for each in sets:
        solved = each.own_rows[CLOSED_FORM]
        shown = (
            each.own_rows[UNTUNED]["in_sample"]["map"],
            solved["in_sample"]["map"],
            solved["left_out"]["map"],
            each.means[CLOSED_FORM][_P] / 100,
            each.own_rows[UNTUNED]["in_sample"]["confused"],
            solved["left_out"]["confused"],
        )
        cells = [f"{100 * value:.0f}" for value in shown]
        rows.append([each.name, *cells, _change(each, PAPER_LAST)])
    told = (
        "mAP on P; the share of entries of P that apply with a negative above in their row, by "
        "cross-entropy in sample and by kernel ridge left out; and what the paper's form, whose "
        "pairs are those entries in sample, makes of that cross-entropy on the test rows."
    )
    return f"{told}\n\n{markdown_table(heads, rows)}"


def _parts(sets: Sequence[SetFigures]) -> str:
    names = (CLOSED_FORM, *list(VARIANTS)[1:-1], OURS, list(VARIANTS)[-1])
    rows = [[name, *_changes(sets, name)] for name in names]
    return (
        f"{len(SEEDS)} seeds; change of mAP on P / N, on rows held out of the training rows, "
        "against cross-entropy with the settings it comes with.\n\n"
        + markdown_table(["", *(each.name for each in sets), "mean"], rows)
    )


def _changes(sets: Sequence[SetFigures], method: str) -> list[str]:
    p, n = (sum(_moved(each, method)[at] for each in sets) / len(sets) for at in (0, 1))
    return [*(_change(each, method) for each in sets), f"{p:+.1f} / {n:+.1f}"]


def _change(each: SetFigures, method: str) -> str:
    p, n = _moved(each, method)
    return f"{p:+.1f} / {n:+.1f}"


def _moved(each: SetFigures, method: str) -> tuple[float, float]:
    """By how much P and N changed against cross-entropy as it comes."""
    own, reference = each.means[method], each.means[UNTUNED]
    return own[_P] - reference[_P], own[_N] - reference[_N]


def _pair(each: SetFigures, method: str) -> str:
    return f"{each.means[method][_P]:.1f} / {each.means[method][_N]:.1f}"


def _told(difference: Difference) -> str:
    mark = "\\*" if difference.low > 0 or difference.high < 0 else ""
    return f"{difference.value:+.1f}{mark} [{difference.low:+.1f}, {difference.high:+.1f}]"
