"""Jobs that make several runs, on the page: studies and measurements, how far they have come, stop and continue."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from certssb_core.comparisons.measurement import Measurement
from certssb_core.errors import RunError
from certssb_core.jobs.launch import start as launch
from certssb_core.runs.run import Run, State
from certssb_core.tuning.study import Study
from ui.kit import dialog, jobs, run_files, text

Series = Study | Measurement


def panel(job: Series, *, unit: str, at_rest: Callable[[State], None]) -> None:
    """Show the state of a job, live until it is done; the page is drawn anew after every run.

    Args:
        unit: what is counted, in the plural.
        at_rest: draws the buttons of a job that no worker is on.
    """
    status = job.status()
    live = jobs.REFRESH[status.state in ("running", "new")]
    st.fragment(_panel, run_every=None if status.state == "done" else live)(
        job, unit, at_rest, (status.state, status.done)
    )


def start(job: Series) -> None:
    """Start or continue, and show the page anew; say why it cannot be done."""
    try:
        launch(job)
    except RunError as error:
        text.failed(str(error))
    else:
        st.rerun()


def _panel(job: Series, unit: str, at_rest: Callable[[State], None], drawn: tuple[State, int]) -> None:
    status = job.status()
    if (status.state, status.done) != drawn:
        dialog.redraw()
    colour, icon = jobs.BADGES[status.state]
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{job.name}**", width="content")
            st.badge(status.state, color=colour, icon=icon)
            st.space("stretch")
            if status.state == "running" and not run_files.read_only():
                jobs.stop_button(job)
            elif not run_files.read_only():
                at_rest(status.state)
        if status.state == "failed":
            text.failed(status.message, "Continue takes up where it ended.")
        elif status.state == "stopped" and job.events()[-1]["kind"] == "stopped":
            st.caption(status.message.capitalize() + ".")
        done = f"{status.done} of {status.total} {unit}"
        st.progress(min(1.0, status.done / status.total), text=f"{done}{_at_work(job, status.stage)}")


def _at_work(job: Series, name: str) -> str:
    """The run at work and its progress."""
    path = job.runs_dir / name
    if not name or not path.is_dir():
        return f"; {name}" if name and job.is_locked() else ""
    status = Run(path).status()
    if status.state == "queued":
        return f"; {name} waits in the queue"
    return f"; {name}: {jobs.progress_text(status)}" if status.state == "running" else ""
