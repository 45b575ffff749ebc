"""What embedding needs of a frozen backbone, and a module of one's own as one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from fairpo._checks import type_error, value_error

Dtype = Literal["fp32", "bf16", "autocast"]
DTYPES = ("fp32", "bf16", "autocast")


class Backbone(Protocol):
    """What embedding needs of a model.

    ``prepare`` runs on other threads than ``embed``, ahead of it.
    """

    @property
    def kind(self) -> Literal["image", "text"]:
        """What it reads."""

    @property
    def n_features(self) -> int:
        """Width of its embeddings."""

    @property
    def identity(self) -> dict[str, Any]:
        """Everything an embedding depends on: name, revision, pooling, preprocessing, dtype.

        Two backbones with equal identities give equal embeddings. JSON only.
        """

    def prepare(self, items: Sequence[Any]) -> Any:
        """Turn images of Pillow, or texts, into the inputs of one batch."""

    def embed(self, inputs: Any) -> Tensor:
        """Embed a batch: (batch, n_features), on the CPU, float32 or bfloat16."""


class ModuleBackbone:
    """Any module that maps a batch to embeddings, frozen.

    Parameters
    ----------
    module : torch.nn.Module
        Maps what ``prepare`` gives to (batch, n_features). Itself put in evaluation mode, frozen,
        moved to ``device`` and, for "bf16", converted.
    prepare : callable
        Maps a list of images (Pillow, RGB) or texts to a tensor.
    n_features : int
    kind : "image" or "text"
    name : str
        What the manifest calls it.
    preprocessing : str, optional
        What the manifest says ``prepare`` does, by which a store is refused to another; its
        qualified name when not given.
    dtype : "fp32", "bf16" or "autocast"
        Weights and inputs in float32; both in bfloat16; or float32 weights under bfloat16
        autocast. On a CPU with bfloat16 instructions the second is the fastest.
    device : str
    """

    def __init__(
        self,
        module: nn.Module,
        prepare: Callable[[Sequence[Any]], Tensor],
        n_features: int,
        *,
        kind: Literal["image", "text"] = "image",
        name: str = "module",
        preprocessing: str = "",
        dtype: Dtype = "fp32",
        device: str = "cpu",
    ) -> None:
        self.kind = kind
        self.n_features = n_features
        self.prepare = prepare
        self._module = frozen(module, dtype, device)
        self._dtype: Dtype = dtype
        self._device = device
        self.identity = {
            "name": name,
            "revision": state_digest(module),
            "pooling": "none",
            "preprocessing": preprocessing or getattr(prepare, "__qualname__", repr(prepare)),
            "dtype": dtype,
        }

    @torch.inference_mode()
    def embed(self, inputs: Tensor) -> Tensor:
        """Embed a batch."""
        with autocast(self._dtype, self._device):
            batch = torch.as_tensor(inputs).to(self._device)
            if self._dtype == "bf16" and batch.is_floating_point():
                batch = batch.bfloat16()
            output = self._module(batch)
        if not isinstance(output, Tensor):
            raise type_error(
                f"the output of {self.identity['name']}",
                must="be a tensor (batch, n_features)",
                got=type(output).__name__,
                do="Wrap the module so that it returns its embedding.",
            )
        return output.cpu()


def frozen(module: nn.Module, dtype: Dtype, device: str) -> nn.Module:
    """Freeze a module, in evaluation mode, on its device, in its dtype."""
    module = module.requires_grad_(False).eval().to(device)
    return module.to(torch.bfloat16) if dtype == "bf16" else module


def autocast(dtype: Dtype, device: str) -> torch.autocast:
    """Bfloat16 autocast where the dtype asks for it."""
    return torch.autocast(
        torch.device(device).type, dtype=torch.bfloat16, enabled=dtype == "autocast"
    )


def state_digest(module: nn.Module) -> str:
    """Digest of a module's weights, as the revision of one that has no other."""
    return weights_digest(module.state_dict())


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Digest of weights by name; another bit, another digest."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:40]


def check_dtype(dtype: str) -> Dtype:
    """Refuse an unknown dtype."""
    if dtype not in DTYPES:
        raise value_error("dtype", must=f"be one of {', '.join(DTYPES)}", got=repr(dtype))
    return dtype  # type: ignore[return-value]
