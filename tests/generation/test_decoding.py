"""Completions in batches against one prompt at a time, token by token."""

import peft
import pytest
import torch

from fairpo._checks import FairPOError, FairPOWarning
from fairpo.generation.decoding import write_completions
from fairpo.generation.plans import DecodingSettings
from fairpo.generation.tiny import LanguageModel, make_tiny
from tests.generation.tiny_lm import model, tokenizer

PROMPTS = ["the sea is", "please go", "hello sir madam the sea is blue", "tea"]
SHORT = DecodingSettings(max_new_tokens=6, batch_size=3)


@pytest.fixture(scope="module")
def tiny():
    return LanguageModel(model(initializer_range=0.3), tokenizer())


def one_by_one(language_model, prompt, n_tokens):
    """Greedy continuation by whole forward passes."""
    policy, words = language_model
    numbers = words(prompt).input_ids
    start = len(numbers)
    for _ in range(n_tokens):
        logits = policy(torch.tensor([numbers])).logits[0, -1]
        if int(logits.argmax()) == words.eos_token_id:
            break
        numbers.append(int(logits.argmax()))
    return words.decode(numbers[start:], skip_special_tokens=True)


def test_batches_padded_on_the_left_are_one_prompt_at_a_time(tiny):
    tiny.model.train()
    told = []
    written = write_completions(tiny, PROMPTS, SHORT, on_batch=told.append)
    assert tiny.model.training
    tiny.model.eval()
    assert written == [one_by_one(tiny, prompt, 6) for prompt in PROMPTS]
    assert told == [3, 1]
    assert len(set(written)) > 1


def test_the_end_token_ends_a_completion(tiny):
    stopped = LanguageModel(model(initializer_range=0.3), tiny.tokenizer)
    numbers = torch.tensor([tiny.tokenizer(PROMPTS[0]).input_ids])
    with torch.no_grad():
        hidden = stopped.model.model(numbers).last_hidden_state[0, -1]
        stopped.model.lm_head.weight[tiny.tokenizer.eos_token_id] = hidden
    written = write_completions(stopped, PROMPTS, SHORT)
    assert written == [one_by_one(stopped, prompt, 6) for prompt in PROMPTS]
    assert written[0] == "" and any(written)


def test_draws_are_repeated_by_their_seed_and_leave_others_alone(tiny):
    told = DecodingSettings(max_new_tokens=6, sample=True)
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    first, again = (write_completions(tiny, PROMPTS, told, seed=3) for _ in range(2))
    assert torch.equal(torch.rand(2), expected)
    assert first == again != write_completions(tiny, PROMPTS, told, seed=4)
    cold = DecodingSettings(max_new_tokens=6, sample=True, temperature=1e-4)
    assert write_completions(tiny, PROMPTS, cold) == write_completions(tiny, PROMPTS, SHORT)


@pytest.mark.parametrize("adapted", [False, True])
def test_what_a_model_says_of_decoding_itself_is_left_aside(tiny, adapted):
    drawn = DecodingSettings(max_new_tokens=6, sample=True)
    one = LanguageModel(model(initializer_range=0.3), tiny.tokenizer)
    if adapted:
        config = peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
        one = LanguageModel(peft.get_peft_model(one.model, config), tiny.tokenizer)
    expected = [write_completions(one, PROMPTS, told, seed=3) for told in (SHORT, drawn)]
    of_model = one.model.generation_config
    of_model.update(top_p=0.1, repetition_penalty=5.0, no_repeat_ngram_size=1, max_length=60)
    assert [write_completions(one, PROMPTS, told, seed=3) for told in (SHORT, drawn)] == expected
    assert one.model.generation_config is of_model and of_model.top_p == 0.1


def test_the_blank_before_a_word_stays():
    made = make_tiny([], ["a", "b", "c"])
    written = write_completions(made, ["a b", "c"], DecodingSettings(max_new_tokens=3))
    assert all(text == "" or text.startswith(" ") for text in written)


def test_conversations_are_answered_and_need_a_template(tiny):
    prompt = [{"role": "user", "content": "hello"}]
    plain = tiny.tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    assert write_completions(tiny, [prompt], SHORT) == write_completions(tiny, [plain], SHORT)
    without = tokenizer()
    without.chat_template = None
    with pytest.raises(FairPOError, match="must have a chat template for prompts of messages"):
        write_completions(LanguageModel(tiny.model, without), [prompt], SHORT)


def test_a_prompt_that_is_too_long_loses_its_beginning(tiny):
    long = " ".join(["the sea is blue"] * 40)
    with pytest.warns(FairPOWarning, match="1 of 2 prompts are longer than 58 tokens"):
        written = write_completions(tiny, [long, "tea"], SHORT)
    numbers = tiny.tokenizer(long).input_ids[-58:]
    assert written[0] == one_by_one(tiny, tiny.tokenizer.decode(numbers), 6)
    with pytest.raises(FairPOError, match="max_new_tokens must be below 64"):
        write_completions(tiny, ["tea"], DecodingSettings(max_new_tokens=64))
