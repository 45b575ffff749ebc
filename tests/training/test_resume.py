"""A run that is stopped anywhere goes on to the very weights it would have had."""

import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fairpo._checks import FairPOFileError, FairPOValueError
from fairpo._files import write_atomic
from fairpo.data import MultiLabelData
from fairpo.experiments.plan import Plan
from fairpo.experiments.train import plan_of, resume_run, train_run
from fairpo.groups import LabelPartition
from fairpo.models import HeadSettings
from fairpo.models.checkpoint import hold
from fairpo.training import TrainingSettings, load
from fairpo.training.fit import train_method, train_reference
from fairpo.training.state import Checkpoint
from fairpo.training.unfinished import read_unfinished

HERE = Path(__file__).parent
FAIRPO = [sys.executable, "-m", "fairpo"]


def fairpo(*arguments, **options):
    return subprocess.run(
        [*FAIRPO, *map(str, arguments)], capture_output=True, text=True, timeout=300, **options
    )


def no_report(target):
    return None


class Stopped(BaseException):
    pass


class Stopping(Checkpoint):
    """A checkpoint that writes after every step and stops the training at one of them."""

    def __init__(self, path, at):
        super().__init__(path, 0)
        self.left = at

    def write(self, state):
        super().write(state)
        self.left -= 1
        if self.left == 0:
            raise Stopped


METHODS = [
    ("fairpo-cpo", "paper-v2", {}),  # draws pairs, keeps averages
    ("fairpo-dpo", "paper-v1", {"accumulation_steps": 3}),
    ("group-dro-excess", "paper-v1", {"label_draw": "one", "schedule": "constant"}),
    ("bce-reweighted", "paper-v1", {"sampled_labels": 2}),  # lazy Adam
    ("bce-distribution-balanced", "paper-v1", {}),  # counts labels
]


@pytest.mark.parametrize("at", [1, 7, 13, 24])
@pytest.mark.parametrize(("method", "preset", "changes"), METHODS)
def test_a_method_stopped_anywhere_ends_bit_identical(data, tmp_path, method, preset, changes, at):
    head = HeadSettings(hidden=(8,))
    settings = TrainingSettings(
        epochs=3, reference_epochs=2, batch_size=32, device="cpu", **changes
    )
    reference = train_reference(data, head, settings)
    groups = LabelPartition.rarest(data.targets[data.rows("train")], 0.3)

    def run(checkpoint=None):
        return train_method(
            data, reference, groups, method, settings, preset=preset, checkpoint=checkpoint
        )

    whole = run().training
    path = tmp_path / "method.safetensors"
    with pytest.raises(Stopped):
        run(Stopping(path, at))
    resumed = run(Checkpoint(path, 1e9)).training
    for first, second in (
        (whole.last_state, resumed.last_state),
        (whole.selected_state, resumed.selected_state),
    ):
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert without_seconds(whole.epochs) == without_seconds(resumed.epochs)
    assert whole.trace == resumed.trace
    assert whole.selector == resumed.selector
    assert whole.notes == resumed.notes
    again = run(Checkpoint(path, 1e9)).training  # finished: nothing is left to do
    assert all(
        torch.equal(whole.last_state[name], value) for name, value in again.last_state.items()
    )


def without_seconds(epochs):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in epochs]


@pytest.mark.parametrize("mode", ["fresh", "overwrite"])
def test_killed_before_every_single_write(tmp_path, mode):
    result = subprocess.run(
        [sys.executable, HERE / "kill_everywhere.py", tmp_path, mode],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    expected = lines[0]["expected"]
    old = lines[1]["old"] if mode == "overwrite" else "nothing"
    kills = [line for line in lines if "kill" in line]
    assert len(kills) > 40
    assert {kill["end"] for kill in kills} == {expected}
    assert not any(kill["left"] for kill in kills)
    found = [kill["found"] for kill in kills]
    assert set(found) == {old, "unfinished", expected}
    # What was there stays until the new run replaces it, once and for all.
    order = [old, "unfinished", expected]
    assert [order.index(state) for state in found] == sorted(order.index(state) for state in found)


def kill_and_resume(npz, folder, n_kills, seed):
    """Weights of a run killed at random moments, and of one that was left alone."""
    options = ["--set", "epochs=40", "--set", "reference_epochs=40", "--set", "patience=1000"]
    options += ["--set", "checkpoint_seconds=0", "--set", "hidden=[8]", "--method", "fairpo-dpo"]
    alone = fairpo("train", npz, "--out", folder / "alone", *options)
    assert alone.returncode == 0, alone.stderr
    run = folder / "run"
    command = ["train", npz, "--out", run, *options]
    moments = random.Random(seed)
    places = []
    for _ in range(n_kills):
        before = progress_of(run)
        with subprocess.Popen(
            [*FAIRPO, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as running:
            end = time.monotonic() + 60
            while progress_of(run) == before and running.poll() is None:
                assert time.monotonic() < end
                time.sleep(0.002)
            time.sleep(moments.uniform(0, 1.2 / n_kills))
            running.send_signal(signal.SIGKILL)
        places.append(progress_of(run))
        command = ["train", "--resume", run]
    end = fairpo(*command)
    assert end.returncode == 0, end.stderr
    return (
        load_file(folder / "alone" / "model.safetensors"),
        load_file(run / "model.safetensors"),
        places,
    )


def progress_of(run):
    """What the run's checkpoints look like from outside."""
    files = sorted((run / "unfinished").glob("*.safetensors")) if run.exists() else []
    return [(path.name, path.stat().st_mtime_ns) for path in files]


@pytest.mark.parametrize(
    "n_kills", [3, pytest.param(20, marks=pytest.mark.slow)], ids=["3 kills", "20 kills"]
)
def test_killed_for_real_at_random_moments(npz, tmp_path, n_kills):
    alone, killed, places = kill_and_resume(npz, tmp_path, n_kills, seed=n_kills)
    assert all(torch.equal(alone[name], killed[name]) for name in alone)
    assert any(places)
    assert len(load(tmp_path / "run").label_names) == 6


def small_plan(**changes):
    return Plan(
        data="small",
        methods=("bce", "bce-reweighted"),
        training=TrainingSettings(epochs=2, reference_epochs=3, device="cpu", **changes),
        head=HeadSettings(hidden=(8,)),
        n_resamples=100,
    )


def stop_in_reference(data, folder, monkeypatch, at=3, reference=None):
    """A run folder whose training stopped after a few steps."""
    write = Checkpoint.write
    left = iter(range(at - 1, -1, -1))

    def stopping(self, state):
        write(self, state)
        if next(left) == 0:
            raise Stopped

    monkeypatch.setattr(Checkpoint, "write", stopping)
    plan = small_plan(checkpoint_seconds=0).model_copy(update={"reference": reference})
    with pytest.raises(Stopped):
        train_run(data, plan, folder, report=no_report)
    monkeypatch.setattr(Checkpoint, "write", write)
    return read_unfinished(folder)


def test_a_run_under_way_says_so_and_is_not_overwritten_by_accident(data, tmp_path, monkeypatch):
    run = stop_in_reference(data, tmp_path / "run", monkeypatch)
    assert run.place() == "reference, 0 epochs, 3 steps"
    assert plan_of(run.config).model_dump() == small_plan(checkpoint_seconds=0).model_dump() | {
        "n_resamples": 1000
    }
    with pytest.raises(FairPOFileError, match=r"not finished. Go on with `fairpo train --resume"):
        load(tmp_path / "run")
    with pytest.raises(FairPOFileError, match=r"not finished.*or say --overwrite"):
        train_run(data, small_plan(), tmp_path / "run", report=no_report)
    train_run(data, small_plan(), tmp_path / "run", report=no_report, overwrite=True)
    assert load(tmp_path / "run").label_names == data.label_names
    assert read_unfinished(tmp_path / "run") is None


def test_other_data_or_another_reference_is_refused(data, tmp_path, monkeypatch):
    scores = np.zeros((data.n_rows, data.n_labels), dtype=np.float32)
    np.save(tmp_path / "scores.npy", scores)
    path = str(tmp_path / "scores.npy")
    run = stop_in_reference(data, tmp_path / "run", monkeypatch, reference=path)
    other = MultiLabelData(data.features + 1, data.targets, data.label_names, data.split)
    with pytest.raises(FairPOValueError, match=r"DATA \(small\) must be what .* began with"):
        resume_run(run, other, report=no_report)
    np.save(tmp_path / "scores.npy", scores + 1)
    with pytest.raises(FairPOValueError, match=r"the reference \(.*scores.npy\) must be what"):
        resume_run(run, data, report=no_report)
    np.save(tmp_path / "scores.npy", scores)
    resume_run(run, data, report=no_report)
    assert load(tmp_path / "run").config.residual


def test_two_trainings_of_one_run_are_refused(data, tmp_path, monkeypatch):
    run = stop_in_reference(data, tmp_path / "run", monkeypatch)
    with hold(tmp_path / "run" / "unfinished" / "lock"):
        with pytest.raises(FairPOFileError, match="is being written by another process"):
            resume_run(run, data, report=no_report)
        with pytest.raises(FairPOFileError, match="is being written by another process"):
            train_run(data, small_plan(), tmp_path / "run", report=no_report, overwrite=True)
    resume_run(run, data, report=no_report)


def test_there_is_nothing_to_go_on_with(tmp_path):
    result = fairpo("train", "--resume", tmp_path)
    assert result.returncode == 2
    assert "holds no run to go on with. Give the folder of --out." in result.stderr


def test_resume_takes_everything_from_the_run(data, tmp_path, monkeypatch):
    stop_in_reference(data, tmp_path / "run", monkeypatch)
    result = fairpo("train", "digits", "--resume", tmp_path / "run", "--set", "epochs=3")
    assert result.returncode == 2
    assert "--resume must stand without what the run has already, got data, --set" in result.stderr


def test_a_broken_checkpoint_is_named(data, tmp_path, monkeypatch):
    run = stop_in_reference(data, tmp_path / "run", monkeypatch)
    path = tmp_path / "run" / "unfinished" / "reference.safetensors"
    content = path.read_bytes()
    for broken in (content[:-50], content[:4], b"", content[:8] + b"#" * 40):
        path.write_bytes(broken)
        with pytest.raises(FairPOFileError, match=r"reference.safetensors: is not a whole check"):
            resume_run(run, data, report=no_report)


def test_a_full_disk_leaves_the_old_file_whole(tmp_path):
    """A real ENOSPC: the file to write leads to /dev/full."""
    write_atomic(tmp_path / "config.yaml", b"old")
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    (tmp_path / f".config.yaml.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(FairPOFileError, match=os.strerror(errno.ENOSPC)):
        write_atomic(tmp_path / "config.yaml", b"new")
    assert (tmp_path / "config.yaml").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def open_to_all(folder, mode):
    """Let the user nobody reach a test's folder."""
    while Path(tempfile.gettempdir()) in folder.parents:
        folder.chmod(mode)
        folder = folder.parent


def test_a_write_that_breaks_off_leaves_the_last_checkpoint_whole(tmp_path):
    checkpoint = Checkpoint(tmp_path / "x.safetensors", 0)
    state = {
        "weights": torch.arange(3.0),
        "nested": {0: [1, {"a": 2}], 1: None},
        "inf": float("inf"),
    }
    checkpoint.write(state)
    open_to_all(tmp_path, 0o777)

    def too_large():
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))
        checkpoint.write({**state, "weights": torch.arange(300000.0)})

    assert "x.safetensors: cannot be written (" in error_of(too_large)
    found = checkpoint.read()
    assert torch.equal(found.pop("weights"), state.pop("weights"))
    assert found == state
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_disk_that_fills_up_ends_the_run_with_an_error_and_it_goes_on(npz, tmp_path):
    """A limit on file sizes stops the write of a checkpoint midway, as a full disk would."""
    options = ["--set", "epochs=2", "--set", "reference_epochs=2", "--set", "hidden=[64]"]
    options += ["--method", "fairpo-dpo"]
    command = ["train", npz, "--out", tmp_path / "run", *options, "--set", "checkpoint_seconds=0"]

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))

    full = fairpo(*command, preexec_fn=limit)
    assert full.returncode == 2
    assert "reference.safetensors: cannot be written (" in full.stderr
    assert "File too large" in full.stderr
    assert "Traceback" not in full.stderr
    end = fairpo("train", "--resume", tmp_path / "run")
    assert end.returncode == 0, end.stderr
    assert load(tmp_path / "run").label_names


def test_a_disk_that_fills_up_at_the_end_loses_nothing(npz, tmp_path):
    """The checkpoints fit, the figures of the finished run do not."""
    options = ["--set", "epochs=2", "--set", "reference_epochs=2", "--set", "hidden=[8]"]

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (25_000, 25_000))

    full = fairpo("train", npz, "--out", tmp_path / "run", *options, preexec_fn=limit)
    assert full.returncode == 2
    assert "metrics.json: cannot be written (File too large)" in full.stderr
    assert not (tmp_path / "run" / "checksums.json").exists()
    end = fairpo("train", "--resume", tmp_path / "run")
    assert end.returncode == 0, end.stderr
    assert "goes on after: fairpo-crossfit, 2 epochs" in end.stderr
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_disk_without_room_for_a_report_costs_the_report_alone(npz, tmp_path):
    options = ["--set", "epochs=2", "--set", "reference_epochs=2", "--set", "hidden=[8]"]

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    full = fairpo("train", npz, "--out", tmp_path / "run", *options, preexec_fn=limit)
    assert full.returncode == 0, full.stderr
    assert "there is no report: " in full.stderr
    assert "report.html: cannot be written (File too large)" in full.stderr
    assert load(tmp_path / "run").label_names
    assert fairpo("report", tmp_path / "run").returncode == 0
    assert (tmp_path / "run" / "report.html").is_file()


def test_notes_of_a_training_are_kept(data, tmp_path):
    """Saturation is told once, by the training that was stopped and by the one that went on."""
    head = HeadSettings(hidden=(8,))
    settings = TrainingSettings(
        epochs=30, reference_epochs=4, batch_size=16, patience=40, device="cpu"
    )
    reference = train_reference(data, head, settings)
    groups = LabelPartition.rarest(data.targets[data.rows("train")], 0.3)

    def run(checkpoint=None):
        options = {"step_size": 1.0}
        return train_method(
            data, reference, groups, "fairpo-dpo", settings, options=options, checkpoint=checkpoint
        )

    whole = run().notes
    assert sum("has held" in note for note in whole) == 1
    for at in (150, 250):  # before and after it was told
        path = tmp_path / f"{at}.safetensors"
        with pytest.raises(Stopped):
            run(Stopping(path, at))
        assert run(Checkpoint(path, 1e9)).notes == whole


def error_of(action):
    """What an action is refused with where files belong to somebody else."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        message = "no error"
        try:
            if os.geteuid() == 0:  # to root no folder is read only
                os.setgroups([])
                os.setuid(65534)
            action()
        except BaseException as error:
            message = f"{type(error).__name__}: {error}"
        os.write(writing, message.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        return stream.read()


def test_a_read_only_folder_is_told_and_keeps_the_last_checkpoint(data, tmp_path):
    inside = tmp_path / "private" / "run"
    inside.parent.mkdir(mode=0o700)
    open_to_all(tmp_path, 0o755)
    for run in (inside, tmp_path / "run"):
        refused = error_of(lambda run=run: train_run(data, small_plan(), run, report=no_report))
        assert refused == (
            f"FairPOFileError: {run}: cannot be written. Choose a folder you may write to."
        )
    closed = tmp_path / "closed"
    closed.mkdir()
    checkpoint = Checkpoint(closed / "x.safetensors", 0)
    checkpoint.write({"step": 1})
    closed.chmod(0o555)
    refused = error_of(lambda: train_run(data, small_plan(), closed / "run", report=no_report))
    assert refused.startswith("FairPOFileError: ")
    assert refused.endswith("closed/run: cannot be written. Choose a folder you may write to.")
    refused = error_of(lambda: checkpoint.write({"step": 2}))
    assert "closed/x.safetensors: cannot be written (" in refused
    assert "Permission denied" in refused
    assert checkpoint.read() == {"step": 1}
    assert [path.name for path in closed.iterdir()] == ["x.safetensors"]
    closed.chmod(0o755)


def test_writing_takes_a_small_share_of_the_time(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    checkpoint = Checkpoint(tmp_path / "x.safetensors", 30)
    assert not checkpoint.is_due()
    clock[0] = 30.0
    assert checkpoint.is_due()

    def slow(path, tensors, metadata):
        clock[0] += 10  # seconds: 5% of the time is 200

    monkeypatch.setattr("fairpo.training.state.write_weights", slow)
    checkpoint.write({})
    clock[0] += 229
    assert not checkpoint.is_due()
    clock[0] += 2
    assert checkpoint.is_due()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_an_end_by_signal_loses_no_step_and_says_how_to_go_on(npz, tmp_path, ending):
    run = tmp_path / "run"
    command = ["train", npz, "--out", run, "--set", "reference_epochs=100000"]
    command += ["--set", "patience=100000", "--set", "checkpoint_seconds=0.5"]
    with subprocess.Popen(
        [*FAIRPO, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        end = time.monotonic() + 60
        while not progress_of(run):
            assert time.monotonic() < end
            time.sleep(0.02)
        kept = progress_of(run)
        running.send_signal(ending)
        _, printed = running.communicate(timeout=60)
    assert running.returncode == 128 + ending
    assert "stopping after this step; once more stops at once" in printed
    assert progress_of(run) > kept
    assert f"stopped; `fairpo train --resume {run}` goes on." in printed
    assert "Traceback" not in printed


def test_devices(npz, tmp_path):
    assert TrainingSettings(device="cpu").torch_device() == torch.device("cpu")
    if torch.cuda.is_available():
        assert TrainingSettings().torch_device().type == "cuda"
        return
    assert TrainingSettings().torch_device() == torch.device("cpu")
    result = fairpo("train", npz, "--out", tmp_path / "run", "--device", "cuda")
    assert result.returncode == 2
    assert (
        "device must be there, got cuda, and torch sees no GPU. Say cpu or auto." in result.stderr
    )
    assert not (tmp_path / "run").exists()
    result = fairpo("train", npz, "--out", tmp_path / "run", "--device", "tpu")
    assert "TrainingSettings.device must be" in result.stderr
