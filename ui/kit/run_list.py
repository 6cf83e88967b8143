"""The list of runs: a table to sort, to filter and to choose from, the tags of a run, and the space on disk."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from certssb_core.errors import RunError
from certssb_core.results.run_table import RunRow, matching, rows, table
from certssb_core.runs import tags
from certssb_core.runs.run import Run
from ui.kit import run_files, text

ROW_PIXELS, MOST_PIXELS = 35, 420
PERCENT = "%.1f %%"
SHARES = ["accuracy", "planted", "attack_success", "undefended"]
COLUMNS = {
    "run": st.column_config.TextColumn("run", pinned=True),
    "state": "state",
    "tags": st.column_config.ListColumn("tags", width="medium"),
    "accuracy": st.column_config.NumberColumn(
        "accuracy", format=PERCENT, help="Share of the clean test images: certified and right."
    ),
    "radius": st.column_config.NumberColumn(
        "mean radius", format="%.3f", help="Of the clean test images; 0 where the answer is wrong or abstains."
    ),
    "unit": st.column_config.TextColumn("unit", help="Radii of different units cannot be compared."),
    "planted": st.column_config.NumberColumn(
        "planted attack",
        format=PERCENT,
        help="Share of the clean test images certified against the attack as it was planted; only some certificates "
        "can say.",
    ),
    "attack_success": st.column_config.NumberColumn(
        "ASR", format=PERCENT, help="Attack success rate on the ensemble, measured."
    ),
    "undefended": st.column_config.NumberColumn(
        "ASR undefended", format=PERCENT, help="Attack success rate on a model without a defence, measured."
    ),
    "preset": st.column_config.TextColumn("preset", help="The preset with the closest settings."),
    "changed": st.column_config.TextColumn("changed settings", help="Settings that differ from that preset."),
    "members": st.column_config.NumberColumn("members", format="localized"),
    "network": "network",
    "epochs": "epochs",
    "sigma": st.column_config.NumberColumn(
        "σ₀", format="%.3g", help="The search for σ* starts there; the one noise level of a run with uniform noise."
    ),
    "dataset": "dataset",
    "trigger": "trigger",
    "started": st.column_config.DatetimeColumn("date", format="YYYY-MM-DD HH:mm"),
    "seconds": st.column_config.NumberColumn("duration (s)", format="localized"),
    "megabytes": st.column_config.NumberColumn("disk (MB)", format="%.1f"),
    "maker": st.column_config.TextColumn("made by", help="The measurement or study that made the run for itself."),
    "caution": "caution",
    "title": "about",
}
"""The columns in their order; those in which no run holds anything are left out."""


def show(listed: Sequence[RunRow], *, key: str | None = None) -> list[RunRow]:
    """Show the table; with a ``key``, rows can be ticked.

    Returns:
        The ticked rows.
    """
    shown = table(listed)
    shown[SHARES] = 100 * shown[SHARES].astype(float)
    held = [name for name in COLUMNS if any(len(str(value)) for value in shown[name].dropna())]
    event = st.dataframe(
        shown,
        hide_index=True,
        height=min(ROW_PIXELS * (len(shown) + 1) + 2, MOST_PIXELS),
        column_config=COLUMNS,
        column_order=held,
        placeholder="–",
        key=key,
        on_select="rerun" if key else "ignore",
        selection_mode="multi-row",
    )
    return [listed[row] for row in event.selection.rows if row < len(listed)] if key else []


def choose(runs: Sequence[Run], own: Sequence[Run]) -> list[str]:
    """Filter and tick runs: those of a person first, those of measurements and studies folded away.

    Returns:
        Names of the ticked runs that have finished.
    """
    with st.container(horizontal=True, vertical_alignment="bottom"):
        words = st.text_input(
            "Filter",
            key="find",
            bind="query-params",
            placeholder="name, tag, dataset, setting, state …",
            help="Every word must occur in the row.",
            width=360,
        )
        if others := len(runs) - len(own):
            label = f"Show {others:,} more, made by measurements and studies"
            own = runs if st.toggle(label, key="auxiliary", bind="query-params") else own
    listed = rows(own)
    found = matching(listed, words)
    megabytes = sum(row.megabytes for row in listed)
    st.caption(
        f"{len(found):,} of {len(listed):,} runs; {megabytes:,.1f} MB on disk. Click a heading to sort. "
        "Tick runs to compare them."
    )
    if not found:
        text.empty("No run fits the filter. Clear it to see all runs.")
    ticked = show(found, key="all-runs") if found else []
    return [row.run for row in ticked if row.state == "done"]


def tag(run: Run, known: Sequence[str]) -> None:
    """A field for the tags of ``run``; ``known`` ones are offered."""
    held = tags.read_tags(run)
    key = f"tags-{run.name}"

    def write() -> None:
        try:
            tags.write_tags(run, st.session_state[key])
        except RunError as error:
            st.session_state[f"{key}-problem"] = str(error)
            st.session_state[key] = list(held)

    st.multiselect(
        "Tags",
        sorted({*known, *held}),
        list(held),
        key=key,
        accept_new_options=True,
        placeholder="Type a word and press Enter",
        on_change=write,
        disabled=run_files.read_only(),
        help="Words to find this run again. They lie in its folder.",
    )
    if problem := st.session_state.pop(f"{key}-problem", ""):
        text.failed(problem)
