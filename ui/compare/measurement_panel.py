"""Making a measurement from the page: what it takes, start, and how far it has come."""

from __future__ import annotations

import streamlit as st

from certssb_core.comparisons.measurement import KINDS, Measurement, missing
from certssb_core.errors import ConfigError, RunError
from certssb_core.jobs import forecast
from certssb_core.runs.run import State
from ui.kit import controls, job_panel, jobs, run_files, text


def section(kind: str, *, found: bool) -> None:
    """Show what is being measured, and under a fold what can be; ``found``: there is a result already."""
    for measurement in Measurement.all(kind, run_files.runs_dir()):
        try:
            if measurement.status().state != "done":
                job_panel.panel(measurement, unit="runs", at_rest=lambda at, job=measurement: _at_rest(job, at))
        except ConfigError as error:
            text.failed(str(error), "Delete its folder to measure afresh.")
    _fold(kind, found)


@st.fragment  # what is folded away is not drawn, and costs nothing
def _fold(kind: str, found: bool) -> None:
    fold = st.expander(
        "Measure here", expanded=not found, icon=":material/science:", key=f"fold-{kind}", on_change="rerun"
    )
    if fold.open:
        with fold:
            _new(kind)


def _new(kind: str) -> None:
    suites = KINDS[kind].suites
    st.markdown(f"{KINDS[kind].title}, made with this machine's own runs. Runs that are there already are taken up.")
    name = controls.choose("Of", dict(suites), next(iter(suites)), key=f"of-{kind}")
    st.caption(_takes(kind, name))
    if st.button("Start", key=f"measure-{kind}", icon=":material/play_arrow:", disabled=run_files.read_only()):
        try:
            measurement = Measurement.prepare(kind, name, run_files.runs_dir())
        except RunError as error:
            text.failed(str(error))
        else:
            job_panel.start(measurement)


def _takes(kind: str, name: str) -> str:
    """Say how many runs are missing and, if known, how long they take."""
    runs_dir, plan = run_files.runs_dir(), KINDS[kind].plan(name)
    left = missing(plan, runs_dir)
    if not left:
        return f"All {len(plan)} runs are there: only the result is made again."
    words = f"{sum(left.values())} of {len(plan)} runs are missing"
    found = forecast.total(left, runs_dir)
    if found is None:
        return f"{words}. How long they take here is not known until this machine has been timed (on Train)."
    return (
        f"{words}: about **{jobs.duration(found.seconds)}** and **{found.disk_bytes / 1e6:,.0f} MB** on this machine."
    )


def _at_rest(measurement: Measurement, at: State) -> None:
    if st.button("Continue", key=f"continue-{measurement.name}", icon=":material/play_circle:", disabled=at == "done"):
        job_panel.start(measurement)
