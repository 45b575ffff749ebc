"""The frozen convolutional backbone of the digit scenes, as ViT is in the paper."""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from torch import Tensor, nn

from fairpo._checks import type_error, value_error

_FILE = "models/digits_backbone.safetensors"


class DigitsBackbone(nn.Module):
    """Turn images into embeddings: four convolutions, then the strongest and the mean response.

    Each channel of the last layer answers to some kind of coloured stroke within about a digit's
    size. The embedding holds the maximum of every channel over the image and its mean: what is
    there and how much of it, but not where.

    Parameters
    ----------
    widths : four int
        Channels after each convolution; the embedding is twice the last. The default makes
        395 kB of weights and embeds about 2,000 scenes a second on one core.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (16, 32, 64, 128)) -> None:
        super().__init__()
        self.channels = widths[-1]
        self.embedding_size = 2 * widths[-1]
        self.layers = nn.Sequential(
            *_convolution(3, widths[0]),
            nn.MaxPool2d(2),
            *_convolution(widths[0], widths[1]),
            *_convolution(widths[1], widths[2]),
            nn.MaxPool2d(2),
            *_convolution(widths[2], widths[3]),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Embed a batch.

        Parameters
        ----------
        images : float tensor, shape (batch, 3, height, width)
            Entries from 0 to 1.

        Returns
        -------
        float tensor, shape (batch, embedding_size)
        """
        responses = self.layers(images)
        return torch.cat([responses.amax(dim=(2, 3)), responses.mean(dim=(2, 3))], dim=1)


def _convolution(channels_in: int, channels_out: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(channels_out), nn.ReLU()


def digits_backbone_bytes() -> bytes:
    """Read the packaged weights as they lie in the file, for loading and for fingerprints."""
    return resources.files("fairpo").joinpath(_FILE).read_bytes()


def load_digits_backbone() -> DigitsBackbone:
    """Load the pretrained backbone of the digit scenes, frozen and in evaluation mode.

    It was trained by ``scripts/pretrain_digits_backbone.py`` on single digits of the training
    pool; it has seen no scene label and no image of the validation or test scenes.
    """
    backbone = DigitsBackbone()
    backbone.load_state_dict(load(digits_backbone_bytes()))
    return backbone.requires_grad_(False).eval()


def embed(
    images: NDArray[Any], backbone: nn.Module, *, batch_size: int = 64
) -> NDArray[np.float32]:
    """Embed images in batches, without gradients.

    Parameters
    ----------
    images : uint8 array, shape (n, height, width, 3)
        Colours from 0 to 255; scaled to [0, 1] batch by batch.
    backbone : module
        Maps float tensors (batch, 3, height, width) to (batch, d). Left in the mode it is in; put
        it in evaluation mode first, or batch statistics make the embedding depend on the batch.
    batch_size : int > 0
        Bounds the memory; the embeddings do not depend on it, up to rounding.

    Returns
    -------
    float32 array, shape (n, d)

    Raises
    ------
    FairPOTypeError, FairPOValueError
        Images of another dtype or shape, no images, or a batch size below 1.
    """
    _check_images(images)
    if batch_size < 1:
        raise value_error("batch_size", must="be an int > 0", got=batch_size)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            batch = torch.from_numpy(np.ascontiguousarray(images[start : start + batch_size]))
            parts.append(backbone(batch.permute(0, 3, 1, 2).float() / 255).float().cpu().numpy())
    return np.concatenate(parts)


def _check_images(images: NDArray[Any]) -> None:
    if images.dtype != np.uint8:
        raise type_error(
            "images",
            must="be a uint8 array",
            got=f"dtype {images.dtype}",
            do="Scale to 0-255 first.",
        )
    if images.ndim != 4 or images.shape[-1] != 3 or len(images) == 0:
        raise value_error(
            "images", must="have shape (n > 0, height, width, 3)", got=f"shape {images.shape}"
        )
