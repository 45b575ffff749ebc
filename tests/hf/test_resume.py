"""A training that was stopped and goes on is the training that never stopped, bit by bit."""

import json
import shutil
from pathlib import Path

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from fairpo._checks import FairPOFileError, FairPOValueError, FairPOWarning
from tests.hf import tiny

DROPOUT = {"hidden_dropout_prob": 0.2}


def build(folder, **options):
    defaults = {
        "gradient_accumulation_steps": 2,
        "max_steps": 7,
        "save_strategy": "steps",
        "save_steps": 3,
        "logging_steps": 2,
        "preset": "paper-v2",
    }
    model = tiny.vit(**DROPOUT)
    return tiny.trainer(folder, model, tiny.Images(50), **{**defaults, **options})


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    trainer = build(tmp_path_factory.mktemp("straight"))
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"accumulation": "exact"},
        {"precompute_reference_logits": True},
        {"method": "bce-reweighted", "preset": "paper-v1"},
        {"gradient_accumulation_steps": 1},
    ],
    ids=lambda options: "-".join(map(str, options.values())) or "lagged",
)
def test_resumed_is_bit_identical(tmp_path, straight, options):
    """Step 3 lies within an epoch, step 6 in the next one."""
    if options:
        straight = build(tmp_path / "straight", **options)
        straight.train()
    for step in (3, 6):
        resumed = build(straight.args.output_dir, **options)
        resumed.train(resume_from_checkpoint=f"{straight.args.output_dir}/checkpoint-{step}")
        tiny.assert_same(resumed.model.state_dict(), straight.model.state_dict())
        tiny.assert_same(resumed.objective.state_dict(), straight.objective.state_dict())
        for key in ("group_losses/privileged", "group_weights/privileged"):
            assert tiny.logged(resumed, key) == tiny.logged(straight, key)


def test_resumed_with_adapters_is_bit_identical(tmp_path):
    def build_with_adapters():
        lora = peft.LoraConfig(
            r=2, lora_dropout=0.1, target_modules=["q_proj"], modules_to_save=["classifier"]
        )
        options = {"max_steps": 5, "save_strategy": "steps", "save_steps": 2}
        return tiny.trainer(tmp_path, parts={"peft_config": lora}, **options)

    straight = build_with_adapters()
    straight.train()
    resumed = build_with_adapters()
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    tiny.assert_same(resumed.model.state_dict(), straight.model.state_dict())
    tiny.assert_same(resumed.objective.state_dict(), straight.objective.state_dict())


def test_a_training_that_was_done_stays_as_it_is(straight):
    resumed = build(straight.args.output_dir)
    resumed.train(resume_from_checkpoint=f"{straight.args.output_dir}/checkpoint-7")
    assert resumed.state.global_step == 7
    tiny.assert_same(resumed.model.state_dict(), straight.model.state_dict())
    tiny.assert_same(resumed.objective.state_dict(), straight.objective.state_dict())


@pytest.mark.parametrize("only_model", [False, True])
def test_the_best_model_is_loaded_whole(tmp_path, only_model):
    class Keep(transformers.TrainerCallback):
        def __init__(self):
            self.states, self.objectives = {}, {}

        def on_step_end(self, args, state, control, model, **_):
            self.states[state.global_step] = tiny.weights(model)
            of_now = trainer.objective.state_dict().items()
            self.objectives[state.global_step] = {name: value.clone() for name, value in of_now}

    kept = Keep()
    trainer = tiny.trainer(
        tmp_path,
        evaluated=tiny.Images(40, seed=1),
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=1,
        save_steps=1,
        max_steps=4,
        load_best_model_at_end=True,
        metric_for_best_model="map/privileged",
        save_only_model=only_model,
        parts={"callbacks": [kept]},
    )
    trainer.train()
    best = trainer.state.best_global_step
    values = tiny.logged(trainer, "eval_map/privileged")
    assert values[best - 1] == max(values)
    tiny.assert_same(tiny.weights(trainer.model), kept.states[best])
    assert best < trainer.state.global_step  # or nothing was chosen
    if not only_model:
        tiny.assert_same(trainer.objective.state_dict(), kept.objectives[best])
    # What the card says is of these weights.
    assert trainer.evaluations["eval"].step == best
    trainer.save_pretrained(str(tmp_path / "final"))
    card = (tmp_path / "final" / "README.md").read_text()
    assert f"after {best} optimizer steps" in card
    assert f"{100 * max(values):.2f}" in card
    trainer.evaluate()
    assert trainer.evaluations["eval"].step == best


def test_weights_that_are_not_all_there_are_refused(tmp_path, straight):
    folder = Path(straight.args.output_dir) / "checkpoint-3"
    weights = load_file(folder / "model.safetensors")
    kept = dict(list(weights.items())[2:])
    trainer = build(tmp_path)
    shutil.copytree(folder, tmp_path / "checkpoint-3")
    save_file(kept, tmp_path / "checkpoint-3" / "model.safetensors", {"format": "pt"})
    with pytest.raises(FairPOFileError, match="model.safetensors is missing or truncated"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    with pytest.raises(FairPOFileError, match="does not hold all weights of the model: .'classif"):
        trainer._load_from_checkpoint(str(tmp_path / "checkpoint-3"))


def test_without_its_state_the_objective_would_differ(straight):
    """The test above can fail: weights and averages have moved by step 3."""
    fresh = build(straight.args.output_dir).objective.state_dict()
    moved = straight.objective.state_dict()
    for name in ("log_weights", "averages", "steps"):
        key = f"group_weights.{name}"
        assert not torch.equal(fresh[key], moved[key])


def test_true_takes_the_newest_complete_checkpoint(tmp_path):
    build(tmp_path).train()
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == [
        "checkpoint-3",
        "checkpoint-6",
        "checkpoint-7",
    ]
    weights = tmp_path / "checkpoint-7" / "optimizer.pt"
    weights.write_bytes(weights.read_bytes()[:100])  # killed while it was written
    resumed = build(tmp_path)
    with pytest.warns(FairPOWarning, match=r"checkpoint-7 is not complete \(optimizer.pt is miss"):
        resumed.train(resume_from_checkpoint=True)
    assert int(resumed.objective.group_weights.steps) == 7
    last = tmp_path / "checkpoint-7" / "trainer_state.json"
    for content in ("", "{}"):
        last.write_text(content)
        with pytest.warns(FairPOWarning, match="goes on from .*checkpoint-6"):
            build(tmp_path).train(resume_from_checkpoint=True)


def test_nothing_to_resume(tmp_path):
    with pytest.raises(FairPOFileError, match="holds no complete checkpoint of this trainer"):
        build(tmp_path).train(resume_from_checkpoint=True)


def test_a_checkpoint_without_our_state_is_refused(tmp_path, straight):
    folder = tmp_path / "checkpoint-3"
    folder.mkdir()
    for path in (tmp_path / straight.args.output_dir / "checkpoint-3").iterdir():
        if not path.name.startswith("fairpo"):
            (folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(
        FairPOFileError, match=r"is not a complete checkpoint of this trainer \(fai"
    ):
        build(tmp_path).train(resume_from_checkpoint=str(folder))
    with pytest.raises(FairPOFileError, match="there is no such folder"):
        build(tmp_path).train(resume_from_checkpoint=str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"privileged": "l5"}, r"the groups \(privileged\) of a training that goes on"),
        ({"method": "fairpo-cpo"}, "the method of a training that goes on"),
        ({"beta": 0.1}, r"the settings \(beta\) of a training .* must be the .* 0.5, got 0.1"),
        ({"trainable": "head"}, "the trained parameters of a training that goes on"),
        ({"accumulation": "exact"}, "the accumulation of a training that goes on"),
    ],
)
def test_another_training_is_refused(straight, options, what):
    with pytest.raises(FairPOValueError, match=what):
        build(straight.args.output_dir, **options).train(
            resume_from_checkpoint=f"{straight.args.output_dir}/checkpoint-3"
        )


def test_other_label_names_are_refused(straight):
    model = tiny.vit()
    model.config.id2label = {**model.config.id2label, 3: "wolf"}
    trainer = tiny.trainer(straight.args.output_dir, model, tiny.Images(50), preset="paper-v2")
    with pytest.raises(FairPOValueError, match="the labels of a training .* got 6: .* wolf,"):
        trainer.train(resume_from_checkpoint=f"{straight.args.output_dir}/checkpoint-3")


def test_another_reference_is_refused(straight):
    """The common mistake: the model is loaded from the checkpoint, and becomes the reference."""
    folder = f"{straight.args.output_dir}/checkpoint-3"
    model = type(straight.model).from_pretrained(folder)
    trainer = tiny.trainer(straight.args.output_dir, model, tiny.Images(50), preset="paper-v2")
    with pytest.raises(FairPOValueError, match="the reference of a training .* from the same mode"):
        trainer.train(resume_from_checkpoint=folder)


def test_the_seal_is_written_before_older_checkpoints_go(tmp_path, monkeypatch):
    """At no moment is there no complete checkpoint, even if only one is to be kept."""
    from transformers import trainer as stock

    from fairpo.training.objective_checkpoint import what_is_missing

    rotate, seen = stock.rotate_checkpoints, []

    def watched(**arguments):
        newest = max(tmp_path.glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
        seen.append(what_is_missing(newest))
        rotate(**arguments)

    monkeypatch.setattr(stock, "rotate_checkpoints", watched)
    build(tmp_path, save_total_limit=1).train()
    assert seen == ["", "", ""]
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-7"]


def test_nothing_is_unpickled(straight, monkeypatch):
    loaded, load = [], torch.load

    def watched(*arguments, **options):
        loaded.append(options.get("weights_only"))
        return load(*arguments, **options)

    monkeypatch.setattr(torch, "load", watched)
    folder = f"{straight.args.output_dir}/checkpoint-3"
    build(straight.args.output_dir).train(resume_from_checkpoint=folder)
    assert len(loaded) == 3  # optimizer, scheduler, generators
    assert all(loaded)


def test_the_seal_holds_no_path_of_this_machine(straight):
    folder = Path(straight.args.output_dir) / "checkpoint-3"
    seal = json.loads((folder / "fairpo_objective.json").read_text())
    assert seal["step"] == 3
    assert set(seal) == {"fairpo", "step", "identity", "files"}
    assert straight.args.output_dir not in json.dumps(seal)
