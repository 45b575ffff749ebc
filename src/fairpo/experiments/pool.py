"""Several processes at the trials of a study: one torch thread each, one trial at a time."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import torch

Task = TypeVar("Task")
Tool = TypeVar("Tool")
Found = TypeVar("Found")

_tool: Any = None
"""What this process works with, unpacked once."""


def cores() -> int:
    """How many processes can run here at a time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(
    tool: Tool,
    work: Callable[[Tool, Task], Found],
    tasks: Sequence[Task],
    n_jobs: int,
) -> Iterator[tuple[Task, Found | Exception]]:
    """Do tasks in processes; yield each with its result, or with what went wrong, as it ends.

    Parameters
    ----------
    tool : object
        Sent to each process once.
    work : callable
        Of a module, so that processes find it: ``work(tool, task)``.
    tasks : sequence
    n_jobs : int
        Processes. Each is a pool of its own, so that one that dies takes its task with it and
        no other.

    Notes
    -----
    Processes are started afresh, never forked from one with threads.
    """
    waiting = list(reversed(tasks))
    running: dict[Future[Found], tuple[Task, ProcessPoolExecutor]] = {}
    idle = [_new_process(tool) for _ in range(min(n_jobs, len(tasks)))]
    try:
        while waiting or running:
            while waiting and idle:
                task, process = waiting.pop(), idle.pop()
                running[process.submit(_do, work, task)] = task, process
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                task, process = running.pop(future)
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    process.shutdown()
                    process = _new_process(tool)
                    error = RuntimeError("its process died: killed, or out of memory")
                idle.append(process)
                if error is not None and not isinstance(error, Exception):
                    raise error
                yield task, future.result() if error is None else error
    finally:
        for process in (*idle, *(process for _, process in running.values())):
            process.shutdown(wait=not running, cancel_futures=True)


def map_in_processes(
    tool: Tool, work: Callable[[Tool, Task], Found], tasks: Sequence[Task], n_jobs: int
) -> list[Found]:
    """Do tasks, here or in processes; the results are in the tasks' order.

    Raises
    ------
    Exception
        Of the first task that failed.
    """
    if n_jobs == 1 or len(tasks) <= 1:
        return [work(tool, task) for task in tasks]
    found: dict[int, Found] = {}
    numbered = list(enumerate(tasks))
    for (number, _), result in in_processes((tool, work), _numbered, numbered, n_jobs):
        if isinstance(result, Exception):
            raise result
        found[number] = result
    return [found[number] for number in range(len(tasks))]


def _numbered(tool: tuple[Any, Callable[[Any, Any], Any]], task: tuple[int, Any]) -> Any:
    return tool[1](tool[0], task[1])


def _new_process(tool: Any) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, context, initializer=_take, initargs=(tool,))


def _take(tool: Any) -> None:
    global _tool
    torch.set_num_threads(1)
    _tool = tool


def _do(work: Callable[[Any, Any], Found], task: Any) -> Found:
    return work(_tool, task)
