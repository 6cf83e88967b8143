"""The worker process of a job: does its work and leaves its fate in the job's log."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import traceback
from collections.abc import Callable

from certssb_core.ensemble.out_of_memory import out_of_memory
from certssb_core.errors import ConfigError, DataError, EngineError, PoisonError, RunError, Stopped, StoreError
from certssb_core.pipeline.engines import local
from certssb_core.runs import server_limits
from certssb_core.runs.job import Job
from certssb_core.runs.run import Run

PLAIN_ERRORS = (DataError, PoisonError, ConfigError, RunError, StoreError, EngineError)
"""Errors whose message is all a person needs; anything else also leaves its traceback in worker.log."""

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

LOCK_SECONDS = 5.0
"""How long to wait for the lock: someone may be looking whether the job is alive."""


def carry_out(job: Job, make: Callable[[], None]) -> bool:
    """Let ``make`` do what is left of ``job``, in this process, and leave its fate in the job's log.

    Args:
        make: logs ``finished`` when it is through.

    Returns:
        whether it finished.

    Raises:
        RunError: another worker holds the job, or its folder cannot be locked.
    """
    with job.lock(timeout=LOCK_SECONDS):
        if job.standing(job.events()) == "done":
            return True
        signal.signal(signal.SIGTERM, lambda *_: job.request_stop())
        job.log("message", message="worker started", process=os.getpid())
        try:
            make()
            return True
        except Stopped as reason:
            job.clear_stop()
            job.log("stopped", message=str(reason))
        except PLAIN_ERRORS as error:
            job.log("failed", message=str(error), cause="data" if isinstance(error, DataError) else "")
        except Exception as error:
            with contextlib.suppress(OSError):
                traceback.print_exc()  # into worker.log
            if disk_is_full(error):
                with contextlib.suppress(OSError):  # made anew; leaves room to say what happened
                    (job.path / "scratch.safetensors").unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                job.log("failed", message=explain(error, job))
        return False


def work(run: Run) -> bool:
    """Take ``run`` to its end, or to its stop or failure; True if it finished.

    Raises:
        RunError: another worker holds the run, or its folder cannot be locked.
    """
    return carry_out(run, lambda: _make(run))


def _make(run: Run) -> None:
    """Take ``run`` out of the queue and through the pipeline of its kind."""
    run.leave_queue()
    if run.config.training.device != "cuda":
        local.make_ready()
    from certssb_core.pipeline.import_published import ReleaseImport
    from certssb_core.pipeline.pipeline import Pipeline

    pipelines = {"trained": Pipeline, "cert-ssbd-release": ReleaseImport}
    with server_limits.a_place_at_work(run.path.parent):
        pipelines[run.config.origin](run).execute()


def disk_is_full(error: Exception) -> bool:
    """Tell whether Python or safetensors says so."""
    return getattr(error, "errno", None) in FULL or "No space left on device" in str(error)


def explain(error: Exception, job: Job) -> str:
    """Say what happened, and what to do."""
    if disk_is_full(error):
        return f"the disk is full ({error}): make room, then resume; everything that was finished is kept"
    if isinstance(error, OSError) and str(error.filename or "").startswith(str(job.path)):
        return f"the run's folder cannot be written ({error}): put that right, then resume; what was finished is kept"
    if isinstance(error, OSError):
        return f"the system refused something ({error}; where: worker.log): put that right, then resume"
    if isinstance(error, ImportError):
        return (
            f"a package cannot be loaded ({error}): install the requirements again, for this Python and this machine "
            "(`python -m certssb_core doctor` shows what works), then resume"
        )
    if out_of_memory(error):
        return (
            "there is not enough memory: fewer training.workers, a smaller training.batch_size or fewer noise.draws "
            "need less. Finished members are kept: resume when there is more"
        )
    return f"{type(error).__name__}: {error} (details in worker.log)"
