"""A job is a folder that a process of its own works on: it has a log, a lock and a way to be stopped.

Whether a worker is alive is told by the lock it holds on ``run.lock``: the operating system lets go of
it when the process dies, so neither a recycled process number nor a clock can fool it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from certssb_core.config.schema import RunConfig
from certssb_core.errors import LockedError, RunError, Stopped
from certssb_core.runs import files, locks, server_limits

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Job", "RunError", "State", "Status"]

State = Literal["new", "queued", "running", "stopped", "failed", "done"]


_FIELDS: dict[str, dict[str, tuple[type, ...]]] = {
    "stage": {"stage": (str,)},
    "progress": {"stage": (str,), "done": (int,), "total": (int,), "seconds_left": (int, float, type(None))},
    "stage_done": {"stage": (str,), "seconds": (int, float)},
    "wrote": {"file": (str,), "sha256": (str,)},
    "trial": {"number": (int,), "run": (str,)},
    "told": {"number": (int,), "run": (str,)},
    "run": {"run": (str,)},
}
"""The fields that every event of a kind must have, with their types."""

_AT_REST: dict[str, State] = {
    "new": "new",
    "asked": "new",
    "stopped": "stopped",
    "extended": "stopped",
    "failed": "failed",
    "finished": "done",
}
"""The state of a job that no worker holds, by the kind of its last event."""

_LOOK_SECONDS = 1.0
"""How long to wait for the lock of a job at rest: someone may be looking whether it is alive."""

_END_BYTES = 1 << 12
"""How much of either end of a log is read to find its first or last event."""

PROTECTED = "protected"
"""A file in the folder of a job that must stay, such as the run that the project ships."""

TRASH = ".trash"
"""Folder beside the jobs that holds the discarded ones."""

DIED = "the worker ended without a word: killed, out of memory, or the machine went down (see worker.log)"


def _whole(event: Any) -> bool:
    """Tell whether a line of a log is an event as it was written: a power cut may leave anything."""
    if not isinstance(event, dict) or not isinstance(event.get("kind"), str):
        return False
    if not all(isinstance(event.get(name, ""), str) for name in ("message", "cause", "time")):
        return False
    return all(isinstance(event.get(name), types) for name, types in _FIELDS.get(event["kind"], {}).items())


def _whole_events(lines: list[str]) -> Iterator[dict[str, Any]]:
    """The events in lines of a log; what is cut off or damaged is passed over."""
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if _whole(event):
            yield event


@dataclass(frozen=True)
class Status:
    """State of a job. ``done`` of ``total`` count the current stage's units (members, images, trials, …);
    ``silence`` says what can be done about a worker that has said nothing for long."""

    state: State
    stage: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    message: str = ""
    cause: str = ""
    silence: str = ""


class Job:
    """Handle on a job's folder; holds no state of its own beyond what is on disk."""

    WORKER = ""
    """The command of the command line that works on it."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @property
    def runs_dir(self) -> Path:
        """The folder of runs that it belongs to."""
        raise NotImplementedError

    def status(self) -> Status:
        """State of the job."""
        raise NotImplementedError

    def remaining(self) -> dict[RunConfig, int]:
        """Configs still to run, and how many of each."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        return self.path.name

    # -- its log ------------------------------------------------------------------------------------

    def log(self, kind: str, **fields: Any) -> None:
        """Append one event; a single write, so that lines of two writers never mix."""
        server_limits.check_writable()
        event = {
            "time": datetime.now().astimezone().isoformat(timespec="milliseconds"),
            "kind": kind,
        } | fields
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(event, ensure_ascii=False) + "\n")

    def events(self) -> list[dict[str, Any]]:
        """All events; a line cut off by a kill is passed over."""
        try:
            text = (self.path / "events.jsonl").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        return list(_whole_events(text.splitlines()))

    def first_event(self) -> dict[str, Any]:
        """The first whole event, read without the rest of the log; empty if there is none."""
        return next(self._events_at(0), {})

    def last_event(self) -> dict[str, Any]:
        """The last whole event, read without the rest of the log; empty if there is none."""
        return next(self._events_at(-_END_BYTES), {})

    def _events_at(self, start: int) -> Iterator[dict[str, Any]]:
        """Whole events from the log's beginning on, or from its end backwards; from one end first, else from all."""
        step = -1 if start < 0 else 1
        try:
            with (self.path / "events.jsonl").open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size + start) if start < 0 else 0)
                lines = file.read(_END_BYTES).decode("utf-8", errors="replace").splitlines()
        except OSError:
            return
        yield from _whole_events(lines[::step])
        yield from self.events()[::step]

    def is_done(self) -> bool:
        """Tell whether the job has finished: as :meth:`status`, but cheap enough for a thousand of them."""
        return self.last_event().get("kind") == "finished"

    def standing(self, events: list[dict[str, Any]]) -> State:
        """The job's state, from its log and its lock; failed where a worker left the lock without a last word."""
        last = events[-1]["kind"] if events else "new"
        if last != "finished" and self.is_locked():
            return "running"
        return _AT_REST.get(last, "failed")

    def last_words(self, events: list[dict[str, Any]], state: State) -> str:
        """The message of the last event; :data:`DIED` where a worker ended without one."""
        if state == "failed" and events[-1]["kind"] != "failed":
            return DIED
        return events[-1].get("message", "") if events else ""

    # -- one worker at a time -----------------------------------------------------------------------

    @contextmanager
    def lock(self, timeout: float = 0.0) -> Iterator[None]:
        """Hold the job; released by the operating system even if this process is killed.

        Raises:
            LockedError: another process holds it.
            RunError: its folder cannot be written, or is on a disk without file locks.
        """
        held = f"{self.name} has a worker at this moment; stop it first"
        with locks.hold(self.path / "run.lock", held=held, timeout=timeout):
            yield

    def is_locked(self) -> bool:
        """Tell whether a worker holds the job. Asking writes nothing, and two who ask at once are no worker."""
        path = self.path / "run.lock"
        if fcntl is not None:
            try:
                with path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return False
            except BlockingIOError:
                return True
            except OSError:  # there is none
                return False
        if not path.exists() or not os.access(self.path, os.W_OK):
            return False
        try:
            with self.lock():
                return False
        except LockedError:
            return True
        except RunError:
            return False

    def request_stop(self) -> None:
        """Ask the worker to stop after the members in hand. Asking, never signalling, cannot hit a stranger."""
        with files.writing(self.path):
            (self.path / "stop").touch()

    def stop_requested(self) -> bool:
        return (self.path / "stop").exists()

    def check_stop(self) -> None:
        """End the work here if the job was asked to stop.

        Raises:
            Stopped: it was.
        """
        if self.stop_requested():
            raise Stopped("stopped on request; resume continues it")

    def make_ready(self) -> None:
        """Check that a worker can write and lock the folder, and clear a pending stop.

        Raises:
            RunError: it cannot, or has one already.
        """
        self.at_rest()
        self.clear_stop()

    def clear_stop(self) -> None:
        with files.writing(self.path):
            (self.path / "stop").unlink(missing_ok=True)

    # -- its folder ---------------------------------------------------------------------------------

    @property
    def protected(self) -> bool:
        """Tell whether the folder holds a file ``protected``: then it is neither renamed nor deleted."""
        return (self.path / PROTECTED).exists()

    def check_unprotected(self) -> None:
        """Raise a RunError where the folder is protected."""
        if self.protected:
            raise RunError(
                f"{self.name} is protected: it ships with the project; remove the file {self.path / PROTECTED} first"
            )

    def discard(self) -> Path:
        """Move the folder of a job that no worker holds into the trash beside it; its new place.

        Raises:
            RunError: it is protected, a worker is on it, or the folder cannot be moved.
        """
        self.check_unprotected()
        self.at_rest()
        trash = self.path.parent / TRASH
        with files.writing(self.path):
            trash.mkdir(exist_ok=True)
            target, number = trash / self.name, 2
            while target.exists():
                target, number = trash / f"{self.name}-{number}", number + 1
            return self.path.rename(target)

    def delete(self) -> None:
        """Remove the folder of a job that no worker holds.

        Raises:
            RunError: it is protected, a worker is on it, or the folder cannot be removed.
        """
        self.check_unprotected()
        self.at_rest()
        try:
            shutil.rmtree(self.path)
        except OSError as error:
            raise RunError(f"{self.path} cannot be removed: {error.strerror}") from None

    def at_rest(self) -> None:
        """Check that no worker holds the job; the lock is let go of again, as Windows keeps folders of files in use.

        Raises:
            RunError: a worker does, or the folder cannot be written or locked.
        """
        server_limits.check_writable()
        with self.lock(timeout=_LOOK_SECONDS):
            pass

    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file())


def discarded(folder: Path) -> list[Job]:
    """The jobs in the trash of ``folder``, by name."""
    return [Job(path) for path in sorted((folder / TRASH).glob("*/")) if path.is_dir()]


def restore(job: Job) -> Path:
    """Move a discarded job back to where it was; its place.

    Raises:
        RunError: its name has been taken since, or the folder cannot be moved.
    """
    target = job.path.parent.parent / job.name
    if target.exists():
        raise RunError(f"{target} exists already: rename that one first")
    with files.writing(target.parent):
        return job.path.rename(target)
