"""The worker process: takes one run through the pipeline and leaves its fate in the run's log."""

from __future__ import annotations

import signal
import traceback

from certssb_core.data.sources import DataError
from certssb_core.data.triggers import PoisonError
from certssb_core.experiment.config import ConfigError
from certssb_core.experiment.run import Run, RunError

PLAIN_ERRORS = (DataError, PoisonError, ConfigError, RunError)
"""Errors whose message is all a person needs; anything else also leaves its traceback in worker.log."""

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
        run.log("message", message="worker started")
        try:
            from certssb_core.experiment.pipeline import Pipeline, Stopped
            from certssb_core.experiment.release_import import ReleaseImport

            pipelines = {"trained": Pipeline, "cert-ssbd-release": ReleaseImport}
            pipelines[run.config.origin](run).execute()
            return True
        except Stopped:
            run.clear_stop()
            run.log("stopped", message="stopped on request; resume continues it")
        except PLAIN_ERRORS as error:
            run.log("failed", message=str(error), cause="data" if isinstance(error, DataError) else "")
        except Exception as error:
            traceback.print_exc()
            run.log("failed", message=f"{type(error).__name__}: {error} (details in worker.log)")
        return False
