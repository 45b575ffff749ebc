"""Scores of completions without logits are those that the model's logits give."""

import copy

import peft
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fairpo._checks import FairPOWarning
from fairpo.generation import log_probs
from fairpo.generation.scorer import CompletionScorer
from tests.generation import tiny_lm

EXAMPLE = torch.tensor([5, 60, 7, 80, 9])


def batch(n=6, length=12, seed=0):
    draw = torch.Generator().manual_seed(seed)
    tokens = torch.randint(4, 300, (n, length), generator=draw)
    ends = torch.randint(5, length + 1, (n,), generator=draw)
    starts = torch.randint(0, 4, (n,), generator=draw)
    places = torch.arange(length)
    there = (places < ends[:, None]).long()
    scored = (places >= starts[:, None]) & (places < ends[:, None])
    return {"input_ids": tokens, "attention_mask": there, "completion_mask": scored.long()}


def slow(model, given):
    """From the logits, sequence by sequence and token by token."""
    found = []
    for tokens, there, scored in zip(*given.values(), strict=True):
        end = int(there.sum())
        logits = model(input_ids=tokens[None, :end]).logits[0].double()
        log_probs = torch.log_softmax(logits, -1)
        terms = [log_probs[t - 1, tokens[t]] for t in range(1, end) if scored[t]]
        found.append(torch.stack(terms).sum())
    return torch.stack(found)


@pytest.mark.parametrize("family", tiny_lm.FAMILIES)
def test_values_and_gradients(family):
    ours, theirs = (tiny_lm.model(family).double() for _ in range(2))
    scorer = CompletionScorer(ours, EXAMPLE)
    assert scorer.splits_head
    given = batch()
    found, lengths = scorer(ours, given)
    expected = slow(theirs, given)
    assert torch.allclose(
        found, expected, atol=1e-6
    )  # rotary positions are float32 in transformers
    assert (lengths == given["completion_mask"][:, 1:].sum(1)).all()
    found.square().sum().backward()
    expected.square().sum().backward()
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine.grad, other.grad, atol=1e-5, rtol=1e-5), name


def test_no_logits_are_made():
    model = tiny_lm.model()
    scorer = CompletionScorer(model, EXAMPLE)
    seen = []
    model.lm_head.register_forward_hook(lambda head, inputs, output: seen.append(output.numel()))
    scorer(model, batch())
    assert seen == [0]
    assert model(input_ids=EXAMPLE[None]).logits.shape == (1, 5, 320)  # and is as it was


class Shifted(torch.nn.Module):
    """A head that no configuration tells of."""

    def __init__(self, head):
        super().__init__()
        self.head = head
        self.weight = head.weight

    def forward(self, hidden):
        return self.head(hidden) + torch.linspace(0, 1, 320)


@pytest.mark.parametrize("kind", ["a head of its own", "an unknown transform", "an adapter"])
def test_heads_that_cannot_be_split_off(kind):
    model = tiny_lm.model()
    if kind == "a head of its own":
        model.lm_head = Shifted(model.lm_head)
    elif kind == "an unknown transform":
        forward = model.forward

        def bent(*arguments, **options):
            output = forward(*arguments, **options)
            return type(output)(
                logits=output.logits * torch.linspace(1, 50, output.logits.shape[-1])
            )

        model.forward = bent
    else:
        lora = peft.LoraConfig(r=2, target_modules=["lm_head"], task_type="CAUSAL_LM")
        model = peft.get_peft_model(model, lora)
    with pytest.warns(FairPOWarning, match="cannot be split off: its logits are made"):
        scorer = CompletionScorer(model, EXAMPLE)
    assert not scorer.splits_head
    other = copy.deepcopy(model)
    if kind == "an unknown transform":
        other = model
    given = batch()
    found, _ = scorer(model, given)
    torch.testing.assert_close(found.double(), slow(other, given), atol=1e-4, rtol=0)
    found.sum().backward()
    grads = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    slow(model, given).sum().backward()
    expected = [p.grad for p in model.parameters() if p.grad is not None]
    for mine, theirs in zip(grads, expected, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["lora", "prompt tuning"])
def test_adapters(kind):
    options = {"task_type": "CAUSAL_LM"}
    configs = {
        "lora": peft.LoraConfig(r=2, target_modules=["q_proj"], **options),
        "prompt tuning": peft.PromptTuningConfig(num_virtual_tokens=3, **options),
    }
    model = peft.get_peft_model(tiny_lm.model(), configs[kind])
    scorer = CompletionScorer(model, EXAMPLE)
    assert scorer.splits_head
    given = batch(seed=2)
    found, _ = scorer(model, given)
    virtual = 3 if kind == "prompt tuning" else 0
    whole = copy.deepcopy(model)

    def without(input_ids):
        output = whole(input_ids=input_ids)
        return type(output)(logits=output.logits[:, virtual:])

    torch.testing.assert_close(found.double(), slow(without, given), atol=1e-4, rtol=0)
    found.sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


class Largest(TorchDispatchMode):
    """Keeps the most rows of a tensor over the whole vocabulary, parameters' own shape aside."""

    def __init__(self, vocabulary):
        super().__init__()
        self.vocabulary, self.rows = vocabulary, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        for made in output if isinstance(output, tuple | list) else [output]:
            if isinstance(made, torch.Tensor) and made.shape[-1:] == (self.vocabulary,):
                self.rows = max(self.rows, made.numel() // self.vocabulary)
        return output


@pytest.mark.parametrize("family", ["Llama", "Gemma2"])
def test_logits_are_never_there_as_a_whole(monkeypatch, family):
    """Neither forward nor backward; whole logits would have a row for each token."""
    monkeypatch.setattr(log_probs, "_ENTRIES", {"cpu": 5 * 320})
    model = tiny_lm.model(family)
    scorer = CompletionScorer(model, EXAMPLE)
    given = batch()
    with Largest(320) as seen:
        scorer(model, given)[0].sum().backward()
    of_weights = 16  # the head's, transposed
    assert seen.rows <= max(5, of_weights)
    with Largest(320) as plain:
        model(input_ids=given["input_ids"]).logits.sum().backward()
    assert plain.rows == given["input_ids"].numel() > of_weights
