"""What another door would do: an objective over something that is no multi-label classifier."""

import pytest
import torch
import transformers
from torch import nn

from fairpo.groups import LabelGroup, LabelGroups
from fairpo.objectives import make_objective
from fairpo.training.objective_trainer import ObjectiveTrainer

GROUPS = LabelGroups(
    [LabelGroup("first", (0,), "improve"), LabelGroup("rest", (1, 2), "protect")], 3
)


class Rows(torch.utils.data.Dataset):
    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(24, 4, generator=generator)
        self.y = (self.x[:, :3] > 0.3).float()

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return {"x": self.x[index], "wanted": self.y[index]}


class Door(ObjectiveTrainer):
    """Names its inputs differently, and its reference says zero."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.asked = 0
        self.use_objective(make_objective("fairpo-dpo", GROUPS, step_size=0.1))

    def part_sums(self, model, inputs, first_row):
        return self.objective.sums(
            model(inputs["x"]),
            inputs["wanted"],
            inputs["reference"],
            first_row=first_row,
            step=self.state.global_step,
        )

    def known_counts(self, inputs):
        return self.objective.known_counts(inputs["wanted"].to(self.args.device))

    def reference_inputs(self, inputs):
        if "reference" in inputs:
            return {}
        self.asked += 1
        return {"reference": torch.zeros_like(inputs["wanted"])}


def train(folder, batch, parts, accumulation, **resume):
    torch.manual_seed(0)
    args = transformers.TrainingArguments(
        str(folder),
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=parts,
        remove_unused_columns=False,
        max_steps=4,
        logging_steps=1,
        save_steps=2,
        learning_rate=0.1,
    )
    door = Door(model=nn.Linear(4, 3), args=args, train_dataset=Rows(), accumulation=accumulation)
    door.train(**resume)
    return door


def losses(door):
    return [record["loss"] for record in door.state.log_history if "loss" in record]


def test_exact_parts_are_one(tmp_path):
    whole = train(tmp_path / "whole", 12, 1, "exact")
    for batch, parts in ((6, 2), (3, 4)):
        split = train(tmp_path / str(parts), batch, parts, "exact")
        assert losses(split) == pytest.approx(losses(whole), abs=1e-6)
        torch.testing.assert_close(split.model.weight, whole.model.weight, atol=1e-6, rtol=0)


def test_both_passes_ask_the_reference_once(tmp_path):
    assert train(tmp_path / "a", 3, 4, "exact").asked == 16
    assert train(tmp_path / "b", 3, 4, "lagged").asked == 16


def test_the_weights_step_once_an_optimizer_step(tmp_path):
    for accumulation in ("exact", "lagged"):
        door = train(tmp_path / accumulation, 3, 4, accumulation)
        assert int(door.objective.group_weights.steps) == door.state.global_step == 4


def test_it_resumes(tmp_path):
    straight = train(tmp_path, 6, 2, "lagged")
    resumed = train(tmp_path, 6, 2, "lagged", resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert torch.equal(straight.model.weight, resumed.model.weight)
    for name, value in straight.objective.state_dict().items():
        assert torch.equal(resumed.objective.state_dict()[name], value)


def test_places_are_those_of_one_batch(tmp_path):
    door = train(tmp_path, 6, 2, "lagged")
    door._batches = [{"x": torch.zeros(rows, 4)} for rows in (6, 6, 2)]
    assert door._places() == [0, 6, 12]
