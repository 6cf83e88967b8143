"""The worker process: takes one run through the pipeline and leaves its fate in the run's log."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import traceback

from certssb_core.ensemble.out_of_memory import out_of_memory
from certssb_core.errors import ConfigError, DataError, EngineError, PoisonError, RunError, StoreError
from certssb_core.runs import server_limits
from certssb_core.runs.run import Run

PLAIN_ERRORS = (DataError, PoisonError, ConfigError, RunError, StoreError, EngineError)
"""Errors whose message is all a person needs; anything else also leaves its traceback in worker.log."""

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

LOCK_SECONDS = 5.0
"""How long to wait for the lock: someone may be looking whether the run is alive."""


def work(run: Run) -> bool:
    """Take ``run`` to its end, or to its stop or failure; True if it finished.

    Raises:
        RunError: another worker holds the run.
    """
    with run.lock(timeout=LOCK_SECONDS):
        if run.status().state == "done":
            return True
        signal.signal(signal.SIGTERM, lambda *_: run.request_stop())
        run.log("message", message="worker started", process=os.getpid())
        try:
            from certssb_core.pipeline import context
            from certssb_core.pipeline.import_published import ReleaseImport
            from certssb_core.pipeline.pipeline import Pipeline, Stopped

            pipelines = {"trained": Pipeline, "cert-ssbd-release": ReleaseImport}
            with server_limits.a_place_at_work(run.path.parent):
                pipelines[run.config.origin](run).execute()
            return True
        except Stopped:
            run.clear_stop()
            run.log("stopped", message="stopped on request; resume continues it")
        except PLAIN_ERRORS as error:
            run.log("failed", message=str(error), cause="data" if isinstance(error, DataError) else "")
        except Exception as error:
            with contextlib.suppress(OSError):
                traceback.print_exc()  # into worker.log
            if _disk_is_full(error):
                context.scratch_path(run).unlink(missing_ok=True)  # made anew; leaves room to say what happened
            with contextlib.suppress(OSError):
                run.log("failed", message=_explained(error))
        return False


def _disk_is_full(error: Exception) -> bool:
    """Whether Python or safetensors says so."""
    return getattr(error, "errno", None) in FULL or "No space left on device" in str(error)


def _explained(error: Exception) -> str:
    """What happened, and what to do."""
    if _disk_is_full(error):
        return f"the disk is full ({error}): make room, then resume; everything that was finished is kept"
    if isinstance(error, OSError):
        return f"the run's folder cannot be written ({error}): put that right, then resume; what was finished is kept"
    if out_of_memory(error):
        return (
            "there is not enough memory: fewer training.workers, a smaller training.batch_size or fewer noise.draws "
            "need less. Finished members are kept: resume when there is more"
        )
    return f"{type(error).__name__}: {error} (details in worker.log)"
