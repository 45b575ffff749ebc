"""Frozen backbones by name: the digits network, and models of Hugging Face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from fairpo._checks import value_error
from fairpo.models.backbone import Backbone, Dtype, ModuleBackbone, check_dtype

DIGITS = "digits"


def choose_device(device: str) -> str:
    """Turn "auto" into a device there is.

    Raises
    ------
    FairPOValueError
        The device is not there.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise value_error("device", must="be there", got=f"{device!r} on a machine without CUDA")
    if device != "cpu" and not device.startswith("cuda"):
        raise value_error("device", must="be auto, cpu or cuda", got=repr(device))
    return device


def load_backbone(
    name: str,
    *,
    kind: Literal["image", "text"] | None = None,
    pooling: str | None = None,
    dtype: str = "fp32",
    device: str = "auto",
    fetch: bool = False,
) -> Backbone:
    """Load a frozen backbone by name.

    Parameters
    ----------
    name : str
        ``digits`` (comes with fairpo), a local folder with a Hugging Face model, or its hub name.
    kind : "image" or "text", optional
        What it is to read; found from the model's own files when not given.
    pooling : "cls" or "mean", optional
        The first token, or the mean of all: of the patches of an image, of a text's tokens
        without padding. Images take "cls" where the model has such a token, texts "mean".
    dtype : "fp32", "bf16" or "autocast"
    device : "auto", "cpu" or "cuda"
    fetch : bool
        Whether a hub name may be downloaded; otherwise it must be in the local cache.

    Raises
    ------
    FairPOFileError, FairPOValueError
        No such model, or options it does not have.
    FairPOImportError
        transformers is not installed.
    """
    checked, place = check_dtype(dtype), choose_device(device)
    if name == DIGITS:
        return _digits(checked, place)
    from fairpo.models.pretrained import load_pretrained

    return load_pretrained(
        name, kind=kind, pooling=pooling, dtype=checked, device=place, fetch=fetch
    )


def backbone_of(
    identity: Mapping[str, Any],
    *,
    name: str | None = None,
    device: str = "auto",
    fetch: bool = False,
) -> Backbone:
    """Load the backbone that made some embeddings, to make more of them.

    Parameters
    ----------
    identity : mapping
        Of a store or a run: what the backbone's ``identity`` was.
    name : str, optional
        Where it lies now; where it lay then when not given.
    device, fetch
        See :func:`load_backbone`.

    Raises
    ------
    FairPOFileError
        It is not there any more.
    """
    pooling = identity.get("pooling")
    return load_backbone(
        name or str(identity["name"]),
        pooling=None if pooling == "none" else pooling,
        dtype=identity.get("dtype", "fp32"),
        device=device,
        fetch=fetch,
    )


def _digits(dtype: Dtype, device: str) -> ModuleBackbone:
    from fairpo.models.digits_backbone import load_digits_backbone

    module = load_digits_backbone()
    return ModuleBackbone(
        module,
        _pixels,
        module.embedding_size,
        name=DIGITS,
        preprocessing="RGB from 0 to 1, size as it is",
        dtype=dtype,
        device=device,
    )


def _pixels(images: Sequence[Any]) -> Tensor:
    arrays = [np.asarray(image) for image in images]
    sizes = {array.shape for array in arrays}
    if len(sizes) > 1:
        raise value_error(
            "images for the digits backbone",
            must="have one size",
            got=", ".join(f"{width}x{height}" for height, width, _ in sorted(sizes)[:5]),
            do="Use a backbone that resizes, such as google/vit-base-patch16-224-in21k.",
        )
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 255
