"""Every kind of data by name, and how a source is recognised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from fairpo._checks import file_error, unknown_name
from fairpo.data.base import MultiLabelData
from fairpo.data.options import DataOptions


@dataclass(frozen=True)
class Format:
    """One kind of data.

    Parameters
    ----------
    words : str
        What it looks like, for lists and messages.
    module : str
        Under ``fairpo.data``; imported when first asked.
    options : tuple of str
        Fields of :class:`~fairpo.data.options.DataOptions` that its reader uses, besides those
        that concern every source.
    recognises, read : str
        Functions of the module: ``recognises(path) -> bool`` and
        ``read(path, options) -> MultiLabelData``.
    """

    words: str
    module: str
    options: tuple[str, ...]
    recognises: str = "recognises"
    read: str = "read"

    def function(self, name: str) -> Callable[..., Any]:
        """Return one of the two functions."""
        found: Callable[..., Any] = getattr(import_module(f"fairpo.data.{self.module}"), name)
        return found


_TABLE = ("labels", "delimiter", "path", "text", "id", "split", "ignore", "slices", "images")

FORMATS: dict[str, Format] = {
    "store": Format("folder that `fairpo embed` wrote", "store", (), "is_store"),
    "coco": Format("folder with annotations/instances_*.json", "coco", ("images", "year")),
    "nuswide": Format("folder with NUS-WIDE's official lists", "nuswide", ("images",)),
    "voc": Format(
        "folder with VOC's Annotations and ImageSets/Main", "voc", ("images", "year", "difficult")
    ),
    "yolo": Format("folder with *.names, images/ and labels/", "yolo", ()),
    "huggingface": Format(
        "folder of datasets.save_to_disk, or hf:NAME", "huggingface", ("labels", "path", "text")
    ),
    "arrays": Format(".npz file, or folder with X.npy and Y.npy", "arrays", ()),
    "image-folder": Format(
        "folder of images and one table that lists them",
        "table",
        _TABLE,
        "recognises_folder",
        "read_folder",
    ),
    "arff": Format(".arff file of Mulan or MEKA", "arff", ("alone", "label_xml")),
    "svmlight": Format(".svm, .libsvm or .svmlight file", "svmlight", ("alone", "n_features")),
    "table": Format(
        ".csv, .tsv, .parquet or .jsonl of features, texts or image paths", "table", _TABLE
    ),
}
"""Kinds of files and folders; the first one that recognises a path reads it."""


def read_source(source: str | Path, options: DataOptions) -> MultiLabelData:
    """Recognise a source and read it, with the splits it has.

    Raises
    ------
    FairPOFileError
        It does not exist or is of no known kind; says what can be read.
    FairPOValueError
        ``options.format`` is not a kind of data.
    """
    text = str(source)
    if text == "digits":
        from fairpo.data.digits import load_digits_scenes

        return load_digits_scenes()
    if text == "ambiguous-digits":
        from fairpo.data.ambiguous_digits import load_ambiguous_scenes

        return load_ambiguous_scenes().data
    for prefix, name in (("openml:", "openml"), ("hf:", "huggingface")):
        if text.startswith(prefix):
            read = import_module(f"fairpo.data.{name}").read
            remote: MultiLabelData = read(text, options)
            return remote
    path = options.find(source)
    if not path.exists():
        raise file_error(text, "does not exist", options.where_looked())
    chosen = FORMATS[recognise(path, options.format)]
    data: MultiLabelData = chosen.function(chosen.read)(path, options)
    unused = options.of_readers() - set(chosen.options)
    if unused:
        note = f"the options {', '.join(sorted(unused))} do not concern this kind of data"
        data = replace(data, notes=(*data.notes, note))
    return data


def recognise(path: Path, wanted: str | None = None) -> str:
    """Name the kind of a file or folder: the one asked for, or the first that recognises it."""
    if wanted is not None:
        if wanted not in FORMATS:
            raise unknown_name("format", wanted, FORMATS, of="formats")
        return wanted
    for name, candidate in FORMATS.items():
        if candidate.function(candidate.recognises)(path):
            return name
    raise file_error(
        path,
        "is not a kind of data that can be read",
        f"Known are digits, ambiguous-digits, openml:NAME, hf:NAME, and files and folders of the "
        f"formats {', '.join(FORMATS)}; `fairpo data formats` says what they look like, and "
        "--format NAME overrules.",
    )
