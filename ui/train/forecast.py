"""Say what a run will cost before it is started, and how that is known."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from certssb_core.config.presets import DEFAULT_PRESET, PRESETS
from certssb_core.config.schema import RunConfig
from certssb_core.errors import RunError
from certssb_core.jobs import forecast
from certssb_core.runs.run import Run
from ui.kit import errand, run_files
from ui.kit.jobs import duration
from ui.kit.view_as_code import settings


def show(config: RunConfig, preset: str, runs: Sequence[Run], *, quiet: bool) -> None:
    """The forecast in a sentence, and a timing of this machine where it rests on none.

    The timing starts by itself where nothing else tells the cost, or once the settings are not those the page opens
    with; it takes some seconds in another process, and is kept for the next time.

    Args:
        preset: the one that ``config`` was made from.
        runs: those that the forecast may be scaled from.
        quiet: time nothing now: other work would slow it down, or the data is not here.
    """
    timed = forecast.read_calibration(config, run_files.runs_dir())
    found = forecast.forecast(config, runs, timed)
    st.markdown(words(found))
    if timed is not None or quiet or run_files.read_only():
        return
    changed = [word for key, value in settings(config, preset).items() for word in ("--set", f"{key}={value}")]
    folder = str(run_files.runs_dir().resolve())
    key = f"forecast/{folder}/{config.model_dump_json()}"
    command = ("forecast", preset, *changed, "--runs-dir", folder, "--json")
    if (found is None or config != PRESETS[DEFAULT_PRESET]) and not errand.failed(key):
        try:
            errand.send(key, *command)
        except RunError:
            return  # others are at work: a timing beside them would be wrong
    errand.offer(
        key,
        *command,
        button="Time this machine",
        icon=":material/timer:",
        help="Trains this network on some of these images for a few seconds, once; kept for the next time.",
        working="Timing this machine, some seconds …",
    )


def words(found: forecast.Cost | None) -> str:
    if found is None:
        return ":gray[What this costs is not known yet: time this machine, or start and see.]"
    return (
        f"About **{duration(found.seconds)}** ({duration(found.low)} to {duration(found.high)}), "
        f"**{found.peak_memory_bytes / 2**30:.1f} GiB** of memory, **{found.disk_bytes / 1e6:,.0f} MB** on disk. "
        f"{found.basis[0].upper()}{found.basis[1:]}."
    )
