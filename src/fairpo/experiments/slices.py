"""Metrics on slices of the test rows: those taken by one camera, those of one dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairpo.experiments.figures import Judged
from fairpo.groups import LabelGroups
from fairpo.metrics import LabelFrame
from fairpo.training.loop import none_if_nan

SLICE_METRICS = ("map", "sample_f1")


def slice_metrics(
    columns: Mapping[str, NDArray[np.str_]],
    models: Sequence[Judged],
    targets: NDArray[np.int8],
    groups: LabelGroups,
) -> list[dict[str, Any]]:
    """Measure each model and group on the rows of each category of each column.

    Parameters
    ----------
    columns : mapping from name to str array, shape (n,)
        The category of each test row.
    models : sequence of Judged
        On the same rows, the reference first.
    targets : int8 array, shape (n, L)
        1, 0, or -1 for not known.
    groups : LabelGroups

    Returns
    -------
    list of dict, JSON-able
        For each column its name, ``column``, and ``categories``: ``category``, ``n_rows``,
        ``positives`` by group, and ``models``, for each model ``<metric>/<group>`` (a fraction, or
        None where nothing in the slice defines it).

    Notes
    -----
    A model is judged in every slice by the recalibration and thresholds it has for all rows: a
    slice asks how the model that is used does there, not how it could do.
    """
    return [
        {
            "column": name,
            "categories": [
                _category(str(category), values == category, models, targets, groups)
                for category in np.unique(values)
            ],
        }
        for name, values in columns.items()
    ]


def _category(
    name: str,
    inside: NDArray[np.bool_],
    models: Sequence[Judged],
    targets: NDArray[np.int8],
    groups: LabelGroups,
) -> dict[str, Any]:
    mapping, known = groups.judged(), targets[inside]
    frames = [
        LabelFrame.from_scores(
            model.logits[inside], known, mapping, threshold_logits=model.threshold_logits
        )
        for model in models
    ]
    return {
        "category": name,
        "n_rows": len(known),
        "positives": {
            group: int(np.count_nonzero(known[:, labels] == 1)) for group, labels in mapping.items()
        },
        "models": [
            {
                f"{metric}/{group}": none_if_nan(frame.by_group[metric][group])
                for metric in SLICE_METRICS
                for group in mapping
            }
            for frame in frames
        ],
    }
