"""Processes of a study: tasks in an order that works, one thread each, none left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info

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


def threads(tool, task):
    return [(pool["user_api"], pool["num_threads"]) for pool in threadpool_info()]


class Linear:
    """A tool with which SciPy's own BLAS is loaded."""

    def __reduce__(self):
        import scipy.linalg

        return Linear, (), {"of": scipy.linalg.solve}


def test_a_process_has_one_thread_of_every_library(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    with Processes(2) as processes:
        found = processes.map(Linear(), threads, [1, 2], "")
    assert {api for api, _ in found[0]} >= {"blas"}
    assert {number for pools in found for _, number in pools} == {1}


def sleep(folder, task):
    (folder / str(os.getpid())).touch()
    time.sleep(60)


def test_killed_it_leaves_no_process_behind(tmp_path):
    code = (
        "import sys; from pathlib import Path; from fairpo.experiments.pool import Processes\n"
        "from tests.experiments.test_pool import sleep\n"
        "if __name__ == '__main__':\n"
        "    with Processes(2) as processes: processes.map(Path(sys.argv[1]), sleep, [1, 2], '')"
    )
    (tmp_path / "main.py").write_text(code)
    (tmp_path / "here").mkdir()
    command = [sys.executable, str(tmp_path / "main.py"), str(tmp_path / "here")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(command, env=environment) as parent:
        until(lambda: len(list((tmp_path / "here").iterdir())) == 2)
        parent.kill()
    workers = [int(path.name) for path in (tmp_path / "here").iterdir()]
    try:
        until(lambda: not any(lives(worker) for worker in workers))
    finally:
        for worker in filter(lives, workers):
            os.kill(worker, signal.SIGKILL)


_TWO_THEN_ONE = """
import sys
from pathlib import Path
from fairpo.experiments.pool import Processes
from tests.experiments.test_pool import note, sleep
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with Processes(2) as processes:
        processes.map(folder, note, [1, 2], "")
        (folder / "idle").touch()
        processes.map(folder, sleep, [3], "")
"""


def note(folder, task):
    (folder / f"of task {task}").touch()


@pytest.mark.parametrize("when", ["begun", "idle"])
def test_interrupted_processes_end_at_once_and_say_nothing(tmp_path, when):
    main, here = tmp_path / "main.py", tmp_path / "here"
    main.write_text(_TWO_THEN_ONE)
    here.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, str(main), str(here)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        if when == "idle":  # one sleeps, the other waits for a task
            until(lambda: any(path.name.isdecimal() for path in here.iterdir()))
        else:
            until(lambda: len(children_of(parent.pid)) >= 2)
        os.killpg(parent.pid, signal.SIGINT)
        _, said = parent.communicate(timeout=40)
    assert parent.returncode != 0
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert said.count("Traceback") == 1, said  # the parent's own
    assert "SpawnProcess" not in said


def children_of(process):
    """Processes that it started, the tracker of their resources among them."""
    try:
        with open(f"/proc/{process}/task/{process}/children") as stream:
            return stream.read().split()
    except OSError:
        return []


def until(holds):
    end = time.monotonic() + 40
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def lives(process):
    """Whether it runs; one that has ended and waits for its parent does not."""
    try:
        with open(f"/proc/{process}/stat") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
