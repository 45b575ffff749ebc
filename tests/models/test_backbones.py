import numpy as np
import pytest
import torch
from PIL import Image

from fairpo._checks import FairPOValueError
from fairpo.data.digits import digit_scene_images
from fairpo.models.backbone import ModuleBackbone
from fairpo.models.backbones import load_backbone
from fairpo.models.digits_backbone import embed, load_digits_backbone


def test_the_digits_backbone_is_the_one_of_the_embedded_data():
    scenes = digit_scene_images("validation")[:20]
    backbone = load_backbone("digits", device="cpu")
    images = [Image.fromarray(scene) for scene in scenes]
    got = backbone.embed(backbone.prepare(images)).numpy()
    assert np.allclose(got, embed(scenes, load_digits_backbone()), atol=1e-5)
    assert got.shape[1] == backbone.n_features


def test_digits_do_not_resize():
    backbone = load_backbone("digits")
    with pytest.raises(FairPOValueError, match="must have one size, got 4x4, 5x4"):
        backbone.prepare([Image.new("RGB", (4, 4)), Image.new("RGB", (5, 4))])


def mean_colour(images):
    return torch.stack([torch.from_numpy(np.asarray(image) / 255.0).float() for image in images])


class MeanColour(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, pixels):
        return self.drop(pixels.mean((1, 2)) * self.scale)


def test_a_module_of_ones_own_is_frozen_and_known_by_its_weights():
    module = MeanColour()
    backbone = ModuleBackbone(module, mean_colour, 3, name="mine")
    image = Image.new("RGB", (4, 4), (255, 0, 51))
    first = backbone.embed(backbone.prepare([image, image]))
    assert torch.allclose(first, torch.tensor([[1.0, 0.0, 0.6]] * 2))
    assert not module.scale.requires_grad
    other = MeanColour()
    other.scale.data[0] = 5
    again = ModuleBackbone(other, mean_colour, 3, name="mine")
    assert again.identity["revision"] != backbone.identity["revision"]
    assert backbone.identity["preprocessing"] == "mean_colour"


def test_without_cuda_cuda_is_refused():
    if torch.cuda.is_available():
        pytest.skip("there is CUDA here")
    with pytest.raises(FairPOValueError, match="on a machine without CUDA"):
        load_backbone("digits", device="cuda")
