"""The queue of a folder's runs.

A run that waits has a file ``queued`` with the time it was put there. The queue is nothing but these files: it
survives every restart, and the dashboard and the command line see the same one. The worker that ends starts the
next; where it was killed and could not, whoever puts a run into the queue or looks at it on the Train page does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from certssb_core.errors import RunError
from certssb_core.jobs.launch import start
from certssb_core.runs import locks, server_limits
from certssb_core.runs.run import Run, Status

LOCK_SECONDS = 10.0
"""How long to wait for someone who is starting a run of the same folder."""


def waiting(runs_dir: Path) -> list[Run]:
    """The queued runs of a folder, the next one first."""
    runs = [run for run in Run.all(runs_dir) if run.queued_at() is not None and run.status().state == "queued"]
    return sorted(runs, key=lambda run: (run.queued_at(), run.name))


def submit(run: Run) -> None:
    """Start ``run``, or put it into its folder's queue where another one is at work.

    Raises:
        RunError: it is at work or finished already, or its folder cannot be written or locked.
    """
    state = run.status().state
    if state in ("running", "done"):
        raise RunError(f"{run.name} is {state} already")
    run.at_rest()
    run.enter_queue()
    start_next(run.path.parent)


def withdraw(run: Run) -> None:
    """Take ``run`` out of the queue; one whose worker has just begun is asked to stop.

    Raises:
        RunError: the queue is in use, or the run's folder cannot be written.
    """
    with _held(run.path.parent, LOCK_SECONDS):
        if run.is_locked():
            run.request_stop()
        else:
            run.leave_queue()


def settled(run: Run) -> Status:
    """The status of ``run``, read while nobody is starting a run of its folder."""
    status = run.status()
    if status.state in ("running", "queued", "done") or not run.path.exists():
        return status
    with _held(run.path.parent, -1):
        return run.status()


def start_next(runs_dir: Path) -> Run | None:
    """Start the first of the queue if no run of the folder is at work, or fewer than this server allows at once;
    the run that was started, if any.

    A run whose worker ends at once makes way for the one behind it.
    """
    allowed = server_limits.current()
    if allowed.read_only or not waiting(runs_dir):
        return None
    try:
        with _held(runs_dir, LOCK_SECONDS):
            for run in waiting(runs_dir):
                at_work = sum(other.status().state == "running" for other in Run.all(runs_dir))
                if at_work >= (allowed.max_runs or 1):
                    return None
                if _started(run):
                    return run
    except RunError:  # someone else is at it; or a folder that cannot be written or locked has no queue
        pass
    return None


@contextmanager
def _held(runs_dir: Path, seconds: float) -> Iterator[None]:
    """Hold the queue of a folder: one at a time looks who is at work and starts the next."""
    with locks.hold(runs_dir / ".queue.lock", held="the queue is in use: try again", timeout=seconds):
        yield


def _started(run: Run) -> bool:
    """Start ``run`` and see it at work; leave the reason in its log where it cannot be started."""
    try:
        start(run)
    except RunError as error:
        if not run.is_locked():  # else someone has resumed it
            with contextlib.suppress(RunError, OSError):  # a folder that cannot be written keeps no reason either
                run.leave_queue()
                run.log("failed", message=str(error))
    return run.status().state == "running"
