"""Tasks among processes: what needs another waits for it, what fails is told."""

import time
from pathlib import Path

import pytest

from fairpo.experiments.pool import Processes


def make_or_use(folder: Path, task: str) -> bool:
    """Whether what the task needs is there; making it takes a while."""
    if task == "make":
        time.sleep(1)
        (folder / "made").touch()
    return (folder / "made").is_file()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_task_waits_for_what_it_needs_and_others_do_not(tmp_path, n_jobs):
    def ready(task):
        return task != "use" or (tmp_path / "made").is_file()

    tasks = ["make", "use", "other"]
    with Processes(n_jobs) as processes:
        found = list(processes.each(tmp_path, make_or_use, tasks, ready))
    ended = [task for task, _ in found]
    assert sorted(ended) == sorted(tasks)
    assert ended.index("use") > ended.index("make")
    assert dict(found)["use"] is True


def test_a_task_whose_need_never_comes_is_begun_when_nothing_else_is(tmp_path):
    with Processes(2) as processes:
        found = list(processes.each(tmp_path, make_or_use, ["use"], lambda task: False))
    assert found == [("use", False)]


def test_results_are_in_the_tasks_order_and_counted(tmp_path):
    counted = []

    def count(name, total):
        counted.append((name, total))
        return lambda: counted.append(name)

    with Processes(2, count) as processes:
        found = processes.map(tmp_path, make_or_use, ["make", "other"], "made")
        assert found[0] is True
        assert processes.map(tmp_path, make_or_use, [], "nothing") == []
    assert counted == [("made", 2), "made", "made"]
