"""One optimizer step in several micro-batches: the same loss, gradient and weights as in one."""

import pytest
import torch
import transformers

from tests.hf import tiny

PRESETS = ["paper-v1", "paper-v2"]


def run(folder, batch, parts, accumulation, **options):
    gradients = tiny.Gradients()
    trainer = tiny.trainer(
        folder,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=parts,
        accumulation=accumulation,
        max_grad_norm=0.0,
        parts={"callbacks": [gradients]},
        **options,
    )
    trainer.train()
    return trainer, torch.stack(gradients.steps)


@pytest.mark.parametrize(
    ("method", "preset"),
    [
        ("fairpo-dpo", "paper-v1"),
        ("fairpo-dpo", "paper-v2"),
        ("fairpo-cpo", "paper-v2"),
        ("fairpo-simpo", "paper-v1"),
        ("group-dro-excess", "paper-v1"),
        ("bce-reweighted", "paper-v1"),
    ],
)
def test_exact_windows_are_one_batch(tmp_path, method, preset):
    options = {"method": method, "preset": preset}
    if method == "group-dro-excess":
        options["step_size"] = 1.0
    whole, gradient = run(tmp_path, 32, 1, "exact", **options)
    for batch, parts in ((16, 2), (8, 4)):
        split, other = run(tmp_path, batch, parts, "exact", **options)
        assert tiny.logged(split, "loss") == pytest.approx(tiny.logged(whole, "loss"), abs=1e-6)
        torch.testing.assert_close(other, gradient, atol=1e-6, rtol=0)
        for name, value in whole.objective.state_dict().items():
            torch.testing.assert_close(
                split.objective.state_dict()[name], value, atol=1e-6, rtol=1e-6
            )


def test_exact_windows_draw_the_same_dropout_in_both_passes(tmp_path):
    changes = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3}
    seen = {}
    for accumulation in ("exact", "lagged"):
        trainer = tiny.trainer(
            tmp_path,
            tiny.vit(**changes),
            gradient_accumulation_steps=4,
            accumulation=accumulation,
            method="bce",
            max_steps=4,
        )
        trainer.train()
        seen[accumulation] = tiny.weights(trainer.model)
    # Cross-entropy divides by what targets tell, so a first pass that left a trace would show.
    tiny.assert_same(seen["exact"], seen["lagged"])


def test_exact_windows_leave_running_statistics_alone(tmp_path):
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic", **tiny.LABELS
    )
    start = transformers.ResNetForImageClassification(config).state_dict()
    seen = {}
    for accumulation in ("exact", "lagged"):
        model = transformers.ResNetForImageClassification(config)
        model.load_state_dict(start)
        options = {"gradient_accumulation_steps": 2, "method": "bce", "max_steps": 2}
        trainer = tiny.trainer(tmp_path, model, accumulation=accumulation, **options)
        trainer.train()
        seen[accumulation] = tiny.weights(trainer.model)
    tiny.assert_same(seen["exact"], seen["lagged"])


def test_lagged_windows_are_exact_for_what_targets_tell(tmp_path):
    whole, gradient = run(tmp_path, 32, 1, "lagged", method="bce")
    split, other = run(tmp_path, 8, 4, "lagged", method="bce")
    assert tiny.logged(split, "loss") == pytest.approx(tiny.logged(whole, "loss"), abs=1e-6)
    torch.testing.assert_close(other, gradient, atol=1e-6, rtol=0)


def test_lagged_windows_use_the_weights_of_the_step_before(tmp_path):
    options = {"method": "group-dro", "step_size": 1.0}
    _, whole = run(tmp_path, 32, 1, "lagged", **options)
    split, lagged = run(tmp_path, 8, 4, "lagged", **options)
    held, _ = run(tmp_path, 8, 4, "lagged", method="group-dro", step_size=0.0, max_steps=1)
    assert not torch.allclose(lagged[0], whole[0], atol=1e-4)
    _, unmoved = run(tmp_path, 32, 1, "lagged", method="group-dro", step_size=0.0, max_steps=1)
    torch.testing.assert_close(lagged[0], unmoved[0], atol=1e-6, rtol=0)
    assert int(split.objective.group_weights.steps) == 3  # once a step, not once a micro-batch
    assert int(held.objective.group_weights.steps) == 1
    assert split.objective.group_weights()[0] != 0.5


@pytest.mark.parametrize("accumulation", ["lagged", "exact"])
@pytest.mark.parametrize("method", ["fairpo-dpo", "fairpo-cpo", "group-dro"])
def test_uneven_last_batches(tmp_path, accumulation, method):
    """37 rows in micro-batches of 8, 4 a step: the last step has one micro-batch of 5 rows."""
    trainer = tiny.trainer(
        tmp_path,
        data=tiny.Images(37),
        method=method,
        accumulation=accumulation,
        gradient_accumulation_steps=4,
        max_steps=-1,
        num_train_epochs=2,
    )
    trainer.train()
    assert trainer.state.global_step == 4
    assert int(trainer.objective.group_weights.steps) == 4
    assert all(value == value for value in tiny.logged(trainer, "loss"))


def test_the_stock_trainer_is_four_times_too_large_and_ours_is_not(tmp_path):
    """Its loss for multi-label models is a mean that it takes to be a sum over the window."""
    data, losses, norms = tiny.Images(32), {}, {}
    for batch, parts in ((32, 1), (8, 4)):
        gradients = tiny.Gradients()
        args = transformers.TrainingArguments(
            str(tmp_path),
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=parts,
            max_steps=1,
            logging_steps=1,
            max_grad_norm=0.0,
            save_strategy="no",
        )
        stock = transformers.Trainer(tiny.vit(), args, train_dataset=data, callbacks=[gradients])
        stock.train()
        ours, own = run(tmp_path, batch, parts, "lagged", method="bce", data=data, max_steps=1)
        losses[parts] = tiny.logged(stock, "loss")[0], tiny.logged(ours, "loss")[0]
        norms[parts] = gradients.steps[0].norm(), own[0].norm()
    assert losses[1][0] == pytest.approx(losses[1][1], rel=1e-5)
    assert losses[4][0] / losses[1][0] == pytest.approx(4, rel=1e-4)
    assert norms[4][0] / norms[1][0] == pytest.approx(4, rel=1e-3)
    assert losses[4][1] / losses[1][1] == pytest.approx(1, rel=1e-5)
    assert norms[4][1] / norms[1][1] == pytest.approx(1, rel=1e-4)
