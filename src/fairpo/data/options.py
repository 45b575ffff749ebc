"""What a reader can be told: one model for Python, the command line and a run's configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fairpo._checks import file_error

ROOT_VARIABLE = "FAIRPO_DATA"

_EVERY_SOURCE = {
    *("format", "root", "fetch", "unlabelled"),
    *("validation_fraction", "test_fraction", "split_seed"),
    *("alone", "n_features"),  # predictions set them whatever the source
}


class DataOptions(BaseModel):
    """Options of :func:`fairpo.data.load_data`; each reader uses those that concern it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str | None = Field(None, description="Kind of data, where it is not to be recognised.")
    root: str | None = Field(
        None,
        description="Folder in which a source is looked up that is not a path here; the "
        f"environment variable {ROOT_VARIABLE} when not given.",
    )
    validation_fraction: float = Field(
        0.2, gt=0, lt=1, description="Of the training rows, where the source has no such split."
    )
    test_fraction: float = Field(
        0.2, gt=0, lt=1, description="Of all rows, where the source has no such split."
    )
    split_seed: int = Field(0, ge=0, description="Of those splits.")
    fetch: bool = Field(False, description="Whether openml: and hf: may use the network.")
    unlabelled: bool = Field(
        False,
        description="Whether rows without labels will do, as they do for predictions.",
    )
    alone: bool = Field(
        False,
        description="ARFF and svmlight: whether to leave the other part beside the file alone.",
    )
    n_features: int | None = Field(
        None, ge=1, description="svmlight: features, where the file does not hold the last."
    )
    label_xml: str | None = Field(
        None, description="ARFF: file that lists the label names; found beside the ARFF if absent."
    )
    labels: str | None = Field(
        None,
        description="Tables: the label column, or columns with commas between; * and ? match "
        "many, such as is_*.",
    )
    delimiter: str | None = Field(
        None, description="Tables: what stands between the names in a label column of text."
    )
    path: str | None = Field(None, description="Tables: column of image paths.")
    text: str | None = Field(None, description="Tables: column of texts.")
    id: str | None = Field(None, description="Tables: column of row names.")
    split: str | None = Field(None, description="Tables: column of train, validation and test.")
    ignore: str | None = Field(None, description="Tables: columns to leave out, as in labels.")
    slices: str | None = Field(
        None,
        description="Tables: columns by whose categories the report tells test metrics apart, "
        "such as camera, as in labels; they are no features.",
    )
    images: str | None = Field(
        None, description="Folder of the images, where it is not in its usual place."
    )
    year: str | None = Field(None, description="COCO and VOC: which year, where several lie there.")
    difficult: Literal["missing", "positive", "negative"] = Field(
        "missing",
        description="VOC: what a label counts as whose objects are all marked difficult; missing "
        "leaves the entry out of losses and metrics, as VOC's own evaluation does.",
    )

    def of_readers(self) -> set[str]:
        """Names of the options that were given and concern one kind of data or another."""
        return {
            name
            for name in self.model_fields_set - _EVERY_SOURCE
            if getattr(self, name) != type(self).model_fields[name].default
        }

    def find(self, source: str | Path) -> Path:
        """Return the path of a source: as it is, or below the data root where only that exists."""
        path = Path(source).expanduser()
        root = self.data_root()
        if not path.exists() and not path.is_absolute() and root is not None:
            below = root / path
            return below if below.exists() else path
        return path

    def require_fetch(self, source: str) -> None:
        """Refuse to go to the network unasked.

        Raises
        ------
        FairPOFileError
        """
        if not self.fetch:
            problem = "is on the network"
            raise file_error(source, problem, "Say --fetch (fetch=True) to download it.")

    def image_folder(self, usual: Path) -> Path:
        """Return the folder of the images: the one named, or the usual one.

        Raises
        ------
        FairPOFileError
            The one named is not a folder.
        """
        if self.images is None:
            return usual
        named = self.find(self.images)
        if not named.is_dir():
            raise file_error(named, "is not a folder", "The option images names it.")
        return named

    def data_root(self) -> Path | None:
        """Return the folder in which sets lie, where one was named."""
        named = self.root or os.environ.get(ROOT_VARIABLE)
        return Path(named).expanduser() if named else None

    def where_looked(self, option: str = "--data-root DIR") -> str:
        """Say where a source was looked for, and the option that says where to."""
        root = self.data_root()
        if root is None:
            return f"Give a path, or say where sets lie: {option}, or {ROOT_VARIABLE}."
        return f"It was looked for here and below {root}."
