"""Metrics as people read them, on a terminal and on a page."""

METRIC_TITLES = {
    "map": "mAP",
    "sample_f1": "sample-F1",
    "label_accuracy": "label accuracy",
    "exact_match": "exact match",
    "brier": "Brier score",
    "calibration_error": "calibration error",
    "precision_at_1": "P@1",
    "precision_at_5": "P@5",
    "ndcg_at_5": "nDCG@5",
}
