"""Start the worker of a run, a study or a measurement, from the command line or the dashboard."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from certssb_core.config.schema import RunConfig
from certssb_core.errors import RunError
from certssb_core.jobs import forecast
from certssb_core.runs import files, server_limits
from certssb_core.runs.job import Job
from certssb_core.runs.run import Run

_POLL_SECONDS, _BEGIN_SECONDS = 0.05, 60.0

PROJECT = Path(__file__).resolve().parents[2]


def program(*arguments: str) -> list[str]:
    """The arguments that start the command line in a process of its own."""
    return [sys.executable, "-m", "certssb_core", *arguments]


def environment() -> dict[str, str]:
    """This process's, in which the project can be imported from any folder, and output is UTF-8.

    Threads that wait for each other sleep, unless it says otherwise: where other processes want the cores, threads that
    spin instead make small networks 30 times slower.
    """
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    return {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ | {"PYTHONIOENCODING": "utf-8", "PYTHONPATH": path}


def start(job: Job) -> subprocess.Popen:
    """Start the worker process of a job that is new, queued or stopped, and see it begin; it outlives who started it.

    Raises:
        RunError: the job is finished, has a worker already, or is more than this server allows; a package that it
            needs is not installed; its folder cannot be written or locked; or the worker ended before it began.
    """
    state = job.status().state
    if state in ("running", "done"):
        raise RunError(f"{job.name} is {state} already")
    check_affordable(job)
    job.make_ready()
    before = _log_size(job)
    worker, until = _spawn(job), time.monotonic() + _BEGIN_SECONDS
    while _log_size(job) == before and time.monotonic() < until:
        if worker.poll() is not None and _log_size(job) == before:
            raise RunError(f"the worker of {job.name} ended before it began: {_last_line(job)}")
        time.sleep(_POLL_SECONDS)
    return worker


def run_experiment(config: RunConfig, name: str, runs_dir: Path | None = None) -> Run:
    """Make a run, let a worker process take it through the pipeline, and wait for its end.

    Whoever interrupts this leaves a run that goes on; ``python -m certssb_core resume NAME`` continues a stopped one.

    Raises:
        RunError: the name is taken, or the run did not finish; the message says why.
    """
    run = Run.create(config, name, runs_dir)
    start(run).wait()
    if (status := run.status()).state != "done":
        raise RunError(f"{run.name} is {status.state}: {status.message}")
    return run


def check_affordable(job: Job) -> None:
    """Check the forecast cost of a job's remaining runs against the server's limits.

    Raises:
        RunError: it does not, or allows only so much and what this takes is not known.
    """
    server_limits.check_writable()
    if not server_limits.current().costs:
        return
    found = forecast.total(job.remaining(), job.runs_dir)
    if found is None:
        raise RunError(
            "this server allows a launch only so much time, memory and disk, and what this one takes is not known. "
            "Time this machine first (on the Train page, or `python -m certssb_core forecast`)"
        )
    server_limits.check_cost(found.seconds, found.peak_memory_bytes, found.disk_bytes)


def _spawn(job: Job) -> subprocess.Popen:
    """``python -m certssb_core COMMAND FOLDER`` in a session of its own, writing to worker.log."""
    with files.writing(job.path), (job.path / "worker.log").open("ab") as log:
        return subprocess.Popen(
            program(job.WORKER, str(job.path.resolve())),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment(),
        )


def _log_size(job: Job) -> int:
    log = job.path / "events.jsonl"
    return log.stat().st_size if log.exists() else 0


def _last_line(job: Job) -> str:
    """The last line that a worker printed."""
    lines = (job.path / "worker.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"{lines[-1].removeprefix('error: ')} (see {job.path / 'worker.log'})" if lines else "it left no word"
