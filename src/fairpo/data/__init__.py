"""Data sets: what every reader returns, the embedded one, and one door to all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from fairpo._checks import file_error, value_error
from fairpo.data.base import MultiLabelData as MultiLabelData
from fairpo.data.base import as_targets as as_targets
from fairpo.data.splits import stratified_split as stratified_split


def load_data(
    source: str | Path,
    *,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> MultiLabelData:
    """Load a data set by name or path, with all three splits.

    Parameters
    ----------
    source : str or path
        ``digits`` (the embedded digit scenes) or an ``.npz`` file, see
        :func:`fairpo.data.arrays.load_npz`.
    validation_fraction, test_fraction : float
        Stratified share taken from the training rows where the source has no such split.
    seed : int
        Of those splits.

    Raises
    ------
    FairPOFileError
        The file is missing, truncated or not of a known kind.
    FairPOValueError
        Its content is not allowed, or a split is empty.
    """
    if str(source) == "digits":
        from fairpo.data.digits import load_digits_scenes

        return load_digits_scenes()
    path = Path(source)
    if path.suffix != ".npz":
        raise file_error(
            path, "is not a kind of data that can be read", "Give digits or an .npz file."
        )
    from fairpo.data.arrays import load_npz

    return with_all_splits(load_npz(path), validation_fraction, test_fraction, seed)


def with_all_splits(
    data: MultiLabelData, validation_fraction: float, test_fraction: float, seed: int
) -> MultiLabelData:
    """Take the splits a data set lacks from its training rows, stratified by label."""
    split = dict(data.split) or {"train": np.arange(data.n_rows)}
    if "train" not in split:
        raise value_error("the train split", must="hold at least one row", got="none")
    for name, fraction in (("test", test_fraction), ("validation", validation_fraction)):
        if name not in split:
            split["train"], split[name] = stratified_split(
                data.targets, split["train"], fraction, seed=seed
            )
    return replace(data, split=split)
