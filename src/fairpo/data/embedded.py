"""Images and texts as features at once: embedded into the cache, or in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import value_error
from fairpo.data.base import MultiLabelData, Progress
from fairpo.data.cache import cache_folder, fingerprint
from fairpo.data.embed import embed_data, require_items, source_digest
from fairpo.data.store import read
from fairpo.models.backbone import Backbone

_BATCH = 32


def embed_into_cache(
    data: MultiLabelData,
    backbone: Backbone,
    cache_dir: str | Path | None = None,
    *,
    progress: Progress = lambda n_items: None,
) -> MultiLabelData:
    """Embed the items of a data set into a store in the cache, and read it back.

    The same items, labels, splits and backbone find the store of last time; one that was killed
    goes on.

    Parameters
    ----------
    data : MultiLabelData
        With items.
    backbone : Backbone
        See :func:`fairpo.models.backbones.load_backbone`.
    cache_dir : path, optional
        See :func:`fairpo.data.cache.cache_folder`.
    progress : callable

    Returns
    -------
    MultiLabelData
        ``features`` reads from disk.

    Raises
    ------
    FairPOFileError
        The cache cannot be written.
    FairPOValueError
        The data have no items, or not of the kind the backbone reads.
    """
    known = {key: value for key, value in backbone.identity.items() if key != "name"}
    stores = cache_folder(cache_dir) / "stores"
    source = source_digest(data, require_items(data))
    key = fingerprint({"source": source, "labels": data.label_names, "backbone": known})
    embed_data(data, backbone, stores / key, batch_size=_BATCH, progress=progress)
    return read(stores / key)


def embed_texts(texts: Sequence[str], backbone: Backbone) -> NDArray[np.float32]:
    """Embed texts in memory.

    Parameters
    ----------
    texts : sequence of str, length n
    backbone : Backbone
        That reads texts.

    Returns
    -------
    float32 array, shape (n, d)

    Raises
    ------
    FairPOValueError
        The backbone reads images.
    """
    if backbone.kind != "text":
        raise value_error(
            "the backbone",
            must="read texts",
            got=f"{backbone.identity['name']}, which reads {backbone.kind}s",
        )
    blocks: list[NDArray[Any]] = [np.empty((0, backbone.n_features), dtype=np.float32)]
    for start in range(0, len(texts), _BATCH):
        inputs = backbone.prepare(texts[start : start + _BATCH])
        blocks.append(backbone.embed(inputs).float().numpy())
    return np.concatenate(blocks)
