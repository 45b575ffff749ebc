"""The forms in which labels come: indicator matrices, lists of names, one binary column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from fairpo._checks import check_unique, type_error, unknown_name, value_error
from fairpo.data.base import (
    Missing,
    Targets,
    as_targets,
    compact_targets,
    default_label_names,
)

Form = Literal["indicator", "sparse", "names", "binary"]


@dataclass(frozen=True)
class LabelForm:
    """How ``y`` was given, to give predictions back in the same form.

    Parameters
    ----------
    form : "indicator", "sparse", "names" or "binary"
    names : tuple of str
        Label names; column names or ``label_0``, ... where there are none.
    classes : array
        The two classes of 1-d ``y``; the names of listed labels; else column numbers.
    dtype : numpy dtype
        Of an indicator matrix.
    """

    form: Form
    names: tuple[str, ...]
    classes: NDArray[Any]
    dtype: np.dtype[Any]

    def decode(self, positive: NDArray[np.bool_]) -> Any:
        """Turn decisions (rows, labels) into the form ``y`` had."""
        if self.form == "binary":
            return self.classes[positive[:, 0].astype(int)]
        if self.form == "names":
            return [[self.names[index] for index in np.flatnonzero(row)] for row in positive]
        indicator = positive.astype(self.dtype)
        return sparse.csr_array(indicator) if self.form == "sparse" else indicator

    def encode(self, y: Any, missing: Missing = None) -> Targets:
        """Turn labels of the same form into targets (rows, labels)."""
        if self.form == "names":
            return compact_targets(names_to_targets(y, self.names))
        if self.form == "binary":
            return as_targets((np.asarray(y).ravel() == self.classes[1])[:, None])
        return as_targets(_values(y), missing=missing)


def read_labels(y: Any, missing: Missing = None) -> tuple[Targets, LabelForm]:
    """Recognise the form of ``y`` and return targets (rows, labels) with it.

    Parameters
    ----------
    y : array, sparse matrix, DataFrame or list
        An indicator matrix (rows, labels) of 0 and 1, a list of lists of label names, or a 1-d
        vector of two classes.
    missing : -1, "nan" or None
        See :func:`~fairpo.data.base.as_targets`.

    Raises
    ------
    FairPOValueError
        None of these forms.
    """
    if y is None:
        raise value_error(
            "y",
            must="be given",
            got="None",
            do="FairPOClassifier requires y to be passed, but the target y is None.",
        )
    if _are_name_lists(y):
        names = tuple(sorted({name for row in y for name in row}))
        if not names:
            raise value_error("y", must="hold at least one label name", got="only empty lists")
        form = LabelForm("names", names, np.array(names), np.dtype(int))
        return compact_targets(names_to_targets(y, names)), form
    if sparse.issparse(y):
        targets = as_targets(y, missing=missing)
        names = default_label_names(targets.shape[1])
        return targets, LabelForm("sparse", names, np.arange(len(names)), np.dtype(y.dtype))
    array = check_array(
        _values(y), ensure_2d=False, dtype=None, ensure_all_finite=missing != "nan", input_name="y"
    )
    if array.ndim == 1:
        return _read_binary(array)
    if missing is None:
        check_classification_targets(array)
    names = _column_names(y, array.shape[1])
    return as_targets(array, missing=missing), LabelForm(
        "indicator", names, np.arange(len(names)), array.dtype
    )


def names_to_targets(rows: Sequence[Sequence[str]], names: Sequence[str]) -> Targets:
    """Turn lists of names into targets, CSR (rows, labels); an unknown name is refused."""
    position = {name: index for index, name in enumerate(names)}
    indptr = np.zeros(len(rows) + 1, dtype=np.int64)
    indices: list[int] = []
    for row, labels in enumerate(rows):
        try:
            indices += sorted({position[name] for name in labels})
        except KeyError as error:
            raise unknown_name("label", error.args[0], names, of="label names") from error
        indptr[row + 1] = len(indices)
    values = np.ones(len(indices), dtype=np.int8)
    return sparse.csr_array(
        (values, np.array(indices, dtype=np.int64), indptr), shape=(len(rows), len(names))
    )


def multi_hot(rows: Sequence[Any]) -> NDArray[np.int8] | None:
    """Read lists of 0.0 and 1.0, all of one length, as transformers' multi-label models want them.

    Returns None for anything else. Lists of whole numbers are not taken: they may be class numbers.
    """
    if not rows or not all(isinstance(row, list) and row for row in rows):
        return None
    if len({len(row) for row in rows}) > 1:
        return None
    if not all(isinstance(value, float) and value in (0.0, 1.0) for row in rows for value in row):
        return None
    return np.array(rows, dtype=np.int8)


def _read_binary(y: NDArray[Any]) -> tuple[Targets, LabelForm]:
    check_classification_targets(y)
    classes = np.unique(y)
    if type_of_target(y) != "binary" or len(classes) > 2:
        raise value_error(
            "y",
            must="hold two classes, or be an indicator matrix (rows, labels)",
            got=f"{len(classes)} classes in one column",
            do="Only binary classification is supported. "
            f"The type of the target is {type_of_target(y)}.",
        )
    if len(classes) < 2:
        raise value_error("y", must="hold two classes", got=f"one class, {classes[0]!r}")
    form = LabelForm("binary", (str(classes[1]),), classes, classes.dtype)
    return form.encode(y), form


def _are_name_lists(y: Any) -> bool:
    if not isinstance(y, list | tuple | np.ndarray) or len(y) == 0:
        return False
    if not all(isinstance(row, list | tuple | set | frozenset) for row in y):
        return False
    labels = [name for row in y for name in row]
    if any(isinstance(name, str) for name in labels):
        for name in labels:
            if not isinstance(name, str):
                raise type_error("label names in y", must="all be text", got=repr(name))
        return True
    return not labels


def _values(y: Any) -> Any:
    return y.to_numpy() if hasattr(y, "to_numpy") else y


def _column_names(y: Any, n_labels: int) -> tuple[str, ...]:
    if not hasattr(y, "columns"):
        return default_label_names(n_labels)
    names = tuple(str(column) for column in y.columns)
    check_unique(names, "the columns of y")
    return names
