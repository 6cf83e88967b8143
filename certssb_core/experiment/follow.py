"""Following a run in a terminal: progress bars with time left, and Ctrl-C that leaves a run that resumes."""

from __future__ import annotations

import subprocess

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from certssb_core.experiment.launch import start
from certssb_core.experiment.run import Run, RunError, Status

_POLL_SECONDS = 0.5


def follow(run: Run) -> Status:
    """Start the run's worker and show its progress until it ends.

    Ctrl-C asks the worker to stop after the members in hand, and waits for it; a second Ctrl-C leaves it to that.

    Returns:
        the run's last status: done, stopped or failed.

    Raises:
        RunError: the run cannot be started.
    """
    worker = start(run)
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bars: dict[str, int] = {}
        while True:
            try:
                code = worker.wait(timeout=_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                code = None
            except KeyboardInterrupt:
                run.request_stop()
                progress.console.print("stopping after the members in hand …")
                continue
            for event in run.events():
                if event["kind"] == "stage":
                    stage = event["stage"]
                    if stage not in bars:
                        bars[stage] = progress.add_task(stage, total=None, left="")
                elif event["kind"] == "progress":
                    progress.update(
                        bars[event["stage"]],
                        total=event["total"],
                        completed=event["done"],
                        left=_left(event.get("seconds_left")),
                    )
                elif event["kind"] == "stage_done":
                    total = progress.tasks[bars[event["stage"]]].total or 1
                    progress.update(
                        bars[event["stage"]], total=total, completed=total, left=f"{event['seconds']:.1f} s"
                    )
            if code is not None:
                break
    status = run.status()
    if status.state in ("new", "running") or (status.state == "stopped" and code < 0):
        raise RunError(f"the worker of {run.name} ended with code {code}; see {run.path / 'worker.log'}, then resume")
    return status


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s left" if minutes else f"{rest} s left"
