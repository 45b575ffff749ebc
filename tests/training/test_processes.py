"""Several processes train as one, fail as one, and go on as any number."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fairpo.training import distributed

HERE = Path(__file__).parent
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
RUN = ["-m", "fairpo", "train"]


def launch(n_processes, *command, **options):
    return subprocess.run(
        [*LAUNCH, f"--nproc_per_node={n_processes}", *map(str, command)],
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )


def train(npz, out, *more):
    arguments = ["--method", "fairpo-dpo", "--set", "hidden=[8]", "--set", "patience=1000"]
    return [*RUN, str(npz), "--out", str(out), *arguments, *more]


def test_any_number_of_processes_trains_the_same(tmp_path):
    found = {}
    for n_processes in (1, 2, 4):
        out = tmp_path / f"{n_processes}.safetensors"
        result = launch(n_processes, HERE / "steps_of_processes.py", out)
        assert result.returncode == 0, result.stderr
        found[n_processes] = load_file(out)
    names = found[1].keys()
    assert any("group_weights" in name for name in names)
    for n_processes in (2, 4):
        assert found[n_processes].keys() == names
        for name in names:
            if name == "logits":  # float32
                assert torch.allclose(found[1][name], found[n_processes][name], atol=1e-4), name
                continue
            assert found[1][name].dtype == torch.float64 or "group" in name or "scaling" in name
            worst = float((found[1][name] - found[n_processes][name]).abs().max())
            assert worst < 1e-5, (name, n_processes, worst)


def test_the_command_trains_the_same_on_two_processes_and_speaks_once(npz, tmp_path):
    options = ["--set", "epochs=2", "--set", "reference_epochs=4"]
    alone = subprocess.run(
        [sys.executable, *train(npz, tmp_path / "one", *options)], capture_output=True, text=True
    )
    assert alone.returncode == 0, alone.stderr
    both = launch(2, *train(npz, tmp_path / "two", *options))
    assert both.returncode == 0, both.stderr
    assert both.stdout.count("report.html") == 1
    assert both.stderr.count("small: ") == 1
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert all(torch.allclose(first[name], second[name], atol=1e-5) for name in first)
    assert not list(tmp_path.glob("*/unfinished"))


def test_accelerate_launches_it_too(npz, tmp_path):
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    options = ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    result = subprocess.run(
        [
            *launcher,
            *options,
            "--dynamo_backend",
            "no",
            "--main_process_port",
            "0",
            *train(npz, tmp_path / "run", "--set", "epochs=1", "--set", "reference_epochs=2"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("report.html") == 1


def test_one_process_that_dies_ends_all_and_any_number_goes_on(npz, tmp_path):
    run = tmp_path / "run"
    long = [
        "--set",
        "epochs=3",
        "--set",
        "reference_epochs=100000",
        "--set",
        "checkpoint_seconds=0",
    ]
    with subprocess.Popen(
        [*LAUNCH, "--nproc_per_node=2", *train(npz, run, *long)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        wait_for(run / "unfinished" / "reference.safetensors")
        second = next(pid for pid in children(running.pid) if "\nRANK=1" in environment(pid))
        os.kill(second, signal.SIGKILL)
        start = time.monotonic()
        printed, _ = running.communicate(timeout=60)
        assert time.monotonic() - start < 60
    assert running.returncode != 0
    assert re.search(
        r"process 0 of this training was cut off|stopped; `fairpo train --resume", printed
    )
    assert "exitcode  : -9" in printed  # torchrun names the one that fell first
    config = run / "unfinished" / "config.yaml"
    config.write_text(
        config.read_text().replace("reference_epochs: 100000", "reference_epochs: 60")
    )
    for printed_is in ("goes on after: reference, ", "there is nothing to go on with"):
        result = subprocess.run(
            [sys.executable, *RUN, "--resume", str(run)], capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
        assert printed_is in result.stderr
        assert (run / "checksums.json").is_file()


def test_other_commands_run_in_one_process(npz, tmp_path):
    environment = {**os.environ, "WORLD_SIZE": "2", "RANK": "0"}
    result = subprocess.run(
        [sys.executable, "-m", "fairpo", "compare", str(npz), "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert result.returncode == 2
    assert "fairpo compare must run in one process, got 2 of them." in result.stderr
    assert not (tmp_path / "out").exists()


def test_alone_nothing_is_exchanged():
    values = torch.ones(2)
    assert distributed.sum_over_processes(values) is values
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
    assert distributed.share(5) == slice(0, 5)


@pytest.mark.parametrize("n", [0, 1, 5, 100])
def test_shares_are_contiguous_and_take_every_row_once(n, monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    taken = []
    for rank in range(3):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        taken += range(n)[distributed.share(n)]
    assert taken == list(range(n))


def wait_for(path, seconds=60):
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.05)


def children(pid):
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


def environment(pid):
    return "\n" + Path(f"/proc/{pid}/environ").read_bytes().replace(b"\0", b"\n").decode()
