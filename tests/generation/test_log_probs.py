"""Log-probabilities in chunks against log_softmax and gather."""

import pytest
import torch
import transformers

from fairpo.generation import log_probs as chunks
from fairpo.generation.log_probs import LogitTransform, head_log_probs, logit_log_probs

TRANSFORMS = {
    "plain": LogitTransform(),
    "scaled": LogitTransform(scale=0.25),
    "capped": LogitTransform(scale=2.0, softcap=3.0),
}


def slow(hidden, weight, bias, targets, transform):
    """The definition."""
    logits = hidden @ weight.T * transform.scale
    if bias is not None:
        logits = (hidden @ weight.T + bias) * transform.scale
    if transform.softcap is not None:
        logits = transform.softcap * torch.tanh(logits / transform.softcap)
    return torch.log_softmax(logits, -1).gather(1, targets[:, None]).squeeze(1)


def parts(n=13, size=5, vocabulary=11, bias=True, dtype=torch.float64):
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(n, size, generator=draw, dtype=dtype).requires_grad_()
    weight = torch.randn(vocabulary, size, generator=draw, dtype=dtype).requires_grad_()
    of_head = torch.randn(vocabulary, generator=draw, dtype=dtype).requires_grad_()
    targets = torch.randint(0, vocabulary, (n,), generator=draw)
    return hidden, weight, of_head if bias else None, targets


@pytest.fixture(params=["one chunk", "chunks of four", "chunks of one"])
def chunked(request, monkeypatch):
    entries = {"one chunk": 2**20, "chunks of four": 44, "chunks of one": 1}[request.param]
    monkeypatch.setattr(chunks, "_ENTRIES", {"cpu": entries})


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_those_of_the_definition(chunked, transform, bias):
    ours, theirs = parts(bias=bias), parts(bias=bias)
    found, expected = head_log_probs(*ours, transform), slow(*theirs, transform)
    assert torch.allclose(found, expected, atol=1e-13, rtol=0)
    draw = torch.linspace(-1, 2, len(found), dtype=torch.float64)
    (found * draw).sum().backward()
    (expected * draw).sum().backward()
    for mine, other in zip(ours[:3], theirs[:3], strict=True):
        if mine is not None:
            assert torch.allclose(mine.grad, other.grad, atol=1e-13, rtol=0)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_gradcheck(chunked, transform):
    hidden, weight, bias, targets = parts(n=5)
    assert torch.autograd.gradcheck(
        lambda *inputs: head_log_probs(*inputs, targets, transform), (hidden, weight, bias)
    )


def test_only_what_needs_a_gradient_gets_one(chunked):
    hidden, weight, bias, targets = parts()
    weight.requires_grad_(False)
    bias.requires_grad_(False)
    head_log_probs(hidden, weight, bias, targets).sum().backward()
    assert hidden.grad is not None and weight.grad is None and bias.grad is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_full(chunked, dtype):
    hidden, weight, bias, targets = parts(n=40, size=16, vocabulary=50, dtype=dtype)
    found = head_log_probs(hidden, weight, bias, targets)
    assert found.dtype == torch.float32
    exact = [p.detach().double().requires_grad_() for p in (hidden, weight, bias)]
    expected = slow(*exact, targets, LogitTransform())
    assert torch.allclose(found.double(), expected, atol=20 * torch.finfo(dtype).eps, rtol=0)
    found.sum().backward()
    expected.sum().backward()
    for half, full in zip((hidden, weight, bias), exact, strict=True):
        assert half.grad.dtype == dtype
        error = (half.grad.double() - full.grad).abs().max() / full.grad.abs().max()
        assert error < 4 * torch.finfo(dtype).eps


def test_autocast_sets_the_dtype_of_the_product():
    hidden, weight, bias, targets = parts(n=40, size=16, vocabulary=50, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = head_log_probs(hidden, weight, bias, targets)
    found.sum().backward()
    as_half = [p.detach().bfloat16() for p in (hidden, weight, bias)]
    assert torch.equal(found, head_log_probs(*as_half, targets))
    assert weight.grad.dtype == torch.float32


def test_nothing_to_score(chunked):
    hidden, weight, bias, targets = parts(n=0)
    found = head_log_probs(hidden, weight, bias, targets)
    found.sum().backward()
    assert found.shape == (0,)
    assert not weight.grad.any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_of_logits_that_are_there(chunked, dtype):
    draw = torch.Generator().manual_seed(1)
    logits = torch.randn(9, 11, generator=draw, dtype=torch.float64).to(dtype).requires_grad_()
    rows, targets = torch.tensor([0, 3, 4, 8, 7]), torch.tensor([10, 0, 5, 5, 2])
    found = logit_log_probs(logits, rows, targets)
    full = logits.detach().to(found.dtype).requires_grad_()
    expected = torch.log_softmax(full[rows], -1).gather(1, targets[:, None]).squeeze(1)
    assert torch.allclose(found, expected, atol=1e-6, rtol=0)
    found.square().sum().backward()
    expected.square().sum().backward()
    assert torch.allclose(logits.grad, full.grad.to(dtype), atol=torch.finfo(dtype).eps, rtol=1e-2)
    if dtype == torch.float64:
        assert torch.autograd.gradcheck(lambda x: logit_log_probs(x, rows, targets), logits)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (transformers.LlamaConfig(), LogitTransform()),
        (transformers.Gemma2Config(), LogitTransform(1.0, 30.0)),
        (transformers.CohereConfig(logit_scale=0.0625), LogitTransform(0.0625)),
        (transformers.GraniteConfig(logits_scaling=8.0), LogitTransform(0.125)),
        (transformers.FalconH1Config(lm_head_multiplier=0.5), LogitTransform(0.5)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_families_transform_their_logits(config, expected):
    assert LogitTransform.of(config) == expected
