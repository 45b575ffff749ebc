"""Run folders of language models: whole or not there, guarded, and what they say of themselves."""

import json

import pytest
import torch

from fairpo._checks import FairPOError
from fairpo.generation.language_models import load_language_model
from fairpo.generation.runs import FILE, describe_run, read_lm_run, write_lm_run
from tests.generation.tiny_lm import NAMES, assert_same, trained, weights


def described(trainer):
    return describe_run(
        trainer,
        start="tiny",
        tiny=True,
        reference="abc",
        data="pairs.jsonl",
        data_options={"invalid": "drop"},
        settings={"max_steps": 3},
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs")
    trainer = trained(path / "training")
    run = described(trainer)
    write_lm_run(path / "run", trainer, run)
    return path, trainer, run


def test_a_run_is_read_as_it_was_written_and_its_model_too(made):
    path, trainer, run = made
    assert read_lm_run(path / "run") == run
    assert run.method == "fairpo-dpo" and run.attribute_names == NAMES
    assert run.label_groups().groups == trainer.groups.groups
    assert [r["step"] for r in run.log_history if "loss" in r] == [1, 2, 3]
    loaded = load_language_model(str(path / "run"))
    assert_same(weights(loaded.model), weights(trainer.model))
    assert not [file for file in (path / "run").iterdir() if file.suffix in (".bin", ".pkl", ".pt")]
    assert "fairpo" in (path / "run" / "README.md").read_text()


def test_a_run_is_replaced_only_when_told(made, tmp_path):
    _, trainer, run = made
    write_lm_run(tmp_path / "run", trainer, run)
    with pytest.raises(FairPOError, match="already holds a run"):
        write_lm_run(tmp_path / "run", trainer, run)
    write_lm_run(tmp_path / "run", trainer, run, overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("of my own")
    with pytest.raises(FairPOError, match="not empty and does not hold a run"):
        write_lm_run(tmp_path / "mine", trainer, run, overwrite=True)


def test_a_run_that_cannot_be_written_leaves_what_was_there(made, tmp_path, monkeypatch):
    _, trainer, run = made
    write_lm_run(tmp_path / "run", trainer, run)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trainer, "save_pretrained", full)
    with pytest.raises(FairPOError, match="No space left"):
        write_lm_run(tmp_path / "run", trainer, run, overwrite=True)
    assert read_lm_run(tmp_path / "run") == run
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_is_no_run_or_was_altered_is_refused(made, tmp_path):
    _, trainer, run = made
    with pytest.raises(FairPOError, match="does not hold a run of a language model"):
        read_lm_run(tmp_path)
    write_lm_run(tmp_path / "run", trainer, run)
    whole = json.loads((tmp_path / "run" / FILE).read_text())
    (tmp_path / "run" / FILE).write_text(json.dumps({**whole, "seed": 9}))
    with pytest.raises(FairPOError, match="was altered"):
        read_lm_run(tmp_path / "run")
    with pytest.raises(FairPOError, match="was altered"):
        load_language_model(str(tmp_path / "run"))


def test_the_digest_is_of_the_weights(made):
    _, trainer, run = made
    with torch.no_grad():
        next(trainer.model.parameters()).view(-1)[0] += 1
    assert described(trainer).digest != run.digest
    with torch.no_grad():
        next(trainer.model.parameters()).view(-1)[0] -= 1
