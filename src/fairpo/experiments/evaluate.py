"""Metrics of a run and of its reference on the rows of a data set."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import FairPOWarning, value_error
from fairpo.data import DataOptions, load_data, with_all_splits
from fairpo.data.base import MultiLabelData, fingerprint
from fairpo.data.formats import read_source
from fairpo.decisions import DecisionRule
from fairpo.metrics import LabelFrame, evaluate_label_blocks
from fairpo.training.alignment import align_features, align_labels
from fairpo.training.label_scores import LabelScorer, LabelScores, scores_by_label
from fairpo.training.loop import none_if_nan
from fairpo.training.run import Run, exact_logits


def evaluate_run(
    run: Run,
    source: str | None = None,
    reference_logits: NDArray[np.float32] | None = None,
    *,
    options: DataOptions | None = None,
) -> dict[str, Any]:
    """Score a run and its reference, each under its own decision rule.

    Parameters
    ----------
    run : Run
    source : str, optional
        Other data than the run's own; its test split, or all rows where it has none.
    reference_logits : array, shape (n, L), optional
        Scores of the reference for every row of ``source``, where the run is a residual.
    options : DataOptions, optional
        What the reader of ``source`` is told; the run's own when not given.

    Returns
    -------
    dict with "data", "n_rows", "groups", "decisions" (the settings), and the flat metrics of
    "model" and "reference"

    Raises
    ------
    FairPOValueError
        A feature of the run is not in the data, a label of the data not in the run, or reference
        scores are given that the run has no use for, lacks or cannot match to rows.
    """
    data, reference_logits = held_out_data(run, source, reference_logits, options=options)
    in_blocks = run.config.training.sampled_labels > 0
    metrics = _metrics_in_blocks if in_blocks else _metrics
    model, reference = metrics(run, data, reference_logits)
    return {
        "data": data.name,
        "n_rows": len(data.rows("test")),
        "notes": list(data.notes),
        "groups": list(run.groups.names),
        "decisions": run.config.decisions.model_dump(mode="json"),
        "model": model,
        "reference": reference,
    }


def held_out_data(
    run: Run,
    source: str | None = None,
    reference_logits: NDArray[np.float32] | None = None,
    *,
    options: DataOptions | None = None,
) -> tuple[MultiLabelData, NDArray[np.float32] | None]:
    """Load data with a test split for a run, its features and labels in the run's order.

    Parameters
    ----------
    run, source, reference_logits, options
        As for :func:`evaluate_run`.

    Returns
    -------
    data : MultiLabelData
    reference_logits : array, shape (n, L), or None
        The run's own for its own data, those given otherwise.
    """
    told = options or run.config.data_options
    if source is None and reference_logits is not None:
        raise value_error(
            "reference scores",
            must="come with other DATA: for its own the run has them",
            got="some without DATA",
        )
    if source is None:
        data = load_data(run.config.data, told)
        _check_same_data(run, data)
        reference_logits = run.reference_logits
    else:
        data = read_source(source, told)
        if not data.split:
            data = replace(data, split={"test": np.arange(data.n_rows)})
        elif "test" not in data.split:
            data = with_all_splits(data, told)
    return align_labels(align_features(data, run), run), reference_logits


def score_test_rows(
    run: Run, data: MultiLabelData, reference_logits: NDArray[np.float32] | None
) -> tuple[NDArray[np.float64], NDArray[Any] | None]:
    """Logits (test rows, labels) of a run and, where there is one, of its reference."""
    rows = data.rows("test")
    logits = run.predict_logits(data.features, reference_logits, rows=rows)
    if run.reference is not None:
        return logits, exact_logits(run.reference, data.features, rows=rows)
    return logits, None if reference_logits is None else reference_logits[rows]


def _metrics(
    run: Run, data: MultiLabelData, reference_logits: NDArray[np.float32] | None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    targets = data.targets_of(data.rows("test"))
    logits, known = score_test_rows(run, data, reference_logits)
    mapping = run.groups.judged()

    def metrics(values: NDArray[Any], rule: DecisionRule) -> dict[str, Any]:
        return LabelFrame.from_scores(
            rule.apply(values),
            targets,
            mapping,
            run.label_names,
            threshold_logits=rule.threshold_logits,
        ).to_dict()

    model = metrics(logits, run.decisions.model)
    return model, None if known is None else metrics(known, run.decisions.reference)


def _metrics_in_blocks(
    run: Run, data: MultiLabelData, reference_logits: NDArray[np.float32] | None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The same of a run whose labels were too many to score at once."""
    rows = data.rows("test")

    def metrics(score: LabelScorer) -> dict[str, Any]:
        figures = evaluate_label_blocks(score, data.targets[rows], run.groups.judged())
        return {key: none_if_nan(value) for key, value in figures.values.items()}

    model = metrics(LabelScores(run.policy, data.features, rows, reference_logits))
    if run.reference is not None:
        return model, metrics(LabelScores(run.reference, data.features, rows))
    return model, None if reference_logits is None else metrics(
        scores_by_label(reference_logits, rows)
    )


def _check_same_data(run: Run, data: MultiLabelData) -> None:
    if fingerprint(data) != run.config.data_fingerprint:
        warnings.warn(
            f"{run.config.data} is not the data this run was trained on: it has changed since.",
            FairPOWarning,
            stacklevel=3,
        )
