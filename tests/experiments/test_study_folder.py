"""The folder of a study: what is ours in it, and what --overwrite leaves of what is not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fairpo._checks import FairPOFileError
from fairpo.experiments.ledger import Ledger
from fairpo.experiments.study import Study
from fairpo.experiments.study_folder import check_folder, empty_folder, finished, inputs_of
from fairpo.experiments.trials import Bench
from fairpo.models.checkpoint import verify_checksums
from fairpo.report import write_figures, write_markdown, write_report
from tests.experiments.test_study import SETTINGS, run, small

STUDY = Study(methods=("bce", "bce-continued"), **SETTINGS)


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def copied(folder, to):
    for name in names(folder):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).write_bytes((folder / name).read_bytes())
    return to


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run(STUDY, folder, report=write_report)
    return folder


def test_the_seal_names_what_is_ours_alone(whole, tmp_path):
    folder = copied(whole, tmp_path)
    (folder / "my notes.txt").write_text("hours of work")
    run(STUDY.model_copy(update={"seeds": (0, 1)}), folder)
    sealed = json.loads((folder / "checksums.json").read_text())
    assert set(sealed) == {"study.yaml", "metrics.json", "results.jsonl"}
    (folder / "my notes.txt").write_text("more of it")
    verify_checksums(folder)
    (folder / "results.jsonl").write_text("")
    with pytest.raises(FairPOFileError, match=r"results\.jsonl: is truncated or was altered"):
        verify_checksums(folder)


def test_overwritten_what_is_not_ours_stays_and_what_is_goes(whole, tmp_path):
    folder = copied(whole, tmp_path)
    write_markdown(folder)
    write_figures(folder, "svg")
    (folder / "reproduction.md").write_text("of the old study")
    mine = [
        *("my notes.txt", "scores/mine.csv", "scores/mine.npz", "references/of others.txt"),
        *("figures/plan.svg", "figures/own/labels.svg"),
    ]
    for name in mine:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    # What a version that sealed every file it found says is not believed.
    (folder / "checksums.json").write_text(json.dumps(dict.fromkeys([*mine, ".lock"], "0")))
    empty_folder(Ledger(folder))
    assert names(folder) == sorted([".lock", *mine])


def test_overwriting_keeps_the_lock_it_holds(whole, tmp_path, monkeypatch):
    folder = copied(whole, tmp_path)
    (folder / "checksums.json").write_text('{".lock": "0"}')
    code = "import sys; from pathlib import Path; from fairpo.models.checkpoint import hold\n"
    code += "with hold(Path(sys.argv[1])): pass"
    train_reference, seen = Bench.train_reference, []

    def watched(self, trial):
        second = [sys.executable, "-c", code, str(folder / ".lock")]
        seen.append(subprocess.run(second, capture_output=True, text=True, check=False))
        return train_reference(self, trial)

    monkeypatch.setattr(Bench, "train_reference", watched)
    run(STUDY, folder, overwrite=True)
    assert [call.returncode for call in seen] == [1]
    assert "is being written by another process" in seen[0].stderr


def test_killed_while_it_empties_a_folder_it_can_be_called_again(whole, tmp_path, monkeypatch):
    class KilledError(BaseException):
        pass

    left = 0

    def dying(act):
        def wrapper(self, *arguments, **options):
            nonlocal left
            if left == 0:
                raise KilledError
            left -= 1
            act(self, *arguments, **options)

        return wrapper

    unlink, rmdir = Path.unlink, Path.rmdir
    n_killed = 0
    for number in range(100):
        folder = copied(whole, tmp_path / str(number))
        left = number
        monkeypatch.setattr(Path, "unlink", dying(unlink))
        monkeypatch.setattr(Path, "rmdir", dying(rmdir))
        try:
            empty_folder(Ledger(folder))
            break
        except KilledError:
            n_killed += 1
        finally:
            monkeypatch.undo()
        check_folder(folder, STUDY, overwrite=True)
        empty_folder(Ledger(folder))
        assert names(folder) == [".lock"]
        check_folder(folder, STUDY)
    assert n_killed > 8
    assert names(folder) == [".lock"]


def test_stopped_while_it_runs_anew_nothing_of_the_old_report_is_shown(
    whole, tmp_path, monkeypatch
):
    folder = copied(whole, tmp_path)

    def stopped(self, trial, groups):
        raise KeyboardInterrupt

    monkeypatch.setattr(Bench, "run_trial", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(STUDY, folder, overwrite=True)
    monkeypatch.undo()
    assert not (folder / "report.html").exists()
    assert finished(folder, STUDY, inputs_of(STUDY, small())) is None
    check_folder(folder, STUDY)
