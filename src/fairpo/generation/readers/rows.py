"""Rows of any table: a file, a Hugging Face data set, or a list of dicts."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairpo._checks import FairPOFileError, file_error, type_error
from fairpo._optional import require
from fairpo.data.frames import SPLIT_NAMES
from fairpo.data.huggingface import PREFIX, open_parts
from fairpo.data.huggingface import recognises as is_saved_dataset
from fairpo.data.json_lines import read_json_lines
from fairpo.generation.readers.options import SPLIT_COLUMN, PairOptions

SUFFIXES = (".jsonl", ".json", ".parquet", ".jsonl.gz")


@dataclass(frozen=True)
class Table:
    """Rows as they stand in a source.

    Parameters
    ----------
    source : str
    rows : list of dict, length n
        Columns may be absent in some rows.
    places : sequence of str or int, length n
        What messages call the rows.
    word : "line" or "row"
    splits : list of str, length n, optional
        Where the source is made of splits.
    """

    source: str
    rows: Sequence[Mapping[str, Any]]
    places: Sequence[str | int]
    word: str = "row"
    splits: list[str] | None = None
    notes: tuple[str, ...] = ()

    @functools.cached_property
    def columns(self) -> list[str]:
        """Names of the columns, in the order they turn up."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def column(self, name: str) -> list[Any]:
        """Values of a column, None where a row is without."""
        return [row.get(name) for row in self.rows]

    def require_column(self, name: str, do: str) -> list[Any]:
        """Values of a column that must be there.

        Raises
        ------
        FairPOFileError
        """
        columns = self.columns
        if name not in columns:
            there = ", ".join(columns[:12]) + (", ..." if len(columns) > 12 else "")
            raise file_error(
                self.source, f"has no column {name!r}; its columns are {there or '(none)'}", do
            )
        return self.column(name)

    def at(self, row: int, problem: str) -> FairPOFileError:
        """Word an error about a row."""
        return file_error(self.source, f"{self.word} {self.places[row]}: {problem}")


def is_table(path: Path) -> bool:
    """Whether a path is a table by name, or a folder that Hugging Face's ``datasets`` wrote."""
    return (path.is_file() and path.name.lower().endswith(SUFFIXES)) or is_saved_dataset(path)


def read_table(source: Any, options: PairOptions) -> Table:
    """Read the rows of a source.

    Parameters
    ----------
    source : str, path, list of dict, or Dataset or DatasetDict of ``datasets``
        A file ending in one of :data:`SUFFIXES`; a folder of ``save_to_disk``; ``hf:NAME``, which
        needs ``fetch``.
    options : PairOptions

    Raises
    ------
    FairPOFileError
        Missing, damaged (by line where there are lines) or of another kind.
    FairPOTypeError
        Neither a path nor rows.
    """
    if isinstance(source, str | Path):
        table = _read_path(str(source), options)
    elif hasattr(source, "column_names"):
        table = _from_parts("pairs", _parts(source))
    elif isinstance(source, Sequence) and all(isinstance(row, Mapping) for row in source):
        table = Table("pairs", source, range(len(source)))
    else:
        raise type_error(
            "PAIRS",
            must="be a name, a path, a list of dicts or a data set of Hugging Face",
            got=type(source).__name__,
        )
    if not table.rows:
        raise file_error(table.source, "has no rows")
    return table


def _read_path(source: str, options: PairOptions) -> Table:
    told = options.of_files()
    path = told.find(source)
    if source.startswith(PREFIX) or is_saved_dataset(path):
        return _from_parts(source, open_parts(source, told))
    if not path.exists():
        raise file_error(source, "does not exist", told.where_looked("--data-option root=DIR"))
    name = path.name.lower()
    if name.endswith((".jsonl", ".jsonl.gz")):
        rows, lines = read_json_lines(path)
        return Table(source, rows, lines, "line")
    if name.endswith(".json"):
        return _read_json(path)
    if name.endswith(".parquet"):
        return _read_parquet(path)
    raise file_error(source, f"is not a table; tables end in {', '.join(SUFFIXES)}")


def _read_json(path: Path) -> Table:
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
        json.dumps(rows, ensure_ascii=False).encode()  # half a character can be written, not used
    except OSError as error:
        raise file_error(path, f"cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise file_error(
            path, f"is not valid JSON ({error})", "One object a line? Call it .jsonl."
        ) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise file_error(path, "must hold a list of objects")
    return Table(str(path), rows, range(len(rows)))


def _read_parquet(path: Path) -> Table:
    parquet = require("pyarrow.parquet", extra="table", purpose="reading Parquet")
    try:
        rows = parquet.read_table(path).to_pylist()
    except Exception as error:  # pyarrow raises errors of many kinds on damaged files
        raise file_error(path, f"is not a readable Parquet file ({error})") from error
    return Table(str(path), rows, range(len(rows)))


def _parts(dataset: Any) -> dict[str, Any]:
    return dict(dataset) if isinstance(dataset, Mapping) else {"train": dataset}


def _from_parts(source: str, parts: dict[str, Any]) -> Table:
    """Rows of all splits one after the other, class numbers as the names they stand for."""
    known = {name: part for name, part in parts.items() if name in SPLIT_NAMES}
    if not known:
        raise file_error(source, f"has the splits {', '.join(parts)}; none is train")
    for part in known.values():
        if not hasattr(part, "__len__"):
            raise type_error(
                "a data set of Hugging Face",
                must="be loaded as a whole",
                got=type(part).__name__,
                do="Load it without streaming=True.",
            )
    rows: list[Mapping[str, Any]] = []
    places: list[str] = []
    splits: list[str] = []
    for name, part in known.items():
        classes = {
            column: tuple(feature.names)
            for column, feature in part.features.items()
            if hasattr(feature, "names")
        }
        for number, row in enumerate(part):
            rows.append({**row, **{c: _named(row[c], names) for c, names in classes.items()}})
            places.append(f"{name}[{number}]")
        splits += [SPLIT_NAMES[name]] * len(part)
    left_out = [name for name in parts if name not in known]
    notes = (f"the splits {', '.join(left_out)} are left out",) if left_out else ()
    return Table(source, rows, places, "row", splits if len(known) > 1 else None, notes)


def _named(code: Any, names: tuple[str, ...]) -> str | None:
    """The name of a class number; Hugging Face writes -1 for "not known"."""
    return names[code] if isinstance(code, int) and 0 <= code < len(names) else None


def read_splits(table: Table, options: PairOptions) -> list[str] | None:
    """The split of each row: the source's own, a column's, or None where nothing says it.

    Raises
    ------
    FairPOFileError
        A cell that is no split, by row; a column that is named and not there.
    """
    named = options.split
    if named is None and (table.splits is not None or SPLIT_COLUMN not in table.columns):
        return table.splits
    column = named or SPLIT_COLUMN
    splits = []
    for row, value in enumerate(table.require_column(column, "The option split names it.")):
        name = SPLIT_NAMES.get(str(value).strip().lower())
        if name is None:
            must = f"{column} must be train, validation or test"
            raise table.at(row, f"{must}, got {'nothing' if value is None else repr(value)[:60]}")
        splits.append(name)
    return splits
