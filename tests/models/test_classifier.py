"""A backbone of transformers with our head, as a model of transformers."""

import pytest
import torch
import transformers

from fairpo._checks import FairPOValueError
from fairpo.models.classifier import BackboneClassifier
from fairpo.models.head import HeadSettings
from tests.models.tiny_models import image_model, text_model

NAMES = ["cat", "dog", "emu"]


def backbones(folder):
    torch.manual_seed(0)
    resnet = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
    )
    images = {"pixel_values": torch.randn(2, 3, 32, 32)}
    texts = {
        "input_ids": torch.tensor([[2, 3, 4], [5, 6, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]]),
    }
    load = transformers.AutoModel.from_pretrained
    return [
        (load(image_model(folder / "image")), images),
        (load(text_model(folder / "text")), texts),
        (transformers.ResNetModel(resnet), images),
    ]


@pytest.mark.parametrize(
    "head",
    [
        None,
        HeadSettings(hidden=(8,), scaling="none"),
        HeadSettings(kind="per-label", hidden=(4,)),
    ],
)
def test_round_trip_is_bit_identical(tmp_path, head):
    for index, (backbone, inputs) in enumerate(backbones(tmp_path)):
        model = BackboneClassifier.on(backbone, NAMES, head=head).eval()
        model.save_pretrained(tmp_path / str(index))
        again = BackboneClassifier.from_pretrained(tmp_path / str(index))
        assert torch.equal(again(**inputs).logits, model(**inputs).logits)
        assert model(**inputs).logits.shape == (2, 3)
        assert again.config.problem_type == "multi_label_classification"
        assert again.config.id2label == dict(enumerate(NAMES))


def test_the_backbone_keeps_its_weights(tmp_path):
    for backbone, _ in backbones(tmp_path):
        model = BackboneClassifier.on(backbone, NAMES)
        kept = model.backbone.state_dict()
        assert kept
        assert {n for n in backbone.state_dict() if not n.startswith("pooler.")} == set(kept)
        for name, value in kept.items():
            assert torch.equal(value, backbone.state_dict()[name])


def test_a_backbone_out_of_a_classifier_has_no_pooler(tmp_path):
    config = transformers.AutoConfig.from_pretrained(image_model(tmp_path / "image"))
    backbone = transformers.ViTForImageClassification(config).vit
    model = BackboneClassifier.on(backbone, NAMES)
    assert model.backbone.pooler is None


def test_padding_is_left_out_of_the_mean(tmp_path):
    backbone, inputs = backbones(tmp_path)[1]
    model = BackboneClassifier.on(backbone, NAMES).eval()
    alone = model(input_ids=inputs["input_ids"][1:, :2]).logits
    torch.testing.assert_close(model(**inputs).logits[1:], alone)


def test_labels_give_a_loss(tmp_path):
    backbone, inputs = backbones(tmp_path)[0]
    output = BackboneClassifier.on(backbone, NAMES)(**inputs, labels=torch.ones(2, 3))
    expected = -torch.nn.functional.logsigmoid(output.logits).mean()
    torch.testing.assert_close(output.loss, expected)


def test_no_path_of_this_machine_is_saved(tmp_path):
    backbone, _ = backbones(tmp_path)[0]
    BackboneClassifier.on(backbone, NAMES).save_pretrained(tmp_path / "out")
    assert str(tmp_path) not in (tmp_path / "out" / "config.json").read_text()


def test_what_does_not_fit(tmp_path):
    backbone, _ = backbones(tmp_path)[2]
    with pytest.raises(FairPOValueError, match="label names must be unique"):
        BackboneClassifier.on(backbone, ["a", "a"])
    with pytest.raises(FairPOValueError, match="has no class token"):
        BackboneClassifier.on(backbone, NAMES, pooling="cls")
    backbone.config.hidden_sizes = None
    with pytest.raises(FairPOValueError, match="must say the width of its last layer"):
        BackboneClassifier.on(backbone, NAMES)
