"""Anthropic's helpful and harmless pairs (HH-RLHF), from their folders.

Each folder holds ``train.jsonl`` and ``test.jsonl``, or the same in gzip; each line a chosen and
a rejected transcript that begin alike and part at the last reply of the assistant.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fairpo._checks import FairPOValueError, file_error
from fairpo.data.frames import SPLIT_NAMES
from fairpo.data.json_lines import read_json_lines
from fairpo.generation.faults import NOT_TEXT, PairRows
from fairpo.generation.texts import Message

ATTRIBUTES = ("helpful", "harmless")

PARTS_EARLY = "whose transcripts part before the last reply"
NO_TRANSCRIPT = "with a text that is no transcript of Human and Assistant"

_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}
_SUFFIXES = (".jsonl", ".jsonl.gz")


def recognises(path: Path) -> bool:
    """Whether a folder is one of the set, such as ``helpful-base``, or holds some."""
    return path.is_dir() and bool(_folders(path))


def read(path: Path) -> tuple[PairRows, list[str], tuple[str, ...]]:
    """Read all folders of the set: helpful-base, helpful-online, harmless-base and so on.

    Parameters
    ----------
    path : Path
        The folder that holds them, or one of them.

    Returns
    -------
    (rows, splits, notes)
        Prompts and completions are messages; the attribute is the first word of the folder's
        name. Places are "helpful-base/train.jsonl:12".

    Raises
    ------
    FairPOFileError
        A file that is damaged, by line, or no file at all.
    """
    if not path.is_dir():
        raise file_error(path, "is not a folder; hh-rlhf is one")
    texts: list[tuple[Any, Any, Any]] = []
    attributes: list[str] = []
    places: list[str] = []
    splits: list[str] = []
    unreadable: dict[int, str] = {}
    notes: list[str] = []
    for folder in _folders(path):
        for name, file in _files(folder, notes).items():
            for row, line in zip(*read_json_lines(file), strict=True):
                try:
                    texts.append(part_transcripts(row.get("chosen"), row.get("rejected")))
                except FairPOValueError as error:
                    unreadable[len(texts)] = str(error)
                    texts.append((None, None, None))
                attributes.append(_attribute(folder))
                places.append(f"{folder.name}/{file.name}:{line}")
                splits.append(name)
    if not texts:
        raise file_error(path, "holds no train.jsonl or test.jsonl with pairs")
    prompts, chosen, rejected = zip(*texts, strict=True)
    rows = PairRows(str(path), prompts, chosen, rejected, attributes, places, "row", unreadable)
    return rows, splits, tuple(notes)


def parse_transcript(text: str) -> list[Message]:
    r"""Split a transcript into its turns.

    Parameters
    ----------
    text : str
        ``"\n\nHuman: ...\n\nAssistant: ..."``; blanks around a turn are left out.

    Raises
    ------
    FairPOValueError
        It does not begin with a turn.

    Examples
    --------
    >>> parse_transcript("\n\nHuman: Hi\n\nAssistant: Hello!")[1]
    {'role': 'assistant', 'content': 'Hello!'}
    """
    before, *turns = _TURN.split(text)
    if before.strip() or not turns:
        raise FairPOValueError(NO_TRANSCRIPT)
    return [
        {"role": _ROLES[speaker], "content": said.strip()}
        for speaker, said in zip(turns[::2], turns[1::2], strict=True)
    ]


def part_transcripts(
    chosen: Any, rejected: Any
) -> tuple[list[Message], list[Message], list[Message]]:
    """Split two transcripts into what they share and their last replies.

    Raises
    ------
    FairPOValueError
        They are no transcripts, or part before the last turn, or it is not the assistant's; the
        message is one of the kinds of faults that lists of rows name.
    """
    if not isinstance(chosen, str) or not isinstance(rejected, str):
        raise FairPOValueError(NOT_TEXT)
    preferred, other = parse_transcript(chosen), parse_transcript(rejected)
    if preferred[:-1] != other[:-1] or {preferred[-1]["role"], other[-1]["role"]} != {"assistant"}:
        raise FairPOValueError(PARTS_EARLY)
    return preferred[:-1], preferred[-1:], other[-1:]


def _attribute(folder: Path) -> str:
    return folder.name.partition("-")[0]


def _folders(path: Path) -> list[Path]:
    """The folders of the set at or right below a path, in order of name."""
    here = [path, *sorted(folder for folder in path.iterdir() if folder.is_dir())]
    return [f for f in here if _attribute(f) in ATTRIBUTES and _files(f, [])]


def _files(folder: Path, notes: list[str]) -> dict[str, Path]:
    """The file of each split; a gzip beside the same file unpacked is not read twice."""
    files: dict[str, Path] = {}
    for word, name in SPLIT_NAMES.items():
        there = [folder / f"{word}{suffix}" for suffix in _SUFFIXES]
        there = [file for file in there if file.is_file()]
        if there:
            files.setdefault(name, there[0])
        notes += [
            f"{file.name} of {folder.name} is not read: {there[0].name} is" for file in there[1:]
        ]
    return files
