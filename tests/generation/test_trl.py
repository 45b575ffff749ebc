"""With all attributes privileged, FairPO-DPO is the DPO of TRL."""

import pytest
import torch
import trl
from datasets import Dataset

from fairpo.generation import FairPOGenerationConfig
from fairpo.generation.tokens import PairCollator, PairExamples, sequences_of, tokenize_pairs
from tests.generation import tiny_lm

# TRL 1.16 has a default under a name that transformers 5.23 gave up.
pytestmark = pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated")


def of_trl(folder, family, data, **options):
    """TRL's trainer, told what ours is told."""
    arguments = {
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-2,
        "max_steps": 10,
        "logging_steps": 1,
        "save_strategy": "no",
        "gradient_checkpointing": False,
        "bf16": False,
        **options,
    }
    rows = [{k: v for k, v in row.items() if k != "attribute"} for row in tiny_lm.rows(data)]
    return trl.DPOTrainer(
        tiny_lm.model(family),
        tiny_lm.model(family),
        trl.DPOConfig(str(folder), **arguments),
        train_dataset=Dataset.from_list(rows),
        processing_class=tiny_lm.tokenizer(),
    )


SHARED = (
    "loss",
    "grad_norm",
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "logps/chosen",
)


@pytest.mark.parametrize("family", tiny_lm.FAMILIES)
def test_parameters_after_ten_steps(tmp_path, family):
    """Equal to rounding: TRL adds the same products in another order, in float32."""
    data = tiny_lm.pairs(40)
    told = {"beta": 0.5, "learning_rate": 1e-3, "max_steps": 10}
    assert_equal(tmp_path, data, family, **told)


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({"gradient_accumulation_steps": 2, "per_device_train_batch_size": 4}, {}),
        ({"max_length": 14}, {}),
        ({}, {"conversational": True}),
    ],
    ids=["accumulated", "cut", "conversations"],
)
@pytest.mark.filterwarnings("ignore:train_dataset. .* max_length=14 tokens and are cut")
def test_of_any_kind(tmp_path, options, data):
    told = {"beta": 0.5, "learning_rate": 1e-3, "max_steps": 3, **options}
    assert_equal(tmp_path, tiny_lm.pairs(24, **data), "Llama", **told)


def assert_equal(tmp_path, data, family, **told):
    theirs = of_trl(tmp_path / "trl", family, data, **told)
    theirs.train()
    everything = {"privileged": ",".join(tiny_lm.NAMES), **told}
    ours = tiny_lm.trained(tmp_path / "ours", tiny_lm.model(family), data, **everything)
    start, end = tiny_lm.model(family).state_dict(), ours.model.state_dict()
    tiny_lm.assert_close(end, theirs.model.state_dict(), atol=1e-6)
    assert max(float((end[name] - start[name]).abs().max()) for name in end) > 1e-3
    for key in SHARED:
        expected = tiny_lm.logged(theirs, key)
        if told.get("gradient_accumulation_steps") and key != "loss":
            continue  # TRL logs means of micro-batches
        assert tiny_lm.logged(ours, key) == pytest.approx(expected, abs=1e-4), key


@pytest.mark.parametrize(
    ("conversational", "max_length"), [(False, None), (False, 14), (True, None), (True, 28)]
)
@pytest.mark.filterwarnings("ignore:the pairs. .* are cut", "ignore:the pairs. .* are left out")
def test_batches_are_those_of_trl(tmp_path, conversational, max_length):
    data = tiny_lm.pairs(12, conversational=conversational)
    trainer = of_trl(tmp_path, "Llama", data, max_length=max_length)
    expected = trainer.data_collator(list(trainer.train_dataset))
    tokens = tokenize_pairs(data, tiny_lm.tokenizer(), max_length)
    examples = PairExamples(tokens)
    batch = PairCollator(3, max_length)([examples[row] for row in range(len(examples))])
    found = sequences_of(batch)
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert torch.equal(found[key], value), key


def test_defaults_are_those_of_trl():
    ours, theirs = FairPOGenerationConfig("out", use_cpu=True), trl.DPOConfig("out", use_cpu=True)
    names = ("learning_rate", "logging_steps", "max_length", "truncation_mode", "disable_dropout")
    for name in (*names, "precompute_ref_log_probs", "precompute_ref_batch_size"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert FairPOGenerationConfig("out", loss_type=theirs.loss_type).loss_type == "sigmoid"
