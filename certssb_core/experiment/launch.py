"""Starting the processes of runs and studies: the command line and the dashboard do it here, the same way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from certssb_core.experiment import cost, limits
from certssb_core.experiment.job import Job, RunError
from certssb_core.experiment.run import Run
from certssb_core.experiment.study import Study, require_optuna

PROJECT = Path(__file__).resolve().parents[2]


def program(*arguments: str) -> list[str]:
    """The command line in a process of its own."""
    return [sys.executable, "-m", "certssb_core", *arguments]


def environment() -> dict[str, str]:
    """This process's, in which the project can be imported from any folder."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))}


def start(run: Run) -> subprocess.Popen:
    """Start a worker process that takes a new, queued or stopped run to its end and outlives whoever started it.

    Raises:
        RunError: the run is finished, has a worker already, or is more than this server allows.
    """
    state = run.status().state
    if state in ("running", "done"):
        raise RunError(f"{run.name} is {state} already")
    check_affordable(run, run.path.parent)
    run.leave_queue()
    return _spawn(run, "worker")


def start_study(study: Study) -> subprocess.Popen:
    """Start a worker process that makes the study's remaining trials and outlives whoever started it.

    Raises:
        RunError: the study has made all its trials, has a worker already, or is more than this server allows; or
            Optuna is not installed.
    """
    require_optuna()
    state = study.status().state
    if state in ("running", "done"):
        raise RunError(f"study {study.name} is {state} already")
    check_affordable(study, study.runs_dir, times=study.config.trials - study.status().done)
    return _spawn(study, "study-worker")


def check_affordable(job: Run | Study, runs_dir: Path, *, times: int = 1) -> None:
    """See whether this server allows what a run is forecast to take, or ``times`` runs of a study.

    Raises:
        RunError: it does not, or allows only so much and what this takes is not known.
    """
    limits.check_writable()
    if not limits.current().costs:
        return
    # Read afresh: the worker is about to replace a run's config, and the caller must not have kept the old one.
    config = Run(job.path).config if isinstance(job, Run) else job.config.base
    found = cost.forecast(config, Run.all(runs_dir), cost.read_calibration(config, runs_dir))
    if found is None:
        raise RunError(
            "this server allows a launch only so much time, memory and disk, and what this one takes is not known: "
            "time this machine first (on the Train page, or `python -m certssb_core forecast`)"
        )
    limits.check_cost(times * found.seconds, found.peak_memory_bytes, times * found.disk_bytes)


def _spawn(job: Job, command: str) -> subprocess.Popen:
    """``python -m certssb_core COMMAND FOLDER`` in a session of its own, writing to worker.log."""
    limits.check_writable()
    job.clear_stop()
    with (job.path / "worker.log").open("ab") as log:
        return subprocess.Popen(
            program(command, str(job.path.resolve())),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment(),
        )
