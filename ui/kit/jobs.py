"""Runs as jobs: where each stands, live progress, stop, resume, and the queue.

The worker is a process of its own; this panel only reads the run's folder, so a reload, a closed tab or a
restarted server changes nothing.
"""

from __future__ import annotations

import streamlit as st

from certssb_core.errors import RunError
from certssb_core.jobs import queue
from certssb_core.runs import integrity
from certssb_core.runs.job import Job
from certssb_core.runs.run import STAGES, Run, State, Status
from ui.kit import dialog, live_charts, manage, run_files, text

BADGES: dict[State, tuple[str, str]] = {
    "new": ("gray", ":material/draft:"),
    "queued": ("violet", ":material/schedule:"),
    "running": ("blue", ":material/hourglass_top:"),
    "stopped": ("orange", ":material/pause_circle:"),
    "failed": ("red", ":material/error:"),
    "done": ("green", ":material/check_circle:"),
}


ACTIVE = ("running", "queued")
REFRESH = {True: 2, False: 5}
"""Seconds between two looks at a job: at one that is active, and at one that another page or terminal may resume."""


def progress_text(status: Status) -> str:
    """``"members 34 of 200, about 2 min left"``."""
    words = status.stage
    if status.total:
        words += f" {status.done:,} of {status.total:,}"
    if status.seconds_left is not None:
        words += f", about {duration(status.seconds_left)} left"
    return words


def duration(seconds: float) -> str:
    """``"40 s"``, ``"3 min"``, ``"2.5 h"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def panel(run: Run) -> None:
    """The live panel of one run; it refreshes itself for as long as its state can change without this page."""
    drawn = _settled(run).state
    st.fragment(_panel, run_every=None if drawn == "done" else REFRESH[drawn in ACTIVE])(run, drawn)


def _settled(run: Run) -> Status:
    """Read the run's state, at no moment between the queue and its worker's lock."""
    try:
        return run.status() if run_files.read_only() else queue.settled(run)
    except RunError:  # a folder that cannot be locked has no queue
        return run.status()


def _panel(run: Run, drawn: State) -> None:
    status = _settled(run)
    if status.state != drawn:
        dialog.redraw()  # its results are there, or its turn has come
    colour, icon = BADGES[status.state]
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{run.name}**", width="content")
            st.badge(status.state, color=colour, icon=icon)
            st.space("stretch")
            if not run_files.read_only():
                _buttons(run, status)
                manage.buttons(run, status)
        if status.state == "queued":
            place = [other.name for other in queue.waiting(run.path.parent)].index(run.name) + 1
            st.markdown(f"Waits for the runs at work to end; number **{place}** in the queue.")
        if status.state == "failed":
            text.failed(status.message or "The worker ended without a word.", "Resume takes up where it ended.")
        if status.state in ("running", "stopped", "failed") and status.stage:
            st.progress(_share(status), text=progress_text(status))
            st.caption(_stages(status))
        if status.silence:
            st.warning(status.silence, icon=":material/hourglass_disabled:")
        if status.state != "done":
            _accuracy(run)
            live_charts.show(run)
        with st.expander("Log, the newest line first", icon=":material/receipt_long:"):
            st.code("\n".join(_lines(run)[:-201:-1]) or "Nothing yet.", language=None, height=240)


def _buttons(run: Run, status: Status) -> None:
    if status.state == "running":
        stop_button(run)
    elif status.state == "queued":
        st.button("Withdraw", key=f"withdraw-{run.name}", icon=":material/undo:", on_click=queue.withdraw, args=(run,))
    elif status.state != "done" and st.button("Resume", key=f"resume-{run.name}", icon=":material/play_circle:"):
        start(run)


def stop_button(job: Job) -> None:
    """Asks the worker to stop, once."""
    asked = job.stop_requested()
    words, icon = "Stopping …" if asked else "Stop", ":material/stop_circle:"
    st.button(words, key=f"stop-{job.name}", icon=icon, disabled=asked, on_click=job.request_stop)


def start(run: Run) -> None:
    """Start or resume a run, or queue it behind those at work, and show the page anew; say why it cannot be done."""
    try:
        with st.spinner(f"Starting {run.name} …"):
            queue.submit(run)
    except RunError as error:
        text.failed(str(error))
    else:
        st.rerun()


def _share(status: Status) -> float:
    return min(1.0, status.done / status.total) if status.total else 0.0


def _stages(status: Status) -> str:
    """All stages in order, the finished ones ticked, the current one bold."""
    current = STAGES.index(status.stage) if status.stage in STAGES else 0
    ticked = (f":green[✓ {stage}]" for stage in STAGES[:current])
    return " · ".join([*ticked, f"**{status.stage}**", *STAGES[current + 1 :]])


def _accuracy(run: Run) -> None:
    """The newest accuracy the worker has reported, if any."""
    found = next((event["accuracy"] for event in reversed(run.events()) if "accuracy" in event), None)
    if found is not None:
        st.markdown(f"Mean accuracy of the members so far: **{found:.1%}**")


def _lines(run: Run) -> list[str]:
    """The log as people read it: time, stage, and what happened; checksums of files are left out."""
    known = ("time", "kind", "stage", "message")
    lines = []
    for event in run.events():
        if event["kind"] == integrity.WROTE:
            continue
        rest = ", ".join(f"{key} {_short(value)}" for key, value in event.items() if key not in known)
        words = " ".join(str(event[key]) for key in known[1:] if event.get(key))
        lines.append(f"{event.get('time', '')[11:19]}  {words}  {rest}".rstrip())
    return lines


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
