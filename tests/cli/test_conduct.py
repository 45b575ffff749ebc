"""What the commands that run studies say of what is left to do."""

import numpy as np
import pytest

from fairpo.experiments.trials import Bench
from tests.command import fairpo
from tests.conftest import problem

FAST = ["--set", "epochs=1", "--set", "reference_epochs=2", "--set", "hidden=[8]", "--jobs", "1"]


@pytest.fixture
def words(tmp_path):
    X, y = problem()
    np.savez(tmp_path / "small.npz", X=X, Y=y)
    source, out = tmp_path / "small.npz", tmp_path / "out"
    return ["compare", source, "--methods", "bce-continued", "--seeds", 1, "--out", out, *FAST]


@pytest.mark.parametrize(("more", "again"), [([], ""), (["--overwrite"], " without --overwrite")])
def test_how_to_go_on_does_not_begin_anew(words, monkeypatch, more, again):
    run_trial = Bench.run_trial

    def stopped(self, trial, groups):
        raise KeyboardInterrupt

    def broken(self, trial, groups):
        if trial.method == "bce-continued":
            raise MemoryError("no room")
        return run_trial(self, trial, groups)

    monkeypatch.setattr(Bench, "run_trial", stopped)
    result = fairpo(*words, *more)
    assert result.returncode == 130
    assert f"stopped; the same command{again} goes on with what is left in " in result.stderr
    monkeypatch.setattr(Bench, "run_trial", broken)
    result = fairpo(*words, *more)
    assert result.returncode == 1
    assert f"1 trials failed; the same command{again} tries them again." in result.stderr
