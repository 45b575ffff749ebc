"""A judge made of what people said: a CSV, one verdict a line."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self, TextIO

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import FairPOValueError, check_unique, file_error, unknown_name, value_error
from fairpo.data.frames import separator_of
from fairpo.generation.judges.judge import FIRST, SECOND, TIE, check_texts
from fairpo.generation.judges.question import transcript
from fairpo.generation.texts import Text

TEXT_COLUMNS = ("prompt", "first", "second")
VERDICTS = {"first": FIRST, "second": SECOND, "tie": TIE}
NO_VERDICT = ("", "skip")

_MOST_FAULTS = 5  # that one error names

_Pair = tuple[str, str, str]


class HumanLabel(NamedTuple):
    """What one person said of one pair.

    Attributes
    ----------
    prompt : Text
    first, second : str
    attribute : str
    verdict : float
        1 the first is better, 0 the second, 0.5 a tie.
    """

    prompt: Text
    first: str
    second: str
    attribute: str
    verdict: float


class HumanLabels:
    """Verdicts of people, looked up by the texts they saw.

    A pair is found in either order. Where several people judged it, the verdict is their mean;
    where nobody did, there is none. Two completions that are the same text tie.

    Parameters
    ----------
    labels : sequence of HumanLabel
    name : str
        What results call the judge.

    Attributes
    ----------
    attributes : tuple of str
        Those that somebody judged by.
    """

    def __init__(self, labels: Sequence[HumanLabel], name: str = "human") -> None:
        self.name = name
        self.attributes = tuple(dict.fromkeys(label.attribute for label in labels))
        self._said: defaultdict[tuple[str, _Pair], list[float]] = defaultdict(list)
        for label in labels:
            pair, turned = _pair(label.prompt, label.first, label.second)
            verdict = 1.0 - label.verdict if turned else label.verdict
            self._said[label.attribute, pair].append(verdict)

    @classmethod
    def from_csv(
        cls, path: str | Path, pairs: Mapping[str, tuple[Text, str, str]] | None = None
    ) -> Self:
        """Read a CSV with a header, in UTF-8, separated by commas or semicolons (``.tsv``: tabs).

        Parameters
        ----------
        path : path
            Columns ``prompt``, ``first``, ``second``, ``attribute`` and ``verdict``; in place of
            the first three, a column ``id``. A verdict is ``first``, ``second`` or ``tie``; empty
            or ``skip`` is none. Other columns are left alone. A prompt that is a conversation is
            written as judges are shown it: ``[user]``, a line with its text, a blank line.
        pairs : mapping from id to (prompt, first, second), optional
            What stands behind each id, for a CSV with ids.

        Raises
        ------
        FairPOFileError
            A missing column, or lines that cannot be read: the first five are named with what is
            wrong with them.
        FairPOValueError
            A column twice.
        """
        path = Path(path)
        labels, faults = [], []
        for line, values in _rows(path, with_ids=pairs is not None):
            try:
                label = _label(values, pairs)
            except FairPOValueError as error:
                faults.append(f"line {line}: {error}")
            else:
                labels += [label] if label else []
        if faults:
            more = len(faults) - _MOST_FAULTS
            told = " ".join(faults[:_MOST_FAULTS]) + (f" And {more} more." if more > 0 else "")
            raise file_error(path, told.removesuffix("."))
        if not labels:
            raise file_error(path, "holds no verdict")
        return cls(labels, name=f"human:{path.stem}")

    def __len__(self) -> int:
        return sum(map(len, self._said.values()))

    def compare(
        self,
        prompts: Sequence[Text],
        first: Sequence[str],
        second: Sequence[str],
        attribute: str,
    ) -> NDArray[np.float64]:
        """Look up what people said; see :meth:`Judge.compare`.

        Raises
        ------
        FairPOValueError
            Nobody judged any pair by this attribute, or different numbers of texts.
        """
        check_texts(prompts, first, second)
        if attribute not in self.attributes:
            raise unknown_name("attribute", attribute, self.attributes, of="attributes judged")
        triples = zip(prompts, first, second, strict=True)
        return np.array([self._verdict(attribute, *triple) for triple in triples], np.float64)

    def _verdict(self, attribute: str, prompt: Text, first: str, second: str) -> float:
        if first == second:
            return TIE
        pair, turned = _pair(prompt, first, second)
        said = self._said.get((attribute, pair))
        if not said:
            return float("nan")
        mean = sum(said) / len(said)
        return 1.0 - mean if turned else mean


def _pair(prompt: Text, first: str, second: str) -> tuple[_Pair, bool]:
    """Key of a pair in one of its two orders, and whether it had to be turned for that."""
    told, one, other = (_settled(text) for text in (transcript(prompt), first, second))
    return ((told, other, one), True) if other < one else ((told, one, other), False)


def _settled(text: str) -> str:
    """A text as it survives a spreadsheet, which writes line ends and outer blanks its own way."""
    return "\n".join(text.strip().splitlines())


def _label(
    values: Mapping[str, str], pairs: Mapping[str, tuple[Text, str, str]] | None
) -> HumanLabel | None:
    """The label of one line; None where the person gave no verdict."""
    verdict = values["verdict"].strip().lower()
    if verdict in NO_VERDICT:
        return None
    if verdict not in VERDICTS:
        raise value_error(
            "verdict", must="be first, second, tie or empty", got=repr(values["verdict"])
        )
    attribute = values["attribute"].strip()
    if not attribute:
        raise value_error("attribute", must="be named", got="nothing")
    texts: tuple[Text, str, str]
    if pairs is None:
        texts = values["prompt"], values["first"], values["second"]
    elif values["id"].strip() in pairs:
        texts = pairs[values["id"].strip()]
    else:
        raise unknown_name("id", values["id"].strip(), pairs, of="pairs")
    return HumanLabel(*texts, attribute, VERDICTS[verdict])


def _rows(path: Path, *, with_ids: bool) -> Iterator[tuple[int, dict[str, str]]]:
    """Lines of a CSV at which a row begins, counted from 1, and its values by column."""
    wanted = (*(("id",) if with_ids else TEXT_COLUMNS), "attribute", "verdict")
    with _opened(path) as stream:
        reader = csv.reader(stream, delimiter=separator_of(path), strict=True)
        line = 1
        try:
            columns = [name.strip().lower() for name in next(reader, [])]
            _check_columns(path, columns, wanted)
            line = reader.line_num + 1
            for row in reader:
                if any(value.strip() for value in row):
                    if len(row) != len(columns):
                        problem = f"line {line}: {len(row)} fields for {len(columns)} columns"
                        raise file_error(path, problem)
                    yield line, dict(zip(columns, row, strict=True))
                line = reader.line_num + 1
        except csv.Error as error:
            raise file_error(path, f"line {line}: {error}") from error
        except UnicodeDecodeError as error:
            raise file_error(path, f"is not UTF-8 ({error})", "Save it as UTF-8.") from error


def _opened(path: Path) -> TextIO:
    try:
        return path.open(newline="", encoding="utf-8-sig")
    except OSError as error:
        raise file_error(path, f"cannot be read ({error.strerror})") from error


def _check_columns(path: Path, columns: Sequence[str], wanted: Sequence[str]) -> None:
    check_unique([name for name in columns if name], f"the columns of {path}")
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise file_error(
            path,
            f"has no column {' and '.join(map(repr, missing))}; its columns are "
            f"{', '.join(columns) or 'none'}",
            "With ids in place of texts, say which pairs they name." if "id" in columns else "",
        )
