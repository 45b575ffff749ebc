"""Multi-label data sets of OpenML, by scikit-learn's fetcher, only when told to fetch."""

from __future__ import annotations

from typing import Any

import numpy as np

from fairpo._checks import file_error, value_error
from fairpo.data.base import MultiLabelData, as_targets
from fairpo.data.cache import cache_folder
from fairpo.data.options import DataOptions

PREFIX = "openml:"

_WORDS = {"true": 1, "false": 0, "1": 1, "0": 0, "1.0": 1, "0.0": 0, "yes": 1, "no": 0}


def read(source: str, options: DataOptions) -> MultiLabelData:
    """Fetch a data set of OpenML, or take it from the cache.

    Parameters
    ----------
    source : str
        ``openml:NAME`` or ``openml:NAME:VERSION``; the multi-label sets of Mulan are version 4,
        such as ``openml:yeast:4``.
    options : DataOptions
        ``fetch`` must be set: without it nothing goes to the network. ``labels`` is not needed:
        OpenML says which columns are targets.

    Raises
    ------
    FairPOFileError
        Not told to fetch, not there, or not to be reached.
    FairPOValueError
        The targets are not binary columns.
    """
    require_fetch(source, options)
    from sklearn.datasets import fetch_openml

    name, _, version = source.removeprefix(PREFIX).partition(":")
    try:
        fetched = fetch_openml(
            name,
            version=int(version) if version else "active",
            as_frame=False,
            parser="liac-arff",  # needs no pandas, and reads sparse files too
            data_home=str(cache_folder()),
        )
    except Exception as error:  # the network, the server and the parser fail in many ways
        raise file_error(source, f"could not be fetched from OpenML ({error})") from error
    return MultiLabelData(
        features=_features(source, fetched.data),
        targets=_targets(source, fetched.target),
        label_names=tuple(fetched.target_names),
        name=name,
        kind=f"OpenML, {name}, version {fetched.details.get('version', version)}",
    )


def require_fetch(source: str, options: DataOptions) -> None:
    """Refuse to go to the network unasked."""
    if not options.fetch:
        raise file_error(source, "is on the network", "Say --fetch (fetch=True) to download it.")


def _features(source: str, data: Any) -> Any:
    try:
        return data.astype(np.float32)
    except ValueError as error:
        raise value_error(
            f"the features of {source}", must="be numbers", got=f"others ({error})"
        ) from error


def _targets(source: str, target: Any) -> Any:
    table = np.asarray(target)
    if table.ndim == 1:
        table = table[:, None]
    words = np.char.lower(table.astype(str))
    unknown = sorted(set(np.unique(words)) - set(_WORDS))
    if unknown:
        raise value_error(
            f"the targets of {source}",
            must="be columns of true and false, or 0 and 1",
            got=", ".join(unknown[:5]),
        )
    return as_targets(np.vectorize(_WORDS.get, otypes=[np.int8])(words))
