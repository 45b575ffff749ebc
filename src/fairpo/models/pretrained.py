"""Backbones of Hugging Face transformers, each with its own preprocessing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from fairpo._checks import FairPOError, file_error, value_error
from fairpo._optional import require
from fairpo.models.backbone import Dtype, autocast, frozen
from fairpo.models.checkpoint import sha256
from fairpo.models.pooling import Pooling

DEFAULT_IMAGE = "google/vit-base-patch16-224-in21k"
DEFAULT_TEXT = "sentence-transformers/all-MiniLM-L6-v2"

_LONGEST = 512


class PretrainedBackbone:
    """A model of transformers, frozen, and the processor or tokenizer that belongs to it.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Put in evaluation mode, moved to ``device`` and, for "bf16", converted.
    processor : image processor or tokenizer
    kind : "image" or "text"
    name, revision : str
        What the manifest says.
    pooling, dtype, device
        See :func:`fairpo.models.backbones.load_backbone`.

    Raises
    ------
    FairPOValueError
        The model has no such pooling.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        *,
        kind: Literal["image", "text"],
        name: str,
        revision: str,
        pooling: str | None = None,
        dtype: Dtype = "fp32",
        device: str = "cpu",
    ) -> None:
        self.kind = kind
        self._processor = processor
        self._model = frozen(model, dtype, device)
        self._dtype: Dtype = dtype
        self._device = device
        self._pool = Pooling(model, kind, name, pooling)
        self.n_features = self._width()
        self.identity = {
            "name": name,
            "revision": revision,
            "pooling": self._pool.how,
            "preprocessing": self._preprocessing(),
            "dtype": dtype,
        }

    def prepare(self, items: Sequence[Any]) -> dict[str, Tensor]:
        """Apply the model's own processor, or its tokenizer with padding to the longest text."""
        if self.kind == "image":
            return dict(self._processor(images=list(items), return_tensors="pt"))
        return dict(
            self._processor(
                list(items),
                padding=True,
                truncation=True,
                max_length=self._longest(),
                return_tensors="pt",
            )
        )

    @torch.inference_mode()
    def embed(self, inputs: dict[str, Tensor]) -> Tensor:
        """Embed a batch: run the model and pool its last layer."""
        moved = {key: value.to(self._device) for key, value in inputs.items()}
        if self._dtype == "bf16":
            moved = {
                key: value.bfloat16() if value.is_floating_point() else value
                for key, value in moved.items()
            }
        with autocast(self._dtype, self._device):
            states = self._model(**moved).last_hidden_state
        return self._pool(states, moved.get("attention_mask")).cpu()

    def _width(self) -> int:
        """Width of the embeddings: transformers' configurations name it in many ways."""
        return int(self.embed(self.prepare([_sample(self.kind)])).shape[1])

    def _longest(self) -> int:
        return int(min(self._processor.model_max_length, _LONGEST))

    def _preprocessing(self) -> dict[str, Any]:
        if self.kind == "text":
            return {
                "tokenizer": type(self._processor).__name__,
                "max_length": self._longest(),
                "padding": "longest in the batch",
            }
        settings = {
            key: value
            for key, value in sorted(self._processor.to_dict().items())
            if value is not None and "processor_class" not in key
        }
        plain: dict[str, Any] = json.loads(json.dumps(settings, default=str))
        return plain


def load_pretrained(
    name: str,
    *,
    kind: Literal["image", "text"] | None,
    pooling: str | None,
    dtype: Dtype,
    device: str,
    fetch: bool,
) -> PretrainedBackbone:
    """Load a model of transformers as a backbone.

    Parameters
    ----------
    name : str
        Local folder, or name on the hub.
    kind, pooling, dtype, device, fetch
        See :func:`fairpo.models.backbones.load_backbone`.

    Raises
    ------
    FairPOFileError
        No such model here, or its files are damaged.
    FairPOValueError
        The model has no such pooling, or reads something else.
    """
    transformers = require(
        "transformers",
        extra="text" if kind == "text" else "vision",
        purpose="a pretrained backbone",
    )
    # No code that a model's folder brings is ever run, and no pickle is loaded.
    where = {"local_files_only": not fetch, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(name, **where)
        model = transformers.AutoModel.from_pretrained(
            name, use_safetensors=True, adapter_kwargs=adapters_from(fetch), **where
        )
        reads = kind or kind_of(name, config)
        processor = (
            transformers.AutoImageProcessor.from_pretrained(name, backend="pil", **where)
            if reads == "image"
            else transformers.AutoTokenizer.from_pretrained(name, **where)
        )
    except FairPOError:
        raise
    except Exception as error:  # transformers raises errors of many kinds here
        raise not_loaded(name, fetch, error) from error
    tower = "vision_model" if reads == "image" else "text_model"
    return PretrainedBackbone(
        getattr(model, tower, model),
        processor,
        kind=reads,
        name=name,
        revision=getattr(config, "_commit_hash", None) or _folder_digest(Path(name)),
        pooling=pooling,
        dtype=dtype,
        device=device,
    )


def adapters_from(fetch: bool) -> dict[str, bool]:
    """Where transformers may look for adapters: without being told, it asks the hub for them."""
    return {"local_files_only": not fetch}


def kind_of(name: str, config: Any) -> Literal["image", "text"]:
    """What a model reads, by its configuration; one that reads neither is refused."""
    if hasattr(config, "vision_config") or hasattr(config, "num_channels"):
        return "image"
    if getattr(config, "vocab_size", None):
        return "text"
    raise value_error(
        "the backbone", must="read images or texts", got=f"{name}, which reads neither"
    )


def _sample(kind: str) -> Any:
    if kind == "text":
        return "a"
    image = require("PIL.Image", extra="vision", purpose="reading images")
    return image.new("RGB", (64, 64))


def _folder_digest(folder: Path) -> str:
    """Digest of the files of a local model: configuration, weights, processor, tokenizer."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in (".json", ".safetensors", ".txt", ".model"):
            digest.update(f"{path.name} {sha256(path)}".encode())
    return digest.hexdigest()[:40]


def load_with_tokenizer(
    auto: Any, name: str, *, fetch: bool, lacks: str, do: str = ""
) -> tuple[Any, Any]:
    """Load a model and its tokenizer; no code it brings is run, and no pickle is loaded.

    Parameters
    ----------
    auto : class
        Such as ``transformers.AutoModelForCausalLM``.
    name : str
        A folder, or a name on the hub.
    fetch : bool
        Whether it may be downloaded.
    lacks : str
        What a model is not whose weights are not all there, such as "no reward model".
    do : str
        What to do then.

    Raises
    ------
    FairPOFileError
        No such model here, its files are damaged, or some weights would be random numbers.
    """
    transformers = require("transformers", extra="text", purpose="models of text")
    where = {"local_files_only": not fetch, "trust_remote_code": False}
    try:
        model, loaded = auto.from_pretrained(
            name,
            use_safetensors=True,
            output_loading_info=True,
            adapter_kwargs=adapters_from(fetch),
            **where,
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, **where)
    except FairPOError:
        raise
    except Exception as error:  # transformers raises errors of many kinds here
        raise not_loaded(name, fetch, error) from error
    if loaded["missing_keys"]:
        missing = ", ".join(sorted(loaded["missing_keys"])[:3])
        problem = f"is {lacks}: it lacks {missing}, which would be random numbers"
        raise file_error(name, problem, do)
    return model, tokenizer


def not_loaded(name: str, fetch: bool, error: Exception) -> FairPOError:
    """Word the error for a model that transformers could not load."""
    reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)
    if Path(name).exists():
        return file_error(name, f"is not a model that transformers can load ({reason})")
    if fetch:
        return file_error(name, f"could not be fetched from the hub ({reason})")
    return file_error(
        name,
        "is neither a folder nor in the local cache of the hub",
        "Say fetch=True (--fetch) to download it.",
    )
