"""Say what a run will cost before it is started, and how that is known."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from certssb_core.config.schema import RunConfig
from certssb_core.errors import RunError
from certssb_core.jobs import forecast
from certssb_core.jobs.launch import environment, program
from certssb_core.runs import files
from certssb_core.runs.run import Run
from ui.kit import run_files, text
from ui.kit.jobs import duration

LONGEST_SECONDS = 300  # for the timing: a network and images for which it takes longer are not for this machine


def show(config: RunConfig, runs: Sequence[Run]) -> None:
    """The forecast in a sentence; ``runs`` are those that it may be scaled from."""
    st.markdown(words(forecast.forecast(config, runs, forecast.read_calibration(config, run_files.runs_dir()))))


def offer_timing(config: RunConfig) -> None:
    """A button that times this machine, where the forecast rests on no timing made here."""
    if forecast.read_calibration(config, run_files.runs_dir()) is None and st.button(
        "Time this machine",
        key="calibrate",
        icon=":material/timer:",
        help="Trains this network on some of these images for a few seconds, once; kept for the next time.",
    ):
        try:
            with st.spinner("Timing this machine, a few seconds …"):
                _calibrate(config)
        except RunError as error:
            text.failed(str(error))
        else:
            st.rerun()


def words(found: forecast.Cost | None) -> str:
    if found is None:
        return ":gray[What this costs is not known yet: time this machine, or start and see.]"
    return (
        f"About **{duration(found.seconds)}** ({duration(found.low)} to {duration(found.high)}), "
        f"**{found.peak_memory_bytes / 2**30:.1f} GiB** of memory, **{found.disk_bytes / 1e6:,.0f} MB** on disk, "
        f"{found.basis}."
    )


def _calibrate(config: RunConfig) -> None:
    """``python -m certssb_core forecast``, in another process: it needs torch."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.json"
        files.write_json(file, config.model_dump(mode="json"))
        command = program("forecast", str(file), "--runs-dir", str(run_files.runs_dir().resolve()))
        try:
            finished = subprocess.run(
                command, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False, env=environment()
            )
        except subprocess.TimeoutExpired:
            raise RunError(f"timing took longer than {LONGEST_SECONDS} s: this run is too large for here") from None
    if finished.returncode:
        raise RunError(finished.stderr.strip().rpartition("\n")[2].removeprefix("error: ") or "timing failed")
