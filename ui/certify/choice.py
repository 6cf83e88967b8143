"""Runs and modes to compare: several modes of one run, or several runs in one mode each."""

from __future__ import annotations

import streamlit as st

from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.certify.certificate import FIXED, TEST_MAPS
from certssb_core.plain_text import markdown_text
from certssb_core.results import certification
from certssb_core.runs.run import Run
from ui.kit import run_files, tables, text

ALPHAS = [0.1, 0.05, 0.01, 0.005, 0.001, 0.0005, 0.0001]
BOUND_TITLES = {key: bound.title for key, bound in BOUNDS.items()}
OWN = "own"
"""The mode of several runs in which each is shown as it was made."""


def choose() -> list[tables.Choice]:
    """The runs and modes to compare, certified from their votes as the reader wants."""
    runs = {run.name: run for run in run_files.finished_runs()}
    if not runs:
        text.no_runs()
        st.stop()
    held, kept = run_files.current(), st.session_state.get("runs", [])
    if text.arrived() and "runs" not in st.query_params and held in runs and held not in kept:
        st.session_state["runs"] = [held]
    names = st.multiselect("Runs", list(runs), default=next(iter(runs)), key="runs", bind="query-params")
    if names and run_files.current() not in names:
        run_files.make_current(names[0])
    chosen = [runs[name] for name in names]
    left, middle, right = st.columns([4, 3, 3])
    with left:
        modes = _one_mode(chosen) if len(chosen) > 1 else _modes(chosen)
    own = chosen[0].config.certification.bound if chosen else next(iter(BOUNDS))
    bound = middle.selectbox(
        "Bound on the votes",
        list(BOUND_TITLES),
        index=list(BOUND_TITLES).index(own),
        format_func=BOUND_TITLES.get,
        key="bound",
        bind="query-params",
    )
    alpha = right.select_slider("Failure probability α", ALPHAS, 0.001, key="alpha", bind="query-params")
    if OWN in modes:
        found = [
            choice
            for run in chosen
            for choice in tables.choices([run], [run.config.noise.test_map], bound, alpha, name=run.name)
        ]
    else:
        found = tables.choices(chosen, modes, bound, alpha)
    if not found:
        text.empty("Choose at least one run, and one mode that it was voted in.")
        st.stop()
    if left_out := [run.name for run in chosen if run.name not in {choice.run.name for choice in found}]:
        st.caption(f"Not voted in this mode, so left out: {markdown_text(', '.join(left_out))}.")
    return found


def _modes(chosen: list[Run]) -> list[str]:
    offered = tables.modes(chosen)
    return st.pills(
        "Mode: noise of the test inputs",
        offered,
        format_func=certification.label,
        selection_mode="multi",
        default=[mode for mode in offered if mode in (*TEST_MAPS, FIXED)],
        key="modes",
        bind="query-params",
    )


def _one_mode(chosen: list[Run]) -> list[str]:
    """One mode for all runs; a link that names several modes of several runs opens the first of them."""
    offered = [OWN, *tables.modes(chosen)]
    asked = st.query_params.get_all("modes")
    start = next((mode for mode in offered if mode in asked or certification.label(mode) in asked), OWN)
    mode = st.selectbox(
        "Mode: noise of the test inputs",
        offered,
        index=offered.index(start),
        format_func=lambda mode: "each run as it was made" if mode == OWN else certification.label(mode),
        key="mode",
        bind="query-params",
        help="One mode for all runs. With a single run, several modes can be compared.",
    )
    return [mode]


def details(chosen: list[tables.Choice]) -> list[tables.Choice]:
    """Those of ``chosen`` whose promises and checks are shown: of several runs one at a time."""
    names = list(dict.fromkeys(one.run.name for one in chosen))
    if len(names) == 1:
        return chosen
    if st.session_state.get("details", names[0]) not in names:
        st.session_state["details"] = names[0]
    st.subheader("One run in detail", anchor=False)
    name = st.selectbox(
        "Promises and checks of",
        names,
        key="details",
        bind="query-params",
        help="Every run has its own conditions; choose one to read them.",
    )
    return [one for one in chosen if one.run.name == name]
