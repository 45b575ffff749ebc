"""Tables as pandas reads them, and the columns that hold labels, splits and names."""

from __future__ import annotations

import ast
import csv
import fnmatch
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairpo._checks import FairPOFileError, check_unique, file_error
from fairpo._optional import require
from fairpo.data.base import (
    Targets,
    check_negatives,
    compact_targets,
    default_label_names,
)
from fairpo.data.json_lines import read_json_lines
from fairpo.data.labels import multi_hot, names_to_targets
from fairpo.data.options import DataOptions

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl")
PATH_COLUMNS = ("path", "image_path", "file_name", "filename", "image", "file")
TEXT_COLUMNS = ("text",)
LABEL_COLUMNS = ("labels", "label", "tags")
ID_COLUMNS = ("id",)
SPLIT_COLUMNS = ("split",)

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
MOST_SLICES = 50
"""Categories of a column by which metrics are told apart; of more, each has too few rows."""

_DELIMITERS = ("|", ";", ",")


@dataclass(frozen=True)
class Frame:
    """A table with the file and line each row came from.

    Parameters
    ----------
    path : Path
    table : pandas DataFrame
        Text as str, missing values as None or NaN.
    lines : int array, shape (n,)
        Line of each row in a text file, counted from 1; row of a Parquet file.
    word : "line" or "row"
    n_blank : int
        Blank lines that were left out.
    """

    path: Path
    table: Any
    lines: NDArray[np.int64]
    word: str
    n_blank: int = 0

    def at(self, row: int, problem: str, do: str = "") -> FairPOFileError:
        """Word an error about a row."""
        return file_error(self.path, f"{self.word} {self.lines[row]}: {problem}", do)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out."""
        return (f"{self.n_blank} blank lines are left out",) if self.n_blank else ()

    def column(self, named: str | None, usual: Sequence[str]) -> str | None:
        """Return the column an option names, or the first usual one that is there.

        Raises
        ------
        FairPOFileError
            The option names a column that is not there.
        """
        columns = [str(name) for name in self.table.columns]
        if named is not None:
            if named not in columns:
                raise file_error(
                    self.path, f"has no column {named!r}; its columns are {_shown(columns)}"
                )
            return named
        return next((name for name in usual if name in columns), None)

    def columns(self, pattern: str, *, required: bool = True) -> list[str]:
        """Return the columns that a list of names and patterns matches."""
        names = [str(name) for name in self.table.columns]
        found: list[str] = []
        for part in (part.strip() for part in pattern.split(",")):
            matched = fnmatch.filter(names, part) if part not in names else [part]
            if not matched and required:
                raise file_error(
                    self.path, f"has no column {part!r}; its columns are {_shown(names)}"
                )
            found += [name for name in matched if name not in found]
        return found

    def texts(self, column: str) -> list[str]:
        """Return a column of texts; a missing one is refused by line."""
        values: list[str] = self.table[column].tolist()
        for row, value in enumerate(values):
            if not isinstance(value, str):
                raise self.at(row, f"{column} must be text, got {shown_value(value)}")
        return values


@dataclass(frozen=True)
class FrameLabels:
    """Labels of a table: targets, names, the columns they came from, and what was decided."""

    targets: Targets
    names: tuple[str, ...]
    columns: tuple[str, ...]
    form: str


def read_frame(path: Path, options: DataOptions) -> Frame:
    """Read a CSV, TSV, Parquet or JSONL file.

    Parameters
    ----------
    path : Path
        A CSV may be separated by semicolons, as spreadsheets of some countries write it.
    options : DataOptions
        Columns of names, paths, texts and labels stay text: ``007`` is not 7.

    Raises
    ------
    FairPOFileError
        Missing, broken (by line, where the file has lines), empty, or without a header.
    FairPOImportError
        pandas or pyarrow is not installed.
    """
    suffix = path.suffix.lower()
    pandas = require("pandas", extra="table", purpose=f"reading {suffix} files")
    if not path.is_file():
        raise file_error(path, "does not exist" if not path.exists() else "is not a file")
    readers = {".parquet": _read_parquet, ".jsonl": _read_jsonl}
    frame: Frame = readers.get(suffix, _read_csv)(path, pandas, _text_columns(options))
    names = [str(name).strip() for name in frame.table.columns]
    check_unique(names, f"the columns of {path}")
    frame.table.columns = names
    if not len(frame.table):
        raise file_error(path, "has no rows")
    return frame


def _text_columns(options: DataOptions) -> set[str]:
    told = {options.id, options.path, options.text, options.labels} - {None}
    usual = {*PATH_COLUMNS, *TEXT_COLUMNS, *ID_COLUMNS}
    if options.labels is None:
        usual |= {*LABEL_COLUMNS}
    return usual | {str(name) for name in told}


def _read_csv(path: Path, pandas: Any, text_columns: set[str]) -> Frame:
    separator = separator_of(path)
    names = _header(path, separator)
    try:
        table = pandas.read_csv(
            path,
            sep=separator,
            keep_default_na=False,  # "NA" and "None" are names until a number is wanted
            na_values=[""],
            encoding="utf-8-sig",
            skip_blank_lines=False,
            low_memory=False,
            dtype={name: str for name in names if name.strip() in text_columns},
        )
    except UnicodeDecodeError as error:
        raise file_error(path, f"is not UTF-8 ({error})", "Save it as UTF-8.") from error
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors, with the line
        problem = str(error).removeprefix("Error tokenizing data. C error: ").strip()
        raise file_error(path, f"is not a readable table ({problem})") from error
    lines = _lines(path, separator, len(table))
    blank = table.isna().all(axis=1).to_numpy()
    kept = table[~blank].reset_index(drop=True)
    return Frame(path, kept, lines[~blank], "line", int(blank.sum()))


def separator_of(path: Path) -> str:
    """What separates the fields of a text table, by its name and its first line."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            first = stream.readline()
    except OSError as error:
        raise file_error(path, f"cannot be read ({error.strerror})") from error
    return ";" if ";" in first and "," not in first else ","


def _header(path: Path, separator: str) -> list[str]:
    """Column names; refuses what pandas would guess about: a name twice, more fields than names.

    It would rename the second name, so that a label became a feature, and take the first field
    for row names, so that every column moved by one.
    """
    names: list[str] = []
    first: list[str] = []
    line = 1
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, delimiter=separator)
            with suppress(csv.Error):  # a field of 128 KB, which pandas reads
                names = next(reader, [])
                line = reader.line_num + 1
                first = next(reader, [])
    except UnicodeDecodeError as error:
        raise file_error(path, f"is not UTF-8 ({error})", "Save it as UTF-8.") from error
    check_unique([name for name in names if name], f"the columns of {path}")
    if len(first) > len(names) > 0:
        raise file_error(path, f"line {line}: {len(first)} fields for {len(names)} columns")
    return names


def _lines(path: Path, separator: str, n_rows: int) -> NDArray[np.int64]:
    """Line at which each row begins; a quoted text may have several."""
    lines = np.arange(2, n_rows + 2)
    with path.open(encoding="utf-8-sig") as stream:
        if sum(1 for _ in stream) == n_rows + 1:
            return lines
    ends = []
    with path.open(newline="", encoding="utf-8-sig") as stream, suppress(csv.Error):
        reader = csv.reader(stream, delimiter=separator)
        ends = [reader.line_num for _ in reader]
    return np.array(ends[:-1]) + 1 if len(ends) == n_rows + 1 else lines


def _read_jsonl(path: Path, pandas: Any, _: set[str]) -> Frame:
    rows, lines = read_json_lines(path)
    return Frame(path, pandas.DataFrame(rows), np.array(lines, dtype=np.int64), "line")


def _read_parquet(path: Path, pandas: Any, _: set[str]) -> Frame:
    require("pyarrow", extra="table", purpose="reading Parquet")
    try:
        table = pandas.read_parquet(path)
    except Exception as error:  # pyarrow raises errors of many kinds on damaged files
        raise file_error(path, f"is not a readable Parquet file ({error})") from error
    table = table.reset_index(drop=True)
    return Frame(path, table, np.arange(len(table)), "row")


def read_split(
    frame: Frame, options: DataOptions
) -> tuple[dict[str, NDArray[np.int64]], str | None]:
    """Row numbers of each split, and the column that says them; none without such a column."""
    column = frame.column(options.split, SPLIT_COLUMNS)
    if column is None:
        return {}, None
    split: dict[str, list[int]] = {}
    for row, value in enumerate(frame.table[column].tolist()):
        name = SPLIT_NAMES.get(str(value).strip().lower())
        if name is None:
            raise frame.at(
                row, f"{column} must be train, validation or test, got {shown_value(value)}"
            )
        split.setdefault(name, []).append(row)
    return {name: np.array(rows) for name, rows in split.items()}, column


def read_ids(frame: Frame, options: DataOptions) -> tuple[tuple[str, ...] | None, str | None]:
    """Row names, and the column that holds them; None without such a column."""
    column = frame.column(options.id, ID_COLUMNS)
    if column is None:
        return None, None
    missing = frame.table[column].isna().to_numpy()
    if missing.any():
        raise frame.at(int(np.flatnonzero(missing)[0]), f"{column} is missing")
    return tuple(str(value) for value in frame.table[column].tolist()), column


def read_slices(frame: Frame, options: DataOptions) -> dict[str, NDArray[np.str_]]:
    """Category of each row, (n,), by the columns that ``slices`` names.

    A cell with nothing in it is the category ``(nothing)``: rows of which it is not known may be
    those that a model fails on.

    Raises
    ------
    FairPOFileError
        No such column, or one of more than ``MOST_SLICES`` categories.
    """
    if options.slices is None:
        return {}
    found = {}
    for column in frame.columns(options.slices, required=not options.unlabelled):
        values = np.array([_category(value) for value in frame.table[column].tolist()])
        if (count := len(np.unique(values))) > MOST_SLICES:
            raise file_error(
                frame.path,
                f"column {column!r} holds {count} different values; up to {MOST_SLICES} can be "
                "slices",
                "Put neighbouring values into one category, in a column of their own.",
            )
        found[column] = values
    return found


def _category(value: Any) -> str:
    plain = _plain(value)
    if isinstance(plain, float) and plain.is_integer():
        plain = int(plain)  # pandas made floats of them for the sake of an empty cell
    return "(nothing)" if plain is None else str(plain).strip() or "(nothing)"


def read_labels_of(frame: Frame, options: DataOptions) -> FrameLabels:
    """Find the labels of a table: one column of lists or text, or indicator columns.

    Parameters
    ----------
    frame : Frame
    options : DataOptions
        ``labels`` names the columns; one that is called labels, label or tags is found without.

    Raises
    ------
    FairPOFileError
        No label column; an entry that is not a list of names or not 0 or 1, by line.
    """
    if options.labels is not None:
        columns = frame.columns(options.labels, required=not options.unlabelled)
        if not columns:
            return FrameLabels(np.empty((len(frame.table), 0), dtype=np.int8), (), (), "nowhere")
    else:
        usual = frame.column(None, LABEL_COLUMNS)
        if usual is None and options.unlabelled:
            return FrameLabels(np.empty((len(frame.table), 0), dtype=np.int8), (), (), "nowhere")
        if usual is None:
            there = _shown([str(name) for name in frame.table.columns])
            raise file_error(
                frame.path,
                f"does not say which columns are labels; its columns are {there}",
                "Name them: --data-option labels=a,b,c, or labels=is_* for all that begin so.",
            )
        columns = [usual]
    if len(columns) > 1 or _is_indicator(frame, columns[0]):
        return FrameLabels(
            _indicators(frame, columns), tuple(columns), tuple(columns), "indicator columns"
        )
    hot = multi_hot([_plain(value) for value in frame.table[columns[0]].tolist()])
    if hot is not None:
        names = default_label_names(hot.shape[1])
        return FrameLabels(hot, names, tuple(columns), f"lists of 0.0 and 1.0 in {columns[0]}")
    rows, form = _name_lists(frame, columns[0], options.delimiter)
    names = tuple(sorted({name for row in rows for name in row}))
    if not names:
        raise file_error(frame.path, f"column {columns[0]!r} holds no label at all")
    return FrameLabels(compact_targets(names_to_targets(rows, names)), names, tuple(columns), form)


def _is_indicator(frame: Frame, column: str) -> bool:
    try:
        found = set(frame.table[column].dropna().unique().tolist())
    except TypeError:  # lists
        return False
    return bool(found) and found <= {0, 1, "0", "1"}


def _indicators(frame: Frame, columns: list[str]) -> Targets:
    """Columns of 0, 1 and, where nothing or -1 stands, missing."""
    targets = np.zeros((len(frame.table), len(columns)), dtype=np.int8)
    for place, name in enumerate(columns):
        values = frame.table[name]
        if values.dtype.kind in "biuf":
            numbers = values.to_numpy(dtype=np.float64)
        else:
            numbers = np.array([_indicator(value) for value in values.tolist()])
        missing = values.isna().to_numpy()
        wrong = np.flatnonzero(~missing & ~np.isin(numbers, (-1, 0, 1)))
        if len(wrong):
            row = int(wrong[0])
            got = shown_value(values.tolist()[row])
            raise frame.at(row, f"label {name} must be 0, 1 or nothing, got {got}")
        targets[:, place] = np.where(missing, -1, numbers)
    check_negatives(targets, f"the labels of {frame.path}")
    return compact_targets(sparse.csr_array(targets))


def _indicator(value: Any) -> float:
    """A cell as a number where it says one; NaN, which is none of them, otherwise."""
    try:
        return np.nan if isinstance(value, list | np.ndarray) else float(value)
    except (TypeError, ValueError):
        return np.nan


def _name_lists(frame: Frame, column: str, delimiter: str | None) -> tuple[list[list[str]], str]:
    values = [_plain(value) for value in frame.table[column].tolist()]
    if any(isinstance(value, list) for value in values):
        for row, value in enumerate(values):
            if value is not None and not isinstance(value, list):
                got = shown_value(value)
                problem = f"{column} must be a list of names, as in other rows, got {got}"
                raise frame.at(row, problem)
        return [
            [_name(frame, row, column, name) for name in value or []]
            for row, value in enumerate(values)
        ], f"lists in {column}"
    texts = []
    for row, value in enumerate(values):
        if value is not None and not isinstance(value, str):
            raise frame.at(
                row,
                f"{column} must be text or a list of names, got {shown_value(value)}",
                "Columns of 0 and 1 are named by --data-option labels=a,b,c.",
            )
        texts.append(value or "")
    if all(text.startswith("[") and text.endswith("]") for text in texts if text):
        return _listed_in_text(frame, column, texts), f"lists written as text in {column}"
    chosen = delimiter
    if chosen is None:
        chosen = next((mark for mark in _DELIMITERS if any(mark in text for text in texts)), None)
    rows = []
    for row, text in enumerate(texts):
        parts = text.split(chosen) if chosen and text else [text] if text else []
        rows.append([_name(frame, row, column, part) for part in parts])
    if not chosen:
        return rows, f"{column}, one label a row"
    form = f"{column}, split at {chosen!r}"
    others = [mark for mark in _DELIMITERS if any(mark in name for row in rows for name in row)]
    if others:
        form += f" (some names hold {others[0]!r}; --data-option delimiter=MARK splits elsewhere)"
    return rows, form


def _listed_in_text(frame: Frame, column: str, texts: list[str]) -> list[list[str]]:
    """Lists that were written into a CSV: as JSON, or as Python prints them."""
    rows = []
    for row, text in enumerate(texts):
        try:
            names = ast.literal_eval(text) if text else []
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            problem = f"{column} holds {shown_value(text)}, which is not a list"
            raise frame.at(row, problem) from error
        rows.append([_name(frame, row, column, name) for name in names])
    return rows


def _plain(value: Any) -> Any:
    """A cell as a list, text, number or None, whatever container pandas gave."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    if isinstance(value, list | str) or value is None:
        return value
    same = value == value  # not so for NaN, and neither so nor not for pandas' NA
    return value if isinstance(same, bool | np.bool_) and same else None


def _name(frame: Frame, row: int, column: str, name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise frame.at(row, f"{column} holds {shown_value(name)}, which is not a label name")
    return name.strip()


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f", ... ({len(names)} in all)" if len(names) > 12 else "")


def shown_value(value: Any) -> str:
    """A cell in a message, cut short."""
    plain = _plain(value)
    return "nothing" if plain is None else repr(plain)[:60]
