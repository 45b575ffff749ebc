"""Train a small run many times, each time killed at another write; print what was found.

Each training runs in a fork of this process, which ends by ``os._exit`` just before its n-th
write. Prints one JSON line a kill.

Run: python tests/training/kill_everywhere.py FOLDER (fresh | overwrite)
"""

import hashlib
import json
import os
import pathlib
import shutil
import sys
from pathlib import Path

import numpy as np
import torch

from fairpo._checks import FairPOError
from fairpo.data import MultiLabelData
from fairpo.experiments.plan import Plan
from fairpo.experiments.train import resume_run, train_run
from fairpo.models import HeadSettings
from fairpo.models.checkpoint import write_checksums
from fairpo.training import TrainingSettings, load
from fairpo.training.run import UNFINISHED
from fairpo.training.unfinished import read_unfinished

KILLED = 9
POINTS = [
    (pathlib.Path, "replace"),
    (pathlib.Path, "rename"),
    (pathlib.Path, "mkdir"),
    (pathlib.Path, "unlink"),
    (os, "fsync"),
    (shutil, "rmtree"),
]


def data():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(80, 6)).astype(np.float32)
    targets = (features @ rng.normal(size=(6, 5)) + rng.normal(size=(80, 5)) > 0.7).astype(np.int8)
    split = {"train": np.arange(40), "validation": np.arange(40, 60), "test": np.arange(60, 80)}
    return MultiLabelData(features, targets, tuple("abcde"), split, name="small")


def plan(seed):
    training = TrainingSettings(
        epochs=1, reference_epochs=1, checkpoint_seconds=0, seed=seed, device="cpu"
    )
    return Plan(
        data="small",
        methods=("bce", "fairpo-dpo"),
        training=training,
        seeds=(seed,),
        head=HeadSettings(hidden=(8,)),
        n_resamples=100,
    )


def train(folder, overwrite, seed=0):
    train_run(data(), plan(seed), folder, report=lambda target: None, overwrite=overwrite)


def go_on(folder, overwrite):
    """What a user does: resume; where there is nothing yet to resume, begin again."""
    begun = (folder / UNFINISHED).is_dir()
    if begun:
        resume_run(read_unfinished(folder), data(), report=lambda target: None)
    else:
        train(folder, overwrite)


def forked(action):
    """Exit code of an action in a fork."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        action()
    except BaseException as error:
        print(f"failed: {error!r}", file=sys.stderr)
        os._exit(1)
    os._exit(0)


def killing(when, action):
    seen = 0

    def counting(function):
        def wrapped(*arguments, **options):
            nonlocal seen
            seen += 1
            if seen == when:
                os._exit(KILLED)
            return function(*arguments, **options)

        return wrapped

    for owner, name in POINTS:
        setattr(owner, name, counting(getattr(owner, name)))
    action()


def state_of(folder):
    try:
        return hashlib.sha256(
            load(folder).folder.joinpath("model.safetensors").read_bytes()
        ).hexdigest()
    except FairPOError as error:
        return "unfinished" if "is not finished" in str(error) else "nothing"


def main(root, mode):
    torch.set_num_threads(1)
    overwrite = mode == "overwrite"
    train(root / "expected", False)  # here, so that no fork has to import anything
    print(json.dumps({"expected": state_of(root / "expected")}))
    if overwrite:
        assert forked(lambda: train(root / "old", False, seed=1)) == 0
        (root / "old" / "of_old_runs_only.json").write_text("{}")
        write_checksums(root / "old")
        print(json.dumps({"old": state_of(root / "old")}))
    when = 0
    while True:
        when += 1
        folder = root / f"run{when}"
        if overwrite:
            shutil.copytree(root / "old", folder)
        code = forked(lambda w=when, f=folder: killing(w, lambda: train(f, overwrite)))
        if code == 0:
            break
        assert code == KILLED, code
        found = state_of(folder) if folder.exists() else "nothing"
        assert forked(lambda f=folder: go_on(f, overwrite)) == 0
        names = {path.name for path in folder.iterdir()}
        left = sorted(names - {path.name for path in (root / "expected").iterdir()})
        print(json.dumps({"kill": when, "found": found, "end": state_of(folder), "left": left}))
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
