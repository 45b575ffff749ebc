"""Where reference logits come from, and that they are never stale."""

import numpy as np
import peft
import pytest
import torch
from datasets import Dataset
from torch.utils.data import IterableDataset

from fairpo._checks import FairPOFileError, FairPOValueError
from tests.hf import tiny

LORA = {"r": 4, "target_modules": ["q_proj", "v_proj"], "modules_to_save": ["classifier"]}


def cached(folder):
    return sorted((folder / "_reference_logits").glob("*.npy"))


def trained(folder, model=None, **options):
    trainer = tiny.trainer(folder, model, **options)
    trainer.train()
    return trainer


def test_the_initial_policy_given_saved_kept_or_brought_is_one_reference(tmp_path):
    """Five ways to the same logits: the same training, bit by bit but for how batches are cut."""
    start = tiny.vit()
    start.save_pretrained(tmp_path / "saved")
    with torch.no_grad():
        data = tiny.Images(64)
        logits = start.eval()(pixel_values=data.x).logits.numpy()

    class Brought(tiny.Images):
        def __getitem__(self, index):
            return {**super().__getitem__(index), "reference_logits": logits[index]}

    initial = trained(tmp_path / "a")
    given = trained(tmp_path / "b", parts={"reference_model": tiny.vit()})
    saved = trained(tmp_path / "c", reference=str(tmp_path / "saved"))
    kept = trained(tmp_path / "d", precompute_reference_logits=True)
    brought = trained(tmp_path / "e", data=Brought(64), reference="column")
    tiny.assert_same(initial.model.state_dict(), given.model.state_dict())
    tiny.assert_same(initial.model.state_dict(), saved.model.state_dict())
    for other in (kept, brought):
        for name, value in initial.model.state_dict().items():
            torch.testing.assert_close(other.model.state_dict()[name], value, atol=1e-5, rtol=1e-5)


def test_the_reference_does_not_move(tmp_path):
    trainer = tiny.trainer(tmp_path, evaluated=tiny.Images(40, seed=1), max_steps=10)
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert before["eval_map"] == before["eval_reference/map"]
    assert after["eval_reference/map"] == before["eval_reference/map"]
    assert after["eval_map"] != before["eval_map"]


def test_a_given_model_is_frozen_and_never_trained(tmp_path):
    reference = tiny.vit(seed=5)
    before = tiny.weights(reference)
    trained(tmp_path, parts={"reference_model": reference})
    tiny.assert_same(tiny.weights(reference), before)
    assert not any(parameter.requires_grad for parameter in reference.parameters())


def test_with_adapters_the_base_is_the_reference(tmp_path):
    lora = peft.LoraConfig(**LORA)
    trainer = tiny.trainer(
        tmp_path, evaluated=tiny.Images(40, seed=1), parts={"peft_config": lora}, max_steps=5
    )
    base = {n: p.clone() for n, p in trainer.model.named_parameters() if not p.requires_grad}
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_reference/map"] == before["eval_map"]
    assert after["eval_map"] != before["eval_map"]
    for name, parameter in trainer.model.named_parameters():
        if name in base:
            assert torch.equal(base[name], parameter)
        else:
            assert parameter.requires_grad
    plain = tiny.vit()
    x = tiny.Images(4).x
    expected = plain.eval()(pixel_values=x).logits
    torch.testing.assert_close(trainer._reference.logits({"pixel_values": x}), expected)


def test_adapters_that_have_learnt_are_part_of_the_initial_policy(tmp_path):
    """Adapters off would be another model than the one that was given: a copy is taken."""
    model = peft.get_peft_model(tiny.vit(), peft.LoraConfig(**LORA))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    x = tiny.Images(4).x
    given = model.eval()(pixel_values=x).logits.detach()
    trainer = trained(tmp_path, model)
    torch.testing.assert_close(trainer._reference.logits({"pixel_values": x}), given)
    assert not torch.allclose(trainer.model(pixel_values=x).logits, given)


def test_kept_logits_are_used_again_and_never_stale(tmp_path, monkeypatch):
    from fairpo.hf.reference import Reference

    calls, logits = [], Reference.logits
    monkeypatch.setattr(Reference, "logits", lambda s, i: calls.append(1) or logits(s, i))

    def forwards(model=None, n=40, seed=0, **options):
        calls.clear()
        options = {"precompute_reference_logits": True, "max_steps": 1, **options}
        tiny.trainer(tmp_path, model, tiny.Images(n, seed), **options).train()
        return len(calls)

    assert forwards() == 3  # 40 examples in batches of 16, and none in training
    assert forwards() == 0
    (first,) = cached(tmp_path)
    assert forwards(seed=1) == 3  # other examples
    assert forwards(tiny.vit(seed=1)) == 3  # other weights
    assert forwards(n=39) == 3
    assert forwards(bf16=True) == 3  # another precision
    assert len(cached(tmp_path)) == 5
    assert forwards(seed=0) == 0
    first.write_bytes(first.read_bytes()[:50])  # killed while it was written
    assert forwards() == 3
    assert np.load(first).shape == (40, tiny.N_LABELS)


def test_kept_logits_join_their_examples(tmp_path):
    data = Dataset.from_dict(
        {
            "pixel_values": tiny.Images(30).x.numpy(),
            "labels": tiny.Images(30).y.numpy(),
            "note": ["not for the model"] * 30,
        }
    ).with_format("torch")
    trainer = tiny.trainer(tmp_path, data=data, precompute_reference_logits=True)
    start = tiny.vit().eval()
    seen = 0
    for batch in trainer.get_train_dataloader():
        assert set(batch) == {"pixel_values", "labels", "reference_logits"}
        expected = start(pixel_values=batch["pixel_values"]).logits
        torch.testing.assert_close(batch["reference_logits"], expected, atol=1e-6, rtol=0)
        seen += len(expected)
    assert seen == 30
    trainer.train()


def test_any_collator_works(tmp_path):
    trainer = tiny.trainer(
        tmp_path,
        tiny.bert(),
        tiny.Texts(40),
        evaluated=tiny.Texts(20, seed=1),
        precompute_reference_logits=True,
        train_sampling_strategy="group_by_length",
        eval_strategy="steps",
        eval_steps=3,
        parts={"data_collator": tiny.pad},
    )
    trainer.train()
    assert tiny.logged(trainer, "eval_reference/map")


def test_a_set_that_came_later_has_no_reference_unless_it_is_kept(tmp_path):
    later = tiny.Images(30, seed=3)
    trainer = trained(tmp_path, precompute_reference_logits=True)
    found = trainer.evaluate(later)
    assert "eval_map" in found
    assert "eval_reference/map" not in found
    assert "eval_loss" not in found
    with pytest.raises(FairPOValueError, match="a reference must be there to run, got none"):
        trainer.keep_reference_logits(later)
    trainer = tiny.trainer(tmp_path, parts={"reference_model": tiny.vit()})
    trainer.keep_reference_logits(later)
    trainer.train()
    assert {"eval_reference/map", "eval_loss"} <= set(trainer.evaluate(later))


def test_random_examples_cannot_be_kept(tmp_path):
    class Noisy(tiny.Images):
        def __getitem__(self, index):
            example = super().__getitem__(index)
            return {**example, "pixel_values": example["pixel_values"] + torch.randn(3, 8, 8)}

    with pytest.raises(FairPOValueError, match="must be the same each time, for what the ref"):
        tiny.trainer(tmp_path, data=Noisy(20), precompute_reference_logits=True)
    trained(tmp_path, data=Noisy(20))  # and can be trained on


def test_a_stream_cannot_be_kept(tmp_path):
    class Stream(IterableDataset):
        def __iter__(self):
            return (tiny.Images(40)[index] for index in range(40))

    options = {"data": Stream(), "privileged": "l0,l1"}
    with pytest.raises(FairPOValueError, match="must have a length and examples by number, got S"):
        tiny.trainer(tmp_path, precompute_reference_logits=True, **options)
    assert trained(tmp_path, **options).state.global_step == 3


def test_references_that_do_not_fit(tmp_path):
    with pytest.raises(FairPOFileError, match="is not a folder"):
        tiny.trainer(tmp_path, reference="hub/name")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FairPOFileError, match="is not a saved ViTForImageClassification"):
        tiny.trainer(tmp_path, reference=str(tmp_path / "empty"))
    fewer = tiny.vit(num_labels=4, id2label=dict(enumerate("abcd")))
    with pytest.raises(FairPOValueError, match=r"be those of the model: 6 \(l0, .* got 4 \(a, b"):
        tiny.trainer(tmp_path, parts={"reference_model": fewer})
    other = tiny.vit(id2label=dict(enumerate("abcdef")))
    with pytest.raises(FairPOValueError, match="the labels of the reference must be those"):
        tiny.trainer(tmp_path, parts={"reference_model": other})
    given = {"reference_model": tiny.vit()}
    with pytest.raises(FairPOValueError, match="must be left out where reference_model is given"):
        tiny.trainer(tmp_path, reference="column", parts=given)
    with pytest.raises(FairPOValueError, match="must be another object than model"):
        tiny.trainer(tmp_path, given["reference_model"], parts=given)
    with pytest.raises(FairPOValueError, match="must have a column 'reference_logits'"):
        tiny.trainer(tmp_path, reference="column")


def test_methods_without_a_reference_take_none(tmp_path):
    trainer = tiny.trainer(tmp_path, method="bce", precompute_reference_logits=True)
    assert trainer._reference is None
    assert not cached(tmp_path)
