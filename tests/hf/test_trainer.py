"""The door: what it refuses, what it trains, what it logs and measures."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from datasets import Dataset
from torch.utils.data import IterableDataset

from fairpo import FairPOTrainer, LabelFrame, LabelGroup, LabelGroups, LabelPartition, method_names
from fairpo._checks import FairPOError, FairPOTypeError, FairPOValueError, FairPOWarning
from fairpo.objectives import FairPOObjective, LabelCounts, make_objective
from fairpo.objectives.catalogue import get_method
from tests.hf import tiny


class Changed(tiny.Images):
    """Images whose examples a test changes."""

    def __init__(self, change):
        super().__init__(20)
        self.change = change

    def __getitem__(self, index):
        return self.change(super().__getitem__(index))


class Stream(IterableDataset):
    def __iter__(self):
        return (tiny.Images(20)[index] for index in range(20))


# What it refuses, before any work


def test_arguments_of_another_kind(tmp_path):
    args = transformers.TrainingArguments(str(tmp_path), use_cpu=True, report_to="none")
    with pytest.raises(FairPOTypeError, match="args must be a FairPOConfig, got TrainingArguments"):
        FairPOTrainer(tiny.vit(), args)


@pytest.mark.parametrize("problem", [None, "single_label_classification", "regression"])
def test_models_of_another_problem(tmp_path, problem):
    with pytest.raises(FairPOValueError, match="problem_type must be 'multi_label_classification'"):
        tiny.trainer(tmp_path, tiny.vit(problem_type=problem))


def test_bare_backbones(tmp_path):
    backbone = transformers.ViTModel(transformers.ViTConfig(**tiny.VIT))
    with pytest.raises(
        FairPOValueError, match="got the bare backbone ViTModel. Put fairpo's on it"
    ):
        tiny.trainer(tmp_path, backbone)


def test_models_of_another_kind(tmp_path):
    with pytest.raises(FairPOTypeError, match="model must be a model of transformers, got NoneTy"):
        FairPOTrainer(None, tiny.config(tmp_path))
    with pytest.raises(FairPOTypeError, match="logits, got str. The folder of a saved model"):
        tiny.trainer(tmp_path, parts={"reference_model": "saved"})
    with pytest.raises(FairPOTypeError, match="peft_config must be a peft.PeftConfig.* got dict"):
        tiny.trainer(tmp_path, parts={"peft_config": {"r": 4}})
    twice = tiny.vit(id2label=dict(enumerate("abcdea")))
    with pytest.raises(FairPOValueError, match="the names in id2label must be unique, got 'a' mo"):
        tiny.trainer(tmp_path, twice)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: {**e, "labels": e["labels"][:4]}, r"shape \(batch, 6\).* got \(1, 4\)"),
        (lambda e: {**e, "labels": torch.tensor(2)}, r"got \(1,\), torch.int64. Write a 0/1 vec"),
        (lambda e: {**e, "labels": 3 * e["labels"] + 2}, "must be 1, 0, or missing .* got [25]"),
        (
            lambda e: {"pixel_values": e["pixel_values"]},
            "must hold 'labels', got pixel_values. Name",
        ),
    ],
)
def test_labels_that_do_not_fit(tmp_path, change, message):
    with pytest.raises(FairPOValueError, match=message):
        tiny.trainer(tmp_path, data=Changed(change))
    with pytest.raises(FairPOValueError, match=message):
        tiny.trainer(tmp_path, evaluated={"one": tiny.Images(8), "other": Changed(change)})


def test_labels_of_any_example_that_are_not_0_or_1(tmp_path):
    data = tiny.Images(64)
    data.y[50, 1] = 0.5
    with pytest.raises(FairPOValueError, match=r"labels must be 1, 0, or missing .*, got 0.5"):
        tiny.trainer(tmp_path, data=data, privileged="l0", max_steps=8).train()


def test_a_metric_of_the_best_model_that_does_not_exist(tmp_path):
    with pytest.raises(FairPOValueError, match="metric_for_best_model 'mapp' is not .* mean 'map'"):
        tiny.trainer(tmp_path, metric_for_best_model="eval_mapp/privileged")


def test_an_empty_set(tmp_path):
    with pytest.raises(FairPOValueError, match="a dataset must hold an example, got none"):
        tiny.trainer(tmp_path, data=[])


def test_labels_and_groups_that_do_not_exist(tmp_path):
    with pytest.raises(
        FairPOValueError, match="label 'l9' is not among the 6 label names. Known: l0"
    ):
        tiny.trainer(tmp_path, privileged="l0,l9")
    groups = LabelPartition.from_indices([0], 5)
    with pytest.raises(
        FairPOValueError, match="groups must be over the 6 labels of the model, got 5"
    ):
        tiny.trainer(tmp_path, parts={"groups": groups})
    with pytest.raises(
        FairPOTypeError, match="groups must be LabelGroups or a LabelPartition, got l"
    ):
        tiny.trainer(tmp_path, parts={"groups": [0]})


def test_labels_without_a_positive(tmp_path):
    data = tiny.Images(30)
    data.y[:, 0] = 0
    with pytest.raises(FairPOValueError, match="must have a positive among the training .* for l0"):
        tiny.trainer(tmp_path, data=table(data), privileged="l0")
    with pytest.warns(FairPOWarning, match="1 privileged labels have no positive .* learnt: l0"):
        tiny.trainer(tmp_path, data=table(data), privileged="l0,l1")
    assert 0 not in tiny.trainer(tmp_path, data=data, privileged="rarest:20%").groups.privileged


def test_rules_that_cannot_be_followed(tmp_path):
    with pytest.raises(
        FairPOValueError, match="train_dataset must be one dataset with a length, for"
    ):
        tiny.trainer(tmp_path, data=Stream(), privileged="rarest:20%")
    with pytest.raises(
        FairPOValueError, match="eval_dataset must be one dataset with a length.*None"
    ):
        tiny.trainer(tmp_path, privileged="worst:2")
    balanced = {"method": "bce-class-balanced", "privileged": "l0"}
    with pytest.raises(
        FairPOValueError,
        match="for method='bce-class-balanced', got Stream. Give objective, a function that calls",
    ):
        tiny.trainer(tmp_path, data=Stream(), **balanced)


@pytest.mark.parametrize("privileged", ["l0,l1", "rarest:30%"])
def test_methods_that_weigh_labels_count_them_in_the_training_set(tmp_path, privileged):
    data = tiny.Images(50, missing=0.2)
    options = {"data": data, "method": "bce-class-balanced", "privileged": privileged}
    trainer = tiny.trainer(tmp_path, **options)
    expected = make_objective(
        "bce-class-balanced",
        trainer.groups,
        label_counts=LabelCounts((data.y == 1).sum(0), (data.y >= 0).sum(0)),
    )
    logits, targets = torch.randn(9, 6), torch.eye(9)[:, :6]
    assert trainer.objective(logits, targets).loss == expected(logits, targets).loss


def test_without_transformers_the_extra_is_named():
    code = "import sys; sys.modules['transformers'] = None; from fairpo import FairPOTrainer"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    message = """the Hugging Face door needs the 'vision' extra: pip install "fairpo[vision]"."""
    assert message in result.stderr


# Groups


def test_groups_by_rule(tmp_path):
    data, evaluated = tiny.Images(64), tiny.Images(50, seed=1)
    counts = data.y.sum(0)
    rarest = tiny.trainer(tmp_path, data=data, privileged="rarest:30%").groups.privileged
    assert set(rarest) == set(counts.argsort()[:2].tolist())
    named = tiny.trainer(tmp_path, privileged="l4, l1").groups.privileged
    assert named.tolist() == [1, 4]
    worst = tiny.trainer(tmp_path, privileged="worst:2", evaluated=evaluated).groups.privileged
    with torch.no_grad():
        logits = tiny.vit().eval()(pixel_values=evaluated.x).logits.numpy()
    ap = LabelFrame.from_scores(logits, evaluated.y.numpy().astype(np.int8), {}).columns["ap"]
    assert set(worst) == set(np.argsort(ap)[:2])


def table(data):
    columns = {"pixel_values": data.x.numpy(), "labels": data.y.numpy()}
    return Dataset.from_dict(columns).with_format("torch")


def test_rarest_reads_a_column_without_touching_the_images(tmp_path):
    data = tiny.Images(30)
    by_table = tiny.trainer(tmp_path, data=table(data), privileged="rarest:30%")
    assert by_table.groups == tiny.trainer(tmp_path, data=data, privileged="rarest:30%").groups


def test_more_than_two_groups(tmp_path):
    groups = LabelGroups(
        [
            LabelGroup("dangerous", (0, 1), "improve"),
            LabelGroup("rare", (1, 2), "improve"),
            LabelGroup("rest", (3, 4, 5), "protect"),
        ],
        tiny.N_LABELS,
    )
    trainer = tiny.trainer(tmp_path, evaluated=tiny.Images(30, 1), parts={"groups": groups})
    trainer.train()
    for name in ("dangerous", "rare", "rest"):
        assert len(tiny.logged(trainer, f"group_weights/{name}")) == 3
    assert "eval_map/dangerous" in trainer.evaluate()


# Training


@pytest.mark.parametrize(
    "method", [name for name in method_names() if not get_method(name).needs_closed_form]
)
def test_every_method_trains(tmp_path, method):
    trainer = tiny.trainer(
        tmp_path, method=method, step_size=None, gradient_accumulation_steps=2, max_steps=2
    )
    before = tiny.weights(trainer.model)
    trainer.train()
    assert not torch.equal(before["classifier.weight"], trainer.model.classifier.weight)


def test_an_objective_of_ones_own(tmp_path):
    def mine(groups):
        return FairPOObjective(groups, preference="bce", constraint="bce", weight_rule="fixed")

    trainer = tiny.trainer(tmp_path, parts={"objective": mine})
    trainer.train()
    assert trainer.objective.group_weights.rule == "fixed"
    trainer.save_pretrained()
    assert "| method | an objective of its own |" in (tmp_path / "README.md").read_text()
    assert trainer._reference is None


@pytest.mark.parametrize("missing", [-1.0, float("nan")])
def test_missing_labels_are_masked(tmp_path, missing):
    """The same, whatever the missing entries would have been."""
    whole = tiny.Images(40, missing=0.3)
    mask = whole.y < 0
    whole.y[mask] = missing
    first = tiny.trainer(tmp_path, data=whole, evaluated=whole, method="bce")
    first.train()
    found = first.evaluate()
    frame = LabelFrame.from_scores(
        first.predict(whole).predictions,
        np.where(mask, -1, whole.y).astype(np.int8),
        first.groups.as_mapping(),
    )
    assert found["eval_map"] == pytest.approx(frame.overall["map"])
    assert found["eval_loss"] > 0
    x, y = whole.x, whole.y
    logits = first.model.eval()(pixel_values=x).logits
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits[~mask], y[~mask])
    assert found["eval_loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_integer_labels_of_the_right_shape_are_taken(tmp_path):
    data = Changed(lambda e: {**e, "labels": e["labels"].long()})
    first = tiny.trainer(tmp_path, data=data)
    second = tiny.trainer(tmp_path, data=tiny.Images(20))
    first.train()
    second.train()
    tiny.assert_same(first.model.state_dict(), second.model.state_dict())


def test_texts(tmp_path):
    trainer = tiny.trainer(
        tmp_path,
        tiny.bert(),
        tiny.Texts(200),
        evaluated=tiny.Texts(100, seed=1),
        method="bce",
        max_steps=150,
        logging_steps=50,
        parts={"data_collator": tiny.pad},
    )
    before = trainer.evaluate()["eval_map"]
    trainer.train()
    assert trainer.evaluate()["eval_map"] > before + 0.1


def test_other_columns_do_not_disturb(tmp_path):
    data = Changed(lambda e: {**e, "note": "text", "row": 3})
    tiny.trainer(tmp_path, data=data).train()


def test_bf16_is_close(tmp_path):
    full = tiny.trainer(tmp_path, evaluated=tiny.Images(40, 1))
    half = tiny.trainer(tmp_path, evaluated=tiny.Images(40, 1), bf16=True)
    for trainer in (full, half):
        trainer.train()
    losses = [tiny.logged(trainer, "loss") for trainer in (full, half)]
    assert np.isfinite(losses).all()
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert losses[1] != losses[0]
    assert half.evaluate()["eval_loss"] == pytest.approx(full.evaluate()["eval_loss"], rel=0.05)


@pytest.mark.parametrize("accumulation", ["lagged", "exact"])
def test_activation_checkpointing_changes_nothing(tmp_path, accumulation):
    seen = []
    for checkpointing in (False, True):
        trainer = tiny.trainer(
            tmp_path,
            tiny.vit(hidden_dropout_prob=0.2),
            activation_checkpointing=checkpointing,
            accumulation=accumulation,
            gradient_accumulation_steps=2,
        )
        trainer.train()
        seen.append(trainer.model.state_dict())
    for name, value in seen[0].items():
        torch.testing.assert_close(seen[1][name], value, atol=1e-6, rtol=1e-6)


def test_a_loss_that_is_not_finite_stops_and_spares_the_weights(tmp_path):
    trainer = tiny.trainer(tmp_path, learning_rate=1e30, max_grad_norm=0.0, max_steps=20)
    with pytest.raises(FairPOError, match="the loss is nan: group losses .* have not moved"):
        trainer.train()
    assert bool(trainer.objective.group_weights().isfinite().all())


def test_a_step_from_outside_the_loop(tmp_path):
    trainer = tiny.trainer(tmp_path)
    trainer.create_optimizer()
    batch = next(iter(trainer.get_train_dataloader()))
    loss = trainer.training_step(trainer.model, batch)
    assert loss > 0
    assert int(trainer.objective.group_weights.steps) == 1


# Logs and metrics


class Watch(transformers.TrainerCallback):
    def __init__(self):
        self.logs, self.metrics = [], []

    def on_log(self, args, state, control, logs, **_):
        self.logs.append(dict(logs))

    def on_evaluate(self, args, state, control, metrics, **_):
        self.metrics.append(dict(metrics))


def test_logs_are_means_since_the_last_one(tmp_path):
    each = tiny.trainer(tmp_path, method="group-dro", step_size=0.5, max_steps=4)
    each.train()
    watch = Watch()
    pairs = tiny.trainer(
        tmp_path,
        method="group-dro",
        step_size=0.5,
        max_steps=4,
        logging_steps=2,
        parts={"callbacks": [watch]},
    )
    pairs.train()
    for key in ("group_losses/privileged", "group_weights/non_privileged"):
        singles = np.array(tiny.logged(each, key)).reshape(2, 2)
        seen = [logs[key] for logs in watch.logs if key in logs]
        assert seen == pytest.approx(singles.mean(1))
    first = watch.logs[0]
    total = sum(first[f"group_weights/{name}"] for name in ("privileged", "non_privileged"))
    assert total == pytest.approx(1)
    assert "diagnostics/no_signal_share" in first
    assert "diagnostics/confusing_share" not in first  # undefined for this method
    assert not any("group" in key for key in watch.logs[-1])  # the summary of the training


def test_tensorboard_receives_them(tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "events"))
    trainer = tiny.trainer(
        tmp_path,
        evaluated=tiny.Images(30, 1),
        report_to="tensorboard",
        eval_strategy="steps",
        eval_steps=3,
    )
    trainer.train()
    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    assert {
        "train/group_losses/privileged",
        "train/group_weights/non_privileged",
        "train/diagnostics/confusing_share",
        "eval/map/privileged",
        "eval/reference/map/privileged",
        "eval/group_losses/privileged",
    } <= set(events.Tags()["scalars"])
    written = [scalar.value for scalar in events.Scalars("train/group_weights/privileged")]
    assert written == pytest.approx(tiny.logged(trainer, "group_weights/privileged"))


def test_metrics_are_those_of_the_whole_set(tmp_path):
    watch, evaluated = Watch(), tiny.Images(37, seed=1)
    trainer = tiny.trainer(tmp_path, evaluated=evaluated, parts={"callbacks": [watch]})
    trainer.train()
    found = trainer.evaluate()
    output = trainer.predict(evaluated)
    assert output.predictions.shape == (37, tiny.N_LABELS)
    frame = LabelFrame.from_scores(
        output.predictions, evaluated.y.numpy().astype(np.int8), trainer.groups.as_mapping()
    )
    for metric in ("map", "sample_f1", "label_accuracy", "exact_match"):
        assert found[f"eval_{metric}"] == pytest.approx(frame.overall[metric])
        for group in ("privileged", "non_privileged"):
            assert found[f"eval_{metric}/{group}"] == pytest.approx(frame.by_group[metric][group])
    assert watch.metrics == [found]
    assert output.metrics["test_map"] == found["eval_map"]
    assert all(isinstance(value, int | float) for value in found.values())


def test_the_loss_of_an_evaluation_is_one_step_over_the_whole_set(tmp_path):
    evaluated = tiny.Images(37, seed=1)
    trainer = tiny.trainer(tmp_path, evaluated=evaluated)
    trainer.train()
    before = tiny.weights(trainer.objective)
    found = trainer.evaluate()
    tiny.assert_same(before, trainer.objective.state_dict())
    with torch.no_grad():
        logits = trainer.model(pixel_values=evaluated.x).logits
        reference = tiny.vit().eval()(pixel_values=evaluated.x).logits
        output = trainer.objective.eval()(logits, evaluated.y, reference)
    assert found["eval_loss"] == pytest.approx(output.loss.item(), rel=1e-5)
    assert found["eval_group_losses/privileged"] == pytest.approx(output.group_losses[0].item())


def test_ones_own_metrics_come_beside(tmp_path):
    def shape(prediction):
        return {"n": len(prediction.predictions), "labels": prediction.label_ids.shape[1]}

    trainer = tiny.trainer(tmp_path, evaluated=tiny.Images(21, 1), parts={"compute_metrics": shape})
    found = trainer.evaluate()
    assert (found["eval_n"], found["eval_labels"]) == (21, 6)
    assert "eval_map" in found


def test_several_sets(tmp_path):
    sets = {"near": tiny.Images(20, 1), "far": tiny.Images(25, 2)}
    trainer = tiny.trainer(tmp_path, evaluated=sets, precompute_reference_logits=True)
    trainer.train()
    found = trainer.evaluate()
    assert {"eval_near_map/privileged", "eval_far_reference/map"} <= set(found)
    assert set(trainer.evaluations) == {"eval_near", "eval_far"}


def test_predictions_need_no_labels(tmp_path):
    data = Changed(lambda e: {"pixel_values": e["pixel_values"]})
    trainer = tiny.trainer(tmp_path)
    output = trainer.predict(data)
    assert output.predictions.shape == (20, tiny.N_LABELS)
    assert output.label_ids is None


def test_a_stream(tmp_path):
    trainer = tiny.trainer(tmp_path, data=Stream(), privileged="l0", gradient_accumulation_steps=2)
    trainer.train()
    assert trainer.state.global_step == 3
