"""Errands: short commands in a process of their own, whose answer a page shows when it is there.

A page that needs torch, or a download, sends one and stays usable. The answer is kept for as long as the server runs.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, TextIO

import streamlit as st

from certssb_core.errors import RunError
from certssb_core.jobs.launch import environment, program
from ui.kit import dialog, run_files, text

AT_ONCE, KEPT = 2, 256
"""Errands at work at once, and answers kept."""
REFRESH_SECONDS = 1


class Errand:
    """A command at work, or its outcome."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._output, self._errors = (
            tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  # lives as long as the process
            for _ in range(2)
        )
        self._process = subprocess.Popen(
            program(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._errors,
            env=environment(),
        )

    @property
    def at_work(self) -> bool:
        return self._process.poll() is None

    @property
    def problem(self) -> str:
        """Reason why it failed, in its own last words; empty where it did not."""
        if not self._process.poll():
            return ""
        return _read(self._errors).rpartition("\n")[2].removeprefix("error: ") or "the command ended without a word"

    @property
    def answer(self) -> Any:
        """The JSON that it printed, or else its text."""
        said = _read(self._output)
        try:
            return json.loads(said)
        except ValueError:
            return said


def _read(file: TextIO) -> str:
    file.seek(0)
    return file.read().strip()


def answer(key: str) -> Any | None:
    """The answer of the errand ``key``; None as long as there is none."""
    errand = _errands().get(key)
    return errand.answer if errand and not errand.at_work and not errand.problem else None


def failed(key: str) -> bool:
    """Tell whether the errand ``key`` was sent and failed."""
    errand = _errands().get(key)
    return errand is not None and bool(errand.problem)


def send(key: str, *arguments: str) -> None:
    """Start the command line with ``arguments``; one that is at work, or has answered, stays.

    Raises:
        RunError: too many are at work.
    """
    with _lock():
        errands = _errands()
        if key in errands and not errands[key].problem:
            return
        if sum(errand.at_work for errand in errands.values()) >= AT_ONCE:
            raise RunError(f"{AT_ONCE} such computations are at work already: try again when one has ended")
        errands[key] = Errand(arguments)
        while len(errands) > KEPT:
            errands.popitem(last=False)


def offer(key: str, *arguments: str, button: str, icon: str, help: str, working: str) -> None:
    """A button that sends an errand; while it is at work, words that say so; afterwards its problem, if it had one.

    Args:
        key: names the errand and all that it depends on.
        arguments: of the command line.
        button, icon, help: of the button.
        working: shown meanwhile.
    """
    if run_files.read_only():
        return
    errand = _errands().get(key)
    if errand and errand.at_work:
        st.fragment(_waiting, run_every=REFRESH_SECONDS)(key, working)
        return
    if errand and errand.problem:
        text.failed(errand.problem)
    if st.button(button, key=f"send-{key}", icon=icon, help=help):
        try:
            send(key, *arguments)
        except RunError as error:
            text.failed(str(error))
        else:
            st.rerun()


def _waiting(key: str, working: str) -> None:
    errand = _errands().get(key)
    if errand is None or not errand.at_work:
        dialog.redraw()
    st.markdown(f":material/hourglass_top: {working}")


@st.cache_resource(show_spinner=False)
def _errands() -> OrderedDict[str, Errand]:
    return OrderedDict()


@st.cache_resource(show_spinner=False)
def _lock() -> threading.Lock:
    return threading.Lock()
