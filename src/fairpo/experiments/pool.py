"""Processes that share the work of a study: one thread each, one task at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for
from types import TracebackType
from typing import Any, Self, TypeVar

import torch
from threadpoolctl import threadpool_limits

Task = TypeVar("Task")
Tool = TypeVar("Tool")
Found = TypeVar("Found")

StudyProgress = Callable[[str, int], Callable[[], None]]
"""``(what is done, how many) -> callback`` for each that is done."""

_tool: Any = None
"""What this process works with at present."""


def uncounted(_: str, __: int) -> Callable[[], None]:
    """Show no progress."""
    return lambda: None


def cores() -> int:
    """How many processes can run here at a time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Processes:
    """Processes that are started when they are first needed, and kept until the block ends.

    Each is a pool of its own, so that one that dies takes its task with it and no other. They are
    started afresh, never forked from a process with threads.

    Parameters
    ----------
    n_jobs : int
        How many; with 1 the work is done in this process.
    count : callable
        Of what :meth:`map` does.
    """

    def __init__(self, n_jobs: int = 1, count: StudyProgress = uncounted) -> None:
        self.n_jobs, self.count = n_jobs, count
        self._idle: list[ProcessPoolExecutor] = []
        self._busy: list[ProcessPoolExecutor] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for process in (*self._idle, *self._busy):
            process.shutdown(wait=error is None, cancel_futures=True)
        self._idle, self._busy = [], []

    def each(
        self,
        tool: Tool,
        work: Callable[[Tool, Task], Found],
        tasks: Sequence[Task],
        ready: Callable[[Task], bool] = lambda task: True,
    ) -> Iterator[tuple[Task, Found | Exception]]:
        """Do tasks; yield each with its result, or with what went wrong, as it ends.

        Parameters
        ----------
        tool : object
            Sent to each process once.
        work : callable
            Of a module, so that processes find it: ``work(tool, task)``.
        tasks : sequence
            In this order, one that needs another behind it.
        ready : callable
            Whether what a task needs is there; one that is not waits for its turn.
        """
        if self.n_jobs == 1:
            yield from _here(tool, work, tasks)
            return
        waiting = list(tasks)
        running: dict[Future[Found], tuple[Task, ProcessPoolExecutor]] = {}
        told: set[int] = set()
        while waiting or running:
            while waiting and len(running) < self.n_jobs:
                place = next((k for k, task in enumerate(waiting) if ready(task)), None)
                if place is None and running:
                    break
                task, process = waiting.pop(place or 0), self._next()
                first = () if id(process) in told else (tool,)
                told.add(id(process))
                with _interrupts_later():
                    future = process.submit(_do, work, task, *first)
                running[future] = task, process
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                task, process = running.pop(future)
                self._busy.remove(process)
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    process.shutdown()
                    error = RuntimeError("its process died: killed, or out of memory")
                else:
                    self._idle.append(process)
                if error is not None and not isinstance(error, Exception):
                    raise error
                yield task, future.result() if error is None else error

    def map(
        self, tool: Tool, work: Callable[[Tool, Task], Found], tasks: Sequence[Task], name: str
    ) -> list[Found]:
        """Do tasks, counted under a name; the results are in the tasks' order.

        Raises
        ------
        Exception
            Of the first task that failed.
        """
        if not tasks:
            return []
        advance = self.count(name, len(tasks))
        found: dict[int, Found] = {}
        for (number, _), result in self.each((tool, work), _numbered, list(enumerate(tasks))):
            if isinstance(result, Exception):
                raise result
            found[number] = result
            advance()
        return [found[number] for number in range(len(tasks))]

    def _next(self) -> ProcessPoolExecutor:
        if not self._idle:
            self._idle.append(
                ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_begin)
            )
        process = self._idle.pop()
        self._busy.append(process)
        return process


def _here(
    tool: Tool, work: Callable[[Tool, Task], Found], tasks: Sequence[Task]
) -> Iterator[tuple[Task, Found | Exception]]:
    for task in tasks:
        try:
            result: Found | Exception = work(tool, task)
        except Exception as error:  # one task's crash is no other's
            result = error
        yield task, result


def _numbered(tool: tuple[Any, Callable[[Any, Any], Any]], task: tuple[int, Any]) -> Any:
    return tool[1](tool[0], task[1])


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Hold Ctrl-C back; a process that is started inside holds it until it has begun."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # the parent speaks; this one ends and says nothing
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End with the process that gives the tasks: killed, it cannot say that there are no more."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)


def _do(work: Callable[[Any, Any], Found], task: Any, *tool: Any) -> Found:
    """Do a task with the tool that comes with it, or with the one that came last."""
    global _tool
    if tool:
        (_tool,) = tool
        threadpool_limits(1)  # of the libraries that came with it: NumPy's BLAS, SciPy's, OpenMP
    return work(_tool, task)
