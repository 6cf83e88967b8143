"""Making runs one after the other, for a job that needs several: a study, or a measurement.

Its runs go through the queue of their folder, so a job takes its turn with whoever else is at work there.
"""

from __future__ import annotations

import contextlib
import signal
import time
import traceback
from collections.abc import Callable

from certssb_core.errors import RunError
from certssb_core.jobs import queue
from certssb_core.jobs.worker import LOCK_SECONDS, PLAIN_ERRORS
from certssb_core.runs.job import Job, Status
from certssb_core.runs.run import Run

_POLL_SECONDS = 0.5


class Interrupted(Exception):
    """The job ends here and can be continued; the message says why."""


class RunEnded(Exception):
    """A run ended without finishing; the message says why."""


def work(job: Job, make: Callable[[], str]) -> bool:
    """Let ``make`` do what is left of ``job``, in this process, and leave its fate in the job's log.

    Args:
        make: what it returns is said of the finished job.

    Returns:
        whether it finished.

    Raises:
        RunError: another worker holds the job.
    """
    with job.lock(timeout=LOCK_SECONDS):
        signal.signal(signal.SIGTERM, lambda *_: job.request_stop())
        job.log("message", message="worker started")
        try:
            job.log("finished", message=make())
            return True
        except Interrupted as reason:
            job.clear_stop()
            job.log("stopped", message=str(reason))
        except PLAIN_ERRORS as error:
            job.log("failed", message=str(error))
        except Exception as error:
            traceback.print_exc()
            job.log("failed", message=f"{type(error).__name__}: {error} (details in worker.log)")
        return False


def finish(job: Job, run: Run) -> None:
    """Put ``run`` into the queue and wait for its end, whether it is new, was interrupted, is at work or has finished.

    Raises:
        Interrupted: the job, or this run, was stopped.
        RunEnded: the run failed, its worker died, or it was removed.
    """
    submitted = False
    while (status := queue.settled(run)).state != "done":
        if not run.path.exists():
            raise RunEnded(f"{run.name} was deleted or renamed before its end")
        if status.state not in ("running", "queued"):
            check_stop(job)
            if submitted:
                _explain(run, status)
            with contextlib.suppress(RunError):  # someone else has just resumed it
                queue.submit(run)
            submitted = True
        elif job.stop_requested():
            run.request_stop() if status.state == "running" else run.leave_queue()
        elif status.state == "queued":
            submitted = True
            queue.start_next(run.path.parent)
        time.sleep(_POLL_SECONDS)


def check_stop(job: Job) -> None:
    """End here if the job was asked to stop.

    Raises:
        Interrupted: it was.
    """
    if job.stop_requested():
        raise Interrupted("stopped on request; continue goes on where it was")


def _explain(run: Run, status: Status) -> None:
    """Why a run that was submitted has ended without finishing."""
    if status.state == "failed":
        raise RunEnded(status.message)
    if status.state == "new" or run.events()[-1]["kind"] == "stopped":
        raise Interrupted(f"{run.name} was stopped or withdrawn; continue takes it up again")
    raise RunEnded(f"the worker of {run.name} ended without a word: killed, or out of memory (see its worker.log)")
