"""Data sets: what every reader returns, the embedded one, and one door to all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fairpo._checks import build_settings, type_error, value_error
from fairpo.data.base import MultiLabelData as MultiLabelData
from fairpo.data.base import as_targets as as_targets
from fairpo.data.options import DataOptions as DataOptions
from fairpo.data.splits import stratified_split as stratified_split


def load_data(
    source: str | Path, options: DataOptions | None = None, **changes: Any
) -> MultiLabelData:
    """Load a data set by name or path, with all three splits.

    Parameters
    ----------
    source : str or path
        ``digits`` (the embedded digit scenes), ``ambiguous-digits`` (the same with half-hidden
        digits), a file or folder of one of :data:`fairpo.data.formats.FORMATS`, ``openml:NAME``
        or ``hf:NAME``.
    options : DataOptions, optional
        What the reader is told.
    **changes
        Fields of :class:`~fairpo.data.options.DataOptions` over ``options``, such as
        ``format="table"`` or ``labels="is_*"``.

    Returns
    -------
    MultiLabelData
        ``kind`` says what was recognised. Images and texts come as ``items``, without features,
        for :func:`fairpo.data.embed.embed_data`.

    Raises
    ------
    FairPOFileError
        The source is missing, damaged or not of a known kind; names file, line or key.
    FairPOValueError
        Its content is not allowed, or a split is empty.
    """
    if not isinstance(source, str | Path):
        raise type_error(
            "DATA",
            must="be a name or a path",
            got=type(source).__name__,
            do="Arrays and data frames go to FairPOClassifier, or MultiLabelData.",
        )
    if isinstance(options, dict):
        raise type_error("options", must="be DataOptions", got="dict", do="Write **options.")
    told = options or DataOptions()
    if changes:
        told = build_settings(DataOptions, {**told.model_dump(), **changes})
    from fairpo.data.formats import read_source

    data = read_source(source, told)
    return with_all_splits(data, told) if data.n_labels else data


def with_all_splits(data: MultiLabelData, options: DataOptions) -> MultiLabelData:
    """Take the splits a data set lacks from its training rows, stratified by label."""
    split = dict(data.split) or {"train": np.arange(data.n_rows)}
    if "train" not in split:
        raise value_error(
            f"the train split of {data.name}", must="hold at least one row", got="none"
        )
    fractions = {"test": options.test_fraction, "validation": options.validation_fraction}
    for name, fraction in fractions.items():
        if name not in split:
            split["train"], split[name] = stratified_split(
                data.targets, split["train"], fraction, seed=options.split_seed
            )
    return replace(data, split=split)
