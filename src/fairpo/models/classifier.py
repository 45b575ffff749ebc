"""A bare backbone of transformers with a head of ours, as a model of transformers.

Importing this module imports transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
import transformers
from torch import Tensor
from transformers.modeling_outputs import SequenceClassifierOutput

from fairpo._checks import build_settings, check_unique, value_error
from fairpo.models.head import HeadSettings, Policy
from fairpo.models.pooling import Pooling
from fairpo.models.pretrained import kind_of


class BackboneClassifierConfig(transformers.PreTrainedConfig):  # type: ignore[misc]
    """Configuration of a :class:`BackboneClassifier`.

    Parameters
    ----------
    backbone : dict, optional
        Configuration of the backbone, its ``model_type`` among it.
    head : dict, optional
        Fields of :class:`~fairpo.models.head.HeadSettings`.
    pooling : "cls" or "mean", optional
        See :class:`~fairpo.models.pooling.Pooling`.
    n_features : int
        Width of the backbone's last layer.
    **options
        Of ``transformers.PreTrainedConfig``.
    """

    model_type = "fairpo-classifier"

    def __init__(
        self,
        backbone: dict[str, Any] | None = None,
        head: dict[str, Any] | None = None,
        pooling: str | None = None,
        n_features: int = 0,
        **options: Any,
    ) -> None:
        self.backbone = backbone or {}
        self.head = head or {}
        self.pooling = pooling
        self.n_features = n_features
        super().__init__(**options)


class BackboneClassifier(transformers.PreTrainedModel):  # type: ignore[misc]
    """A backbone, pooled, and a head that gives a logit a label.

    Build it with :meth:`on`; it is saved and loaded as any model of transformers
    (``save_pretrained``, ``BackboneClassifier.from_pretrained``).

    Parameters
    ----------
    config : BackboneClassifierConfig

    Examples
    --------
    >>> import torch, transformers
    >>> small = transformers.ViTConfig(
    ...     hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
    ...     image_size=8, patch_size=4)
    >>> model = BackboneClassifier.on(transformers.ViTModel(small), ["cat", "dog", "emu"])
    >>> model(pixel_values=torch.zeros(2, 3, 8, 8)).logits.shape
    torch.Size([2, 3])
    """

    config_class = BackboneClassifierConfig
    base_model_prefix = "backbone"
    supports_gradient_checkpointing = True

    def __init__(self, config: BackboneClassifierConfig) -> None:
        super().__init__(config)
        of_backbone = transformers.AutoConfig.for_model(**config.backbone)
        self.backbone = transformers.AutoModel.from_config(of_backbone)
        if _pooler_weights(self.backbone):  # the head takes the last layer
            self.backbone.pooler = None
        name = type(self.backbone).__name__
        self._pool = Pooling(self.backbone, kind_of(name, of_backbone), name, config.pooling)
        head = build_settings(HeadSettings, dict(config.head))
        self.head = Policy(config.n_features, config.num_labels, head)
        self.main_input_name = self.backbone.main_input_name
        self.post_init()

    @classmethod
    def on(
        cls,
        backbone: Any,
        label_names: Sequence[str],
        *,
        head: HeadSettings | None = None,
        pooling: str | None = None,
    ) -> Self:
        """Put a new head on a backbone, whose weights are kept.

        Parameters
        ----------
        backbone : transformers.PreTrainedModel
            A bare model, such as ``AutoModel.from_pretrained`` gives.
        label_names : sequence of str
        head : HeadSettings, optional
            A linear head on the pooled features when not given. Features are not scaled unless
            told: their moments move with the backbone.
        pooling : "cls" or "mean", optional

        Raises
        ------
        FairPOValueError
            The backbone reads neither images nor texts, has no such pooling, or hides its width.
        """
        check_unique(label_names, "label names")
        settings = (head or HeadSettings(kind="linear", scaling="none")).filled()
        names = dict(enumerate(label_names))
        of_backbone = backbone.config.to_dict()
        of_backbone.pop("_name_or_path", None)  # a path of this machine, perhaps
        config = BackboneClassifierConfig(
            backbone=of_backbone,
            head=settings.model_dump(mode="json"),
            pooling=pooling,
            n_features=_width(backbone),
            num_labels=len(names),
            id2label=names,
            label2id={name: index for index, name in names.items()},
            problem_type="multi_label_classification",
        )
        model = cls(config)
        unused = _pooler_weights(backbone)
        weights = {name: v for name, v in backbone.state_dict().items() if name not in unused}
        model.backbone.load_state_dict(weights)
        return model

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Give logits (batch, labels), and plain cross-entropy where there are labels.

        Parameters
        ----------
        input_ids, attention_mask, token_type_ids : tensor, shape (batch, tokens), optional
            Of texts.
        pixel_values : float tensor, shape (batch, channels, height, width), optional
            Of images.
        labels : tensor, shape (batch, labels), optional
            0 or 1.
        """
        given = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            "pixel_values": pixel_values,
        }
        inputs = {name: value for name, value in given.items() if value is not None}
        states = self.backbone(**inputs).last_hidden_state
        logits = self.head(self._pool(states, attention_mask))
        loss = None
        if labels is not None:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.float())
        return SequenceClassifierOutput(loss=loss, logits=logits)


def _pooler_weights(backbone: Any) -> set[str]:
    """Weights that come behind the last layer, such as BERT's pooler."""
    return {name for name in backbone.state_dict() if name.startswith("pooler.")}


def _width(backbone: Any) -> int:
    """Width of the last layer; transformers' configurations name it in a few ways."""
    widths = getattr(backbone.config, "hidden_sizes", None)
    width = widths[-1] if widths else getattr(backbone.config, "hidden_size", None)
    if not isinstance(width, int):
        raise value_error(
            "the backbone",
            must="say the width of its last layer, hidden_size or hidden_sizes",
            got=type(backbone.config).__name__,
        )
    return width
