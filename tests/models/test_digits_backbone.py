from __future__ import annotations

import numpy as np
import pytest
import torch

from fairpo._checks import FairPOTypeError, FairPOValueError
from fairpo.data.digits import (
    LABEL_NAMES,
    DigitScenesSettings,
    digit_pools,
    draw_scenes,
    render_scenes,
)
from fairpo.models.digits_backbone import (
    DigitsBackbone,
    digits_backbone_bytes,
    embed,
    load_digits_backbone,
)


@pytest.fixture(scope="module")
def backbone():
    return load_digits_backbone()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (37, 40, 40, 3), dtype=np.uint8)


def test_the_packaged_file_is_small():
    assert len(digits_backbone_bytes()) < 1_000_000


def test_it_is_frozen(backbone):
    assert not backbone.training
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not backbone(torch.rand(2, 3, 40, 40)).requires_grad


def test_embeddings_leave_the_weights_alone(backbone, images):
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    embed(images, backbone)
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, before[name])


def test_shape_and_dtype(backbone, images):
    features = embed(images, backbone)
    assert features.dtype == np.float32
    assert features.shape == (37, backbone.embedding_size) == (37, 256)
    assert np.isfinite(features).all()


@pytest.mark.parametrize("batch_size", [1, 5, 37, 1000])
def test_embeddings_do_not_depend_on_the_batch_size(backbone, images, batch_size):
    whole = embed(images, backbone)
    parts = embed(images, backbone, batch_size=batch_size)
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5)


def test_embedding_is_the_maximum_and_the_mean_of_each_channel(images):
    backbone = DigitsBackbone(widths=(2, 3, 4, 5)).eval()
    batch = torch.from_numpy(images[:3]).permute(0, 3, 1, 2).float() / 255
    responses = backbone.layers(batch)
    features = embed(images[:3], backbone)
    assert features.shape == (3, 10)
    np.testing.assert_allclose(features[:, :5], responses.flatten(2).max(2).values.detach())
    np.testing.assert_allclose(
        features[:, 5:], responses.flatten(2).mean(2).detach(), rtol=1e-5, atol=1e-6
    )


def test_it_tells_single_digits_of_unseen_images_apart(backbone):
    """Nearest mean of the embeddings, with validation images the backbone has not seen."""
    settings = DigitScenesSettings(min_digits=1, max_digits=1, max_clutter=0)
    uniform = np.full(len(LABEL_NAMES), 1 / len(LABEL_NAMES))
    rng = np.random.default_rng(0)
    pool = digit_pools().validation
    contents = draw_scenes(600, pool, uniform, rng, settings)
    features = embed(render_scenes(contents, rng, settings), backbone)
    labels = contents.labels.max(axis=1)
    means = np.stack([features[:300][labels[:300] == label].mean(axis=0) for label in range(30)])
    distances = ((features[300:, None] - means) ** 2).sum(axis=2)
    assert (distances.argmin(axis=1) == labels[300:]).mean() > 0.7


def test_images_of_another_kind(backbone, images):
    with pytest.raises(FairPOTypeError, match="images must be a uint8 array, got dtype float64"):
        embed(images / 255.0, backbone)
    for wrong in (images[..., :1], images[0], images[:0]):
        with pytest.raises(FairPOValueError, match=r"images must have shape \(n > 0"):
            embed(wrong, backbone)
    with pytest.raises(FairPOValueError, match="batch_size must be an int > 0, got 0"):
        embed(images, backbone, batch_size=0)
