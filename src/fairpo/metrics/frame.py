"""LabelFrame: metrics x groups of labels as one table, with what is undefined counted and named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import check_unique, unknown_name, value_error
from fairpo.metrics.calibration import label_brier, reliability_bins
from fairpo.metrics.decisions import (
    ALL,
    Counts,
    Groups,
    RowTerms,
    decide,
    label_counts,
    membership_matrix,
    metric_key,
)
from fairpo.metrics.ranking import (
    Floats,
    Scores,
    average_precision,
    batch_average_precision,
    divide_defined,
    mean_defined,
    mean_over_batches,
)
from fairpo.metrics.row_metrics import row_terms

Value: TypeAlias = "float | int | str | list[str] | None"


LOSSES = ("brier", "calibration_error")
"""Metrics of which lower is better."""


@dataclass(frozen=True)
class Undefined:
    """What the metrics left out; each a mapping whose keys are "all" and the group names.

    Attributes
    ----------
    labels_without_positives : mapping to tuple of str
        Labels that have no average precision. They are left out of ``map``, never counted 0.
    rows_without_f1 : mapping to int
        Rows with neither a true nor a predicted label, left out of ``sample_f1``.
    rows_without_observed : mapping to int
        Rows without an observed entry, left out of ``exact_match`` and ``sample_f1_paper``.
    """

    labels_without_positives: Mapping[str, tuple[str, ...]]
    rows_without_f1: Mapping[str, int]
    rows_without_observed: Mapping[str, int]


@dataclass(frozen=True)
class LabelFrame:
    """Metrics of one score matrix, over all labels and over each group of labels.

    Build it with :meth:`from_scores`. Minimum and difference between groups are derived, never
    stored. Values are fractions in [0, 1]; NaN where a metric does not exist.

    Attributes
    ----------
    label_names : tuple of str, length L
    groups : mapping from name to int array
        Label indices of each group.
    overall : mapping from metric to float
        Over all labels, also those that are in no group.
    by_group : mapping from metric to mapping from group to float
    undefined : Undefined
        What was left out, counted and named.
    columns : mapping from name to array, shape (L,)
        Per label: positives, observed, ap, precision, recall, f1 (of the decisions), brier,
        calibration_error.
    """

    label_names: tuple[str, ...]
    groups: Groups
    overall: Mapping[str, float]
    by_group: Mapping[str, Mapping[str, float]]
    undefined: Undefined
    columns: Mapping[str, NDArray[Any]]

    @classmethod
    def from_scores(
        cls,
        logits: Scores,
        targets: NDArray[Any],
        groups: Groups,
        label_names: Sequence[str] | None = None,
        *,
        threshold_logits: Floats | None = None,
        batch_mean: bool = False,
    ) -> LabelFrame:
        """Evaluate a score matrix.

        Parameters
        ----------
        logits : float array, shape (n, L)
            Raw scores; their sigmoid is the probability that ``brier`` and
            ``calibration_error`` judge.
        targets : int8 array, shape (n, L)
            1, 0, or -1 for not known. Entries that are not known count in no metric.
        groups : mapping from name to int array
            Label indices. Groups may overlap; an empty group has the value NaN.
        label_names : sequence of str, length L, optional
            Unique; "label_0", "label_1", ... when not given.
        threshold_logits : float array, shape (L,), optional
            A label is predicted where its logit is above its threshold; above 0 when not given.
            Only decisions see it.
        batch_mean : bool
            Also compute the authors' ``map_batch_mean``, which depends on the order of the rows.

        Raises
        ------
        FairPOValueError, FairPOTypeError
            Shapes, values or names that do not fit, see :func:`~fairpo.metrics.check_scores`
            and :func:`~fairpo.metrics.membership_matrix`.

        Examples
        --------
        >>> import numpy as np
        >>> logits = np.array([[2.0, -1.0, -2.0], [-1.0, 3.0, -1.0]])
        >>> targets = np.array([[1, 0, 0], [1, 1, 0]], dtype=np.int8)
        >>> groups = {"privileged": np.array([0]), "others": np.array([1, 2])}
        >>> frame = LabelFrame.from_scores(logits, targets, groups, ["cat", "dog", "bus"])
        >>> frame.overall["map"], frame.by_group["label_accuracy"]["privileged"]
        (1.0, 0.5)
        >>> frame.undefined.labels_without_positives["all"]
        ('bus',)
        """
        precision = average_precision(logits, targets)
        names = _label_names(label_names, len(precision))
        membership = membership_matrix(groups, len(precision))
        terms = row_terms(logits, targets, membership, threshold_logits=threshold_logits)
        bins = reliability_bins(logits, targets)
        table = {"map": _per_group(mean_defined, precision, membership)}
        table |= {name: term.mean() for name, term in terms.items()}
        table["calibration_error"] = bins.of_groups(membership).calibration_error()
        table["worst_label_ap"] = _per_group(_min_defined, precision, membership)
        if batch_mean:
            within = batch_average_precision(logits, targets)
            table["map_batch_mean"] = _per_group(mean_over_batches, within, membership)
        return cls(
            label_names=names,
            groups={name: np.array(indices, dtype=np.int64) for name, indices in groups.items()},
            overall={metric: float(values[0]) for metric, values in table.items()},
            by_group={
                metric: dict(zip(groups, values[1:].tolist(), strict=True))
                for metric, values in table.items()
            },
            undefined=_undefined([ALL, *groups], names, precision, membership, terms),
            columns={
                **_columns(precision, label_counts(decide(logits, threshold_logits), targets)),
                "brier": label_brier(logits, targets),
                "calibration_error": bins.calibration_error(),
            },
        )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics in this frame."""
        return tuple(self.overall)

    def group_min(self, metric: str) -> float:
        """Return the lowest value of the groups; NaN when no group has one."""
        return float(_min_defined(self._of_groups(metric)))

    def group_max(self, metric: str) -> float:
        """Return the highest value of the groups; NaN when no group has one."""
        return -float(_min_defined(-self._of_groups(metric)))

    def difference(self, metric: str) -> float:
        """Return the highest minus the lowest value; NaN with fewer than two defined groups."""
        values = self._of_groups(metric)
        defined = values[~np.isnan(values)]
        return float(np.ptp(defined)) if defined.size >= 2 else float("nan")

    @property
    def worst_label(self) -> tuple[str | None, float]:
        """Name and AP of the label with the lowest AP; (None, NaN) if no label has a positive."""
        precision = self.columns["ap"]
        if np.isnan(precision).all():
            return None, float("nan")
        index = int(np.nanargmin(precision))
        return self.label_names[index], float(precision[index])

    @property
    def per_label(self) -> list[dict[str, Any]]:
        """One dict per label: label, groups, and the entries of ``columns``; NaN where undefined.

        ``groups`` is a tuple of the names of the groups that hold the label.
        """
        of_label: list[tuple[str, ...]] = [()] * len(self.label_names)
        for name, indices in self.groups.items():
            for index in map(int, indices):
                of_label[index] += (name,)
        columns = [values.tolist() for values in self.columns.values()]
        return [
            {"label": label, "groups": of, **dict(zip(self.columns, values, strict=True))}
            for label, of, *values in zip(self.label_names, of_label, *columns, strict=True)
        ]

    def to_dict(self) -> dict[str, Value]:
        """Return everything but the per-label table under flat keys, ready for JSON.

        ``<metric>``, ``<metric>/<group>``, that of the worst group as ``<metric>/group_min``, of a
        loss as ``<metric>/group_max``, ``<metric>/difference``,
        ``worst_label``; ``labels_without_positives`` (names), and under ``n_`` counts of what is
        undefined: ``n_labels_without_positives``, ``n_rows_without_f1``,
        ``n_rows_without_observed``, each also with ``/<group>``. NaN becomes None.
        """
        flat: dict[str, Value] = {}
        for metric, value in self.overall.items():
            flat[metric] = _jsonable(value)
            for group, of_group in self.by_group[metric].items():
                flat[metric_key(metric, group)] = _jsonable(of_group)
            if metric in LOSSES:
                flat[f"{metric}/group_max"] = _jsonable(self.group_max(metric))
            else:
                flat[f"{metric}/group_min"] = _jsonable(self.group_min(metric))
            flat[f"{metric}/difference"] = _jsonable(self.difference(metric))
        flat["worst_label"] = self.worst_label[0]
        for group, names in self.undefined.labels_without_positives.items():
            flat[metric_key("labels_without_positives", group)] = list(names)
            flat[metric_key("n_labels_without_positives", group)] = len(names)
        for kind in ("rows_without_f1", "rows_without_observed"):
            for group, count in getattr(self.undefined, kind).items():
                flat[metric_key(f"n_{kind}", group)] = count
        return flat

    def _of_groups(self, metric: str) -> Floats:
        if metric not in self.by_group:
            raise unknown_name("metric", metric, self.by_group, of="metrics of this frame")
        return np.array(list(self.by_group[metric].values()), dtype=np.float64)


def _label_names(names: Sequence[str] | None, n_labels: int) -> tuple[str, ...]:
    if names is None:
        return tuple(f"label_{index}" for index in range(n_labels))
    if len(names) != n_labels:
        raise value_error(
            "label_names",
            must="name every column of logits",
            got=f"{len(names)} names for {n_labels} columns",
        )
    check_unique(names, "label names")
    return tuple(str(name) for name in names)


def _min_defined(values: Floats) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.min()) if defined.size else float("nan")


def _per_group(
    reduce: Callable[[Floats], Any], values: Floats, membership: NDArray[np.float32]
) -> Floats:
    """Reduce values whose last axis is labels, once per column of the membership."""
    return np.array([reduce(values[..., inside]) for inside in membership.T > 0], dtype=np.float64)


def _undefined(
    group_names: Sequence[str],
    label_names: Sequence[str],
    precision: Floats,
    membership: NDArray[np.float32],
    terms: Mapping[str, RowTerms],
) -> Undefined:
    without = {
        group: tuple(
            label_names[index] for index in np.flatnonzero(inside & np.isnan(precision)).tolist()
        )
        for group, inside in zip(group_names, membership.T > 0, strict=True)
    }
    no_f1 = terms["sample_f1"].undefined().tolist()
    not_observed = terms["exact_match"].undefined().tolist()
    return Undefined(
        labels_without_positives=without,
        rows_without_f1=dict(zip(group_names, no_f1, strict=True)),
        rows_without_observed=dict(zip(group_names, not_observed, strict=True)),
    )


def _columns(precision: Floats, counts: Counts) -> dict[str, NDArray[Any]]:
    found = counts.true_positives
    positives = found + counts.false_negatives
    predicted = found + counts.false_positives
    return {
        "positives": positives.astype(np.int64),
        "observed": counts.observed.astype(np.int64),
        "ap": precision,
        "precision": divide_defined(found, predicted),
        "recall": divide_defined(found, positives),
        "f1": divide_defined(2.0 * found, positives + predicted),
    }


def _jsonable(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
