"""The engines of this machine: one process per core on the CPU, this process on a GPU."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait as wait_for_sentinel
from multiprocessing.context import BaseContext
from typing import Any, Protocol

from certssb_core.errors import EngineError

FORKS = sys.platform == "linux" and sys.version_info >= (3, 11, 1)
"""Elsewhere a process that has loaded the system's libraries may not fork, or none may. Python 3.11.0 lets other users
of the machine into the process that forks (CVE-2022-42919)."""

PRELOADED = ["certssb_core.pipeline.tasks", "torch._dynamo"]
"""All that a worker imports; the last is what torch's optimisers load when the first is made."""

Task = tuple[Any, ...]
"""Arguments of a task; the first is the folder of its run."""


class Engine(Protocol):
    """Runs ``function(*task)`` for every task and yields ``(task, result)`` as they finish."""

    def map(self, function: Callable[..., Any], tasks: Iterable[Task]) -> Iterator[tuple[Task, Any]]: ...

    def peak_memory(self) -> int: ...

    def close(self) -> None: ...


class InProcessEngine:
    """One task after the other, in this process: for a GPU, which batches within a task."""

    def map(self, function: Callable[..., Any], tasks: Iterable[Task]) -> Iterator[tuple[Task, Any]]:
        for task in tasks:
            yield task, function(*task)

    def peak_memory(self) -> int:
        """Peak resident memory of this process, bytes."""
        return peak_memory()

    def close(self) -> None:
        pass


class ProcessEngine:
    """Single-threaded processes that die with this one."""

    def __init__(self, workers: int) -> None:
        """Start the processes.

        Raises:
            EngineError: the system gives none.
        """
        self._workers = workers
        self._peaks: dict[int, int] = {}
        try:
            with _one_thread_each():
                self._pool = ProcessPoolExecutor(workers, mp_context=_context(), initializer=_start_worker)
                for _ in range(workers):  # start all of them while the caller prepares the data
                    self._pool.submit(peak_memory)
        except (OSError, ImportError, EOFError) as error:
            raise EngineError(
                f"worker processes cannot be started ({error}): they share semaphores, which need a writable /dev/shm, "
                "and the system must allow this user more processes. In a container: mount /dev/shm, or --shm-size"
            ) from None

    def map(self, function: Callable[..., Any], tasks: Iterable[Task]) -> Iterator[tuple[Task, Any]]:
        """Yield results as they finish; a few tasks ahead only, so that a stop waits for little.

        Raises:
            EngineError: a process was killed, by the system for want of memory perhaps.
        """
        queue = iter(tasks)
        pending: dict[Future, Task] = {}
        try:
            while True:
                while len(pending) < 2 * self._workers and (task := next(queue, None)) is not None:
                    pending[self._pool.submit(measured, function, task)] = task
                if not pending:
                    return
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    result, pid, peak = future.result()
                    self._peaks[pid] = peak
                    yield pending.pop(future), result
        except BrokenProcessPool:
            raise EngineError(
                "a worker process was killed (out of memory?); fewer training.workers need less. "
                "Finished members are kept: resume the run"
            ) from None
        finally:
            for future in pending:
                future.cancel()

    def peak_memory(self) -> int:
        """Sum of the peak resident memory of this process and its workers, bytes; an upper bound, as shared
        pages count in each."""
        return peak_memory() + sum(self._peaks.values())

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def available_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def make_ready() -> None:
    """Let the process that workers are forked from import torch while the caller does something else."""
    _context()


def _context() -> BaseContext:
    """Start workers by forking where that is safe: each has torch from the start, and shares its memory."""
    if FORKS:
        from multiprocessing.forkserver import ensure_running

        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        with suppress(OSError), _one_thread_each():  # its socket's name, in TMPDIR, may be too long
            ensure_running()
            return context
    return multiprocessing.get_context("spawn")


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes that start in here have one thread; those that would fork must not have more."""
    variables = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start_worker() -> None:
    """One thread per worker, and no orphans: leave as soon as the parent is gone, however it went."""
    parent = multiprocessing.parent_process()

    def die_with_parent() -> None:
        assert parent is not None  # workers are started by a pool
        wait_for_sentinel([parent.sentinel])
        os._exit(1)

    threading.Thread(target=die_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)


def measured(function: Callable[..., Any], task: Task) -> tuple[Any, int, int]:
    return function(*task), os.getpid(), peak_memory()


def peak_memory() -> int:
    try:
        import resource
    except ImportError:  # Windows has no such counter
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if os.uname().sysname == "Darwin" else peak * 1024
