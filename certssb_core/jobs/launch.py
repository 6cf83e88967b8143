"""Starting the worker of a run, a study or a measurement: one way for the command line and the dashboard."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from certssb_core.errors import RunError
from certssb_core.jobs import forecast
from certssb_core.runs import server_limits
from certssb_core.runs.job import Job

PROJECT = Path(__file__).resolve().parents[2]


def program(*arguments: str) -> list[str]:
    """The command line in a process of its own."""
    return [sys.executable, "-m", "certssb_core", *arguments]


def environment() -> dict[str, str]:
    """This process's, in which the project can be imported from any folder."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))}


def start(job: Job) -> subprocess.Popen:
    """Start the worker process of a job that is new, queued or stopped; it outlives whoever started it.

    Raises:
        RunError: the job is finished, has a worker already, or is more than this server allows; or a package that it
            needs is not installed.
    """
    state = job.status().state
    if state in ("running", "done"):
        raise RunError(f"{job.name} is {state} already")
    check_affordable(job)
    job.make_ready()
    return _spawn(job)


def check_affordable(job: Job) -> None:
    """See whether this server allows what the runs that are left to a job are forecast to take.

    Raises:
        RunError: it does not, or allows only so much and what this takes is not known.
    """
    server_limits.check_writable()
    if not server_limits.current().costs:
        return
    found = forecast.total(job.remaining(), job.runs_dir)
    if found is None:
        raise RunError(
            "this server allows a launch only so much time, memory and disk, and what this one takes is not known: "
            "time this machine first (on the Train page, or `python -m certssb_core forecast`)"
        )
    server_limits.check_cost(found.seconds, found.peak_memory_bytes, found.disk_bytes)


def _spawn(job: Job) -> subprocess.Popen:
    """``python -m certssb_core COMMAND FOLDER`` in a session of its own, writing to worker.log."""
    with (job.path / "worker.log").open("ab") as log:
        return subprocess.Popen(
            program(job.WORKER, str(job.path.resolve())),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment(),
        )
