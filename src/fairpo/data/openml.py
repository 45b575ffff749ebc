"""Multi-label data sets of OpenML, by scikit-learn's fetcher, only when told to fetch."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from fairpo._checks import file_error, value_error
from fairpo.data.base import MultiLabelData, as_targets, compact_features
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
    options.require_fetch(source)
    from sklearn.datasets import fetch_openml

    name, _, version = source.removeprefix(PREFIX).partition(":")
    try:
        asked = {
            "version": int(version) if version else "active",
            "as_frame": False,
            "parser": "liac-arff",  # needs no pandas, and reads sparse files too
            "data_home": str(cache_folder()),
        }
        fetched = fetch_openml(name, target_column=None, **asked)
        if not sparse.issparse(fetched.data):
            fetched = fetch_openml(name, **asked)
    except Exception as error:  # the network, the server and the parser fail in many ways
        raise file_error(source, f"could not be fetched from OpenML ({error})") from error
    if sparse.issparse(fetched.data):
        data, target, names = _split_sparse(source, fetched)
    else:
        data, target, names = fetched.data, fetched.target, tuple(fetched.target_names)
    return MultiLabelData(
        features=_features(source, data),
        targets=_targets(source, target),
        label_names=names,
        name=name,
        kind=f"OpenML, {name}, version {fetched.details.get('version', version)}",
    )


def _split_sparse(source: str, fetched: Any) -> tuple[Any, Any, tuple[str, ...]]:
    """Features, targets and their names of a sparse set, all of whose columns came as data.

    scikit-learn (1.9) leaves memory as it was where a sparse row leaves a target out.
    """
    names = [str(name) for name in fetched.feature_names]
    said = str(fetched.details.get("default_target_attribute") or "")
    targets = [said] if said in names else [name.strip() for name in said.split(",")]
    unknown = sorted(set(targets) - set(names))
    if unknown:
        raise file_error(source, f"says that its targets are {said!r}, which it does not hold")
    position = {name: column for column, name in enumerate(names)}
    columns = [position[name] for name in targets]
    others = np.setdiff1d(np.arange(len(names)), columns)
    matrix = sparse.csr_array(fetched.data)
    target = matrix[:, columns].toarray().astype(object)
    for place, name in enumerate(targets):
        categories = fetched.categories.get(name)
        if categories:
            target[:, place] = [categories[int(code)] for code in target[:, place]]
    return matrix[:, others], target, tuple(targets)


def _features(source: str, data: Any) -> Any:
    try:
        return compact_features(data)
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
            do="The multi-label sets of Mulan are version 4, such as openml:yeast:4.",
        )
    return as_targets(np.vectorize(_WORDS.get, otypes=[np.int8])(words))
