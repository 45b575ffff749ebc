"""What is trained and what is frozen."""

import peft
import pytest
import torch
import transformers

from fairpo._checks import FairPOValueError
from fairpo.hf.trainable import freeze
from fairpo.models.classifier import BackboneClassifier
from tests.hf import tiny


def moved(folder, model, **options):
    """Names of the parameters that a training moves."""
    before = tiny.weights(model)
    tiny.trainer(folder, model, **options).train()
    return {n for n, value in model.state_dict().items() if not torch.equal(before[n], value)}


def test_all(tmp_path):
    model = tiny.vit()
    assert moved(tmp_path, model) == set(model.state_dict())


def test_head(tmp_path):
    assert moved(tmp_path, tiny.vit(), trainable="head") == {"classifier.weight", "classifier.bias"}


def test_last_blocks(tmp_path):
    """The paper's code had its last block under no_grad: here it moves."""
    names = moved(tmp_path, tiny.vit(), trainable="last:1")
    assert {name.split(".")[0] for name in names} == {"vit", "classifier"}
    assert {name.split(".")[2] for name in names if ".layers." in name} == {"2"}
    assert "vit.layernorm.weight" in names
    assert not any("embeddings" in name for name in names)
    names = moved(tmp_path, tiny.vit(), trainable="last:2")
    assert {name.split(".")[2] for name in names if ".layers." in name} == {"1", "2"}


def test_texts_and_stages():
    bert = tiny.bert()
    freeze(bert, "last:1")
    trained = {name for name, p in bert.named_parameters() if p.requires_grad}
    assert {name.split(".")[1] for name in trained if name.startswith("bert")} == {
        "encoder",
        "pooler",
    }
    assert not any("layer.0." in name for name in trained)
    config = transformers.SwinConfig(
        image_size=32, embed_dim=8, depths=[1, 3], num_heads=[1, 2], window_size=4, **tiny.LABELS
    )
    swin = transformers.SwinForImageClassification(config)
    freeze(swin, "last:1")  # the last stage, though the list of its blocks is longer
    trained = {name for name, p in swin.named_parameters() if p.requires_grad}
    assert {name.split(".")[3] for name in trained if "encoder.layers" in name} == {"1"}


def test_adapters(tmp_path):
    lora = peft.LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["classifier"])
    trainer = tiny.trainer(tmp_path, parts={"peft_config": lora})
    before = tiny.weights(trainer.model)
    trainer.train()
    names = {n for n, v in trainer.model.state_dict().items() if not torch.equal(before[n], v)}
    assert names
    assert all("lora_" in name or "modules_to_save" in name for name in names)


def test_a_backbone_with_our_head(tmp_path):
    torch.manual_seed(0)
    backbone = transformers.ViTModel(transformers.ViTConfig(**tiny.VIT))
    model = BackboneClassifier.on(backbone, tiny.NAMES)
    names = moved(tmp_path, model, trainable="head")
    assert names == {"head.body.0.weight", "head.body.0.bias"}
    names = moved(tmp_path, model, trainable="last:1")
    assert {name.split(".")[2] for name in names if ".layers." in name} == {"2"}


def test_frozen_statistics_stay(tmp_path):
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic", **tiny.LABELS
    )
    model = transformers.ResNetForImageClassification
    names = moved(tmp_path, model(config), trainable="head")
    assert names == {"classifier.1.weight", "classifier.1.bias"}
    names = moved(tmp_path, model(config), trainable="all")
    assert any("running_mean" in name for name in names)


def test_what_cannot_be_done(tmp_path):
    with pytest.raises(
        FairPOValueError, match=r"last:N with N from 1 to 3, the length of layers, g"
    ):
        freeze(tiny.vit(), "last:4")
    mlp = BackboneClassifier.on(
        transformers.ViTModel(transformers.ViTConfig(**tiny.VIT)), tiny.NAMES
    )
    mlp.backbone.layers = torch.nn.Identity()
    with pytest.raises(
        FairPOValueError, match="has no list of layers, got last:N. Its parts are em"
    ):
        freeze(mlp, "last:1")
    with pytest.raises(FairPOValueError, match="does not tell its head from its backbone"):
        freeze(mlp.backbone, "head")
    lora = peft.LoraConfig(r=2, target_modules=["q_proj"])
    with pytest.raises(FairPOValueError, match="trainable must be 'all' with adapters"):
        tiny.trainer(tmp_path, parts={"peft_config": lora}, trainable="head")
