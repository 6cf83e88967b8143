"""Duplicate, rename or compare runs; move runs and studies to the trash, put them back, empty it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from certssb_core.config.differences import closest_preset
from certssb_core.errors import RunError
from certssb_core.runs.job import Job, discarded, restore
from certssb_core.runs.makers import STUDIES
from certssb_core.runs.run import Run, Status
from ui.kit import dialog, forms, pages, run_files, text

PROTECTED = "It ships with the project. To change its settings, duplicate it."


def buttons(run: Run, status: Status) -> None:
    """Duplicate, and for a run at rest rename and delete."""
    if run.config.origin == "trained" and st.button(
        "Duplicate",
        key=f"duplicate-{run.name}",
        icon=":material/content_copy:",
        on_click=_duplicate,
        args=(run,),
        help="Fill the form above with this run's settings.",
    ):
        st.rerun()  # the form is outside the panel
    if run.protected:
        st.badge("protected", color="gray", icon=":material/lock:", help=PROTECTED)
    elif status.state != "running":
        if st.button("Rename", key=f"rename-{run.name}", icon=":material/edit:"):
            dialog.show("Rename run", _rename, run)
        delete(run, "run")


def delete(job: Job, kind: str, stays: str = "") -> None:
    """A button that moves a run or a study, ``kind``, at rest, to the trash; ``stays`` says what is kept."""
    if st.button("Delete", key=f"delete-{job.name}", icon=":material/delete:"):
        dialog.show(f"Delete {kind}", _delete, job, kind, stays)


def trash(folder: Path) -> None:
    """The discarded runs and studies of ``folder``: put one back, or empty the trash."""
    found = discarded(folder) + discarded(folder / STUDIES)
    if not found or run_files.read_only():
        return
    size = sum(job.size() for job in found) / 1e6
    with st.expander(f"Trash: {len(found)}, {size:,.1f} MB", icon=":material/delete:"):
        for job in found:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{job.name}**, {job.size() / 1e6:.1f} MB", width="stretch")
                if st.button("Put back", key=f"restore-{job.name}", icon=":material/undo:"):
                    _do(restore, job)
        if st.button("Empty the trash", key="empty-trash", icon=":material/delete_forever:"):
            dialog.show("Empty the trash", _empty, found, size)


def _empty(found: list[Job], size: float) -> None:
    st.markdown(f"{len(found)} folders, {size:,.1f} MB, will be deleted permanently.")
    if st.button("Delete permanently", key="empty-now", type="primary", icon=":material/delete_forever:"):
        _do(lambda: [job.delete() for job in found])


def _do(change: Callable[..., object], *arguments: object) -> None:
    """Make a change and draw the page anew, or say why it cannot be made."""
    try:
        change(*arguments)
    except RunError as error:
        text.failed(str(error))
    else:
        st.rerun()


def compare(runs: list[Run]) -> None:
    """Open Certify with ``runs``, in its URL."""
    names = [run.name for run in runs]
    run_files.make_current(names[0])
    if "runs" in st.session_state:
        st.session_state["runs"] = names  # Streamlit remembers the control: it writes its URL itself
        st.switch_page(pages.path("certify"))
    st.switch_page(pages.path("certify"), query_params={"runs": names})


def _duplicate(run: Run) -> None:
    st.session_state["preset"] = closest_preset(run.config)
    forms.reset(run.config)
    copy = f"{run.name}-copy"[:80]
    st.session_state["run-name"] = "" if (run.path.parent / copy).exists() else copy
    st.session_state["new-run"] = True


def _rename(run: Run) -> None:
    with st.form("rename", border=False):  # Enter renames, as the button does
        name = st.text_input("New name", run.name, key="new-name")
        pressed = st.form_submit_button("Rename", key="rename-now", type="primary")
    if pressed:
        try:
            renamed = run if name == run.name else run.rename(name)
        except RunError as error:
            text.failed(str(error))
        else:
            st.session_state["run"] = renamed.name
            st.rerun()


def _delete(job: Job, kind: str, stays: str) -> None:
    st.markdown(f"**{job.name}**, {job.size() / 1e6:.1f} MB, moves to the trash, where it can be put back. {stays}")
    if st.button("Move to the trash", key="delete-now", type="primary", icon=":material/delete:"):

        def discard() -> None:
            job.discard()
            st.session_state.pop(kind, None)

        _do(discard)
