import json

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from fairpo._checks import FairPOFileError, FairPOValueError
from fairpo.models.backbones import load_backbone
from tests.models.tiny_models import image_model, text_model


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return image_model(tmp_path_factory.mktemp("vit"))


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return text_model(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    sizes = [(40, 60), (32, 32), (90, 20)]
    return [Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)) for size in sizes]


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_images_are_embedded_as_by_hand(vit, images, pooling):
    backbone = load_backbone(vit, pooling=pooling, device="cpu")
    got = backbone.embed(backbone.prepare(images))
    model = transformers.ViTModel.from_pretrained(vit, add_pooling_layer=False).eval()
    for image, embedding in zip(images, got, strict=True):
        small = image.resize((32, 32), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.asarray(small, dtype=np.float32) / 255 * 2 - 1)
        with torch.no_grad():
            states = model(pixels.permute(2, 0, 1)[None]).last_hidden_state[0]
        wanted = states[0] if pooling == "cls" else states[1:].mean(0)
        assert torch.allclose(embedding, wanted, atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_texts_are_embedded_as_by_hand_whatever_they_are_padded_with(bert, pooling):
    backbone = load_backbone(bert, pooling=pooling, device="cpu")
    texts = ["i love you", "the bad is good is a good bad", "you"]
    got = backbone.embed(backbone.prepare(texts))
    model = transformers.BertModel.from_pretrained(bert).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    for text, embedding in zip(texts, got, strict=True):
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        wanted = states[0] if pooling == "cls" else states.mean(0)
        assert torch.allclose(embedding, wanted, atol=1e-5)


def test_pooling_is_cls_for_images_and_mean_for_texts_unless_told(vit, bert):
    assert load_backbone(vit).identity["pooling"] == "cls"
    assert load_backbone(bert).identity["pooling"] == "mean"
    assert load_backbone(vit).kind == "image"
    assert load_backbone(bert).kind == "text"


def test_a_convolutional_network_has_no_class_token(tmp_path, images):
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
    )
    transformers.ResNetModel(config).save_pretrained(tmp_path)
    transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    backbone = load_backbone(str(tmp_path))
    assert backbone.identity["pooling"] == "mean"
    assert backbone.embed(backbone.prepare(images)).shape == (3, 16)
    with pytest.raises(FairPOValueError, match="pooling must be mean, got 'cls'"):
        load_backbone(str(tmp_path), pooling="cls")


@pytest.mark.parametrize("dtype", ["bf16", "autocast"])
def test_half_precision_is_close(vit, images, dtype):
    exact = load_backbone(vit)
    half = load_backbone(vit, dtype=dtype)
    wanted = exact.embed(exact.prepare(images))
    got = half.embed(half.prepare(images)).float()
    assert torch.nn.functional.cosine_similarity(got, wanted).min() > 0.999
    assert (got != wanted).any()
    assert half.identity != exact.identity


def test_identity_follows_weights_and_processor(vit, tmp_path):
    other = image_model(tmp_path / "weights", seed=1)
    assert load_backbone(vit).identity["revision"] != load_backbone(other).identity["revision"]
    identity = load_backbone(vit).identity
    assert identity["preprocessing"]["size"] == {"height": 32, "width": 32}
    assert identity["preprocessing"]["image_mean"] == [0.5, 0.5, 0.5]


def test_the_default_reads_what_clip_calls_its_vision_model(tmp_path, images):
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = transformers.CLIPConfig(
        vision_config={**small, "num_attention_heads": 2, "image_size": 32, "patch_size": 16},
        text_config={**small, "num_attention_heads": 2, "vocab_size": 20},
    )
    transformers.CLIPModel(config).save_pretrained(tmp_path)
    transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    backbone = load_backbone(str(tmp_path), kind="image")
    assert backbone.embed(backbone.prepare(images)).shape == (3, 16)
    assert backbone.identity["pooling"] == "cls"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody/has-this-model", "neither a folder nor in the local cache.*--fetch"),
        ("folder", "is not a model that transformers can load"),
    ],
)
def test_models_that_are_not_there_are_refused_without_the_network(tmp_path, name, message):
    (tmp_path / "folder").mkdir()
    place = str(tmp_path / name) if name == "folder" else name
    with pytest.raises(FairPOFileError, match=message):
        load_backbone(place)


def test_pickled_weights_are_never_loaded(tmp_path, vit):
    image_model(tmp_path)
    weights = transformers.ViTModel.from_pretrained(tmp_path).state_dict()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FairPOFileError, match="is not a model that transformers can load"):
        load_backbone(str(tmp_path))


def test_unknown_options_are_refused(vit):
    with pytest.raises(FairPOValueError, match="pooling must be one of cls, mean, got 'max'"):
        load_backbone(vit, pooling="max")
    with pytest.raises(FairPOValueError, match="dtype must be one of fp32, bf16, autocast"):
        load_backbone(vit, dtype="fp16")
    with pytest.raises(FairPOValueError, match="device must be auto, cpu or cuda, got 'tpu'"):
        load_backbone(vit, device="tpu")


def test_code_that_a_folder_brings_is_never_run(tmp_path):
    folder = tmp_path / "evil"
    image_model(folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.EvilConfig"}}
    (folder / "config.json").write_text(json.dumps(config))
    marker = tmp_path / "was_here"
    (folder / "evil.py").write_text(
        "import pathlib\nfrom transformers import ViTConfig\n"
        f"pathlib.Path({str(marker)!r}).write_text('x')\n"
        "class EvilConfig(ViTConfig):\n    model_type = 'evil'\n"
    )
    with pytest.raises(FairPOFileError, match="is not a model that transformers can load"):
        load_backbone(str(folder))
    assert not marker.exists()
