"""Following jobs in a terminal: progress bars with time left, and Ctrl-C that leaves a job that can be continued."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from certssb_core.cli.common import say
from certssb_core.comparisons.measurement import Measurement
from certssb_core.errors import RunError
from certssb_core.jobs.launch import start
from certssb_core.runs.job import Job, Status
from certssb_core.runs.run import Run

_POLL_SECONDS = 0.5


def attend(job: Job, look: Callable[[], None]) -> Status:
    """Start the job's worker, and look at the job now and then until it ends.

    Ctrl-C asks the worker to stop after the members in hand, and waits for it; a second Ctrl-C leaves it to that.

    Returns:
        the job's last status: done, stopped or failed.

    Raises:
        RunError: the job cannot be started, or its worker ended without a word.
    """
    interrupted = threading.Event()
    with _on_ctrl_c(interrupted.set):
        worker, code = start(job), None
        while code is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = worker.wait(timeout=_POLL_SECONDS)
            if interrupted.is_set():
                interrupted.clear()
                job.request_stop()
                say("stopping after the members in hand …", file=sys.stderr)
            look()
    status = job.status()
    if status.state in ("new", "running"):
        raise RunError(f"the worker of {job.name} ended with code {code}; see {job.path / 'worker.log'}, then resume")
    return status


@contextlib.contextmanager
def _on_ctrl_c(act: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C call ``act`` instead of raising in the middle of a line.

    A process that was told to ignore Ctrl-C (a shell's background job) goes on ignoring it.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def follow(job: Run | Measurement) -> Status:
    """Attend to a job with one bar per stage of its run, or of the run that the measurement is at."""
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bars = Bars(progress)
        return attend(job, lambda: bars.draw(job) if isinstance(job, Run) else bars.draw_current(job))


@dataclass
class Bars:
    """The bars of the stages of one run; cleared when a measurement goes on to the next."""

    progress: Progress
    run: str = ""
    known: dict[str, TaskID] = field(default_factory=dict)

    def draw_current(self, measurement: Measurement) -> None:
        """Draw the run that a measurement is at."""
        status = measurement.status()
        run = Run(measurement.runs_dir / status.stage)
        if status.stage not in ("", self.run):
            place = f" ({status.done + 1} of {status.total})" if status.done < status.total else ""
            self.progress.console.print(f"{status.stage}{place}")
            for bar in self.known.values():
                self.progress.remove_task(bar)
            self.run, self.known = status.stage, {}
        if status.stage and run.path.is_dir():
            self.draw(run)

    def draw(self, run: Run) -> None:
        for event in run.events():
            if event["kind"] not in ("stage", "progress", "stage_done"):
                continue
            bar = self._bar(event["stage"])
            if event["kind"] == "progress":
                left = _left(event.get("seconds_left"))
                self.progress.update(bar, total=event["total"], completed=event["done"], left=left)
            elif event["kind"] == "stage_done":
                total = next(task.total for task in self.progress.tasks if task.id == bar) or 1
                self.progress.update(bar, total=total, completed=total, left=f"{event['seconds']:.1f} s")

    def _bar(self, stage: str) -> TaskID:
        if stage not in self.known:
            self.known[stage] = self.progress.add_task(stage, total=None, left="")
        return self.known[stage]


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s left" if minutes else f"{rest} s left"
