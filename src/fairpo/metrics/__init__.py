"""Metrics: what a score matrix is worth, over all labels and over each group of labels.

Scores (n, L) and targets (n, L) with -1 for "not known" come in, fractions in [0, 1] go out,
NaN where a value does not exist. A value is called ``<metric>/<group>``, and ``<metric>`` alone
when it is over all labels.

- ``ranking``: average precision over the whole set, and the authors' mean over batches;
- ``decisions``: sample F1, label accuracy, exact match, from counts per row and group;
- ``calibration``: Brier score, expected calibration error, reliability curves;
- ``row_metrics``: the metrics that are ratios of sums over rows;
- ``frame``: :class:`LabelFrame`, metrics x groups as one table, with what is undefined named;
- ``label_sets``: several generated sets a row: coherence, diversity, coverage, calibration;
- ``top_k``: the labels ranked first in each row, P@k and nDCG@k;
- ``label_blocks``: average precision and rankings from one pass over blocks of very many labels;
- ``bootstrap``: the same metrics on resampled rows, for intervals of differences between runs;
- ``significance``: permutation tests of two models, Holm's correction over many labels;
- ``step_counts``: rows at each step of a ranking under many weightings at once, what both count;
- ``units``: rows or clusters of rows, what both draw.
"""

from fairpo.metrics.bootstrap import (
    BOOTSTRAP_METRICS,
    BootstrapResult,
    bootstrap_label_ap,
    bootstrap_means,
    bootstrap_metrics,
    bootstrap_sums,
    percentile_interval,
    weighted_average_precision,
)
from fairpo.metrics.calibration import (
    ReliabilityBins,
    ReliabilityCurve,
    brier,
    label_brier,
    reliability_bins,
    reliability_curve,
)
from fairpo.metrics.decisions import (
    DECISION_METRICS,
    Counts,
    RowTerms,
    decide,
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
from fairpo.metrics.label_blocks import (
    LabelBlockMetrics,
    average_precision_in_blocks,
    evaluate_label_blocks,
)
from fairpo.metrics.ranking import (
    average_precision,
    batch_average_precision,
    check_scores,
    map_batch_mean,
)
from fairpo.metrics.row_metrics import ROW_METRICS, row_terms
from fairpo.metrics.significance import PermutationResult, holm, paired_permutation_test
from fairpo.metrics.top_k import TopK, ndcg_at_k, positive_entries, precision_at_k

__all__ = [
    "BOOTSTRAP_METRICS",
    "DECISION_METRICS",
    "ROW_METRICS",
    "BootstrapResult",
    "Counts",
    "LabelBlockMetrics",
    "LabelFrame",
    "PermutationResult",
    "ReliabilityBins",
    "ReliabilityCurve",
    "RowTerms",
    "TopK",
    "Undefined",
    "average_precision",
    "average_precision_in_blocks",
    "batch_average_precision",
    "bootstrap_label_ap",
    "bootstrap_means",
    "bootstrap_metrics",
    "bootstrap_sums",
    "brier",
    "check_scores",
    "decide",
    "evaluate_label_blocks",
    "exact_match",
    "holm",
    "label_accuracy",
    "label_brier",
    "label_counts",
    "map_batch_mean",
    "membership_matrix",
    "metric_key",
    "ndcg_at_k",
    "paired_permutation_test",
    "percentile_interval",
    "positive_entries",
    "precision_at_k",
    "reliability_bins",
    "reliability_curve",
    "row_counts",
    "row_terms",
    "sample_f1",
    "sample_f1_paper",
    "weighted_average_precision",
]
