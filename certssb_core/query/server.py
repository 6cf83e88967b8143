"""The query process: one finished run, its members in memory, answering images over its own standard input and output.

One JSON object per line. It first says ``{"ready": true}``; then every ``{"image": …, "fixed": …}``, base64 of float32
``(C, H, W)`` and whether the fixed ensemble votes, too, is answered by ``{"reply": …}`` or ``{"error": …}``. It ends
when its input closes, which the operating system does for a parent that is gone, however it went; and when nobody has
asked anything for a while.
"""

from __future__ import annotations

import base64
import json
import os
import queue
import sys
import threading
from typing import Any, TextIO

import numpy as np

from certssb_core.runs import server_limits
from certssb_core.runs.run import Run

IDLE_SECONDS = 600.0
"""A process that nobody asks for so long gives its memory back."""


def serve(run: Run, *, idle_seconds: float = IDLE_SECONDS) -> None:
    """Answer until the input ends or nobody asks any more."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not be taken for an answer
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    try:
        from certssb_core.query.ensemble import LoadedEnsemble

        loaded = LoadedEnsemble(run)
        insert = server_limits.current().query_insert
    except Exception as error:
        _say(output, error=_words(error))
        return
    _say(output, ready=True)
    warm = False
    while line := _next(lines, idle_seconds):
        try:
            question = json.loads(line)
            pixels = np.frombuffer(base64.b64decode(question["image"]), np.float32)
            reply = loaded.ask(pixels.reshape(loaded.shape).copy(), insert=insert, fixed=question["fixed"])
            _say(output, reply=reply.__dict__)
            if not warm:  # a first search for σ* costs a second of loading code; a known image needs none
                loaded.ask(np.full(loaded.shape, 0.5, np.float32), fixed=False)
                warm = True
        except Exception as error:
            _say(output, error=_words(error))


def _read(lines: queue.Queue[str]) -> None:
    """A pipe has no timeout of its own on every system: a thread waits on it, and the empty line says that it ended."""
    for line in sys.stdin:
        lines.put(line)
    lines.put("")


def _next(lines: queue.Queue[str], seconds: float) -> str:
    try:
        return lines.get(timeout=seconds)
    except queue.Empty:
        return ""


def _say(output: TextIO, **message: Any) -> None:
    output.write(json.dumps(message) + "\n")
    output.flush()


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
