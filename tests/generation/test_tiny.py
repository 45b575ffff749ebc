"""The tiny model and its tokenizers, and models by name."""

import pytest
import torch
import transformers

from fairpo._checks import FairPOError, FairPOWarning
from fairpo.generation import make_verses
from fairpo.generation.language_models import load_language_model
from fairpo.generation.tiny import END, make_tiny
from fairpo.generation.verses import VOCABULARY
from tests.generation.tiny_lm import assert_same, pairs, weights
from tests.generation.tiny_lm import model as any_model
from tests.generation.tiny_lm import tokenizer as any_tokenizer


def test_every_word_of_the_embedded_task_is_one_token():
    made = make_tiny([], VOCABULARY)
    train = make_verses().pairs["train"].subset(slice(200))
    for prompt, completion in zip(train.prompts, train.chosen, strict=True):
        numbers = made.tokenizer(prompt + completion + END).input_ids
        assert len(numbers) == len((prompt + completion).split()) + 1
        assert numbers[-1] == made.tokenizer.eos_token_id
        assert made.tokenizer.unk_token_id not in numbers
    n_parameters = sum(p.numel() for p in made.model.parameters())
    assert n_parameters < 110_000


def test_a_byte_level_tokenizer_gives_any_text_back():
    made = make_tiny(["the sea is blue", "the sea is red"])
    text = "The séa, 海 \n is  bluer?"
    numbers = made.tokenizer(text).input_ids
    assert made.tokenizer.decode(numbers) == text
    assert len(made.tokenizer(" the sea is").input_ids) < len(" the sea is") // 2


def test_the_same_seed_is_the_same_model_and_draws_nothing_from_others():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = (make_tiny(["a b c"], seed=3) for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    assert_same(weights(first.model), weights(second.model))
    other = make_tiny(["a b c"], seed=4)
    assert not torch.equal(other.model.lm_head.weight, first.model.lm_head.weight)


def test_a_conversation_ends_with_what_opens_the_answer():
    made = make_tiny(["user: hello assistant: hi"])
    turns = [{"role": "user", "content": "hello"}]
    asked = made.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    answer = [*turns, {"role": "assistant", "content": "hi"}]
    whole = made.tokenizer.apply_chat_template(answer, tokenize=False)
    assert whole == f"{asked}hi{END}"


@pytest.mark.parametrize("family", ["Llama", "Gemma", "Mistral"])
def test_a_folder_of_any_family_is_loaded(tmp_path, family):
    model = any_model(family)
    model.save_pretrained(tmp_path)
    any_tokenizer().save_pretrained(tmp_path)
    loaded = load_language_model(str(tmp_path))
    assert_same(weights(loaded.model), weights(model))


def test_what_is_no_language_model_is_refused(tmp_path):
    with pytest.raises(FairPOError, match="neither a folder nor in the local cache.*--fetch"):
        load_language_model(str(tmp_path / "nothing"))
    with pytest.raises(FairPOError, match="is not a model that transformers can load"):
        load_language_model(str(tmp_path))
    with pytest.raises(FairPOError, match="tiny: is made of training pairs"):
        load_language_model("tiny")
    config = any_model().config
    transformers.LlamaForSequenceClassification(config).save_pretrained(tmp_path / "reward")
    any_tokenizer().save_pretrained(tmp_path / "reward")
    with pytest.raises(FairPOError, match="no causal language model: it lacks lm_head"):
        load_language_model(str(tmp_path / "reward"))


def test_a_tokenizer_without_an_end_token_is_refused(tmp_path):
    any_model().save_pretrained(tmp_path)
    any_tokenizer(eos_token=None).save_pretrained(tmp_path)
    with pytest.raises(FairPOError, match="the tokenizer must have an end token"):
        load_language_model(str(tmp_path))


def test_the_end_token_stands_in_for_a_missing_pad_token(tmp_path):
    any_model().save_pretrained(tmp_path)
    any_tokenizer(pad_token=None).save_pretrained(tmp_path)
    with pytest.warns(FairPOWarning, match="no pad token, the end token stands in"):
        tokenizer = load_language_model(str(tmp_path)).tokenizer
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    assert tokenizer.eos_token_id is not None


def test_the_tiny_model_of_pairs_knows_their_words():
    loaded = load_language_model("tiny", pairs(), seed=1)
    assert (
        loaded.tokenizer.decode(loaded.tokenizer(pairs().chosen[0]).input_ids) == pairs().chosen[0]
    )
