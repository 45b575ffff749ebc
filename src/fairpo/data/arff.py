"""ARFF files of Mulan and MEKA, dense and sparse.

SciPy's reader is not used: it refuses sparse rows and string names of its own escaping, and its
errors name neither file nor line; scikit-learn's is private. On dense files the tests compare
this reader with SciPy's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairpo._checks import FairPOFileError, file_error
from fairpo.data.base import MultiLabelData, compact_features, compact_targets
from fairpo.data.listing import parse_xml, split_lines
from fairpo.data.options import DataOptions

_PART = re.compile(r"^(?P<base>.+)-(?P<part>train|test)(?P<form>-sparse)?$")
_MEKA = re.compile(r"-C\s+(-?\d{1,9})\b", re.IGNORECASE)
_ATTRIBUTE = re.compile(
    r"""@attribute\s+(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s{]++))\s*(.+)$""",
    re.IGNORECASE,
)
_VALUE = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^,'"]*?))\s*(?:,|$)""")
_ENTRY = re.compile(
    r"""\s*(\d{1,9})\s+(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^,'"]+?))\s*(?:,|$)"""
)
_NUMERIC = ("numeric", "real", "integer")
_WORDS = {
    **dict.fromkeys(("no", "false", "n", "f"), 0.0),
    **dict.fromkeys(("yes", "true", "y", "t"), 1.0),
}
_MISSING = "?"
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class _Attribute:
    """A column: its name, the line that declares it, and its categories if it is nominal."""

    name: str
    line: int
    categories: tuple[str, ...] | None

    def numbers(self) -> dict[str, float] | None:
        """Category to number: its value, 0 and 1 for no and yes, its place for other names."""
        if self.categories is None:
            return None
        if self.are_numbers:
            return {name: float(name) for name in self.categories}
        if self.are_words:
            return {name: _WORDS[name.lower()] for name in self.categories}
        return {name: float(place) for place, name in enumerate(self.categories)}

    @property
    def are_numbers(self) -> bool:
        """Whether every category is a number."""
        return all(_is_number(name) for name in self.categories or ())

    @property
    def are_words(self) -> bool:
        """Whether the categories are one word for no and one for yes; {n, f} could be anything."""
        words = [name.lower() for name in self.categories or ()]
        return len({_WORDS.get(word) for word in words} - {None}) == len(words)

    @property
    def is_one_hot(self) -> bool:
        """Whether a number for each category would claim an order that is not there."""
        return len(self.categories or ()) > 2 and not self.are_numbers

    @property
    def places(self) -> tuple[str, ...] | None:
        """The categories, where it is their order that says their numbers."""
        return None if self.are_numbers or self.are_words else self.categories


def _is_number(text: str) -> bool:
    try:
        return "_" not in text and bool(np.isfinite(float(text)))
    except ValueError:
        return False


@dataclass(frozen=True)
class _File:
    """One parsed file: relation, columns, rows as CSR (n, attributes), NaN where "?" stands."""

    path: Path
    relation: str
    attributes: tuple[_Attribute, ...]
    rows: sparse.csr_array
    lines: NDArray[np.int64]
    is_sparse: bool

    def at(self, row: int, problem: str, do: str = "") -> FairPOFileError:
        """Word an error about a row by its line."""
        return _at(self.path, int(self.lines[row]), problem, do)


def recognises(path: Path) -> bool:
    """Whether a path is an ARFF file by name."""
    return path.is_file() and path.suffix == ".arff"


def read(path: Path, options: DataOptions) -> MultiLabelData:
    """Read an ARFF file and its sibling part.

    Parameters
    ----------
    path : Path
        Either part of ``NAME-train.arff`` and ``NAME-test.arff`` (``-sparse`` may follow), or one
        file.
    options : DataOptions
        ``label_xml`` names the file of label names; otherwise it is ``NAME.xml`` beside the data,
        under the same stem or the stem without its part, or MEKA's ``-C`` in the relation says
        how many attributes, first or (negative) last, are labels.

    Raises
    ------
    FairPOFileError
        A file is missing or broken; says at which line.
    """
    path, sibling = (path, None) if options.alone else _parts(path)
    files = [_parse(part) for part in (path, sibling) if part is not None]
    for other in files[1:]:
        _check_same_columns(files[0], other)
    label_columns, source = _label_columns(files[0], options)
    features = sparse.vstack([_features(file, label_columns) for file in files], format="csr")
    targets = sparse.vstack([_targets(file, label_columns) for file in files], format="csr")
    lengths = np.cumsum([0, *(file.rows.shape[0] for file in files)])
    split = {}
    if sibling is not None:
        split = {
            "train": np.arange(lengths[1]),
            "test": np.arange(lengths[1], lengths[2]),
        }
    attributes = files[0].attributes
    match = _PART.match(path.stem)
    form = "sparse" if files[0].is_sparse else "dense"
    other_part = "" if sibling is None else f"; test split from {sibling.name}"
    return MultiLabelData(
        features=compact_features(features),
        targets=compact_targets(targets),
        label_names=tuple(attributes[column].name for column in label_columns),
        split=split,
        name=match["base"] if match and sibling is not None else path.stem,
        kind=f"ARFF, {form}; labels from {source}{other_part}",
    )


def _parts(path: Path) -> tuple[Path, Path | None]:
    """Return the training part and, where it lies beside it, the test part."""
    match = _PART.match(path.stem)
    if not match:
        return path, None
    form = match["form"] or ""
    both = [
        path.with_name(f"{match['base']}-{part}{form}{path.suffix}") for part in ("train", "test")
    ]
    if all(part.is_file() for part in both):
        return both[0], both[1]
    return path, None


def _parse(path: Path) -> _File:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise file_error(path, f"cannot be read ({error.strerror})") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:  # Weka writes the platform's encoding; Latin-1 reads any byte
        text = content.decode("latin-1")
    lines = enumerate(split_lines(text), 1)
    relation, attributes = _header(path, lines)
    return _data(path, relation, attributes, lines)


def _at(path: Path, line: int, problem: str, do: str = "") -> FairPOFileError:
    return file_error(path, f"line {line}: {problem}", do)


def _header(path: Path, lines: Iterator[tuple[int, str]]) -> tuple[str, tuple[_Attribute, ...]]:
    relation = ""
    attributes: list[_Attribute] = []
    seen: dict[str, int] = {}
    line = 1
    for line, text in lines:
        text = text.strip()
        if not text or text.startswith("%"):
            continue
        word = text.split(None, 1)[0].lower()
        if word == "@relation":
            relation = text[len(word) :].strip()
        elif word == "@attribute":
            attribute = _attribute(path, line, text)
            if attribute.name in seen:
                first = seen[attribute.name]
                raise _at(path, line, f"attribute {attribute.name!r} was declared in line {first}")
            seen[attribute.name] = line
            attributes.append(attribute)
        elif word == "@data":
            if not attributes:
                raise _at(path, line, "@data comes before any @attribute")
            return relation, tuple(attributes)
        else:
            raise _at(path, line, f"{text[:40]!r} is not @relation, @attribute or @data")
    raise _at(path, line, "the file ends before @data", "Is it whole?")


def _attribute(path: Path, line: int, text: str) -> _Attribute:
    match = _ATTRIBUTE.match(text)
    if not match:
        raise _at(path, line, f"{text[:60]!r} is not an attribute: name and type")
    name = _unquoted(match.groups()[:3])
    kind = match[4].strip()
    if kind.startswith("{"):
        if not kind.endswith("}"):
            raise _at(path, line, f"the categories of {name!r} do not end with a brace")
        values = _values(kind[1:-1])
        if values is None or len(set(values)) < len(values):
            raise _at(path, line, f"the categories of {name!r} are not a list of different names")
        return _Attribute(name, line, tuple(values))
    if kind.split()[0].lower() not in _NUMERIC:
        raise _at(
            path,
            line,
            f"attribute {name!r} is of type {kind.split()[0]!r}; only numeric and nominal ones "
            "can be features",
            "Remove it, or give texts as a table.",
        )
    return _Attribute(name, line, None)


def _unquoted(groups: Sequence[str | None]) -> str:
    quoted = groups[0] if groups[0] is not None else groups[1]
    return re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else str(groups[2]).strip()


def _values(text: str) -> list[str] | None:
    """Split a line at commas, quotes respected; None where the quotes do not fit."""
    if "'" not in text and '"' not in text:
        return [part.strip() for part in text.split(",")]
    values, at = [], 0
    while at < len(text):
        match = _VALUE.match(text, at)
        if not match or match.end() == at:
            return None
        values.append(_unquoted(match.groups()))
        at = match.end()
    if text.rstrip().endswith(","):
        values.append("")
    return values


def _data(
    path: Path, relation: str, attributes: tuple[_Attribute, ...], lines: Iterator[tuple[int, str]]
) -> _File:
    numbers = [attribute.numbers() for attribute in attributes]
    indptr, indices, values, numbered = [0], [], [], []
    forms: set[bool] = set()
    for line, text in lines:
        text = text.strip()
        if not text or text.startswith("%"):
            continue
        forms.add(text.startswith("{"))
        if len(forms) > 1:
            raise _at(path, line, "sparse and dense rows are mixed")
        if text.startswith("{"):
            columns, row = _sparse_row(path, line, text, attributes, numbers)
        else:
            columns, row = _dense_row(path, line, text, attributes, numbers)
        indices.append(columns)
        values.append(row)
        indptr.append(indptr[-1] + len(columns))
        numbered.append(line)
    if len(indptr) == 1:
        raise file_error(path, "has no rows after @data")
    is_sparse = True in forms
    if is_sparse:
        _check_omitted(path, attributes, numbers)
    matrix = sparse.csr_array(
        (np.concatenate(values), np.concatenate(indices), np.array(indptr)),
        shape=(len(indptr) - 1, len(attributes)),
    )
    return _File(path, relation, attributes, matrix, np.array(numbered), is_sparse)


_Numbers = list[dict[str, float] | None]
_Row = tuple[NDArray[np.int32], NDArray[np.float64]]


def _dense_row(
    path: Path, line: int, text: str, attributes: tuple[_Attribute, ...], numbers: _Numbers
) -> _Row:
    parts = _values(text)
    if parts is None:
        raise _at(path, line, "a quote is not closed")
    if len(parts) != len(attributes):
        raise _at(path, line, f"{len(parts)} values for {len(attributes)} attributes")
    row = np.array(
        [
            _number(path, line, part, attribute, known)
            for part, attribute, known in zip(parts, attributes, numbers, strict=True)
        ]
    )
    columns = np.flatnonzero(row).astype(np.int32)
    return columns, row[columns]


def _sparse_row(
    path: Path, line: int, text: str, attributes: tuple[_Attribute, ...], numbers: _Numbers
) -> _Row:
    if not text.endswith("}"):
        raise _at(path, line, "a sparse row does not end with a brace", "Is the file whole?")
    inside, at = text[1:-1].strip(), 0
    columns, row = [], []
    while at < len(inside):
        match = _ENTRY.match(inside, at)
        if not match:
            raise _at(path, line, f"{inside[at : at + 30]!r} is not an index and a value")
        column = int(match[1])
        if column >= len(attributes):
            raise _at(path, line, f"index {column} is beyond the {len(attributes)} attributes")
        text_value = _unquoted(match.groups()[1:])
        columns.append(column)
        row.append(_number(path, line, text_value, attributes[column], numbers[column]))
        at = match.end()
    if len(set(columns)) < len(columns):
        raise _at(path, line, "an index occurs twice")
    return np.array(columns, dtype=np.int32), np.array(row, dtype=np.float64)


def _number(
    path: Path, line: int, text: str, attribute: _Attribute, known: dict[str, float] | None
) -> float:
    if known is not None and text in known:
        return known[text]
    if text == _MISSING:
        return np.nan
    try:
        value = np.inf if "_" in text else float(text)  # Python reads 1_0 as 10
    except ValueError:
        value = np.inf
    if known is not None and (attribute.places or value not in known.values()):
        raise _at(
            path,
            line,
            f"{text!r} is not a category of {attribute.name!r}",
            f"Line {attribute.line} declares them.",
        )
    if not abs(value) <= _LARGEST:
        raise _at(path, line, f"{text!r} is not a finite number, as {attribute.name!r} must be")
    return value


def _check_omitted(path: Path, attributes: tuple[_Attribute, ...], numbers: _Numbers) -> None:
    """An entry that a sparse row leaves out is the first category, which must mean 0 here."""
    for attribute, known in zip(attributes, numbers, strict=True):
        if known and attribute.categories and known[attribute.categories[0]] != 0:
            raise _at(
                path,
                attribute.line,
                f"the first category of {attribute.name!r} is {attribute.categories[0]!r}, which "
                "sparse rows leave out; it must be 0",
            )


def _label_columns(file: _File, options: DataOptions) -> tuple[list[int], str]:
    """Columns of the labels, in the order of the file that names them, and that file's name."""
    path = _label_xml(file.path, options)
    if path is not None:
        position = {attribute.name: column for column, attribute in enumerate(file.attributes)}
        columns = []
        for name in read_label_xml(path):
            if name not in position and options.unlabelled:
                continue
            if name not in position:
                raise file_error(path, f"label {name!r} is not an attribute of {file.path.name}")
            columns.append(position[name])
        return columns, path.name
    match = _MEKA.search(file.relation)
    if not match and options.unlabelled:
        return [], "nowhere"
    if not match:
        raise file_error(
            file.path,
            "does not say which attributes are labels: there is no .xml of its name beside it and "
            "no -C in its relation",
            "Give the file that lists them: --label-xml FILE.",
        )
    count = int(match[1])
    if not 0 < abs(count) < len(file.attributes):
        raise file_error(
            file.path, f"-C {count} does not fit its {len(file.attributes)} attributes"
        )
    every = list(range(len(file.attributes)))
    return (every[:count] if count > 0 else every[count:]), f"-C {count} of its header"


def _label_xml(path: Path, options: DataOptions) -> Path | None:
    if options.label_xml is not None:
        return options.find(options.label_xml)
    match = _PART.match(path.stem)
    stems = [path.stem, *([match["base"]] if match else [])]
    beside = [path.with_name(f"{stem}.xml") for stem in stems]
    return next((candidate for candidate in beside if candidate.is_file()), None)


def read_label_xml(path: Path) -> list[str]:
    """Read the label names of Mulan's XML, nested ones included, in document order.

    Raises
    ------
    FairPOFileError
        Missing, not XML, or without labels; says at which line.
    """
    root = parse_xml(path)
    labels = [element for element in root.iter() if element.tag.rpartition("}")[2] == "label"]
    names = [element.get("name", "") for element in labels]
    if not names:
        raise file_error(path, "lists no label")
    if "" in names:
        raise file_error(path, f"label {names.index('') + 1} has no name")
    if len(set(names)) < len(names):
        twice, _ = Counter(names).most_common(1)[0]
        raise file_error(path, f"lists label {twice!r} more than once")
    return names


def _check_same_columns(first: _File, second: _File) -> None:
    names = [[attribute.name for attribute in file.attributes] for file in (first, second)]
    if names[0] != names[1]:
        raise file_error(second.path, f"has other attributes than {first.path.name}")
    for one, other in zip(first.attributes, second.attributes, strict=True):
        if one.places != other.places:
            problem = f"attribute {other.name!r} has other categories than in {first.path.name}"
            raise _at(second.path, other.line, problem)


def _features(file: _File, label_columns: list[int]) -> sparse.csr_array:
    """Feature columns, nominal ones of more than two names as one column a name."""
    every = np.setdiff1d(np.arange(len(file.attributes)), label_columns)
    matrix = file.rows[:, every].tocoo()
    missing = np.flatnonzero(np.isnan(matrix.data))
    if len(missing):
        first = missing[np.argmin(matrix.row[missing])]
        name = file.attributes[every[matrix.col[first]]].name
        problem = f"the value of {name!r} is missing, as are {len(missing) - 1} others"
        raise file.at(int(matrix.row[first]), problem, "Impute them or drop the rows.")
    plain = [column for column in every if not file.attributes[column].is_one_hot]
    blocks = [file.rows[:, plain]]
    for column in every:
        categories = file.attributes[column].categories
        if file.attributes[column].is_one_hot and categories:
            codes = file.rows[:, [column]].toarray()
            blocks.append(sparse.csr_array(codes == np.arange(len(categories))))
    return sparse.hstack(blocks, format="csr")


def _targets(file: _File, label_columns: list[int]) -> sparse.csr_array:
    """Label columns as 0, 1 and, for "?", -1."""
    matrix = file.rows[:, label_columns].tocoo()
    for column in label_columns:
        attribute = file.attributes[column]
        if attribute.places:
            raise _at(
                file.path,
                attribute.line,
                f"label {attribute.name!r} has the categories {', '.join(attribute.places[:5])}; "
                "they must be 0 and 1, no and yes, or false and true",
            )
    wrong = np.flatnonzero(~np.isin(matrix.data, (0, 1)) & ~np.isnan(matrix.data))
    if len(wrong):
        column = label_columns[int(matrix.col[wrong[0]])]
        raise file.at(
            int(matrix.row[wrong[0]]),
            f"label {file.attributes[column].name!r} is {matrix.data[wrong[0]]:g}, not 0 or 1",
            "Is it a label? Check the list of labels.",
        )
    matrix.data = np.where(np.isnan(matrix.data), -1, matrix.data)
    return sparse.csr_array(matrix)
