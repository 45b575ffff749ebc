"""A training that was stopped and goes on is the training that never stopped, bit by bit."""

import peft
import pytest

from fairpo._checks import FairPOValueError
from tests.generation import tiny_lm


def build(folder, **options):
    defaults = {
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "max_steps": 6,
        "save_strategy": "steps",
        "save_steps": 2,
        "logging_steps": 2,
        "step_size": 0.5,
    }
    policy = tiny_lm.model(attention_dropout=0.2)
    return tiny_lm.trainer(folder, policy, tiny_lm.pairs(28), **{**defaults, **options})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"accumulation": "exact", "method": "fairpo-cpo"},
        {"precompute_ref_log_probs": True, "method": "fairpo-simpo"},
        {"method": "sft"},
        {"parts": {"peft_config": peft.LoraConfig(r=2, lora_dropout=0.2, task_type="CAUSAL_LM")}},
    ],
    ids=["lagged", "exact", "kept", "sft", "adapters"],
)
def test_resumed_is_bit_identical(tmp_path, options):
    straight = build(tmp_path, **options)
    straight.train()
    for step in (2, 4):  # within an epoch, and in the next one
        resumed = build(tmp_path, **options)
        resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
        tiny_lm.assert_same(resumed.model.state_dict(), straight.model.state_dict())
        tiny_lm.assert_same(resumed.objective.state_dict(), straight.objective.state_dict())
        for key in ("group_losses/privileged", "logps/chosen"):
            assert tiny_lm.logged(resumed, key) == tiny_lm.logged(straight, key)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"privileged": "kind"}, "groups"),
        ({"method": "group-dro"}, "method"),
        ({"beta": 0.3}, "settings"),
        ({"max_length": 60}, "max_length"),
        ({"parts": {"reference_model": tiny_lm.model(seed=4)}}, "reference"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_training_is_refused(tmp_path, options, what):
    build(tmp_path, max_steps=2).train()
    with pytest.raises(FairPOValueError, match=f"the {what}.* of a training that goes on from"):
        build(tmp_path, **options).train(resume_from_checkpoint=True)
