"""Duplicate, rename, delete or compare whole runs; delete studies."""

from __future__ import annotations

import streamlit as st

from certssb_core.errors import RunError
from certssb_core.runs.job import Job
from certssb_core.runs.run import Run, Status
from ui.kit import forms, pages, text


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
    if status.state != "running":
        if st.button("Rename", key=f"rename-{run.name}", icon=":material/edit:"):
            _rename(run)
        delete(run, "run")


def delete(job: Job, kind: str, stays: str = "") -> None:
    """A button that deletes a run or a study, ``kind``, at rest, and asks before; ``stays`` says what is kept."""
    if st.button("Delete", key=f"delete-{job.name}", icon=":material/delete:"):
        st.dialog(f"Delete {kind}")(_delete)(job, kind, stays)


def compare(runs: list[Run]) -> None:
    """Open Certify with ``runs``, in its URL."""
    names = [run.name for run in runs]
    if "runs" in st.session_state:
        st.session_state["runs"] = names  # Streamlit remembers the control: it writes its URL itself
        st.switch_page(pages.path("certify"))
    st.switch_page(pages.path("certify"), query_params={"runs": names})


def _duplicate(run: Run) -> None:
    st.session_state["preset"] = forms.closest_preset(run.config)
    forms.reset(run.config)
    copy = f"{run.name}-copy"[:80]
    st.session_state["run-name"] = "" if (run.path.parent / copy).exists() else copy
    st.session_state["new-run"] = True


@st.dialog("Rename run")
def _rename(run: Run) -> None:
    name = st.text_input("New name", run.name, key="new-name")
    if st.button("Rename", key="rename-now", type="primary", disabled=name == run.name):
        try:
            renamed = run.rename(name)
        except RunError as error:
            text.failed(str(error))
        else:
            st.session_state["run"] = renamed.name
            st.rerun()


def _delete(job: Job, kind: str, stays: str) -> None:
    st.markdown(f"**{job.name}** and all its files, {job.size() / 1e6:.1f} MB, will be deleted permanently. {stays}")
    if st.button("Delete for ever", key="delete-now", type="primary", icon=":material/delete_forever:"):
        try:
            job.delete()
        except RunError as error:
            text.failed(str(error))
        else:
            st.session_state.pop(kind, None)
            st.rerun()
