"""DATA through a backbone on the way, for commands that take images and texts as they are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fairpo._checks import FairPOFileError, file_error, value_error

if TYPE_CHECKING:
    from fairpo.data import MultiLabelData
    from fairpo.labelsets.folder import SetRun
    from fairpo.models.backbone import Backbone


def default_backbone(kind: str) -> str:
    """Name of the backbone of images or texts, where none is given."""
    from fairpo.models.pretrained import DEFAULT_IMAGE, DEFAULT_TEXT

    return DEFAULT_TEXT if kind == "text" else DEFAULT_IMAGE


def quieten_transformers() -> None:
    """One progress bar is enough: ours."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        from transformers.utils import logging
    except ImportError:  # the digits backbone needs none
        return
    logging.disable_progress_bar()


def embedded(
    data: MultiLabelData, name: str | None, pooling: str | None, device: str | None, fetch: bool
) -> MultiLabelData:
    """Give images and texts features by a backbone; data that have features stay as they are.

    Raises
    ------
    FairPOValueError
        A backbone or a pooling is named, and there is nothing to embed.
    """
    from fairpo.data.embed import require_items
    from fairpo.models.backbones import load_backbone

    if pooling is not None and name is None and data.n_features:
        raise value_error("--pooling", must="stand beside --backbone", got=f"{pooling} alone")
    if name is None and (data.n_features or data.items is None):
        return data
    kind = require_items(data).kind
    quieten_transformers()
    chosen = name or default_backbone(kind)
    return _through(
        data,
        load_backbone(chosen, kind=kind, pooling=pooling, device=device or "auto", fetch=fetch),
    )


def embedded_as_the_run(
    data: MultiLabelData, run: SetRun, name: str | None, fetch: bool
) -> MultiLabelData:
    """Give images and texts features by the backbone that made those of a run's training.

    Raises
    ------
    FairPOFileError
        The backbone is not where it was.
    FairPOValueError
        A backbone is named, and there is nothing to embed, or the run knows of none.
    """
    from fairpo.models.backbones import backbone_of

    if run.backbone is None or data.items is None:
        if name is not None:
            raise value_error(
                "--backbone",
                must="be left out",
                got=f"{name}, and {'DATA holds features' if run.backbone else 'a run without one'}",
            )
        return data
    quieten_transformers()
    try:
        backbone = backbone_of(run.backbone, name=name, fetch=fetch)
    except FairPOFileError as error:
        if name is not None:
            raise
        raise file_error(
            run.backbone["name"],
            "made the features of the run and cannot be loaded from here",
            "Say --backbone, where it lies now, or --fetch to download it.",
        ) from error
    return _through(data, backbone)


def _through(data: MultiLabelData, backbone: Backbone) -> MultiLabelData:
    from fairpo.cli.show import count_bar, say
    from fairpo.data.embedded import embed_into_cache

    name = backbone.identity["name"]
    with count_bar(f"embedding {name}", data.n_rows, f"{backbone.kind}s") as count:
        found = embed_into_cache(data, backbone, progress=count)
    say(f"{data.name}: {found.kind}")
    for note in set(found.notes) - set(data.notes):
        say(f"note: {note}.")
    return found
