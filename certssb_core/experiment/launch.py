"""Starting a run's worker: the command line and the dashboard do it here, the same way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from certssb_core.experiment.run import Run, RunError

PROJECT = Path(__file__).resolve().parents[2]


def start(run: Run) -> subprocess.Popen:
    """Start a worker process that takes a new or stopped run to its end and outlives whoever started it.

    Raises:
        RunError: the run is finished, or has a worker already.
    """
    state = run.status().state
    if state in ("running", "done"):
        raise RunError(f"{run.name} is {state} already")
    run.clear_stop()
    search_path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    with (run.path / "worker.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "certssb_core", "worker", str(run.path.resolve())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": search_path},
        )
