"""The words of every error: what, what it must be, what it got, what to do.

All errors inherit from :class:`FairPOError` and from the builtin a caller would expect, so
either can be caught. Nothing below the command line prints or exits.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


class FairPOError(Exception):
    """Base of every error that ``fairpo`` raises on purpose."""


class FairPOValueError(FairPOError, ValueError):
    """A value that is of the right kind but not allowed."""


class FairPOTypeError(FairPOError, TypeError):
    """A value of the wrong kind."""


class FairPOFileError(FairPOError, OSError):
    """A file or folder that cannot be read, written or trusted."""


class FairPOImportError(FairPOError, ImportError):
    """A package of an extra that is not installed."""


class FairPOWarning(UserWarning):
    """The result is still right, but the user should know something about it."""


def _sentence(what: str, must: str, got: object, do: str) -> str:
    return f"{what} must {must}, got {got}." + (f" {do}" if do else "")


def value_error(what: str, *, must: str, got: object, do: str = "") -> FairPOValueError:
    """Word a :class:`FairPOValueError`: what, must, got, do."""
    return FairPOValueError(_sentence(what, must, got, do))


def type_error(what: str, *, must: str, got: object, do: str = "") -> FairPOTypeError:
    """Word a :class:`FairPOTypeError`: what, must, got, do."""
    return FairPOTypeError(_sentence(what, must, got, do))


def file_error(path: str | Path, problem: str, do: str = "") -> FairPOFileError:
    """Word a :class:`FairPOFileError`: the file, what is wrong with it, what to do."""
    return FairPOFileError(f"{path}: {problem}." + (f" {do}" if do else ""))


def unknown_name(kind: str, name: object, known: Iterable[str], *, of: str) -> FairPOValueError:
    """Word the error for a name that is not among ``known``, with the nearest ones."""
    names = [str(candidate) for candidate in known]
    text = f"{kind} {str(name)!r} is not among the {len(names)} {of}."
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.6)
    if near:
        text += f" Did you mean {' or '.join(map(repr, near))}?"
    elif len(names) <= 30:
        text += f" Known: {', '.join(names)}."
    return FairPOValueError(text)


def build_settings(model: type[Model], values: dict[str, Any], *, of: str = "") -> Model:
    """Validate ``values`` into a settings model; all faults come in one error.

    Parameters
    ----------
    model : type
    values : dict
    of : str
        Whose options they are to the user; those of the model when not given.

    Raises
    ------
    FairPOValueError
        Names every faulty option, what it must be (from the field's description) and what
        it got; an unknown option is answered with the nearest known ones.
    """
    try:
        return model(**values)
    except ValidationError as error:
        faults = [_settings_fault(model, dict(fault), of) for fault in error.errors()]
        raise FairPOValueError("\n".join(faults)) from error


def _settings_fault(model: type[BaseModel], fault: dict[str, Any], of: str) -> str:
    model, path = _innermost(model, fault["loc"])
    option = str(path[0]) if path else ""
    if fault["type"] == "extra_forbidden":
        of = f"options of {of or model.__name__}"
        return str(unknown_name("option", option, model.model_fields, of=of))
    if option not in model.model_fields:  # a rule between options: its own words are complete
        return f"{model.__name__}: {fault['msg'].removeprefix('Value error, ')}"
    must = fault["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    description = model.model_fields[option].description or ""
    return _sentence(f"{model.__name__}.{option}", f"be {must}", repr(fault["input"]), description)


def _innermost(
    model: type[BaseModel], path: tuple[int | str, ...]
) -> tuple[type[BaseModel], tuple[int | str, ...]]:
    """Follow a path through settings that hold settings, to those the fault is in."""
    while len(path) > 1:
        field = model.model_fields.get(str(path[0]))
        if field is None or not _is_settings(field.annotation):
            break
        model, path = field.annotation, path[1:]
    return model, path


def _is_settings(kind: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def check_finite(values: NDArray[Any], what: str) -> None:
    """Refuse NaN and infinity, naming how many there are and where the first one is."""
    # A sum is finite unless an entry is not, or it overflows: the exact mask is built only then.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(values, dtype=np.float64)):
            return
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    where = tuple(int(axis[0]) for axis in np.nonzero(bad))
    place = f"row {where[0]}" + (f", column {where[1]}" if len(where) > 1 else "")
    raise value_error(
        what,
        must="hold finite numbers only, no NaN or inf",
        got=f"{int(bad.sum())} such entries, the first ({values[where]}) in {place}",
        do="Impute or drop these rows.",
    )


def check_unique(names: Collection[str], what: str) -> None:
    """Refuse a name that occurs twice."""
    seen: set[str] = set()
    twice = sorted({name for name in names if name in seen or seen.add(name)})  # type: ignore[func-returns-value]
    if twice:
        raise value_error(
            what,
            must="be unique",
            got=f"{', '.join(map(repr, twice[:5]))} more than once",
            do="Rename or merge them.",
        )


def check_same_length(counts: dict[str, int]) -> None:
    """Refuse arrays of different numbers of rows; ``counts`` maps names to row counts."""
    if len(set(counts.values())) > 1:
        raise value_error(
            " and ".join(counts),
            must="have the same number of rows",
            got=" and ".join(str(count) for count in counts.values()),
        )
