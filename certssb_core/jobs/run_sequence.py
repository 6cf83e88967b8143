"""Make runs one after the other, for a job that needs several: a study, or a measurement.

Its runs go through the queue of their folder, so a job takes its turn with whoever else is at work there.
"""

from __future__ import annotations

import contextlib
import time

from certssb_core.errors import LockedError, RunError, Stopped
from certssb_core.jobs import queue
from certssb_core.runs.job import Job, Status
from certssb_core.runs.run import Run

_POLL_SECONDS = 0.5


class RunEnded(Exception):
    """A run ended without finishing; the message says why."""


def finish(job: Job, run: Run) -> None:
    """Put ``run`` into the queue and wait for its end, whether it is new, was interrupted, is at work or has finished.

    Raises:
        Stopped: the job, or this run, was stopped.
        RunEnded: the run failed, its worker died, or it was removed.
    """
    submitted = False
    while (status := queue.settled(run)).state != "done":
        if not run.path.exists():
            raise RunEnded(f"{run.name} was deleted or renamed before its end")
        if status.state not in ("running", "queued"):
            job.check_stop()
            if submitted:
                _explain(run, status)
            with contextlib.suppress(RunError):  # someone else has just resumed it
                queue.submit(run)
            submitted = True
        elif job.stop_requested():
            with contextlib.suppress(LockedError):  # someone is starting a run: ask again
                queue.withdraw(run)
        elif status.state == "queued":
            submitted = True
            queue.start_next(run.path.parent)
        time.sleep(_POLL_SECONDS)


def _explain(run: Run, status: Status) -> None:
    """Raise why a run that was submitted has ended without finishing."""
    if status.state == "failed":
        raise RunEnded(status.message)
    raise Stopped(f"{run.name} was stopped or withdrawn; continue takes it up again")
