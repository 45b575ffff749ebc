"""Tiny reward models of several kinds as judges, against one text at a time."""

import socket

import huggingface_hub
import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from fairpo._checks import FairPOFileError, FairPOValueError
from fairpo.generation import RewardModelJudge

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "user", "assistant", *"abcdefghij", ":", "."]
TEMPLATE = "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }} {% endfor %}"
SIZES = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "initializer_range": 0.5,  # so that texts differ by more than rounding
}
PROMPTS = ["a b :", "c", "a", "d e f :", "a b :"]
FIRST = ["a", "b c d e f g", "a a", "", "b"]
SECOND = ["b b b", "c", "a a", "j i", "a a a a a a a a a"]


def tokenizer(special=True, template=TEMPLATE, **options):
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if special:
        words.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        unk_token="[UNK]",
        pad_token="[PAD]" if special else None,
        chat_template=template,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **options,
    )


def encoder(n=1, seed=0, **changes):
    torch.manual_seed(seed)
    config = transformers.BertConfig(**SIZES, num_labels=n, **changes)
    return transformers.BertForSequenceClassification(config).eval()


def decoder(n=1, pad=0, seed=0):
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        **SIZES, num_key_value_heads=2, num_labels=n, pad_token_id=pad, head_dim=8
    )
    return transformers.LlamaForSequenceClassification(config).eval()


def score(model, ids, column=0, **inputs):
    """One text, without a batch: the definition."""
    if not ids:
        return np.nan
    with torch.no_grad():
        inputs = {name: torch.tensor([value]) for name, value in inputs.items()}
        return float(model(torch.tensor([ids]), **inputs).logits[0, column])


def loop_verdicts(model, encode, prompts=PROMPTS, first=FIRST, second=SECOND, column=0):
    verdicts = []
    for prompt, *pair in zip(prompts, first, second, strict=True):
        one, other = (score(model, encode(prompt, text), column) for text in pair)
        if pair[0] == pair[1]:
            verdicts.append(0.5)
        elif np.isnan(one) or np.isnan(other):
            verdicts.append(np.nan)
        else:
            verdicts.append(1.0 if one > other else 0.0)
    return verdicts


@pytest.mark.parametrize("batch_size", [1, 3, 16])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_encoder_scores_prompt_and_completion_as_one_text(batch_size, seed):
    model, words = encoder(seed=seed), tokenizer()
    judge = RewardModelJudge(model, words, batch_size=batch_size)
    verdicts = judge.compare(PROMPTS, FIRST, SECOND, "anything")
    expected = loop_verdicts(model, lambda prompt, text: words(prompt + text)["input_ids"])
    np.testing.assert_array_equal(verdicts, expected)
    assert verdicts[2] == 0.5 and judge.counts == {"scored": 9, "empty": 0}


@pytest.mark.parametrize("pad", [0, None])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_decoder_scores_its_last_token_with_and_without_padding(pad, seed):
    model, words = decoder(pad=pad, seed=seed), tokenizer(special=False)
    judge = RewardModelJudge(model, words, batch_size=4)
    verdicts = judge.compare(PROMPTS, FIRST, SECOND, "anything")
    alone = decoder(pad=None, seed=seed)
    expected = loop_verdicts(alone, lambda prompt, text: words(prompt + text)["input_ids"])
    np.testing.assert_array_equal(verdicts, expected)


def test_scores_do_not_depend_on_the_batch():
    model, words = encoder(3), tokenizer()
    texts = [(prompt, text) for prompt in PROMPTS for text in (*FIRST, *SECOND)]
    alone, together = (
        RewardModelJudge(model, words, batch_size=size)._scores(texts, 1) for size in (1, 64)
    )
    np.testing.assert_allclose(alone, together, atol=1e-5)
    assert len(np.unique(alone.round(6))) > 20


def test_a_column_for_each_attribute_by_its_name():
    labels = {"id2label": {0: "short", 1: "kind"}, "label2id": {"short": 0, "kind": 1}}
    model, words = encoder(2, **labels), tokenizer()
    judge = RewardModelJudge(model, words)
    found = [judge.compare(PROMPTS, FIRST, SECOND, name) for name in ("short", "kind")]
    for column, verdicts in enumerate(found):
        encode = lambda prompt, text: words(prompt + text)["input_ids"]  # noqa: E731
        expected = loop_verdicts(model, encode, column=column)
        np.testing.assert_array_equal(verdicts, expected)
    assert not np.array_equal(*found)
    with pytest.raises(FairPOValueError, match="Did you mean 'short'"):
        judge.compare(PROMPTS, FIRST, SECOND, "shorter")
    turned = RewardModelJudge(model, words, columns={"short": 1})
    np.testing.assert_array_equal(turned.compare(PROMPTS, FIRST, SECOND, "short"), found[1])


def test_classes_that_exclude_each_other_are_compared_by_probability():
    model = encoder(3, problem_type="single_label_classification")
    judge = RewardModelJudge(model, tokenizer(), columns={"x": 1})
    scores = judge._scores([("a", "b"), ("c", "d e")], 1)
    plain = RewardModelJudge(encoder(3), tokenizer(), columns={"x": 1})
    logits = np.stack([plain._scores([("a", "b"), ("c", "d e")], k) for k in range(3)])
    np.testing.assert_allclose(scores, logits[1] - np.log(np.exp(logits).sum(axis=0)), atol=1e-6)


def test_prompt_and_completion_as_a_pair():
    model, words = encoder(), tokenizer()
    judge = RewardModelJudge(model, words, join="pair")
    verdicts = judge.compare(PROMPTS, FIRST, SECOND, "x")
    expected = []
    for prompt, *pair in zip(PROMPTS, FIRST, SECOND, strict=True):
        one, other = (
            score(model, own["input_ids"], token_type_ids=own["token_type_ids"])
            for own in (words(prompt, text) for text in pair)
        )
        expected.append((one > other) + 0.5 * (one == other))
    np.testing.assert_array_equal(verdicts, expected)
    with pytest.raises(FairPOValueError, match="join must be 'text' or 'pair', got 'both'"):
        RewardModelJudge(model, words, join="both")


def test_a_conversation_goes_through_the_chat_template():
    model, words = encoder(), tokenizer()
    prompts = [[{"role": "user", "content": text}] for text in PROMPTS]
    judge = RewardModelJudge(model, words)

    def encode(prompt, text):
        whole = f"user : {prompt[0]['content']} assistant : {text} "
        return words(whole, add_special_tokens=False)["input_ids"]

    verdicts = judge.compare(prompts, FIRST, SECOND, "x")
    np.testing.assert_array_equal(verdicts, loop_verdicts(model, encode, prompts))
    bare = RewardModelJudge(model, tokenizer(template=None))
    with pytest.raises(FairPOValueError, match="must have a chat template"):
        bare.compare(prompts, FIRST, SECOND, "x")
    bare.compare(PROMPTS, FIRST, SECOND, "x")


def test_long_texts_lose_their_beginning_and_are_counted():
    model, words = encoder(), tokenizer()
    judge = RewardModelJudge(model, words, max_length=6)
    long = "a b c d e f g "
    verdicts = judge.compare([long, long, "a "], ["h", "i j", "b"], ["i", "h j", "c"], "x")
    short = RewardModelJudge(model, words)
    expected = short.compare(["e f g ", "f g ", "a "], ["h", "i j", "b"], ["i", "h j", "c"], "x")
    np.testing.assert_array_equal(verdicts, expected)
    assert judge.counts["truncated"] == 4 and short.counts["truncated"] == 0
    assert words.truncation_side == "right", "the tokenizer that was given stays as it is"


def test_the_model_s_own_limit_holds():
    judge = RewardModelJudge(encoder(), tokenizer())
    verdicts = judge.compare(["a " * 100], ["b"], ["c"], "x")
    assert judge.counts["truncated"] == 2 and not np.isnan(verdicts).any()


def test_a_text_without_a_token_has_no_score():
    judge = RewardModelJudge(decoder(), tokenizer(special=False))
    verdicts = judge.compare(["", "a"], ["", ""], ["b", "b"], "x")
    assert np.isnan(verdicts[0]) and not np.isnan(verdicts[1])
    assert judge.counts["empty"] == 1 and judge.counts["scored"] == 3


def test_weights_that_are_not_finite_are_skips():
    model = encoder()
    model.classifier.bias.data.fill_(float("nan"))
    assert np.isnan(RewardModelJudge(model, tokenizer()).compare(["a"], ["b"], ["c"], "x")).all()


@pytest.mark.parametrize("training", [True, False])
def test_the_model_keeps_its_mode_and_is_judged_without_dropout(training):
    model = encoder(hidden_dropout_prob=0.9)
    expected = RewardModelJudge(model, tokenizer())._scores([("a", "b"), ("c", "d")], 0)
    model.train(training)
    found = RewardModelJudge(model, tokenizer())._scores([("a", "b"), ("c", "d")], 0)
    np.testing.assert_array_equal(found, expected)
    assert model.training == training


def test_nothing_to_compare():
    assert RewardModelJudge(encoder(), tokenizer()).compare([], [], [], "x").shape == (0,)


def test_a_folder_is_loaded(tmp_path):
    model = encoder()
    model.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    judge = RewardModelJudge.from_pretrained(str(tmp_path), batch_size=2)
    expected = RewardModelJudge(model, tokenizer()).compare(PROMPTS, FIRST, SECOND, "x")
    np.testing.assert_array_equal(judge.compare(PROMPTS, FIRST, SECOND, "x"), expected)
    assert judge.name == f"reward:{tmp_path}"


def test_a_model_without_a_trained_head_is_refused(tmp_path):
    encoder().bert.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(FairPOFileError, match="lacks classifier.bias, classifier.weight.*random"):
        RewardModelJudge.from_pretrained(str(tmp_path))


@pytest.fixture
def looked_up(monkeypatch):
    """Hosts that were looked up; none is ever found."""
    hosts = []

    def refuse(host, *_, **__):
        hosts.append(host)
        raise OSError("no network here")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    # The hub's client looks up a list of agents for its user agent, unless this is set.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_TELEMETRY", True)
    return hosts


def test_a_model_in_the_hub_s_cache_is_loaded_without_the_network(tmp_path, monkeypatch, looked_up):
    folder = tmp_path / "models--some--judge"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    encoder().save_pretrained(folder / "snapshots" / "abc")
    tokenizer().save_pretrained(folder / "snapshots" / "abc")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    judge = RewardModelJudge.from_pretrained("some/judge")
    assert judge.name == "reward:some/judge" and not looked_up


def test_what_is_no_model_is_told(tmp_path, looked_up):
    with pytest.raises(FairPOFileError, match="neither a folder nor in the local cache.*fetch"):
        RewardModelJudge.from_pretrained("nobody/no-such-reward-model")
    assert not looked_up
    with pytest.raises(FairPOFileError, match="not a model that transformers can load"):
        RewardModelJudge.from_pretrained(str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"x": 1}}, "column of 'x' must be from 0 to 0, the model's logits, got 1"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"max_length": 0}, "max_length must be at least 1, got 0"),
    ],
)
def test_faults_are_named(options, message):
    with pytest.raises(FairPOValueError, match=message):
        RewardModelJudge(encoder(), tokenizer(), **options)
    with pytest.raises(FairPOValueError, match="same number of rows"):
        RewardModelJudge(encoder(), tokenizer()).compare(["a"], [], ["b"], "x")
