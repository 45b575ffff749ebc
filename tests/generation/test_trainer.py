"""FairPOGenerationTrainer: losses, accumulation, what it logs, evaluates and refuses."""

import math

import numpy as np
import peft
import pytest
import torch
from datasets import Dataset

from fairpo import LabelGroup, LabelGroups
from fairpo._checks import FairPOError, FairPOTypeError, FairPOValueError, FairPOWarning
from fairpo.generation import FairPOGenerationConfig, PreferencePairs
from fairpo.generation.tokens import tokenize_pairs
from fairpo.generation.verses import Demonstrations
from tests.generation import tiny_lm

METHODS = ("sft", "dpo", "group-dro", "fairpo-dpo", "fairpo-simpo", "fairpo-cpo")


def log_prob(model, numbers, n_prompt):
    """Sum over the completion, one token at a time."""
    logits = model(input_ids=torch.tensor([numbers])).logits[0].double()
    total = 0.0
    for place in range(max(n_prompt, 1), len(numbers)):
        total = total + torch.log_softmax(logits[place - 1], -1)[numbers[place]]
    return total, len(numbers) - max(n_prompt, 1)


def slow_loss(method, model, reference, pairs, privileged=(0, 1), beta=0.1, slack=0.01):
    """Group losses of all pairs, one by one, of groups (privileged, others)."""
    tokenizer = tiny_lm.tokenizer()
    sums, counts = [0.0, 0.0], [0, 0]
    for p, c, r, a in zip(
        pairs.prompts, pairs.chosen, pairs.rejected, pairs.attributes, strict=True
    ):
        prompt = tokenizer(p)["input_ids"]
        scores = []
        for side in (c, r):
            numbers = tokenizer(p + side + "</s>")["input_ids"]
            (ours, length), (theirs, _) = (
                log_prob(m, numbers, len(prompt)) for m in (model, reference)
            )
            scores.append((ours, theirs, length))
        (won, won_before, n_won), (lost, lost_before, n_lost) = scores
        group = int(a not in privileged)
        h = (won - won_before) - (lost - lost_before)
        dpo = -torch.nn.functional.logsigmoid(beta * h)
        if method == "sft":
            loss, group = -won / n_won, group
            sums[group] = sums[group] - won
            counts[group] += n_won
            continue
        if group == 1:
            loss = torch.clamp(dpo - math.log(2) - slack, min=0)
        elif method == "fairpo-simpo":
            loss = -torch.nn.functional.logsigmoid(2.0 * (won / n_won - lost / n_lost) - 0.5)
        elif method == "fairpo-cpo":
            loss = -torch.nn.functional.logsigmoid(beta * (won - lost))
        else:
            loss = dpo
        sums[group] = sums[group] + loss
        counts[group] += 1
    return [total / count if count else total for total, count in zip(sums, counts, strict=True)]


@pytest.mark.parametrize("method", ["sft", "fairpo-dpo", "fairpo-simpo", "fairpo-cpo"])
def test_losses_are_those_of_the_double_loop(tmp_path, method):
    """After steps that part policy and reference; CPO's likelihood is left out by its weight."""
    options = {"nll_weight": 0.0} if method == "fairpo-cpo" else {}
    data = tiny_lm.pairs(10)
    made = tiny_lm.trained(tmp_path, data=data, method=method, evaluated=data, **options)
    found = made.evaluate()
    reference = tiny_lm.model().eval()
    with torch.no_grad():
        expected = slow_loss(method, made.model.eval(), reference, data)
    assert found["eval_group_losses/privileged"] == pytest.approx(float(expected[0]), abs=1e-5)
    assert found["eval_group_losses/non_privileged"] == pytest.approx(float(expected[1]), abs=1e-5)
    if method != "sft":  # its groups are for the logs alone
        weights = made.objective.group_weights().tolist()
        total = sum(w * float(e) for w, e in zip(weights, expected, strict=True))
        assert found["eval_loss"] == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains(tmp_path, method):
    made = tiny_lm.trained(tmp_path, method=method, max_steps=8, evaluated=tiny_lm.pairs(16, 1))
    losses = tiny_lm.logged(made, "loss")
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    assert made.evaluate()["eval_logps/accuracies"] > 0.5
    assert (made._reference is None) == (method == "sft")


@pytest.mark.parametrize("method", METHODS)
def test_exact_accumulation_is_one_batch(tmp_path, method):
    options = {"method": method, "max_steps": 4, "beta": 0.5, "step_size": 0.5}
    one = tiny_lm.trained(tmp_path / "1", per_device_train_batch_size=8, **options)
    many = tiny_lm.trained(
        tmp_path / "2",
        per_device_train_batch_size=2,
        gradient_accumulation_steps=4,
        accumulation="exact",
        **options,
    )
    tiny_lm.assert_close(one.model.state_dict(), many.model.state_dict(), atol=2e-5)
    for key in ("loss", "group_losses/privileged", "group_weights/privileged", "rewards/margins"):
        assert tiny_lm.logged(many, key) == pytest.approx(tiny_lm.logged(one, key), abs=1e-5)


def test_lagged_accumulation_divides_by_the_pairs_of_the_step(tmp_path):
    """With weights that stay, lagged is exact: the counts are known from the pairs."""
    options = {"max_steps": 4, "weight_rule": "fixed"}
    one = tiny_lm.trained(tmp_path / "1", **options)
    many = tiny_lm.trained(
        tmp_path / "2", per_device_train_batch_size=2, gradient_accumulation_steps=4, **options
    )
    tiny_lm.assert_close(one.model.state_dict(), many.model.state_dict(), atol=2e-5)


def test_logs_and_metrics_are_of_groups_and_attributes(tmp_path):
    data, held_out = tiny_lm.pairs(24), tiny_lm.pairs(16, seed=1)
    made = tiny_lm.trained(tmp_path, data=data, evaluated=held_out)
    record = made.state.log_history[0]
    for key in ("rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected"):
        assert {key, f"{key}/privileged", f"{key}/non_privileged"} <= set(record)
        assert any(f"{key}/attributes/{name}" in record for name in tiny_lm.NAMES)
    metrics = made.evaluate()
    scores = made.predict(held_out)
    ours, theirs = scores.predictions[:, :4], scores.predictions[:, 4:]
    margins = 0.1 * ((ours[:, 0] - theirs[:, 0]) - (ours[:, 2] - theirs[:, 1]))
    assert (scores.label_ids == held_out.attributes).all()
    for index, name in enumerate(tiny_lm.NAMES):
        rows = held_out.attributes == index
        key = f"attributes/{name}"
        expected = margins[rows]
        assert metrics[f"eval_rewards/margins/{key}"] == pytest.approx(expected.mean(), abs=1e-5)
        assert metrics[f"eval_rewards/accuracies/{key}"] == pytest.approx((expected > 0).mean())
        ahead = ours[rows, 0] / ours[rows, 1] > ours[rows, 2] / ours[rows, 3]
        assert metrics[f"eval_logps/accuracies/{key}"] == pytest.approx(ahead.mean())
    worst = min(metrics[f"eval_rewards/margins/attributes/{name}"] for name in tiny_lm.NAMES)
    assert metrics["eval_rewards/margins/worst_attribute"] == worst
    groups = ("privileged", "non_privileged")
    worst = min(metrics[f"eval_rewards/accuracies/{name}"] for name in groups)
    assert metrics["eval_rewards/accuracies/worst_group"] == worst


def test_an_evaluation_does_not_depend_on_its_batches(tmp_path):
    found = []
    for size in (3, 16):
        made = tiny_lm.trained(tmp_path, per_device_eval_batch_size=size)
        found.append(made.evaluate(tiny_lm.pairs(16, seed=1)))
    for key, value in found[0].items():
        if "second" not in key and "runtime" not in key:
            assert found[1][key] == pytest.approx(value, abs=1e-5), key


def test_the_best_model_is_chosen_by_any_metric(tmp_path):
    made = tiny_lm.trained(
        tmp_path,
        evaluated=tiny_lm.pairs(16, seed=1),
        max_steps=4,
        eval_strategy="steps",
        eval_steps=1,
        save_strategy="steps",
        save_steps=1,
        load_best_model_at_end=True,
        metric_for_best_model="rewards/margins/worst_attribute",
        greater_is_better=True,
    )
    values = tiny_lm.logged(made, "eval_rewards/margins/worst_attribute")
    assert made.state.best_metric == max(values)
    found = made.evaluations["eval"].metrics["rewards/margins/worst_attribute"]
    assert found == pytest.approx(max(values))
    again = made.evaluate()["eval_rewards/margins/worst_attribute"]
    assert again == pytest.approx(max(values), abs=1e-6)
    with pytest.raises(FairPOValueError, match="Did you mean"):
        tiny_lm.trainer(tmp_path, metric_for_best_model="rewards/margin")


def test_demonstrations_are_the_chosen_completions(tmp_path):
    """Supervised fine-tuning on prompts with one completion is that on pairs, without the rest."""
    data, held_out = tiny_lm.pairs(24), tiny_lm.pairs(8, seed=1)
    shown = Demonstrations(data.prompts, data.chosen)
    options = {"method": "sft", "privileged": None, "evaluated": held_out}
    from_pairs = tiny_lm.trained(tmp_path, data=data, **options)
    from_shown = tiny_lm.trained(tmp_path, data=shown, **options)
    tiny_lm.assert_same(from_pairs.model.state_dict(), from_shown.model.state_dict())
    assert from_shown.attribute_names == (*tiny_lm.NAMES, "demonstrations")
    pairwise, alone = from_pairs.evaluate(), from_shown.evaluate()
    for key in ("eval_loss", "eval_logps/accuracies/attributes/kind"):
        assert alone[key] == pytest.approx(pairwise[key])
    given = {"reference_model": tiny_lm.model()}
    watched = tiny_lm.trained(tmp_path, data=shown, parts=given, **options)
    assert "eval_rewards/margins" in watched.evaluate()
    with pytest.raises(FairPOValueError, match="must hold rejected completions for method='dpo'"):
        tiny_lm.trainer(tmp_path, data=shown, method="dpo", privileged=None)


def test_pairs_in_every_form(tmp_path):
    """PreferencePairs, rows and a data set of Hugging Face are one."""
    data = tiny_lm.pairs(24)
    # Readers sort the names of attributes, where nobody says them.
    names = tuple(sorted(tiny_lm.NAMES))
    place = np.array([names.index(name) for name in tiny_lm.NAMES])
    as_pairs = PreferencePairs(
        data.prompts, data.chosen, data.rejected, place[data.attributes], names
    )
    rows = tiny_lm.rows(data)
    made = [
        tiny_lm.trained(tmp_path, data=given) for given in (as_pairs, rows, Dataset.from_list(rows))
    ]
    for other in made[1:]:
        assert other.attribute_names == names
        tiny_lm.assert_same(made[0].model.state_dict(), other.model.state_dict())
    metrics = made[0].evaluate(tiny_lm.rows(tiny_lm.pairs(8, seed=2)))
    assert metrics["eval_loss"] >= 0
    several = {"a": tiny_lm.pairs(8, seed=2), "b": tiny_lm.rows(tiny_lm.pairs(8, seed=3))}
    metrics = tiny_lm.trainer(tmp_path, evaluated=several).evaluate()
    assert {"eval_a_loss", "eval_b_loss"} <= set(metrics)


def test_groups_of_any_number(tmp_path):
    made = tiny_lm.trained(tmp_path, per_attribute=True)
    assert made.groups.names == tiny_lm.NAMES
    assert made.groups.roles == ("improve", "improve", "protect", "protect")
    assert "group_losses/rhymes" in made.state.log_history[0]
    three = LabelGroups(
        [
            LabelGroup("a", (0, 1), "improve"),
            LabelGroup("b", (1, 2), "improve"),
            LabelGroup("c", (3,), "protect"),
        ],
        4,
    )
    made = tiny_lm.trained(tmp_path, parts={"groups": three}, privileged=None)
    assert made.groups is three


def test_the_worst_attributes_of_the_reference(tmp_path):
    held_out = tiny_lm.pairs(40, seed=5)
    plain = tiny_lm.trainer(tmp_path, evaluated=held_out, method="sft", privileged=None)
    before = plain.evaluate()
    accuracy = [before[f"eval_logps/accuracies/attributes/{name}"] for name in tiny_lm.NAMES]
    made = tiny_lm.trainer(tmp_path, evaluated=held_out, privileged="worst:1")
    assert made.groups.privileged.tolist() == [int(np.argmin(accuracy))]
    with pytest.raises(FairPOValueError, match="eval_dataset must be one set of pairs, for priv"):
        tiny_lm.trainer(tmp_path, privileged="worst:1")


def test_adapters_train_and_save(tmp_path):
    lora = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    data = tiny_lm.pairs()
    parts = {"peft_config": lora}
    made = tiny_lm.trainer(tmp_path, data=data, evaluated=data, parts=parts, max_steps=20)
    made.train()
    assert made._scorer.splits_head
    assert made._reference.model is made.model  # adapters off: no second copy
    assert made.evaluate()["eval_group_losses/privileged"] < math.log(2)
    made.save_pretrained(str(tmp_path / "final"))
    base = tiny_lm.model()
    again = peft.PeftModel.from_pretrained(base, tmp_path / "final")
    tokens = torch.tensor([[5, 6, 7, 8]])
    expected = made.model.eval()(input_ids=tokens).logits
    torch.testing.assert_close(again.eval()(input_ids=tokens).logits, expected)


@pytest.mark.parametrize("adapters", [False, True])
def test_gradient_checkpointing_changes_nothing(tmp_path, adapters):
    def run(on):
        lora = peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM")
        torch.manual_seed(3)
        parts = {"peft_config": lora} if adapters else {}
        return tiny_lm.trained(tmp_path, parts=parts, activation_checkpointing=on)

    tiny_lm.assert_close(run(True).model.state_dict(), run(False).model.state_dict(), atol=1e-6)


def test_bf16(tmp_path):
    made = tiny_lm.trained(tmp_path, bf16=True, max_steps=6)
    losses = tiny_lm.logged(made, "loss")
    assert losses[-1] < losses[0]


def test_dropout_is_switched_off(tmp_path):
    policy = tiny_lm.model()
    policy.model.layers[0].mlp.act_fn = torch.nn.Sequential(torch.nn.SiLU(), torch.nn.Dropout(0.5))
    tiny_lm.trainer(tmp_path, policy, disable_dropout=False)
    assert policy.model.layers[0].mlp.act_fn[1].p == 0.5
    tiny_lm.trainer(tmp_path, policy)
    assert policy.model.layers[0].mlp.act_fn[1].p == 0.0


def test_the_card_names_attributes_results_and_limits(tmp_path):
    made = tiny_lm.trained(tmp_path, evaluated=tiny_lm.pairs(16, seed=1))
    made.evaluate()
    made.save_pretrained()
    card = (tmp_path / "README.md").read_text()
    assert "| privileged | improve | 2 | polite, short |" in card
    assert "| attributes/rhymes |" in card and "| worst\\_attribute |" in card
    assert "held to the reference by a penalty, not by a guarantee" in card
    assert "`eval`: 16 pairs, after 3 optimizer steps" in card


BAD = {
    "no attribute column": (
        {"data": [{"prompt": "a", "chosen": "b", "rejected": "c"}]},
        "has no column 'attribute'",
    ),
    "a privileged attribute that is none": ({"privileged": "brave"}, "'brave' is not among the 4"),
    "nothing privileged": ({"privileged": None}, "the privileged attributes must be named for"),
    "an empty completion": (
        {"data": [{"prompt": "a", "chosen": " ", "rejected": "c", "attribute": "x"}]},
        "1 with an empty completion",
    ),
    "groups over others": (
        {"parts": {"groups": LabelGroups([LabelGroup("a", (0,), "improve")], 2)}},
        "groups must be over the 4 attributes polite, short, rhymes, kind",
    ),
    "a beta of nothing": ({"beta": 0.0}, "PairSettings.beta must be greater than 0"),
    "an option of no use": ({"truncation_mode": "keep_end"}, "truncation_mode must be 'keep_start"),
    "another loss": ({"loss_type": "ipo"}, "PairSettings.loss_type must be 'sigmoid'"),
    "lengths": ({"train_sampling_strategy": "group_by_length"}, "pairs have two lengths"),
    "no room": ({"max_length": 2}, "train_dataset must hold a pair that can be trained on"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_bad_input(tmp_path, options, message):
    with pytest.raises(FairPOError, match=message):
        tiny_lm.trainer(tmp_path, **options)


def test_an_attribute_never_seen_in_training(tmp_path):
    data = tiny_lm.pairs(24)
    without = data.subset(data.attributes != 0)
    with pytest.raises(FairPOValueError, match="must drive a training pair, got none for polite"):
        tiny_lm.trainer(tmp_path, data=without, privileged="polite")
    with pytest.warns(FairPOWarning, match="1 privileged attributes drive no training pair"):
        made = tiny_lm.trainer(tmp_path, data=without)
    assert "eval_rewards/margins/attributes/polite" in made.evaluate(data)
    tiny_lm.trainer(tmp_path, data=without, method="dpo", privileged=None)  # without a warning
    other = PreferencePairs(["a"], ["b"], ["c"], np.array([0]), ("brave",))
    with pytest.raises(FairPOValueError, match="attribute of eval 'brave' is not among the 4 attr"):
        made.evaluate(other)


def test_bad_tokenizers_and_models(tmp_path):
    def build(policy=None, tokenizer=None, data=None, **parts):
        made = tiny_lm.FairPOGenerationTrainer
        data = tiny_lm.pairs() if data is None else data
        policy = tiny_lm.model() if policy is None else policy
        return made(policy, tiny_lm.config(tmp_path), data, None, tokenizer, **parts)

    with pytest.raises(FairPOValueError, match="must have a pad token, got none. tokenizer.pad_to"):
        build(tokenizer=tiny_lm.tokenizer(pad_token=None))
    with pytest.raises(FairPOValueError, match="must have an end token, which completions learn"):
        build(tokenizer=tiny_lm.tokenizer(eos_token=None))
    with pytest.raises(FairPOTypeError, match="processing_class must be the model's tokenizer"):
        build()
    longer = tiny_lm.tokenizer()
    longer.add_tokens([f"<{number}>" for number in range(100)])
    with pytest.raises(
        FairPOValueError, match=r"hold the tokenizer's \d+ tokens, got 320. Call mo"
    ):
        build(tokenizer=longer)
    mute = tiny_lm.tokenizer()
    mute.chat_template = None
    with pytest.raises(FairPOValueError, match="must have a chat template for pairs of messages"):
        build(tokenizer=mute, data=tiny_lm.pairs(conversational=True))
    with pytest.raises(FairPOValueError, match="must have a head that gives logits of tokens"):
        build(tiny_lm.model().model, tiny_lm.tokenizer())
    with pytest.raises(FairPOTypeError, match="model must be a causal language model"):
        build(torch.nn.Linear(2, 2), tiny_lm.tokenizer())
    policy = tiny_lm.model()
    with pytest.raises(FairPOValueError, match="must be another object than model"):
        build(policy, tiny_lm.tokenizer(), reference_model=policy)


def test_what_is_cut_or_left_out_is_counted(tmp_path):
    with pytest.warns(FairPOWarning) as caught:
        made = tiny_lm.trainer(tmp_path, max_length=14)
    (cut,) = [str(w.message) for w in caught if "are cut" in str(w.message)]
    sequences = made.train_dataset
    lengths = [
        max(len(p) + len(c) for p, c in sequences[row]["sides"]) for row in range(len(sequences))
    ]
    assert cut.startswith(f"train_dataset: {sum(n > 14 for n in lengths)} of 24 pairs are longer")
    lengths = sorted(
        len(prompt) for prompt in tiny_lm.trainer(tmp_path).train_dataset.tokens.prompts
    )
    limit = lengths[12]
    with pytest.warns(FairPOWarning) as caught:
        short = tiny_lm.trainer(tmp_path, max_length=limit)
    n_left = len(short.train_dataset)
    assert n_left == sum(length < limit for length in lengths)
    (left_out,) = [str(w.message) for w in caught if "left out" in str(w.message)]
    assert left_out == (
        f"train_dataset: {24 - n_left} of 24 pairs are left out: their prompts alone fill "
        f"max_length={limit} tokens."
    )


def test_a_prompt_that_merges_with_its_completion_is_told(tmp_path):
    """As in TRL the completion begins where the tokens part."""
    tokenizer = tiny_lm.tokenizer()
    whole = PreferencePairs(["hello "], ["sea</s>"], ["tea</s>"], np.array([0]), ("polite",))
    with pytest.warns(FairPOWarning, match="1 prompts are tokenized differently with a completion"):
        tokens = tokenize_pairs(whole, tokenizer, None)
    assert tokenizer.decode(tokens.prompts[0]) == "hello"
    assert tokenizer.decode(tokens.sides[0][0]) == " sea</s>"


def test_options_on_a_command_line():
    import transformers

    parser = transformers.HfArgumentParser(FairPOGenerationConfig)
    line = "--output_dir out --use_cpu True --report_to none --method fairpo-cpo --beta 0.5"
    (args,) = parser.parse_args_into_dataclasses([*line.split(), "--max_length", "64"])
    assert (args.method, args.beta, args.max_length) == ("fairpo-cpo", 0.5, 64)
    with pytest.raises(FairPOValueError) as error:
        FairPOGenerationConfig("out", beta=-1, max_length=1, accumulation="never", use_cpu=True)
    starts = [line.partition(" must ")[0] for line in str(error.value).splitlines()]
    ours = ["FairPOGenerationConfig.max_length", "FairPOGenerationConfig.accumulation"]
    assert starts == ["PairSettings.beta", *ours]
