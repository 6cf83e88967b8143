"""Asking finished runs from a program that must not load torch: through a query process per run, started on demand."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import queue
import subprocess
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from certssb_core.errors import RunError
from certssb_core.jobs.launch import environment, program
from certssb_core.query.reply import Reply, check_can_answer
from certssb_core.runs.run import Run

START_SECONDS = 180.0
"""Longest time for importing torch, reading the data and the members."""
ANSWER_SECONDS = 60.0
"""Longest time for one answer."""
PROCESSES = 2
"""Query processes at once; one more ends the one that was asked least recently."""


class Answerer:
    """The query process of one run. It may be asked from any thread; questions wait for each other."""

    def __init__(
        self, run: Run, *, start_seconds: float = START_SECONDS, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self.run = run
        self._start_seconds, self._answer_seconds = start_seconds, answer_seconds
        self._asking = threading.Lock()
        self._lines: queue.Queue[str] = queue.Queue()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process that writes to it
        self._process = subprocess.Popen(
            self._command(run),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            start_new_session=True,
            env=environment(),
        )
        self._ready = False
        # The thread holds no reference to this object: one that is forgotten closes the pipe, which ends the process.
        threading.Thread(target=_listen, args=(self._process.stdout, self._lines), daemon=True).start()

    @staticmethod
    def _command(run: Run) -> list[str]:
        return program("answer", str(run.path.resolve()))

    def ask(self, image: np.ndarray, *, fixed: bool = False) -> Reply:
        """Ask the run about ``image`` ``(C, H, W)`` float32; its fixed ensemble votes only where ``fixed`` asks for it.

        Raises:
            RunError: the run cannot answer, or its process died or hung; it has been ended then, and another one
                can be started.
        """
        with self._asking:
            if not self._ready:
                self._hear(self._start_seconds)
                self._ready = True
            pixels = base64.b64encode(np.ascontiguousarray(image, np.float32).tobytes()).decode()
            # In a thread: a process that hangs would not empty the pipe either, and only hearing has a timeout.
            line = json.dumps({"image": pixels, "fixed": fixed}) + "\n"
            threading.Thread(target=_tell, args=(self._process.stdin, line), daemon=True).start()
            reply = self._hear(self._answer_seconds)["reply"]
        return Reply(**reply | {"votes": tuple(reply["votes"])})

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()

    def _hear(self, seconds: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            self.close()
            raise RunError(
                f"the members of {self.run.name} gave no answer within {seconds:g} s, so their process was ended; "
                "ask again, perhaps when the machine has less to do"
            ) from None
        if not line:
            self.close()
            raise RunError(self._ended())
        message = json.loads(line)
        if "error" in message:
            raise RunError(message["error"])
        return message

    def _ended(self) -> str:
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - 2000))
        last = self._errors.read().decode(errors="replace").strip().rpartition("\n")[2]
        return f"the query process of {self.run.name} ended ({last or 'killed: out of memory?'}); ask again to start it"


def _tell(process: TextIO, line: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # it is gone: whoever waits for the answer hears of it
        process.write(line)
        process.flush()


def _listen(output: TextIO, lines: queue.Queue[str]) -> None:
    """A pipe has no timeout of its own on every system: a thread waits on it, and the empty line says that it ended."""
    for line in output:
        lines.put(line)
    lines.put("")


class Answerers:
    """The query processes of one program, at most ``limit`` of them; a dead one is replaced at the next question."""

    def __init__(self, *, limit: int = PROCESSES, make: type[Answerer] = Answerer) -> None:
        self._limit, self._make = limit, make
        self._changing = threading.Lock()
        self._processes: OrderedDict[tuple[Path, int], Answerer] = OrderedDict()

    def ask(self, run: Run, image: np.ndarray, *, fixed: bool = False) -> Reply:
        """Ask as :meth:`Answerer.ask` does; start the run's process if there is none."""
        return self.of(run).ask(image, fixed=fixed)

    def of(self, run: Run) -> Answerer:
        """The process of ``run``; a run that was made again has a new one.

        Raises:
            RunError: its members cannot vote.
        """
        check_can_answer(run)
        votes = run.path / "votes.safetensors"
        key = (run.path.resolve(), votes.stat().st_mtime_ns if votes.exists() else 0)
        with self._changing:
            found = self._processes.pop(key, None)
            if found is None or not found.alive:
                while len(self._processes) >= self._limit:
                    self._processes.popitem(last=False)[1].close()
                found = self._make(run)
            self._processes[key] = found
            return found

    def close(self) -> None:
        """End all of them."""
        with self._changing:
            while self._processes:
                self._processes.popitem()[1].close()
