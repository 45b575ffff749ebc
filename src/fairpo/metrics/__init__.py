"""Metrics: what a score matrix is worth, over all labels and over each group of labels.

Scores (n, L) and targets (n, L) with -1 for "not known" come in, fractions in [0, 1] go out,
NaN where a value does not exist. A value is called ``<metric>/<group>``, and ``<metric>`` alone
when it is over all labels.

- ``ranking``: average precision over the whole set, and the authors' mean over batches;
- ``decisions``: sample F1, label accuracy, exact match, from counts per row and group;
- ``frame``: :class:`LabelFrame`, metrics x groups as one table, with what is undefined named;
- ``bootstrap``: the same metrics on resampled rows, for intervals of differences between runs.
"""

from fairpo.metrics.bootstrap import (
    BOOTSTRAP_METRICS,
    BootstrapResult,
    bootstrap_metrics,
    percentile_interval,
    weighted_average_precision,
)
from fairpo.metrics.decisions import (
    DECISION_METRICS,
    Counts,
    RowTerms,
    exact_match,
    label_accuracy,
    label_counts,
    membership_matrix,
    metric_key,
    row_counts,
    sample_f1,
    sample_f1_paper,
)
from fairpo.metrics.frame import LabelFrame, Undefined
from fairpo.metrics.ranking import (
    average_precision,
    batch_average_precision,
    check_scores,
    map_batch_mean,
)

__all__ = [
    "BOOTSTRAP_METRICS",
    "DECISION_METRICS",
    "BootstrapResult",
    "Counts",
    "LabelFrame",
    "RowTerms",
    "Undefined",
    "average_precision",
    "batch_average_precision",
    "bootstrap_metrics",
    "check_scores",
    "exact_match",
    "label_accuracy",
    "label_counts",
    "map_batch_mean",
    "membership_matrix",
    "metric_key",
    "percentile_interval",
    "row_counts",
    "sample_f1",
    "sample_f1_paper",
    "weighted_average_precision",
]
