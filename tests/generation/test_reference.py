"""Where reference log-probabilities come from, and that they are never stale."""

import numpy as np
import peft
import pytest
import torch

from fairpo._checks import FairPOFileError, FairPOValueError
from tests.generation import tiny_lm

LORA = {"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}


def cached(folder):
    return sorted((folder / "_reference_log_probs").glob("*.npy"))


def test_the_initial_policy_given_saved_or_kept_is_one_reference(tmp_path):
    tiny_lm.model().save_pretrained(tmp_path / "saved")
    held_out = tiny_lm.pairs(10, seed=1)
    made = {
        "initial": tiny_lm.trained(tmp_path / "a", evaluated=held_out),
        "given": tiny_lm.trained(
            tmp_path / "b", evaluated=held_out, parts={"reference_model": tiny_lm.model()}
        ),
        "saved": tiny_lm.trained(
            tmp_path / "c", evaluated=held_out, reference=str(tmp_path / "saved")
        ),
        "kept": tiny_lm.trained(tmp_path / "d", evaluated=held_out, precompute_ref_log_probs=True),
    }
    first = made.pop("initial")
    expected = first.evaluate()
    for name, other in made.items():
        assert other.evaluate()["eval_loss"] == pytest.approx(expected["eval_loss"], abs=1e-6), name
        if name == "kept":  # batches are padded otherwise
            tiny_lm.assert_close(other.model.state_dict(), first.model.state_dict(), atol=1e-5)
        else:
            tiny_lm.assert_same(other.model.state_dict(), first.model.state_dict())


def test_the_reference_does_not_move(tmp_path):
    held_out = tiny_lm.pairs(10, seed=1)
    made = tiny_lm.trainer(tmp_path, evaluated=held_out, max_steps=5)
    before = made.predict(held_out).predictions
    made.train()
    after = made.predict(held_out).predictions
    assert np.allclose(before[:, [0, 2]], before[:, 4:], atol=1e-5)  # policy and reference are one
    assert (after[:, 4:] == before[:, 4:]).all()
    assert not np.allclose(after[:, :4], before[:, :4], atol=1e-2)


def test_a_given_model_is_frozen_and_never_trained(tmp_path):
    reference = tiny_lm.model(seed=5)
    before = tiny_lm.weights(reference)
    tiny_lm.trained(tmp_path, parts={"reference_model": reference})
    tiny_lm.assert_same(tiny_lm.weights(reference), before)
    assert not any(parameter.requires_grad for parameter in reference.parameters())


def test_with_adapters_the_base_is_the_reference(tmp_path):
    """Whether the adapters are put on by the trainer, or were and have learnt nothing."""
    by_trainer = tiny_lm.trainer(tmp_path, parts={"peft_config": peft.LoraConfig(**LORA)})
    on_model = tiny_lm.trainer(
        tmp_path, peft.get_peft_model(tiny_lm.model(), peft.LoraConfig(**LORA))
    )
    data = tiny_lm.pairs(8, seed=2)
    expected = tiny_lm.trainer(tmp_path).predict(data).predictions[:, 4:]
    for made in (by_trainer, on_model):
        made.train()
        assert made._reference.model is made.model
        assert np.allclose(made.predict(data).predictions[:, 4:], expected, atol=1e-5)


def test_adapters_that_have_learnt_are_part_of_the_initial_policy(tmp_path):
    policy = peft.get_peft_model(tiny_lm.model(), peft.LoraConfig(**LORA))
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    data = tiny_lm.pairs(8, seed=2)
    made = tiny_lm.trainer(tmp_path, policy)
    before = made.predict(data).predictions
    made.train()
    assert made._reference.model is not made.model
    assert np.allclose(made.predict(data).predictions[:, 4:], before[:, [0, 2]], atol=1e-5)


def test_kept_log_probs_are_used_again_and_never_stale(tmp_path, monkeypatch):
    from fairpo.training.reference_model import ReferenceModel

    calls, run = [], ReferenceModel.run
    monkeypatch.setattr(ReferenceModel, "run", lambda s, ask: calls.append(1) or run(s, ask))

    def forwards(policy=None, n=20, seed=0, **options):
        calls.clear()
        options = {"precompute_ref_log_probs": True, "max_steps": 1, **options}
        tiny_lm.trained(tmp_path, policy, tiny_lm.pairs(n, seed), **options)
        return len(calls)

    assert forwards() == 3  # 20 pairs in batches of 8, and none in training
    assert forwards() == 0
    assert forwards(precompute_ref_batch_size=20) == 1  # padded otherwise
    assert forwards(tiny_lm.model(seed=1)) == 3  # other weights
    assert forwards(seed=1) == 3  # other pairs
    assert forwards(n=19) == 3
    assert len(cached(tmp_path)) == 5
    assert forwards() == 0
    for path in cached(tmp_path):
        path.write_bytes(path.read_bytes()[:50])  # killed while it was written
    assert forwards() == 3
    assert forwards() == 0


@pytest.mark.filterwarnings("ignore:train_dataset. .* are cut", "ignore:train_dataset. .* left out")
def test_another_tokenization_is_another_file(tmp_path):
    tiny_lm.trainer(tmp_path, precompute_ref_log_probs=True)
    tiny_lm.trainer(tmp_path, precompute_ref_log_probs=True, max_length=14)
    assert len(cached(tmp_path)) == 2


def test_a_set_that_came_later_has_no_rewards_without_a_reference(tmp_path):
    later = tiny_lm.pairs(8, seed=3)
    made = tiny_lm.trained(tmp_path, precompute_ref_log_probs=True)
    found = made.evaluate(later)
    assert "eval_logps/accuracies" in found
    assert "eval_loss" not in found and "eval_rewards/margins" not in found
    made = tiny_lm.trained(
        tmp_path, precompute_ref_log_probs=True, parts={"reference_model": tiny_lm.model()}
    )
    assert {"eval_loss", "eval_rewards/margins"} <= set(made.evaluate(later))


def test_methods_without_a_reference_take_none(tmp_path):
    for method in ("sft", "fairpo-simpo"):
        everything = ",".join(tiny_lm.NAMES)
        made = tiny_lm.trained(
            tmp_path, method=method, privileged=everything, precompute_ref_log_probs=True
        )
        assert made._reference is None
        assert not cached(tmp_path)
        assert "rewards/margins" not in made.state.log_history[0]


def test_references_that_do_not_fit(tmp_path):
    with pytest.raises(FairPOFileError, match="is not a folder. reference is 'initial' or the fol"):
        tiny_lm.trainer(tmp_path, reference="hub/name")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FairPOFileError, match="is not a saved LlamaForCausalLM"):
        tiny_lm.trainer(tmp_path, reference=str(tmp_path / "empty"))
    fewer = tiny_lm.model(vocab_size=100)
    with pytest.raises(FairPOValueError, match="must be the model's, 320 tokens, got 100"):
        tiny_lm.trainer(tmp_path, parts={"reference_model": fewer})
    given = {"reference_model": tiny_lm.model()}
    with pytest.raises(FairPOValueError, match="must be left out where reference_model is given"):
        tiny_lm.trainer(tmp_path, reference="somewhere", parts=given)
