"""The gate: may this run take its reference's place, on the evidence of held-out rows.

Non-inferiority is asked, not a difference that fails to be significant: little data must never
make a pass. Every question has a margin, and one of three answers.

- *pass*: the one-sided bound lies on the good side of the margin;
- *fail*: the bound of the other side shows that the margin is broken;
- *undecided*: the margin lies between them, and more rows are needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy import stats

from fairpo._checks import value_error
from fairpo.data import DataOptions
from fairpo.data.base import positive_counts
from fairpo.experiments.evaluate import held_out_data, score_test_rows
from fairpo.groups import LabelGroup, LabelGroups
from fairpo.metrics import average_precision, bootstrap_label_ap, holm
from fairpo.metrics.ranking import Floats, Scores, divide_defined, group_means
from fairpo.metrics.units import units_of_rows
from fairpo.training.loop import none_if_nan
from fairpo.training.run import Run

PASS, FAIL, UNDECIDED = "pass", "fail", "undecided"
NOT_ASKED, TOO_FEW = "not asked", "too few positives"

LABELS_AT_ONCE = 512
"""Resampled together: 16 MB of float64 for 2000 resamples of both."""

ROUNDING = 1e-6
"""AP is resampled in float32: a bound this near to the margin is on it."""

FEWEST_UNITS = 10
"""Of fewer rows or clusters the standard error says too little for a verdict."""


class GateSettings(BaseModel):
    """What a run must show to pass."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_drop_points: float = Field(
        0.5,
        ge=0,
        le=100,
        description="Most that the mAP of other labels, or with per_label the AP of any label, "
        "may lose, in points (x100).",
    )
    min_gain_points: float | None = Field(
        None,
        ge=-100,
        le=100,
        description="Least that the privileged mAP must gain, in points; not asked by default.",
    )
    per_label: bool = Field(False, description="Hold every label to max_drop_points, one by one.")
    min_positives: int = Field(
        20, ge=1, description="A label with fewer test positives is told, but not judged."
    )
    level: float = Field(0.95, gt=0.5, lt=1, description="Of each one-sided bound.")
    n_resamples: int = Field(2000, ge=100, description="Of the bootstrap.")


def check_run(
    run: Run,
    settings: GateSettings,
    source: str | None = None,
    reference_logits: NDArray[np.float32] | None = None,
    *,
    options: DataOptions | None = None,
) -> dict[str, Any]:
    """Judge a run against its reference on the test rows of its own data, or of others.

    Parameters
    ----------
    run : Run
    settings : GateSettings
    source, reference_logits, options
        As for :func:`~fairpo.experiments.evaluate.evaluate_run`.

    Returns
    -------
    dict
        What :func:`judge` returns, with "data", "n_rows", "clusters" (None where rows are drawn
        one by one), and "notes".

    Raises
    ------
    FairPOValueError
        There is no reference to score, or labels are sampled: there are too many to resample.
    """
    if run.config.training.sampled_labels:
        raise value_error("RUN", must="score all its labels at once", got="a run on sampled labels")
    data, reference_logits = held_out_data(run, source, reference_logits, options=options)
    logits, known = score_test_rows(run, data, reference_logits)
    if known is None:
        raise value_error("reference scores", must="be given", got="none")
    rows = data.rows("test")
    clusters = None if data.clusters is None else data.clusters[rows]
    return {
        "data": data.name,
        "n_rows": len(rows),
        "clusters": None if clusters is None else len(np.unique(clusters)),
        "notes": list(data.notes),
        **judge(
            logits,
            known,
            data.targets_of(rows),
            run.groups,
            run.label_names,
            settings,
            clusters=clusters,
        ),
    }


def judge(
    logits: Scores,
    reference_logits: Scores,
    targets: NDArray[np.int8],
    groups: LabelGroups,
    label_names: Sequence[str],
    settings: GateSettings,
    *,
    clusters: NDArray[Any] | None = None,
) -> dict[str, Any]:
    """Judge scores against a reference's on the same rows.

    Parameters
    ----------
    logits, reference_logits : float arrays, shape (n, L)
    targets : int8 array, shape (n, L)
        1, 0, or -1 for not known.
    groups : LabelGroups
        Those to protect may lose ``max_drop_points`` of mAP; those to improve must gain
        ``min_gain_points``, where it is given.
    label_names : sequence of str, length L
    settings : GateSettings
    clusters : array, shape (n,), optional
        Rows that share a value are not independent.

    Returns
    -------
    dict, JSON-able; values are fractions
        "outcome": fail if anything failed, else undecided if anything is, else pass; "failed":
        names of the groups and labels that failed; "checks", one for each group, and "labels",
        one for each label if asked, with difference, one-sided bounds "low" and "high", and
        outcome; "settings".

    Notes
    -----
    Bounds are ``difference -+ t s``: s is the standard error by the paired bootstrap over G rows or
    clusters, times ``sqrt(G / (G - 1))``, and t the quantile of Student's distribution with G - 1
    degrees of freedom. Percentiles would not do: a resample repeats positives, which raises AP and
    exaggerates a difference, so that of rare labels they miss the difference itself. With fewer
    than 10 rows or clusters a difference that varies at all is undecided.

    A group passes where ``low >= -max_drop`` (or ``min_gain``) and fails where ``high`` is below.
    None of its labels with ``min_positives`` positives, it is undecided.

    A label's p-value is that of a drop no larger than the margin. It *fails* where p,
    adjusted by Holm over all judged labels, is at most ``1 - level``: however many labels there
    are, a run without harm has one called failing with probability ``1 - level`` at most. It
    *passes* by its own bound, ``low >= -max_drop``, without adjustment: "every label is safe" is
    claimed only if each one is shown, and the chance of that being wrong is no larger than that of
    its weakest part (an intersection-union test). Labels with fewer than ``min_positives``
    positives are named and decide nothing; where no label has more, the outcome is undecided.

    References
    ----------
    Berger, "Multiparameter hypothesis testing and acceptance sampling", 1982; Holm, 1979.
    """
    judged = np.flatnonzero(positive_counts(targets) >= settings.min_positives)
    n_units = int(units_of_rows(clusters, len(targets)).max()) + 1
    bounds = _Bounds(settings.level, n_units)
    both = _both(logits, reference_logits, targets, groups, clusters, settings.n_resamples, bounds)
    checks = [
        _check_group(both, place, group, judged, settings, bounds)
        for place, group in enumerate(groups.groups)
    ]
    labels = []
    if settings.per_label:
        labels = _check_labels(both, judged, targets, groups, label_names, settings, bounds)
    outcomes = {check["outcome"] for check in (*checks, *labels)}
    shown = outcomes & {PASS, FAIL, UNDECIDED}
    if any(check["outcome"] == TOO_FEW for check in checks) or (labels and not len(judged)):
        shown.add(UNDECIDED)
    outcome = next((each for each in (FAIL, UNDECIDED, PASS) if each in shown), UNDECIDED)
    return {
        "outcome": outcome,
        "failed": [
            check.get("group") or check["label"]
            for check in (*checks, *labels)
            if check["outcome"] == FAIL
        ],
        "checks": checks,
        "labels": labels,
        "settings": settings.model_dump(mode="json"),
    }


@dataclass(frozen=True)
class _Bounds:
    """One-sided bounds of differences, and what lies beyond them."""

    level: float
    n_units: int

    def error(self, resampled: Floats) -> Floats:
        """Standard error of differences (..., resamples)."""
        spread = np.full(resampled.shape[:-1], np.nan)
        known = np.count_nonzero(~np.isnan(resampled), axis=-1) > 1
        spread[known] = np.nanstd(resampled[known], axis=-1, ddof=1)
        return np.asarray(spread * math.sqrt(self.n_units / (self.n_units - 1)))

    def around(self, difference: Floats, error: Floats) -> tuple[Floats, Floats]:
        """Lower and upper bounds; infinite where there are too few units to tell."""
        reach = stats.t.ppf(self.level, self.n_units - 1) * error
        if self.n_units < FEWEST_UNITS:
            reach = np.where(error > 0, np.inf, reach)
        return difference - reach, difference + reach

    def p_values(self, difference: Floats, error: Floats, margin: float) -> Floats:
        """Of differences that are no lower than the margin."""
        # Without spread, as between a model and itself, the difference is what it is.
        distance = np.where(difference < margin - ROUNDING, -np.inf, np.inf)
        np.divide(difference - margin, error, out=distance, where=error > 0)
        p_value = stats.t.cdf(distance, self.n_units - 1)
        if self.n_units < FEWEST_UNITS:
            p_value = np.where(error > 0, 1.0, p_value)
        return np.asarray(p_value)


class _Both(NamedTuple):
    """What the model and its reference score, and how far their differences may be off."""

    label_ap: Floats
    """Shape (2, L)."""
    label_error: Floats
    """Of the difference of each label's, shape (L,)."""
    group_map: Floats
    """Shape (2, G)."""
    group_error: Floats
    """Shape (G,)."""


def _both(
    logits: Scores,
    reference_logits: Scores,
    targets: NDArray[np.int8],
    groups: LabelGroups,
    clusters: NDArray[Any] | None,
    n_resamples: int,
    bounds: _Bounds,
) -> _Both:
    """Score both, and resample them, some labels at a time."""
    runs = (logits, reference_logits)
    ap = np.stack([average_precision(run, targets) for run in runs])
    membership = groups.membership.astype(np.float64)
    sums = np.zeros((2, len(membership), n_resamples))
    counts = np.zeros(sums.shape[1:])
    label_error = np.full(targets.shape[1], np.nan)
    for start in range(0, targets.shape[1], LABELS_AT_ONCE):
        part = slice(start, start + LABELS_AT_ONCE)
        resampled = bootstrap_label_ap(
            [run[:, part] for run in runs],
            targets[:, part],
            clusters=clusters,
            n_resamples=n_resamples,
        )
        label_error[part] = bounds.error(np.subtract(*resampled))
        defined = ~np.isnan(resampled[0])  # targets are shared: of both
        counts += membership[:, part] @ defined
        sums += membership[:, part] @ np.where(defined, resampled, 0.0)
    group_error = bounds.error(divide_defined(sums[0] - sums[1], counts))
    group_map = np.stack([group_means(values, membership.T) for values in ap])
    return _Both(ap, label_error, group_map, group_error)


def _check_group(
    both: _Both,
    place: int,
    group: LabelGroup,
    judged: NDArray[np.int64],
    settings: GateSettings,
    bounds: _Bounds,
) -> dict[str, Any]:
    model, reference = both.group_map[:, place]
    difference = model - reference
    low, high = bounds.around(difference, both.group_error[place])
    n_judged = int(np.isin(judged, group.indices).sum())
    asked = -settings.max_drop_points if group.role == "protect" else settings.min_gain_points
    margin = None if asked is None else asked / 100
    return {
        "group": group.name,
        "role": group.role,
        "margin": margin,
        "reference_map": none_if_nan(float(reference)),
        "map": none_if_nan(float(model)),
        "difference": none_if_nan(float(difference)),
        "low": _finite(low),
        "high": _finite(high),
        "n_labels": len(group.indices),
        "n_labels_judged": n_judged,
        "outcome": NOT_ASKED
        if margin is None or not group.indices
        else TOO_FEW
        if not n_judged
        else _outcome(margin, float(low), float(high)),
    }


def _finite(bound: Floats) -> float | None:
    return float(bound) if np.isfinite(bound) else None


def _outcome(margin: float, low: float, high: float) -> str:
    if low >= margin - ROUNDING:
        return PASS
    return FAIL if high < margin else UNDECIDED


def _check_labels(
    both: _Both,
    judged: NDArray[np.int64],
    targets: NDArray[np.int8],
    groups: LabelGroups,
    label_names: Sequence[str],
    settings: GateSettings,
    bounds: _Bounds,
) -> list[dict[str, Any]]:
    margin, counts = -settings.max_drop_points / 100, positive_counts(targets)
    model, reference = both.label_ap[:, judged]
    difference = model - reference
    error = both.label_error[judged]
    low, high = bounds.around(difference, error)
    p_value = bounds.p_values(difference, error, margin)
    adjusted = holm(p_value)
    found = {
        int(label): {
            "reference_ap": float(reference[place]),
            "ap": float(model[place]),
            "difference": float(difference[place]),
            "low": _finite(low[place]),
            "high": _finite(high[place]),
            "p_value": float(p_value[place]),
            "p_adjusted": float(adjusted[place]),
            "outcome": FAIL
            if adjusted[place] <= 1 - settings.level
            else PASS
            if low[place] >= margin - ROUNDING
            else UNDECIDED,
        }
        for place, label in enumerate(judged)
    }
    nothing = dict.fromkeys(
        ("reference_ap", "ap", "difference", "low", "high", "p_value", "p_adjusted")
    )
    names = groups.names_by_label
    return [
        {
            "label": name,
            "groups": list(names[label]),
            "positives": int(counts[label]),
            "margin": margin,
            **found.get(label, {**nothing, "outcome": TOO_FEW}),
        }
        for label, name in enumerate(label_names)
    ]
