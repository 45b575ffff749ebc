"""A sealed folder, and what breaks the seal."""

import pytest
import torch

from fairpo._checks import FairPOFileError, FairPOValueError, FairPOWarning
from fairpo.models.checkpoint import write_json
from fairpo.training.objective_checkpoint import (
    newest_checkpoint,
    read_checkpoint,
    seal_checkpoint,
    what_is_missing,
)

IDENTITY = {"groups": {"a": [0, 1]}}


@pytest.fixture
def folder(tmp_path):
    for step in (2, 4, 10):
        path = tmp_path / f"checkpoint-{step}"
        path.mkdir()
        (path / "model.safetensors").write_bytes(b"weights")
        seal_checkpoint(path, step, {"log": torch.tensor(float(step))}, IDENTITY)
        write_json(path / "trainer_state.json", {"global_step": step})
    return tmp_path


def test_state_comes_back(folder):
    assert read_checkpoint(folder / "checkpoint-4", IDENTITY)["log"] == 4.0
    assert newest_checkpoint(folder) == folder / "checkpoint-10"  # by number, not by name


def broken_model(path):
    (path / "model.safetensors").write_bytes(b"we")


def no_model(path):
    (path / "model.safetensors").unlink()


def no_seal(path):
    (path / "fairpo_objective.json").unlink()


def broken_seal(path):
    (path / "fairpo_objective.json").write_text('{"step": 1')


def foreign_seal(path):
    (path / "fairpo_objective.json").write_text("[]")


def no_state(path):
    (path / "trainer_state.json").unlink()


def state_of_another_step(path):
    write_json(path / "trainer_state.json", {"global_step": 9})


@pytest.mark.parametrize(
    "damage",
    [
        broken_model,
        no_model,
        no_seal,
        broken_seal,
        foreign_seal,
        no_state,
        state_of_another_step,
    ],
)
def test_damage_is_seen(folder, damage):
    damage(folder / "checkpoint-10")
    assert what_is_missing(folder / "checkpoint-10")
    with pytest.warns(FairPOWarning, match="checkpoint-10 is not complete .* goes on from .*int-4"):
        assert newest_checkpoint(folder) == folder / "checkpoint-4"
    with pytest.raises(FairPOFileError, match="is not a complete checkpoint of this trainer"):
        read_checkpoint(folder / "checkpoint-10", IDENTITY)


def test_what_is_no_checkpoint_does_not_count(tmp_path):
    (tmp_path / "checkpoint-x").mkdir()
    with pytest.raises(FairPOFileError, match="holds no complete checkpoint"):
        newest_checkpoint(tmp_path)


def test_another_training_is_refused(folder):
    with pytest.raises(
        FairPOValueError, match=r"the groups \(a\) of a training .* must be the checkpoint"
    ):
        read_checkpoint(folder / "checkpoint-4", {"groups": {"a": [0, 2]}})
