"""Making a run's stream of queries from the page, in a process of its own that outlives the page."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from typing import IO

import streamlit as st

from certssb_core.jobs import launch
from certssb_core.runs.run import Run
from ui.kit import run_files, text
from ui.query import answers

REFRESH = 2.0  # seconds
MOST_READ = 10_000  # bytes of what the process says


def offer(run: Run) -> None:
    """Say that there is no stream yet and offer to make it; while it is made, wait for it."""
    if reason := answers.unable(run):
        text.empty(f"The run answers no new image: {reason}.")
        return
    st.fragment(_offer, run_every=REFRESH if str(run.path) in _makers() else None)(run)


def _offer(run: Run) -> None:
    makers, key = _makers(), str(run.path)
    if run.stream_path.exists():
        st.rerun()
    process, errors = makers.get(key, (None, None))
    if process is not None and process.poll() is None:
        share = _share_done(errors)
        st.progress(share, f"The members answer a stream of about a hundred images: {share:.0%} …")
        return
    if process is not None:
        makers.pop(key)
        errors.seek(0)
        text.failed(errors.read().decode(errors="replace").strip().rpartition("\n")[2], "Try again.")
    text.empty(
        "No stream of queries has been sent to this run yet. The members would answer about a hundred images between "
        "its nearest test images, and their certificates would go to a store of their own. "
        "That takes a minute on a small run."
    )
    if st.button("Send a stream", icon=":material/play_arrow:", disabled=run_files.read_only()):
        makers[key] = _start(run)
        st.rerun()


def _share_done(errors: IO[bytes]) -> float:
    """Read the latest line “3 of 10 ways”: the third of ten is under way."""
    written = os.pread(errors.fileno(), MOST_READ, 0)  # leaves the place where the process goes on to write
    told = re.findall(rb"^(\d+) of (\d+) ways", written, re.M)
    return (int(told[-1][0]) - 1) / int(told[-1][1]) if told else 0.0


def _start(run: Run) -> tuple[subprocess.Popen, IO[bytes]]:
    errors = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process that writes to it
    process = subprocess.Popen(
        launch.program("stream", str(run.path.resolve())),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,
        env=launch.environment(),
    )
    return process, errors


@st.cache_resource
def _makers() -> dict[str, tuple[subprocess.Popen, IO[bytes]]]:
    """The processes that make a stream, by the path of their run; shared by all sessions."""
    return {}
